"""Opportunities in MongoDB."""

from __future__ import annotations

from crm.sales.v1 import opportunity_pb2
from pymongo import ASCENDING, DESCENDING, IndexModel

from chassis.storage.records import Records


class Opportunities(Records):
    """Chances to sell."""

    edition = 1

    def __init__(self) -> None:
        super().__init__(
            opportunity_pb2.Opportunity,
            indexes=[
                IndexModel([("pipeline_id", ASCENDING), ("state", ASCENDING), ("stage_key", ASCENDING)], name="by_stage"),
                IndexModel([("state", ASCENDING), ("create_time", DESCENDING), ("_id", DESCENDING)], name="by_state"),
            ],
        )
