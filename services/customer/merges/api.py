"""CustomerMergeService."""

from __future__ import annotations

from functools import partial

from chassis.rpc.noun import Noun
from chassis.rpc.service import Service
from services.customer.customers.store import Customers
from services.customer.merges import actions
from services.customer.merges.store import Merges


def service(merges: Merges, customers: Customers) -> Service:
    """The handlers of merges."""
    return Noun(merges).serve(
        MergeCustomers=partial(actions.merge, merges, customers),
        UnmergeCustomer=partial(actions.unmerge, merges, customers),
    )
