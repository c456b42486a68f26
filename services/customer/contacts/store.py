"""Contacts in MongoDB. They carry their customer's owner, so that scope is one filter."""

from __future__ import annotations

from crm.customer.v1 import contact_pb2
from pymongo import ASCENDING, DESCENDING, IndexModel

from chassis.rpc.call import Call
from chassis.storage.ownership import OWNER_FIELDS
from chassis.storage.records import Document, Records
from services.customer.customers import terms
from services.customer.customers.store import stored

BY_OWNER = [IndexModel([(name, ASCENDING), ("create_time", DESCENDING), ("_id", DESCENDING)], name=f"by_{name}") for name in OWNER_FIELDS]


class Contacts(Records):
    """People at customers."""

    edition = terms.EDITION

    def __init__(self) -> None:
        # Marketing asks who else wants no promotion at an address.
        by_email = IndexModel([("blind.email", ASCENDING)], name="by_email", partialFilterExpression={"blind.email": {"$exists": True}})
        by_terms = IndexModel([("search_terms", ASCENDING)], name="by_search_terms")
        super().__init__(contact_pb2.Contact, indexes=[*BY_OWNER, by_terms, by_email])

    def derive(self, call: Call, document: Document) -> None:
        """Keep the terms by which a search for the customer finds its people."""
        document["search_terms"] = [stored(call, term) for term in terms.of_customer(document)]
