"""Counts, sums and boards in the graph: the operations of docs/how-to/counts-and-sums.md as they stand there, what they cost, what they refuse."""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from graphql import parse, validate

from gateway.bootstrap import shared_schema
from gateway.graph.contract import to_global
from tests.e2e import test_access_roles as roles
from tests.e2e.test_access_contracts import ended
from tests.e2e.world import upsert
from tests.support.checks import cny
from tests.support.installation import Installation

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "counts-and-sums.md").read_text()
BY_MONTH, BY_OWNER, BOARD, ON = re.findall(r"```graphql\n(.*?)```", PAGE, re.DOTALL)
STAGES = [
    {"key": "lead", "name": "线索", "probability": 10},
    {"key": "offer", "name": "报价", "probability": 50},
    {"key": "last", "name": "收尾"},
]


def calls(before: Counter[str], crm: Installation) -> dict[str, int]:
    """What was asked of departments since, but for their keys."""
    return {name: count for name, count in (Counter(crm.calls()) - before).items() if name != "ListSigningKeys"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pipeline(crm: Installation) -> str:
    """The graph's id of a pipeline with 25 open deals in its first stage, one in its second, and one that is lost."""
    (made,) = await upsert(crm, "BatchUpsertPipelines", "pipelines", [{"name": "看板", "stages": STAGES}], key="board")
    rows = [
        {
            "name": f"看板 {place}", "pipeline_id": made, "stage_key": "lead" if place < 25 else "offer", "owner_id": crm.people["SALES_REP"],
            "amount": cny(100), "start_date": "2026-01-01", "expected_close_date": f"2026-{place % 3 + 1:02}-15",
        } | ({"state": 3, "close_date": "2026-02-01"} if place == 26 else {})
        for place in range(27)
    ]  # fmt: skip
    await upsert(crm, "BatchUpsertOpportunities", "opportunities", rows, key="board")
    return to_global("Pipeline", made)


def test_every_operation_of_the_page_fits_the_schema() -> None:
    for text in (BY_MONTH, BY_OWNER, BOARD, ON):
        assert validate(shared_schema()._schema, parse(text)) == [], text


async def test_deals_by_month_with_their_sums_and_what_is_behind_each(crm: Installation, pipeline: str) -> None:
    await crm.data(BY_MONTH, role="SALES_REP", pipeline=pipeline)
    before = Counter(crm.calls())
    found = (await crm.data(BY_MONTH, role="SALES_REP", pipeline=pipeline))["opportunityAggregate"]
    assert calls(before, crm) == {"AggregateOpportunities": 1, "DrillOpportunities": 1}
    assert [row["keys"][0] for row in found["rows"]] == [
        {"value": f"2026-{month:02}-01", "lastDay": f"2026-{month:02}-{last}", "unfinished": False}
        for month, last in ((1, 31), (2, 28), (3, 31))
    ]
    assert [row["count"] for row in found["rows"]] == [9, 9, 9]
    assert [row["values"][0]["amount"]["amount"] for row in found["rows"]] == ["900.00"] * 3
    assert [row["values"][0]["amounts"] for row in found["rows"]] == [[{"currencyCode": "CNY", "amount": "900.00"}]] * 3
    assert all(len(row["records"]["nodes"]) == 5 and row["records"]["pageInfo"]["hasNextPage"] for row in found["rows"])
    assert (found["totals"]["count"], found["others"], found["path"]) == (27, None, "DIRECT")


async def test_the_largest_owners_are_told_by_name_in_one_call(crm: Installation, pipeline: str) -> None:
    before = Counter(crm.calls())
    found = (await crm.data(BY_OWNER, role="SALES_REP", pipeline=pipeline))["opportunityAggregate"]
    assert calls(before, crm) == {"AggregateOpportunities": 1, "BatchGetPeople": 1}
    (row,) = found["rows"]
    assert row["keys"] == [{"value": to_global("Person", crm.people["SALES_REP"]), "record": {"name": "人 SALES_REP"}}]
    assert (row["values"][0]["count"], row["values"][1]["amount"]["amount"]) == (27, "2700.00")


async def test_a_page_behind_a_group_goes_on_by_its_cursor(crm: Installation, pipeline: str) -> None:
    query = """query($pipeline: ID!, $after: String) { opportunityAggregate(filter: {pipelineId: {eq: $pipeline}}) {
        rows { records(first: 20, after: $after) { totalCount { count exact } nodes { id } pageInfo { hasNextPage endCursor } } } } }"""
    first = (await crm.data(query, pipeline=pipeline))["opportunityAggregate"]["rows"][0]["records"]
    after = first["pageInfo"]["endCursor"]
    rest = (await crm.data(query, pipeline=pipeline, after=after))["opportunityAggregate"]["rows"][0]["records"]
    assert (len(first["nodes"]), len(rest["nodes"]), rest["pageInfo"]["hasNextPage"]) == (20, 7, False)
    assert first["totalCount"] == rest["totalCount"] == {"count": 27, "exact": True}
    assert len({one["id"] for page in (first, rest) for one in page["nodes"]}) == 27


async def test_a_board_has_all_its_columns_by_one_call(crm: Installation, pipeline: str) -> None:
    before = Counter(crm.calls())
    board = (await crm.data(BOARD, role="SALES_REP", pipeline=pipeline))["opportunityBoard"]
    assert calls(before, crm) == {"BoardOpportunities": 1}
    told = [
        (
            one["stage"]["key"],
            one["count"],
            one["amount"]["amount"]["amount"],
            one["weighted"]["amount"]["amount"],
            len(one["opportunities"]["nodes"]),
        )
        for one in board["columns"]
    ]
    assert told == [("lead", 25, "2500.00", "250.00", 20), ("offer", 1, "100.00", "50.00", 1), ("last", 0, "0.00", "0.00", 0)]
    assert (board["count"], board["amount"]["amount"]["amount"], board["weighted"]["amount"]["amount"]) == (26, "2600.00", "300.00")
    assert board["pipeline"]["name"] == "看板"
    assert all(card["name"] and card["amount"] for one in board["columns"] for card in one["opportunities"]["nodes"])
    end = board["columns"][0]["opportunities"]["pageInfo"]["endCursor"]
    (column,) = (await crm.data(ON, role="SALES_REP", pipeline=pipeline, stage="lead", after=end))["opportunityBoard"]["columns"]
    assert (len(column["opportunities"]["nodes"]), column["opportunities"]["pageInfo"]["hasNextPage"]) == (5, False)


async def test_a_board_takes_a_filter_and_a_state(crm: Installation, pipeline: str) -> None:
    query = """query($pipeline: ID!) { opportunityBoard(pipelineId: $pipeline, filter: {state: {in: [LOST]}}) {
        count columns { count opportunities { totalCount { count exact } } } } }"""
    board = (await crm.data(query, pipeline=pipeline))["opportunityBoard"]
    assert (board["count"], [one["count"] for one in board["columns"]]) == (1, [0, 1, 0])
    assert [one["opportunities"]["totalCount"]["count"] for one in board["columns"]] == [0, 1, 0]
    wrong = await crm.graph(query.replace("filter: {state: {in: [LOST]}}", 'stageKey: "nowhere"'), pipeline=pipeline)
    assert wrong["errors"][0]["extensions"]["code"] == "STAGE_UNKNOWN"
    nobody = await crm.graph(query, pipeline=to_global("Pipeline", "nobody"))
    assert nobody["errors"][0]["extensions"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("arguments", "code", "field"),
    [
        ("groupBy: [{field: CREATE_TIME}]", "INVALID_ARGUMENT", "groupings[0].granularity"),
        ("measures: [{field: STAGE_KEY, function: SUM}]", "INVALID_ARGUMENT", "measures[0].field"),
        ("first: 1001", "INVALID_ARGUMENT", "first"),
        ("filter: {}", "CRITERIA_INVALID", "filter"),
    ],
)
async def test_what_makes_no_sense_is_refused(crm: Installation, arguments: str, code: str, field: str) -> None:
    told = (await crm.graph(f"{{ opportunityAggregate({arguments}) {{ totals {{ count }} }} }}"))["errors"][0]["extensions"]
    assert (told["code"], told["field"]) == (code, field)


async def test_who_does_not_read_amounts_gets_no_sums_of_them_and_a_board_without(crm: Installation, pipeline: str) -> None:
    acts = [("opportunities", "read", "ALL"), ("pipelines", "read", "ALL"), ("people", "read", "ALL")]
    found = await roles.role(crm, "不看金额", acts, [("opportunities", "amount", "HIDDEN"), ("opportunities", "name", "MASKED")])
    await roles.holder(crm, "NO_AMOUNTS", found["id"])
    asked = {
        "measures: [{field: AMOUNT, function: SUM}]": "amount", "measures: [{field: AMOUNT, function: COUNT}]": "amount",
        "groupBy: [{field: NAME}]": "name", 'filter: {amount: {gt: "1"}}': "amount",
    }  # fmt: skip
    for arguments, field in asked.items():
        body = await crm.graph(f"{{ opportunityAggregate({arguments}) {{ totals {{ count }} }} }}", "NO_AMOUNTS")
        assert body["errors"][0]["extensions"]["code"] == "FIELD_NOT_READABLE", arguments
        assert field in body["errors"][0]["message"]
    board = (await crm.data(BOARD.replace(", orderBy: AMOUNT_DESC", ""), role="NO_AMOUNTS", pipeline=pipeline))["opportunityBoard"]
    assert (board["count"], board["amount"], board["weighted"]) == (26, None, None)
    assert board["columns"][0]["opportunities"]["nodes"][0]["amount"] is None


async def test_an_amount_that_somebody_does_not_read_changes_no_answer_that_they_get(crm: Installation) -> None:
    acts = [("opportunities", "read", "ALL"), ("pipelines", "read", "ALL")]
    found = await roles.role(crm, "不看金额的人", acts, [("opportunities", "amount", "HIDDEN")])
    await roles.holder(crm, "SEES_NO_AMOUNTS", found["id"])
    (made,) = await upsert(crm, "BatchUpsertPipelines", "pipelines", [{"name": "不看", "stages": STAGES}], key="unseen")
    query = """query($in: ID!) { opportunityAggregate(filter: {pipelineId: {eq: $in}}, groupBy: [{field: STAGE_KEY, top: 1}], %s) {
        rows { keys { value } count values { number } records { nodes { id amount { amount } } } }
        others { count } totals { count values { number amount { amount } } } } }"""

    async def told(role: str, measure: str) -> Any:
        return (await crm.data(query % f"measures: [{{field: {measure}, function: SUM}}]", role, **{"in": to_global("Pipeline", made)}))[
            "opportunityAggregate"
        ]

    seen = []
    for low, high in ((1, 900), (900, 1)):
        rows = [
            {"name": f"不看 {stage}", "pipeline_id": made, "stage_key": stage, "probability": probability, "amount": cny(units)}
            | {"owner_id": crm.people["SALES_REP"], "start_date": "2026-01-01", "expected_close_date": "2026-03-01"}
            for stage, probability, units in (("lead", 10, low), ("offer", 50, high))
        ]
        await upsert(crm, "BatchUpsertOpportunities", "opportunities", rows, key="unseen")
        seen.append((await told("SEES_NO_AMOUNTS", "PROBABILITY"), await told("COORDINATOR", "AMOUNT")))
    (unseen, all_of_it), (unseen_after, all_after) = seen
    assert unseen == unseen_after
    assert (unseen["rows"][0]["keys"], unseen["others"]) == ([{"value": "offer"}], {"count": 1})
    assert [one["rows"][0]["keys"][0]["value"] for one in (all_of_it, all_after)] == ["offer", "lead"]


async def test_numbers_that_count_other_records_are_summed_for_who_reads_all_of_those(crm: Installation) -> None:
    query = "{ ticketAggregate(measures: [{field: REPLY_COUNT, function: SUM}]) { totals { values { number } } } }"
    assert "errors" not in await crm.graph(query, "COORDINATOR")
    assert (await crm.graph(query, "SALES_REP"))["errors"][0]["extensions"]["code"] in ("FIELD_NOT_READABLE", "NOT_ALLOWED")


async def test_what_a_sharing_contract_shows_is_in_no_sum(crm: Installation) -> None:
    terms = {
        "display_name": "统计", "purpose": "统计", "resource": "orders", "fields": ["number", "total"], "provider_department_id": crm.units["sales"],
        "consumer_department_id": crm.units["other"], "start_time": {"seconds": int(time.time()) - 60}, "end_time": {"seconds": int(time.time()) + 86_400},
    }  # fmt: skip
    line = {"quantity": 1, "unit_price": cny(7), "description": "P"}
    await upsert(crm, "BatchUpsertOrders", "orders", [
        {"number": "共享-1", "kind": 1, "state": 3, "lines": [line], "order_time": {"seconds": 1_790_000_000}, "owner_id": crm.people["SALES_LEAD"]}
    ], key="shared")  # fmt: skip
    person = await crm.person("ELSEWHERE", "SALES_REP", unit="other")
    await crm.until(lambda: person in crm.suite["sales"].authority.directory.members)
    number = '{ orders(filter: {number: {eq: "共享-1"}}) { nodes { number } } }'
    made = (await crm.ask("CreateSharingContract", **terms)).sharing_contract

    async def shown() -> bool:
        return bool((await crm.data(number, "ELSEWHERE"))["orders"]["nodes"])

    try:
        await crm.until(shown)
        query = '{ orderAggregate(filter: {number: {eq: "共享-1"}}, measures: [{field: TOTAL, function: SUM}]) { totals { count } rows { records { nodes { number } } } } }'
        assert (await crm.data(query, "ELSEWHERE"))["orderAggregate"] == {"totals": {"count": 0}, "rows": []}
        mine: Any = (await crm.data(query, "SALES_LEAD"))["orderAggregate"]
        assert (mine["totals"]["count"], len(mine["rows"][0]["records"]["nodes"])) == (1, 1)
    finally:
        await ended(crm, made)  # what others may see of orders is for other tests to say
