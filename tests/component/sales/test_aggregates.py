"""Opportunities and orders counted and summed in groups: periods, currencies, rates, what is cut, what is behind a group, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio
from crm.common.v1 import aggregate_pb2, annotations_pb2

from chassis.access.parts import RATES
from chassis.kernel.clock import day, now
from chassis.kernel.errors import CrmError
from chassis.rpc.contract import nouns
from chassis.storage import aggregates
from tests.e2e.world import upsert
from tests.support.checks import equals
from tests.support.installation import Installation

COUNT, SUM, AVG, MIN, MAX, WEIGHTED = range(1, 7)
DAY, WEEK, MONTH, QUARTER, YEAR = range(1, 6)
RATED, UNRATED = "THB", "ISK"


def money(code: str, units: float) -> dict[str, Any]:
    return {"currency_code": code, "amount_micros": round(units * 1_000_000)}


# (owner, amount, probability, expected, began)
DEALS: list[tuple[str, dict[str, Any] | None, float, str, str]] = [
    ("SALES_REP", money("CNY", 100), 10, "2026-01-31", "2026-01-31T15:59:59Z"),
    ("SALES_REP", money("CNY", 50.5), 50, "2026-02-01", "2026-01-31T16:00:00Z"),
    ("SALES_LEAD", money(RATED, 1000), 20, "2026-03-31", "2026-03-29T15:59:59Z"),
    ("SALES_LEAD", money(UNRATED, 7), 100, "2026-04-01", "2026-03-29T16:00:00Z"),
    ("SALES_LEAD", None, 90, "2026-12-31", "2026-12-31T16:00:00Z"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pipeline(crm: Installation) -> str:
    """A pipeline with the deals in it."""
    await crm.ask("CreateExchangeRate", from_currency=RATED, to_currency="CNY", rate="0.2", first_date="2026-01-01")
    stages = [{"key": "first", "name": "第一", "probability": 10}, {"key": "second", "name": "第二"}]
    (made,) = await upsert(crm, "BatchUpsertPipelines", "pipelines", [{"name": "统计", "stages": stages}], key="aggregates")
    rows = []
    for place, (owner, amount, probability, expected, began) in enumerate(DEALS):
        stamp = aggregate_pb2.Aggregate().as_of
        stamp.FromJsonString(began)
        rows.append(
            {
                "name": f"统计 {place}", "pipeline_id": made, "stage_key": "second" if place % 2 else "first", "owner_id": crm.people[owner],
                "probability": probability, "expected_close_date": expected, "create_time": stamp, "start_date": "2026-01-01",
            }
            | ({"amount": amount} if amount else {})
        )  # fmt: skip
    await upsert(crm, "BatchUpsertOpportunities", "opportunities", rows, key="aggregates")
    sales = crm.suite["sales"].authority
    await crm.until(lambda: sales.directory.parts.get(RATES).of_day(RATED, "CNY", day(now())) is not None)
    return made


async def asked(crm: Installation, pipeline: str, role: str = "COORDINATOR", **more: Any) -> Any:
    return (await crm.ask("AggregateOpportunities", role=role, filter=equals("pipeline_id", pipeline), **more)).aggregate


def keys(found: Any) -> list[tuple[str | None, ...]]:
    return [tuple(key.value if key.HasField("value") else None for key in row.keys) for row in found.rows]


def units(value: Any) -> dict[str, float]:
    return {one.currency_code: one.amount_micros / 1_000_000 for one in value.amounts}


async def test_currencies_stay_apart_and_are_told_in_the_base_currency_by_the_rates_that_stand(crm: Installation, pipeline: str) -> None:
    measures = [{"field": "amount", "function": one} for one in (SUM, AVG, MIN, MAX, WEIGHTED, COUNT)]
    found = await asked(crm, pipeline, measures=measures)
    (row,) = found.rows
    total, mean, least, most, weighted, count = row.values
    assert (row.count, count.count) == (5, 4)
    assert units(total) == {"CNY": 150.5, RATED: 1000, UNRATED: 7}
    assert [(one.currency_code, one.amount_micros) for one in total.unconverted] == [(UNRATED, 7_000_000)]
    assert (total.amount.currency_code, total.amount.amount_micros) == ("CNY", 350_500_000)
    assert (units(mean), mean.amount.amount_micros) == ({"CNY": 75.25, RATED: 1000, UNRATED: 7}, 116_830_000)
    assert (least.amount.amount_micros, most.amount.amount_micros) == (50_500_000, 200_000_000)
    assert (units(weighted), weighted.amount.amount_micros) == ({"CNY": 35.25, RATED: 200, UNRATED: 7}, 75_250_000)
    assert (found.totals.count, found.HasField("others"), found.path) == (5, False, 1)


@pytest.mark.parametrize(
    ("field", "length", "wanted"),
    [
        ("create_time", DAY, ["2026-01-31", "2026-02-01", "2026-03-29", "2026-03-30", "2027-01-01"]),
        ("create_time", MONTH, ["2026-01-01", "2026-02-01", "2026-03-01", "2027-01-01"]),
        ("create_time", WEEK, ["2026-01-26", "2026-03-23", "2026-03-30", "2026-12-28"]),
        ("expected_close_date", QUARTER, ["2026-01-01", "2026-04-01", "2026-10-01"]),
        ("expected_close_date", YEAR, ["2026-01-01"]),
    ],
)
async def test_periods_are_those_of_the_company(crm: Installation, pipeline: str, field: str, length: int, wanted: list[str]) -> None:
    found = await asked(crm, pipeline, groupings=[{"field": field, "granularity": length}])
    assert [key for (key,) in keys(found)] == wanted
    assert sum(row.count for row in found.rows) == found.totals.count == 5


async def test_groups_are_ordered_by_the_first_measure_and_what_is_cut_is_told_together(crm: Installation, pipeline: str) -> None:
    measures = [{"field": "amount", "function": SUM}]
    by_owner = await asked(crm, pipeline, groupings=[{"field": "owner_id"}], measures=measures)
    assert keys(by_owner) == [(crm.people["SALES_LEAD"],), (crm.people["SALES_REP"],)]
    cut = await asked(crm, pipeline, groupings=[{"field": "owner_id"}], measures=measures, limit=1)
    assert (len(cut.rows), cut.others.count, units(cut.others.values[0])) == (1, 2, {"CNY": 150.5})
    assert cut.totals == by_owner.totals
    both = await asked(
        crm, pipeline, groupings=[{"field": "create_time", "granularity": QUARTER}, {"field": "owner_id", "top": 1}], measures=measures
    )
    lead = crm.people["SALES_LEAD"]
    assert (keys(both), both.others.count) == ([("2026-01-01", lead), ("2027-01-01", lead)], 2)


async def test_behind_a_group_are_exactly_the_records_that_it_counts(crm: Installation, pipeline: str) -> None:
    groupings = [{"field": "stage_key"}, {"field": "create_time", "granularity": MONTH}]
    found = await asked(crm, pipeline, groupings=groupings)
    drilled = (await crm.ask("DrillOpportunities", role="COORDINATOR", filters=[row.drill for row in found.rows])).drills
    assert [len(one.opportunities) for one in drilled] == [row.count for row in found.rows]
    assert len({one.id for each in drilled for one in each.opportunities}) == 5
    (whole,) = (await asked(crm, pipeline)).rows
    first = (await crm.ask("DrillOpportunities", role="COORDINATOR", filters=[whole.drill], page_size=3)).drills[0]
    more = {"page_size": 3, "page_token": first.next_page_token}
    rest = (await crm.ask("DrillOpportunities", role="COORDINATOR", filters=[whole.drill], **more)).drills[0]
    assert ([len(one.opportunities) for one in (first, rest)], rest.next_page_token) == ([3, 2], "")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"groupings": [{"field": "description"}]}, "groupings[0].field"),
        ({"groupings": [{"field": "stage_key"}, {"field": "stage_key"}]}, "groupings[1].field"),
        ({"groupings": [{"field": "create_time"}]}, "groupings[0].granularity"),
        ({"groupings": [{"field": "stage_key", "granularity": DAY}]}, "groupings[0].granularity"),
        ({"measures": [{"field": "stage_key", "function": SUM}]}, "measures[0].field"),
        ({"measures": [{"field": "probability", "function": WEIGHTED}]}, "measures[0].field"),
        ({"measures": [{"function": SUM}]}, "measures[0].field"),
    ],
)
async def test_what_makes_no_sense_is_refused_with_its_place(crm: Installation, pipeline: str, wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(CrmError) as refusal:
        await asked(crm, pipeline, **wrong)
    assert (refusal.value.code, refusal.value.field) == ("INVALID_ARGUMENT", field)
    assert refusal.value.params["rule"].startswith("aggregate.")


async def test_what_is_too_wide_is_refused_with_how_to_narrow_it(crm: Installation, pipeline: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregates, "MOST_RECORDS", 4)
    with pytest.raises(CrmError) as refusal:
        await asked(crm, pipeline)
    assert (refusal.value.code, refusal.value.field) == ("REPORT_TOO_WIDE", "filter")
    assert "narrow the filter" in refusal.value.message
    assert (await asked(crm, pipeline, role="SALES_REP")).totals.count >= 2


def test_six_nouns_have_the_verbs() -> None:
    found = {noun.resource for noun in nouns() if noun.record.GetOptions().Extensions[annotations_pb2.noun].aggregated}
    assert found == {"opportunities", "orders", "tickets", "customers", "campaigns", "campaign_messages"}
