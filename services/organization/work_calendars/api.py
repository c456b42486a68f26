"""WorkCalendarService."""

from __future__ import annotations

from functools import partial
from typing import Any

from crm.organization.v1 import work_calendar_service_pb2 as contract

from chassis.rpc.call import Call
from chassis.rpc.documents import to_document, to_message
from chassis.rpc.noun import Noun, handler
from chassis.rpc.service import Service
from services.organization.departments.store import Departments
from services.organization.people.store import People
from services.organization.work_calendars import actions, model, plan
from services.organization.work_calendars.store import WorkCalendars


def service(calendars: WorkCalendars, people: People, departments: Departments) -> Service:
    """The handlers of work calendars."""

    @handler
    async def import_year(call: Call, request: Any) -> Any:
        asked = {name: value for name, value in to_document(request).items() if name not in ("request_id", "validate_only")}
        after, changes = await actions.import_year(calendars, call, **asked)
        if request.validate_only:
            call.changes = type(call.changes)(call.database)
        return to_message({"work_calendar": after, "changes": changes}, contract.ImportCalendarYearResponse.DESCRIPTOR)

    @handler
    async def working_time(call: Call, request: Any) -> Any:
        asked = to_document(request)
        calendar = await actions.whose(calendars, people, departments, call, asked)
        return to_message(await actions.working_time(calendars, call, calendar, asked), contract.GetWorkingTimeResponse.DESCRIPTOR)

    @handler
    async def month(call: Call, request: Any) -> Any:
        calendar = await calendars.read(call, request.work_calendar_id)
        line = (await calendars.lines(call, [calendar]))[calendar["_id"]]
        return to_message({"days": plan.month_of(line, request.month)}, contract.GetCalendarMonthResponse.DESCRIPTOR)

    @handler
    async def effective(call: Call, request: Any) -> Any:
        found = await actions.effective(calendars, people, departments, call, list(request.person_ids), list(request.department_ids))
        shown = await calendars.batch_get(call, {one["_id"] for one in found.values()}, request.read_mask.paths)
        pairs = [{"of_id": identity, "work_calendar_id": one["_id"]} for identity, one in found.items()]
        answer = {"effective": pairs, "work_calendars": list(shown.values())}
        return to_message(answer, contract.BatchGetEffectiveCalendarsResponse.DESCRIPTOR)

    noun = Noun(calendars, model.check, partial(actions.place, calendars), refers=(calendars,))
    return noun.serve(
        ArchiveWorkCalendar=partial(actions.archive, calendars),
        RestoreWorkCalendar=partial(actions.restore, calendars),
        SetCalendarDays=partial(actions.set_days, calendars),
        ImportCalendarYear=import_year,
        ConfirmCalendarYear=partial(actions.confirm_year, calendars),
        MakeCalendarDefault=partial(actions.make_default, calendars),
        GetWorkingTime=working_time,
        GetCalendarMonth=month,
        BatchGetEffectiveCalendars=effective,
    )
