"""Fiscal calendars in MongoDB; each change reaches departments as a part of the directory."""

from __future__ import annotations

from collections.abc import Iterable

from crm.common.v1 import fiscal_pb2
from crm.organization.v1 import fiscal_calendar_pb2

from chassis.access.parts import FISCAL_CALENDARS
from chassis.rpc.call import Call
from chassis.storage.client import Database
from chassis.storage.records import Document, Records
from services.organization.access.store import touch
from services.organization.fiscal_calendars.model import definition

COLLECTION, MOST = "fiscal_calendars", 5_000


class FiscalCalendars(Records):
    """How the fiscal years of units are divided."""

    def __init__(self) -> None:
        super().__init__(fiscal_calendar_pb2.FiscalCalendar, parents=("unit_id",))

    def project(self, call: Call, before: Document | None, after: Document) -> None:
        """A new revision of this part of the directory."""
        touch(call, FISCAL_CALENDARS.name)

    async def of_units(self, call: Call, units: Iterable[str]) -> list[Document]:
        """The calendars in use of these units, and those that count for everybody else."""
        query = {"unit_id": {"$in": [*dict.fromkeys(units), None]}, "archive_time": None}
        return await call.database[self.resource].find(query, max_time_ms=call.milliseconds_left).limit(MOST).to_list()


async def part(database: Database) -> fiscal_pb2.FiscalTable:
    """The fiscal calendars as departments hold them."""
    table = fiscal_pb2.FiscalTable()
    async for row in database[COLLECTION].find({"archive_time": None}).limit(MOST):
        found = definition(row)
        table.definitions.add(
            unit_id=row.get("unit_id", ""), valid_from_year=found.valid_from_year, year_start_month=found.year_start_month,
            pattern=found.pattern, week_start=found.week_start, time_zone=found.zone,
        )  # fmt: skip
    return table
