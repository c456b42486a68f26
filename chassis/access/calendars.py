"""Work calendars as every department holds them: a part of the directory, so that a changed holiday sends no people again.

A calendar comes with everything that it inherits; it is compiled when somebody first asks by it, once a revision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from crm.common.v1 import work_plan_pb2

from chassis.kernel.errors import Conflict
from chassis.kernel.worktime import Plan, Span, WorkTime, compiled, tzdata_version

YEARS_BACK, YEARS_AHEAD = 2, 6
_FIRST = date(1970, 1, 1)


def horizon(year: int) -> tuple[date, date]:
    """The days for which calendars are compiled in a year."""
    return date(year - YEARS_BACK, 1, 1), date(year + YEARS_AHEAD, 12, 31)


@dataclass
class WorkTimes:
    """The calendars in use at one revision. `default` counts for whoever has no other."""

    plans: Mapping[str, Plan] = field(default_factory=dict)
    default: str = ""
    _compiled: dict[tuple[str, int, str], WorkTime] = field(default_factory=dict)

    @staticmethod
    def of(message: work_plan_pb2.WorkPlans) -> WorkTimes:
        """The calendars as the organization sent them."""
        return WorkTimes({plan.work_calendar_id: _plan(plan) for plan in message.plans}, message.default_calendar_id)

    def effective(self, candidates: Iterable[str]) -> str:
        """Of calendar ids, the nearest first, the first that is in use; else the default."""
        return next((one for one in candidates if one in self.plans), self.default)

    def work_time(self, calendar_id: str, year: int) -> WorkTime:
        """A calendar compiled for the years around one; the default where it is out of use. Raises Conflict as long as none came."""
        found = self.effective((calendar_id,))
        if found not in self.plans:
            words = "the work calendars have not come from the organization yet; send the same request again"
            raise Conflict(words, code="BUSY")
        key = (found, year, tzdata_version())
        if key not in self._compiled:
            self._compiled[key] = compiled(self.plans[found], *horizon(year))
        return self._compiled[key]


def upward(units: Iterable[str], above: Mapping[str, Sequence[str]]) -> list[str]:
    """Units, each followed by those above it: the way on which a calendar is looked for. `above` has the nearest first."""
    return [one for unit in units for one in (unit, *above.get(unit, ()))]


def message_of(calendar_id: str, plan: Plan) -> work_plan_pb2.WorkPlan:
    """A plan as it travels."""
    made = work_plan_pb2.WorkPlan(work_calendar_id=calendar_id, time_zone=plan.zone, confirmed_years=sorted(plan.confirmed))
    for spans in plan.week:
        made.week.add(spans=_messages(spans))
    for day in sorted(plan.days):
        if plan.days[day]:
            made.work_days.add(day=(day - _FIRST).days, spans=_messages(plan.days[day]))
        else:
            made.free_days.append((day - _FIRST).days)
    return made


def _messages(spans: Iterable[Span]) -> list[work_plan_pb2.WorkSpan]:
    return [work_plan_pb2.WorkSpan(begin=begin, end=end) for begin, end in spans]


def _plan(message: work_plan_pb2.WorkPlan) -> Plan:
    free: dict[date, tuple[Span, ...]] = {_FIRST + timedelta(days=day): () for day in message.free_days}
    worked = {_FIRST + timedelta(days=day.day): _spans(day) for day in message.work_days}
    return Plan(message.time_zone, tuple(_spans(day) for day in message.week), free | worked, frozenset(message.confirmed_years))


def _spans(message: work_plan_pb2.WorkPlanDay) -> tuple[Span, ...]:
    return tuple((span.begin, span.end) for span in message.spans)
