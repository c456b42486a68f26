"""NoteService."""

from __future__ import annotations

from functools import partial

from crm.customer.v1 import note_events_pb2, note_service_pb2

from chassis.rpc.noun import Noun
from chassis.rpc.service import Service
from services.customer.contacts.actions import inherit
from services.customer.customers.store import Customers
from services.customer.notes import model
from services.customer.notes.store import Notes


def service(notes: Notes, customers: Customers) -> Service:
    """The handlers of notes."""
    descriptor = note_service_pb2.DESCRIPTOR.services_by_name["NoteService"]
    return Noun(notes, descriptor, note_events_pb2, model.check, partial(inherit, customers)).serve()
