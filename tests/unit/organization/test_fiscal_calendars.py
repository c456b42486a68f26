"""Fiscal calendars: a change counts from a coming year only; the tables themselves are tested in test_fiscal."""

from __future__ import annotations

from datetime import date
from typing import Any

from chassis.kernel.errors import WrongState
from chassis.kernel.fiscal import Calendar
from services.organization.fiscal_calendars import model

TODAY = date(2026, 11, 30)


def calendar(**values: Any) -> dict[str, Any]:
    made = {"_id": "a", "name": "财年", "year_start_month": 1, "pattern": "MONTHS", "valid_from_year": 2024, **values}
    model.check(made)
    return made


def refusal(before: Any, after: Any, *others: dict[str, Any], today: date = TODAY) -> WrongState | None:
    try:
        model.check_change(before, after, others, Calendar(), today)
    except WrongState as refused:
        assert refused.code == "FISCAL_YEAR_BEGUN"
        return refused
    return None


def test_a_calendar_is_completed_with_its_key_and_the_start_of_its_weeks() -> None:
    assert (calendar()["key"], calendar()["week_start"]) == ("all-2024", 1)
    assert (calendar(unit_id="u", week_start=7)["key"], calendar(unit_id="u", week_start=7)["week_start"]) == ("u-2024", 7)


def test_the_first_calendar_of_a_unit_may_begin_in_any_year() -> None:
    assert refusal(None, calendar(valid_from_year=2020)) is None


def test_another_one_counts_from_a_coming_year_only() -> None:
    first = calendar()
    begun, coming = calendar(_id="b", valid_from_year=2026, year_start_month=4), calendar(_id="b", valid_from_year=2027, year_start_month=4)
    found = refusal(None, begun, first)
    assert found is not None
    assert "the fiscal year 2026 of this unit began on 2026-01-01" in found.message
    assert found.field == "valid_from_year"
    assert refusal(None, coming, first) is None


def test_a_year_has_begun_when_it_has_by_the_old_calendar_or_by_the_new_one() -> None:
    january, april = calendar(), calendar(_id="b", year_start_month=4, valid_from_year=2027)
    assert refusal(None, april, january, today=date(2026, 12, 31)) is None
    assert refusal(None, april, january, today=date(2027, 1, 1)) is not None  # January to March would go back into 2026
    old, new = calendar(year_start_month=4), calendar(_id="b", year_start_month=1, valid_from_year=2027)
    assert refusal(None, new, old, today=date(2026, 12, 31)) is None
    assert refusal(None, new, old, today=date(2027, 1, 1)) is not None  # so would January to March of 2026, ahead


def test_what_has_begun_keeps_all_but_its_name() -> None:
    before = calendar()
    assert refusal(before, {**before, "name": "新名"}) is None
    for changed in ({"year_start_month": 4}, {"pattern": "WEEKS_4_4_5"}, {"week_start": 7}, {"time_zone": "America/New_York"}):
        found = refusal(before, {**before, **changed})
        assert found is not None
        assert [found.field] == list(changed)  # a field that did change: one that stays as it is would not be judged
    assert refusal(before, None) is not None  # nor does it go out of use


def test_what_has_not_begun_may_change_and_go() -> None:
    first, coming = calendar(), calendar(_id="b", valid_from_year=2028, year_start_month=4)
    assert refusal(coming, {**coming, "year_start_month": 7}, first) is None
    assert refusal(coming, None, first) is None
    late = date(2028, 1, 1)  # by the calendar that would count without it, 2028 has begun
    assert refusal(coming, None, first, today=late) is not None
