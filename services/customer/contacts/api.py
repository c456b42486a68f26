"""ContactService."""

from __future__ import annotations

from functools import partial

from crm.customer.v1 import contact_events_pb2, contact_service_pb2

from chassis.rpc.noun import Noun
from chassis.rpc.service import Service
from services.customer.contacts import actions, model
from services.customer.contacts.store import Contacts
from services.customer.customers.store import Customers


def service(contacts: Contacts, customers: Customers) -> Service:
    """The handlers of contacts."""
    descriptor = contact_service_pb2.DESCRIPTOR.services_by_name["ContactService"]
    return Noun(contacts, descriptor, contact_events_pb2, model.check, partial(actions.inherit, customers)).serve()
