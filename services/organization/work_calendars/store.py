"""Work calendars in MongoDB. Exactly one of them is the default: made at the first start, and passed on from one to another in one commit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

from crm.common.v1 import work_plan_pb2
from crm.organization.v1 import work_calendar_pb2
from pymongo import ASCENDING, IndexModel

from chassis.access.calendars import horizon
from chassis.access.parts import WORK_TIMES
from chassis.kernel.clock import now
from chassis.kernel.errors import NotFound
from chassis.kernel.worktime import WorkTime, compiled, tzdata_version
from chassis.rpc.call import Call
from chassis.storage.client import Database
from chassis.storage.records import Records
from services.organization.access.store import touch
from services.organization.work_calendars.model import DEEPEST, MOST_CALENDARS
from services.organization.work_calendars.plan import plan_of, plans_of

Document = dict[str, Any]
BY_DEFAULT = IndexModel([("is_default", ASCENDING)], name="by_default", partialFilterExpression={"is_default": True})
BY_BASE = IndexModel([("base_calendar_id", ASCENDING)], name="by_base_calendar_id")
_KEPT = 100
_MOST_BASES = 10_000


class WorkCalendars(Records):
    """Calendars; each change reaches every department, and nobody is sent again for it."""

    def __init__(self) -> None:
        super().__init__(work_calendar_pb2.WorkCalendar, indexes=[BY_DEFAULT, BY_BASE])
        self._compiled: OrderedDict[tuple[Any, ...], WorkTime] = OrderedDict()

    def project(self, call: Call, before: Document | None, after: Document) -> None:
        """A new revision of the calendars that departments hold."""
        touch(call, WORK_TIMES.name)

    async def default(self, call: Call) -> Document | None:
        """The calendar that counts for whoever has no other; None only before the first start is through."""
        return await call.database[self.resource].find_one({"is_default": True}, max_time_ms=call.milliseconds_left)

    async def lines(self, call: Call, calendars: Iterable[Document]) -> dict[str, list[Document]]:
        """Of each calendar itself and those that it stands on, by its id, the nearest first. One read a level."""
        found = {calendar["_id"]: [calendar] for calendar in calendars}
        for _ in range(DEEPEST - 1):
            wanted = {str(line[-1]["base_calendar_id"]) for line in found.values() if line[-1].get("base_calendar_id")}
            above = await self.batch_get(call, sorted(wanted)) if wanted else {}
            for line in found.values():
                base = above.get(line[-1].get("base_calendar_id", ""))
                if base is not None and base not in line:
                    line.append(base)
        return found

    async def bases(self, call: Call) -> dict[str, str]:
        """Of every calendar that stands on another one, out of use too, which that is."""
        rows = call.database[self.resource].find(
            {"base_calendar_id": {"$gt": ""}}, {"base_calendar_id": 1}, max_time_ms=call.milliseconds_left
        )
        return {row["_id"]: row["base_calendar_id"] async for row in rows.limit(_MOST_BASES)}

    async def uses(self, call: Call, calendar_id: str) -> dict[str, int]:
        """How many people, departments and calendars use one."""
        own, database = {"own_work_calendar_id": calendar_id}, call.database
        return {
            "people": await database["people"].count_documents({**own, "state": "ACTIVE"}),
            "departments": await database["departments"].count_documents({**own, "archive_time": None}),
            "calendars": await database[self.resource].count_documents({"base_calendar_id": calendar_id, "archive_time": None}),
        }

    async def count(self, call: Call) -> int:
        """How many calendars are in use."""
        return await call.database[self.resource].count_documents({"archive_time": None}, maxTimeMS=call.milliseconds_left)

    async def one_more(self, call: Call) -> None:
        """A calendar comes into use with this commit: of two that do so at once the second one counts anew, so there are never too many."""
        if default := await self.default(call):
            call.changes.guard(self.resource, {"_id": default["_id"]})

    async def work_time(self, call: Call, calendar: Document) -> WorkTime:
        """A calendar compiled for the years around the present one; what was compiled of the same versions is used again."""
        line = (await self.lines(call, [calendar]))[calendar["_id"]]
        key = (*((one["_id"], one["version"]) for one in line), call.now.year, tzdata_version())
        found = self._compiled.get(key)
        if found is None:
            found = self._compiled[key] = compiled(plan_of(line), *horizon(call.now.year))
            if len(self._compiled) > _KEPT:
                self._compiled.popitem(last=False)
        return found

    async def effective(self, call: Call, candidates: Sequence[Sequence[str]]) -> list[Document]:
        """For each list of calendar ids, the nearest first, the first that is in use; else the default. Raises NotFound where there is none."""
        wanted = sorted({identity for each in candidates for identity in each})
        known = await self.batch_get(call, wanted) if wanted else {}
        default = await self.default(call)
        found = []
        for each in candidates:
            used = (known[identity] for identity in each if identity in known and not known[identity].get("archive_time"))
            calendar = next(used, default)
            if calendar is None:
                raise NotFound("there is no work calendar yet; make one (workCalendarCreate)", field="work_calendar_id")
            found.append(calendar)
        return found


async def plans(database: Database, most: int = MOST_CALENDARS) -> work_plan_pb2.WorkPlans:
    """The calendars in use as every department gets them: the default one whatever comes, and each with all that it stands on, out of use too."""
    stored = database["work_calendars"]
    default = await stored.find({"is_default": True}).limit(1).to_list()
    query = {"archive_time": None, "_id": {"$nin": [one["_id"] for one in default]}}
    rows = default + await stored.find(query).sort("_id", 1).limit(most - len(default)).to_list()
    beneath: dict[str, Document] = {}
    for _ in range(DEEPEST - 1):
        known = {one["_id"] for one in rows} | beneath.keys()
        wanted = {one["base_calendar_id"] for one in (*rows, *beneath.values()) if one.get("base_calendar_id")} - known
        beneath |= {one["_id"]: one async for one in stored.find({"_id": {"$in": sorted(wanted)}})} if wanted else {}
    return plans_of(rows, now().year, list(beneath.values()))
