"""Merges in MongoDB. They carry the owner of the customer that stayed, so that scope is one filter."""

from __future__ import annotations

from crm.customer.v1 import customer_merge_pb2
from pymongo import ASCENDING, IndexModel

from chassis.storage.records import Records
from services.customer.contacts.store import BY_OWNER


class Merges(Records):
    """Customers that became one."""

    def __init__(self) -> None:
        by_loser = IndexModel([("loser_id", ASCENDING)], name="by_loser_id")
        super().__init__(customer_merge_pb2.CustomerMerge, indexes=[*BY_OWNER, by_loser])
