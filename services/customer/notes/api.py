"""NoteService."""

from __future__ import annotations

from functools import partial

from chassis.rpc.noun import Noun
from chassis.rpc.service import Service
from services.customer.contacts.actions import inherit
from services.customer.customers.store import Customers
from services.customer.notes import model
from services.customer.notes.store import Notes


def service(notes: Notes, customers: Customers) -> Service:
    """The handlers of notes."""
    return Noun(notes, model.check, partial(inherit, customers)).serve()
