"""A day comes from a moment in one way only: in the company's time zone."""

from __future__ import annotations

import ast
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from chassis.access.caller import Caller
from chassis.access.directory import Directory, Member
from chassis.kernel.clock import day
from chassis.rpc.call import Call
from chassis.runtime.settings import SettingsError
from services.sales.settings import Settings

ROOT = Path(__file__).parents[3]
NEEDED = {
    "CRM_MONGO_URI": "x",
    "CRM_NATS_URL": "x",
    "CRM_SERVICE_SECRET": "x",
    "CRM_MASTER_KEYS": "A" * 43,
    "CRM_CUSTOMER_ADDRESS": "127.0.0.1:1",
}


@pytest.mark.parametrize(
    ("moment", "zone", "expected"),
    [
        (datetime(2026, 11, 29, 16, 30, tzinfo=UTC), "Asia/Shanghai", date(2026, 11, 30)),
        (datetime(2026, 11, 29, 15, 59, 59, 999000, tzinfo=UTC), "Asia/Shanghai", date(2026, 11, 29)),
        (datetime(2026, 12, 31, 16, 0, tzinfo=UTC), "Asia/Shanghai", date(2027, 1, 1)),
        (datetime(2026, 3, 1, 2, 0, tzinfo=UTC), "America/New_York", date(2026, 2, 28)),
        (datetime(2026, 6, 1, 12, 0, tzinfo=UTC), "Pacific/Kiritimati", date(2026, 6, 2)),
    ],
)
def test_a_moment_falls_on_the_day_of_the_zone(moment: datetime, zone: str, expected: date) -> None:
    assert day(moment, zone) == expected


def test_nothing_else_makes_a_day_of_a_moment() -> None:
    found = []
    for folder in ("services", "chassis", "gateway"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.match("chassis/kernel/clock.py"):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    bare = node.func.attr == "date" and not node.args
                    if bare or node.func.attr in ("today", "utcnow", "fromordinal"):
                        found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == [], "use call.today or chassis.kernel.clock.day"


def test_a_day_is_asked_of_the_call_which_knows_whose_it_is() -> None:
    """`call.today` for what is stored and counted, `call.person_today` for queues of people, a fiscal calendar for a unit, `call.when` for criteria that count from now: no
    other way."""
    found = set()
    for folder in ("services", "chassis", "gateway"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if (
                    isinstance(node, ast.ImportFrom)
                    and node.module == "chassis.kernel.clock"
                    and any(one.name == "day" for one in node.names)
                ):
                    found.add(str(path.relative_to(ROOT)))
    assert found == {"chassis/rpc/call.py", "chassis/kernel/fiscal.py", "chassis/kernel/relative.py"}


def test_a_person_has_a_day_of_their_own_and_what_is_stored_the_company_s() -> None:
    people = {
        "far": Member("far", "d", "", frozenset(), True, frozenset(), time_zone="America/New_York"),
        "here": Member("here", "d", "", frozenset(), True, frozenset()),
    }
    directory = Directory(1, members=people)
    moment = datetime(2026, 11, 29, 17, 0, tzinfo=UTC)

    def call(person_id: str) -> Call:
        return Call(Caller(person_id, frozenset()), directory, cast(Any, None), cast(Any, None), now=moment)

    assert (call("far").person_today, call("far").today) == (date(2026, 11, 29), date(2026, 11, 30))
    assert (call("here").person_today, call("service-sales").person_today) == (date(2026, 11, 30), date(2026, 11, 30))
    assert call("here").today_of("far") == date(2026, 11, 29)


def test_a_time_zone_that_is_none_stops_the_start() -> None:
    with pytest.raises(SettingsError, match="CRM_TIME_ZONE='Mars/Base' cannot be used"):
        Settings.from_env({**NEEDED, "CRM_TIME_ZONE": "Mars/Base"})
