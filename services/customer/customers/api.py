"""CustomerService."""

from __future__ import annotations

from functools import partial
from typing import Any

from crm.customer.v1 import customer_service_pb2

from chassis.rpc.call import Call
from chassis.rpc.documents import to_message
from chassis.rpc.noun import Noun, handler
from chassis.rpc.service import Service
from services.customer.customers import actions, erasure, model
from services.customer.customers.store import Customers


def service(customers: Customers) -> Service:
    """The handlers of customers."""
    noun = Noun(
        customers,
        model.check,
        partial(actions.place, customers),
        permitted=partial(actions.permitted, customers),
    )

    @handler
    async def search(call: Call, request: Any) -> Any:
        found = await customers.search(call, request.query, request.page_size)
        return customer_service_pb2.SearchCustomersResponse(customers=[to_message(hit, customers.descriptor) for hit in found])

    return noun.serve(
        SearchCustomers=search,
        EraseCustomer=partial(erasure.erase, customers),
        AssignCustomer=partial(actions.assign, customers),
        ArchiveCustomer=partial(actions.archive, customers),
        MoveCustomerLifecycle=partial(actions.move_lifecycle, customers),
    )
