"""Notes in MongoDB. They carry their customer's owner, so that scope is one filter."""

from __future__ import annotations

from crm.customer.v1 import note_pb2

from chassis.storage.records import Records
from services.customer.contacts.store import BY_OWNER


class Notes(Records):
    """Remarks about customers."""

    def __init__(self) -> None:
        super().__init__(note_pb2.Note, indexes=BY_OWNER)
