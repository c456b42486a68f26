"""FiscalCalendarService."""

from __future__ import annotations

from typing import Any

from crm.organization.v1 import fiscal_calendar_pb2, fiscal_calendar_service_pb2

from chassis.kernel.clock import read_day
from chassis.kernel.fiscal import Span
from chassis.rpc.call import Call
from chassis.rpc.noun import Noun, handler
from chassis.rpc.service import Service
from services.organization.departments.store import Departments
from services.organization.fiscal_calendars import model
from services.organization.fiscal_calendars.actions import Reckoning, special
from services.organization.fiscal_calendars.store import FiscalCalendars


def service(fiscal_calendars: FiscalCalendars, departments: Departments) -> Service:
    """The handlers of fiscal calendars."""
    reckoning = Reckoning(fiscal_calendars, departments)

    @handler
    async def fiscal_day(call: Call, request: fiscal_calendar_service_pb2.GetFiscalDayRequest) -> Any:
        calendar = await reckoning.of(call, unit_of(call, request))
        day = read_day(request.date, "date") if request.HasField("date") else calendar.falls_on(call.now, call.zone)
        place = calendar.of_day(day)
        found = fiscal_calendar_pb2.FiscalDay(
            date=day.isoformat(), year=_span(place.year), quarter=_span(place.quarter), period=_span(place.period), week=_span(place.week)
        )
        return fiscal_calendar_service_pb2.GetFiscalDayResponse(fiscal_day=found)

    @handler
    async def fiscal_year(call: Call, request: fiscal_calendar_service_pb2.GetFiscalYearRequest) -> Any:
        calendar = await reckoning.of(call, unit_of(call, request))
        year = calendar.year(request.year) if request.HasField("year") else calendar.of_day(calendar.falls_on(call.now, call.zone)).year
        found = fiscal_calendar_pb2.FiscalYear(
            number=year.number, first_date=year.first.isoformat(), last_date=year.last.isoformat(), quarters=map(_span, year.quarters),
            periods=map(_span, year.periods), weeks=map(_span, year.weeks),
        )  # fmt: skip
        return fiscal_calendar_service_pb2.GetFiscalYearResponse(fiscal_year=found)

    noun = Noun(fiscal_calendars, model.check, reckoning.judge, refers=(departments,))
    return noun.serve(GetFiscalDay=fiscal_day, GetFiscalYear=fiscal_year, **special(reckoning, noun))


def unit_of(call: Call, request: Any) -> str:
    """The unit of a question; the caller's department where it names none, the company's ("") for who has none."""
    return str(request.unit_id) or call.caller.department_id


def _span(span: Span) -> fiscal_calendar_pb2.FiscalSpan:
    return fiscal_calendar_pb2.FiscalSpan(number=span.number, first_date=span.first.isoformat(), last_date=span.last.isoformat())
