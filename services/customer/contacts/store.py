"""Contacts in MongoDB. They carry their customer's owner, so that scope is one filter."""

from __future__ import annotations

from crm.customer.v1 import contact_pb2
from pymongo import ASCENDING, DESCENDING, IndexModel

from chassis.storage.ownership import OWNER_FIELDS
from chassis.storage.records import Records

BY_OWNER = [IndexModel([(name, ASCENDING), ("create_time", DESCENDING), ("_id", DESCENDING)], name=f"by_{name}") for name in OWNER_FIELDS]


class Contacts(Records):
    """People at customers."""

    edition = 3

    def __init__(self) -> None:
        # Marketing asks who else wants no promotion at an address.
        by_email = IndexModel([("blind.email", ASCENDING)], name="by_email", partialFilterExpression={"blind.email": {"$exists": True}})
        super().__init__(contact_pb2.Contact, indexes=[*BY_OWNER, by_email])
