"""Competitors in MongoDB."""

from __future__ import annotations

from crm.marketing.v1 import competitor_pb2

from chassis.storage.records import Records


class Competitors(Records):
    """Competitors."""

    def __init__(self) -> None:
        super().__init__(competitor_pb2.Competitor)
