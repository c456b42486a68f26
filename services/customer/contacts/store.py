"""Contacts in MongoDB. They carry their customer's owner, so that scope is one filter."""

from __future__ import annotations

from crm.customer.v1 import contact_pb2
from pymongo import ASCENDING, DESCENDING, IndexModel

from chassis.storage.records import OWNER_FIELDS, Records

BY_OWNER = [IndexModel([(name, ASCENDING), ("create_time", DESCENDING), ("_id", DESCENDING)], name=f"by_{name}") for name in OWNER_FIELDS]


class Contacts(Records):
    """People at customers."""

    def __init__(self) -> None:
        super().__init__(contact_pb2.Contact, indexes=BY_OWNER)
