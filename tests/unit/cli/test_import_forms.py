"""Numbers, days and times as people spell them: what was spelled in a form is read back, and what is in doubt is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.engines import EngineError
from cli.imports import days, numbers
from cli.imports.fields import Forms, Unfit, reader
from cli.imports.reader import look
from cli.imports.recipe import File, Record
from cli.imports.sheet import Sheet
from cli.imports.survey import Survey, survey

WIDE = str.maketrans("0123456789.,-", "０１２３４５６７８９．，－")
SIGNS = ("{}", "-{}", "{}-", "({})", "−{}", "¥ -{}", "-€{}")
AMOUNTS = st.integers(min_value=0, max_value=10**12).map(lambda cents: Decimal(cents).scaleb(-2))


def spelled(value: Decimal, mark: str, group: str) -> str:
    """With a fraction of two digits and with groups of three."""
    return f"{value:,.2f}".replace(",", "_").replace(".", mark).replace("_", group)


@given(
    AMOUNTS,
    st.sampled_from([(".", ","), (",", "."), (".", " "), (",", " "), (",", "\u202f"), (".", "'"), (".", "’"), (".", ""), (",", "")]),
)
def test_a_number_with_a_fraction_is_read_as_it_was_meant(value: Decimal, form: tuple[str, str]) -> None:
    mark, group = form
    for index, sign in enumerate(SIGNS):
        for text in (sign.format(spelled(value, mark, group)), sign.format(spelled(value, mark, group)).translate(WIDE)):
            found = numbers.readings(text)
            assert found[numbers.MARKS.index(mark)] == (-value if index else value), text
            assert found[1 - numbers.MARKS.index(mark)] is None, text


@given(st.integers(min_value=1000, max_value=999_999), st.sampled_from(numbers.MARKS))
def test_one_mark_before_three_digits_is_a_thousand_or_a_fraction(value: int, group: str) -> None:
    text = f"{value:,}".replace(",", group)
    thousand, fraction = Decimal(value), Decimal(value) / 1000
    assert numbers.readings(text) == ((fraction, thousand) if group == "." else (thousand, fraction))


@pytest.mark.parametrize(
    "text", ["", "-", "twelve", "5%", "1.2.3", "1,2,3", "12 34", "()", "--5", "(-5)", "1.234,56.7", "1,23,4", "NaN", "inf", "1_2"]
)
def test_what_is_no_number_has_no_reading(text: str) -> None:
    assert numbers.readings(text) == (None, None)


def read(folder: Path, values: list[str], **said: str) -> tuple[Survey, list[Any]]:
    """The pass over a file of one column, and what its field makes of each row (the reason where it is refused)."""
    spec = {"text": "{x}", "as": said.pop("kind", "number"), "currency": "EUR"}
    part = File("x", ["x"], [Record("customers", "x:{n}", {"annual_revenue": spec})], **said)
    path = folder / "x.csv"
    path.write_text("n\tx\n" + "".join(f"{index}\t{value}\n" for index, value in enumerate(values)))
    seen = survey(part, look(path), part.zone or "Asia/Shanghai")
    found: list[Any] = []
    for value in values:
        try:
            found.append(reader(spec, Forms(seen.forms.chosen, part.zone or "Asia/Shanghai"))({"x": value}))
        except Unfit as unfit:
            found.append(unfit.reason)
    return seen, found


def test_a_column_of_numbers_tells_its_form_and_every_row_is_read_by_it(tmp_path: Path) -> None:
    for values, expected in (
        (["1.234", "12,5", "1.000.000"], [1234.0, 12.5, 1_000_000.0]),
        (["1,234", "12.5", "7"], [1234.0, 12.5, 7.0]),
        (["1'234.50", "1,234"], [1234.5, 1234.0]),
        (["1 234,56", "1.234"], [1234.56, 1234.0]),
        (["7", "", "-8"], [7.0, None, -8.0]),
    ):
        assert read(tmp_path, values)[1] == expected


def test_a_column_in_two_forms_is_refused_naming_a_row_of_each(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"column «x» is written in two ways: row 3 «12.5» .* row 4 «12,5»"):
        read(tmp_path, ["1", "12.5", "12,5"])


def test_a_column_that_nothing_tells_is_refused_until_the_recipe_says_it(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r'row 2 has «1.234» .* format = "1.234,56"'):
        read(tmp_path, ["1.234", "7"])
    assert read(tmp_path, ["1.234", "7"], format="1.234,56")[1] == [1234.0, 7.0]
    assert read(tmp_path, ["1.234", "7"], format="1,234.56")[1] == [1.234, 7.0]


def test_rows_in_another_form_than_the_recipe_names_are_refused_one_by_one(tmp_path: Path) -> None:
    seen, found = read(tmp_path, ["1,5", "1.5", "5%"], format="1.234,56")
    assert (found[0], "no number" in found[1], "percentage" in found[2]) == (1.5, True, True)
    assert seen.columns["x"] == "1.234,56, as the recipe says"


DAYS = st.dates(min_value=date(1900, 1, 1), max_value=date(2199, 12, 31))
SPELLED = ("{0:%Y-%m-%d}", "{0.year}-{0.month}-{0.day}", "{0:%Y/%m/%d}", "{0:%Y%m%d}", "{0.year}年{0.month}月{0.day}日", "{0:%Y.%m.%d}")


@given(DAYS, st.sampled_from(SPELLED))
def test_a_day_that_begins_with_its_year_has_one_reading(day: date, form: str) -> None:
    for text in (form.format(day), form.format(day).translate(WIDE)):
        assert days.readings(text) == (days.Spelled(day), days.Spelled(day)), text


@given(DAYS, st.sampled_from("/-"))
def test_a_day_that_ends_with_its_year_has_both_readings_that_are_days(day: date, mark: str) -> None:
    for index, text in enumerate((f"{day.month}{mark}{day.day}{mark}{day.year}", f"{day:%d}{mark}{day:%m}{mark}{day.year}")):
        found = days.readings(text)
        assert found[index] == days.Spelled(day)
        assert (found[1 - index] is None) == (day.day > 12)


def test_a_column_of_days_tells_which_comes_first(tmp_path: Path) -> None:
    assert read(tmp_path, ["4/3/2026", "13/04/2026"], kind="date")[1] == ["2026-03-04", "2026-04-13"]
    assert read(tmp_path, ["4/3/2026", "04/13/2026"], kind="date")[1] == ["2026-04-03", "2026-04-13"]
    assert read(tmp_path, ["5/5/2026", "20260301", "2026-3-1"], kind="date")[1] == ["2026-05-05", "2026-03-01", "2026-03-01"]
    with pytest.raises(EngineError, match=r"two ways: row 3 .* row 2"):
        read(tmp_path, ["13/04/2026", "04/13/2026"], kind="date")
    with pytest.raises(EngineError, match='dates = "day-first" or dates = "month-first"'):
        read(tmp_path, ["4/3/2026"], kind="date")
    assert read(tmp_path, ["4/3/2026"], kind="date", dates="day-first")[1] == ["2026-03-04"]
    assert read(tmp_path, ["4/3/2026"], kind="date", dates="month-first")[1] == ["2026-04-03"]


@pytest.mark.parametrize(
    "text", ["2026-02-30", "31/04/2026", "4/3/26", "46023", "2026-03-01 25:00", "2026-13-01", "yesterday", "2026-03-01T09"]
)
def test_what_is_no_day_has_no_reading(text: str) -> None:
    assert days.readings(text) == (None, None)


MOMENTS = st.datetimes(min_value=datetime(1992, 1, 1), max_value=datetime(2100, 1, 1)).map(lambda at: at.replace(microsecond=0))
TIMES = (
    "{0:%Y-%m-%d %H:%M:%S}",
    "{0:%Y-%m-%dT%H:%M:%S}",
    "{0.year}年{0.month}月{0.day}日 {0.hour}:{0:%M:%S}",
    "{0:%Y/%m/%d %I:%M:%S %p}",
    "{0:%Y%m%d %H:%M:%S}",
)


@given(MOMENTS, st.sampled_from(TIMES), st.sampled_from(["Asia/Shanghai", "Europe/London", "America/New_York", "UTC"]))
def test_a_time_without_a_zone_is_of_the_zone_that_is_named_or_told_to_be_in_doubt(at: datetime, form: str, name: str) -> None:
    said, zone = days.readings(form.format(at))[0], ZoneInfo(name)
    assert said
    found = days.moment(said, zone)
    if isinstance(found, str):
        assert len({at.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1)}) == 2
    else:
        assert found.astimezone(zone).replace(tzinfo=None) == at


@given(MOMENTS, st.integers(min_value=-12 * 4, max_value=14 * 4), st.sampled_from(["", ".5", ".123456"]))
def test_a_time_with_an_offset_is_that_moment_whatever_the_zone(at: datetime, quarters: int, fraction: str) -> None:
    sign, span = "-" if quarters < 0 else "+", abs(quarters) * 15
    text = f"{at:%Y-%m-%dT%H:%M:%S}{fraction}{sign}{span // 60:02}:{span % 60:02}"
    said = days.readings(text)[0]
    assert said
    micro = timedelta(microseconds=int(fraction[1:].ljust(6, "0") or 0))
    assert days.moment(said, ZoneInfo("Asia/Shanghai")) == (at + micro - timedelta(minutes=15 * quarters)).replace(tzinfo=UTC)
    assert days.moment(days.readings(f"{at:%Y-%m-%dT%H:%M:%S}Z")[1], UTC) == at.replace(tzinfo=UTC)  # type: ignore[arg-type]


def test_hours_that_clocks_skip_or_repeat_are_refused_and_a_day_begins_when_it_begins(tmp_path: Path) -> None:
    _, found = read(tmp_path, ["2026-03-29 01:30", "2026-10-25 01:30", "2026-07-01"], kind="time", zone="Europe/London")
    assert "does not exist" in found[0]
    assert "came twice" in found[1]
    assert found[2] == datetime(2026, 6, 30, 23, tzinfo=UTC)
    seen, found = read(tmp_path, ["2018-11-04", "2026年3月1日 9:00"], kind="time", zone="America/Sao_Paulo")
    assert found == [datetime(2018, 11, 4, 3, tzinfo=UTC), datetime(2026, 3, 1, 12, tzinfo=UTC)]
    assert seen.columns["x"] == "times without a zone are of America/Sao_Paulo"


@pytest.mark.parametrize(("more", "total"), [({}, "0.114"), ({"currency": "GBP"}, "0.11"), ({"currency": "JPY"}, "0")])
def test_a_sum_of_rows_that_are_multiplied_counts_what_can_be_paid_where_the_recipe_names_a_currency(
    more: dict[str, str], total: str
) -> None:
    part = File(
        "t", ["n", "price"], [], checks=[{"label": "net", "source": {"column": "n", "filled": True, "sum": "price", "times": "n", **more}}]
    )
    sheet = Sheet("t")
    sheet._marks = {"price": 0, "n": 0}
    for times, price in (("4", "0.001"), ("-10", "-0.006"), ("1", "0.05")):
        sheet.count(part, {"n": times, "price": price})
    assert sheet.source["net"] == (3, Decimal(total))
