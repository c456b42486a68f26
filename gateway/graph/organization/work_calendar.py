"""Which work calendar counts for whom, a month by one, and working time between two moments."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

import strawberry
from crm.organization.v1 import work_calendar_service_pb2 as contract
from google.protobuf.field_mask_pb2 import FieldMask
from strawberry.types import Info

from chassis.kernel.errors import CrmError
from gateway.departments.context import Context
from gateway.departments.errors import field_error
from gateway.graph.arguments import signed
from gateway.graph.contract import comment, finish, from_global, output_class
from gateway.graph.edges import edge
from gateway.graph.inputs import stamp
from gateway.graph.judged import by
from gateway.graph.noun import NOUNS
from gateway.graph.selection import selected

_PARENTS = {
    "Person": ("person_ids", "The work calendar that counts for the person: the own one, else that of the nearest unit, else the default."),
    "Department": ("department_ids", "The work calendar that counts for the unit: the own one, else the nearest above, else the default."),
}


def edges() -> None:
    """Called when every noun is known."""
    for parent, (key, words) in _PARENTS.items():
        NOUNS[parent].edge("work_calendar", _effective(key, words))


def queries() -> dict[str, Any]:
    """The top-level fields."""
    return {"workingTime": _working_time(), "workCalendarMonth": _month()}


def _effective(key: str, words: str) -> Any:
    noun = NOUNS["WorkCalendar"]
    method = noun.method("BatchGetEffectiveCalendars")

    async def load(context: Context, mask: tuple[str, ...], ids: list[str]) -> list[Any]:
        request = contract.BatchGetEffectiveCalendarsRequest(read_mask=FieldMask(paths=mask), **{key: ids})
        try:
            answer = await context.clients.read("organization", noun.service, method.name, request, context.token, context.request_id)
        except CrmError as error:
            return [field_error(error, "organization")] * len(ids)
        calendars = {calendar.id: calendar for calendar in answer.work_calendars}
        found = {one.of_id: calendars.get(one.work_calendar_id) for one in answer.effective}
        return [found.get(identity) for identity in ids]

    async def resolve(roots: Sequence[Any], info: Info) -> Sequence[Any]:
        context: Context = info.context
        mask = selected(info, noun.descriptor)
        return await context.loader((method.full_name, key, mask), partial(load, context, mask)).many([root.id for root in roots])

    return edge(resolve, {}, noun.type | None, words, method)


def _working_time() -> Any:
    noun = NOUNS["WorkCalendar"]
    method = noun.method("GetWorkingTime")
    told = finish(output_class(contract.GetWorkingTimeResponse.DESCRIPTOR))

    async def resolve(info: Info, start_time: datetime, end_time: datetime | None = None, seconds: int | None = None, **whose: Any) -> Any:
        context: Context = info.context
        try:
            request = contract.GetWorkingTimeRequest(start_time=stamp(start_time), seconds=seconds)
            if end_time is not None:
                request.end_time.CopyFrom(stamp(end_time))
            for name, kind in (("work_calendar_id", "WorkCalendar"), ("person_id", "Person"), ("department_id", "Department")):
                if whose.get(name) is not None:
                    setattr(request, name, from_global(str(whose[name]), kind, name)[1])
            return await context.clients.read("organization", noun.service, method.name, request, context.token, context.request_id)
        except CrmError as error:
            raise field_error(error, "organization") from None

    arguments = {
        "start_time": (datetime, ...), "end_time": (datetime | None, None), "seconds": (int | None, None),
        "work_calendar_id": (strawberry.ID | None, None), "person_id": (strawberry.ID | None, None), "department_id": (strawberry.ID | None, None),
    }  # fmt: skip
    return strawberry.field(resolver=signed(resolve, arguments, told | None), description=comment(method.full_name), metadata=by(method))


def _month() -> Any:
    noun = NOUNS["WorkCalendar"]
    method = noun.method("GetCalendarMonth")
    day = finish(output_class(contract.CalendarMonthDay.DESCRIPTOR))

    async def resolve(info: Info, id: strawberry.ID, month: str) -> Any:
        context: Context = info.context
        try:
            request = contract.GetCalendarMonthRequest(work_calendar_id=from_global(str(id), "WorkCalendar")[1], month=month)
            answer = await context.clients.read("organization", noun.service, method.name, request, context.token, context.request_id)
        except CrmError as error:
            raise field_error(error, "organization") from None
        return list(answer.days)

    arguments = {"id": (strawberry.ID, ...), "month": (str, ...)}
    shape: Any = list[day] | None  # type: ignore[valid-type]
    return strawberry.field(resolver=signed(resolve, arguments, shape), description=comment(method.full_name), metadata=by(method))
