"""ContactService."""

from __future__ import annotations

from functools import partial

from chassis.rpc.noun import Noun
from chassis.rpc.service import Service
from services.customer.contacts import actions, model
from services.customer.contacts.store import Contacts
from services.customer.customers.store import Customers


def service(contacts: Contacts, customers: Customers) -> Service:
    """The handlers of contacts."""
    return Noun(contacts, model.check, partial(actions.join, contacts, customers)).serve()
