"""What is counted and summed for somebody is what somebody else would reckon from the lists that they get; and what is behind each group is that.

Random questions of everybody in the matrix: people of every role, a deputy, people who answer for a customer or work with it.
"""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import isclose
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from crm.common.v1 import aggregate_pb2, criteria_pb2
from google.protobuf.field_mask_pb2 import FieldMask

from chassis.kernel.errors import CrmError
from chassis.rpc.contract import Contract, nouns
from chassis.rpc.documents import enum_names, to_document, traits
from chassis.rpc.measures import groupable, measurable
from chassis.rpc.service import request_class
from tests.e2e.world import upsert
from tests.support.installation import PATIENCE, Installation
from tests.support.matrix import READERS, Matrix
from tests.support.samples import rounds

ZONE = ZoneInfo("Asia/Shanghai")
COUNT, SUM, AVG, MIN, MAX, WEIGHTED = range(1, 7)
NOUNS = [noun for noun in nouns() if noun.traits.aggregated]
MORE = 60  # records of each of the three nouns that have amounts, days and states


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def matrix(file_crm: Installation) -> Matrix:
    """The matrix, with deals, orders and tickets by chance at its customers."""
    made, chance = await Matrix(file_crm).build(), random.Random(7)
    owners = [record.get("owner_id", "") for record in made.records["customers"].values()]
    customers = [record["id"] for record in made.records["customers"].values()]

    def whose() -> dict[str, Any]:
        owner = chance.choice(owners)
        return {"customer_id": chance.choice(customers)} | ({"owner_id": owner} if owner else {})

    def amount() -> dict[str, Any]:
        return {"currency_code": chance.choice(["CNY", "USD", "JPY"]), "amount_micros": chance.randrange(10**6) * 1_000_000}

    def stamp() -> dict[str, int]:
        return {"seconds": 1_770_000_000 + chance.randrange(20_000_000)}

    pipeline = made.records["pipelines"]["NONE"]["id"]
    await upsert(file_crm, "BatchUpsertOpportunities", "opportunities", [
        {
            **whose(), "name": f"随机 {place}", "pipeline_id": pipeline, "stage_key": "first", "create_time": stamp(), "start_date": "2026-01-01",
            "expected_close_date": f"2026-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}", "probability": chance.choice([0, 12.5, 33.33]),
        } | ({"amount": amount()} if chance.random() < 0.8 else {}) | chance.choice([{}, {"state": 2, "close_date": "2026-02-01"}])
        for place in range(MORE)
    ], key="random")  # fmt: skip
    await upsert(file_crm, "BatchUpsertOrders", "orders", [
        {
            **whose(), "number": f"随机-{place}", "kind": 1, "state": 3, "order_time": stamp(),
            "lines": [{"quantity": chance.randint(1, 9), "unit_price": amount(), "description": "P"}],
        }
        for place in range(MORE)
    ], key="random")  # fmt: skip
    await upsert(file_crm, "BatchUpsertTickets", "tickets", [
        {
            **whose(), "number": f"随机-{place}", "subject": "随机", "channel": chance.randint(1, 2), "kind": 1, "priority": chance.randint(1, 3),
            "state": 4, "resolution": "x", "create_time": stamp(),
        }
        for place in range(MORE)
    ], key="random")  # fmt: skip
    await file_crm.settled()
    return made


# ---- asking


async def call(crm: Installation, noun: Contract, verb: str, reader: str, **fields: Any) -> Any:
    """An answer by roles and collaboration alone, as sums are reckoned."""
    assert noun.service is not None
    name = next(one.name for one in noun.service.methods if one.name.startswith(verb))
    request = request_class(noun.method(name))(**fields)
    channel = crm.channels[noun.department]
    return await channel.call(noun.service, name, request, token=crm.tokens[reader], seconds=PATIENCE, by_roles=True)


async def everything(crm: Installation, noun: Contract, reader: str, criteria: Any) -> list[dict[str, Any]]:
    """All that lists give a reader."""
    found: list[dict[str, Any]] = []
    token = ""
    while True:
        more = {"filter": criteria} if criteria else {}
        answer = await call(crm, noun, "List", reader, page_size=100, page_token=token, read_mask=FieldMask(), **more)
        found += [to_document(row) for row in getattr(answer, noun.resource)]
        token = answer.next_page_token
        if not token:
            return found


def question(noun: Contract, chance: random.Random) -> tuple[Any, list[Any], list[Any]]:
    """(criteria, groupings, measures) by chance."""
    fields = groupable(noun.record)
    groupings = []
    for name in chance.sample(sorted(fields), chance.randint(0, 2)):
        length = chance.randint(1, 5) if fields[name] in ("day", "time") else 0
        top = chance.choice([0, 0, 0, 2])
        groupings.append(aggregate_pb2.Grouping(field=name, granularity=length, top=top))  # type: ignore[arg-type]
    measures = []
    for name in chance.sample(sorted(measurable(noun.record)), chance.randint(0, 2)):
        kind, weighed = measurable(noun.record)[name], traits(noun.field(name)).weighed_by
        functions = [COUNT, MIN, MAX] + ([SUM, AVG] if kind in ("number", "money") else []) + ([WEIGHTED] if weighed else [])
        measures.append(aggregate_pb2.Measure(field=name, function=chance.choice(functions)))  # type: ignore[arg-type]
    criteria = None
    if chance.random() < 0.5:
        condition = criteria_pb2.Condition(field="create_time", operator=chance.choice([3, 6]))  # type: ignore[arg-type]
        condition.values.add().time.seconds = 1_770_000_000 + chance.randrange(20_000_000)
        criteria = criteria_pb2.Criteria(condition=condition)
    return criteria, groupings, measures


# ---- reckoned anew, in the plainest way


def key_of(noun: Contract, row: dict[str, Any], one: Any) -> str | None:
    kind, value = groupable(noun.record)[one.field], row.get(one.field)
    if kind == "flag":
        return "true" if value else "false"
    if value is None:
        return None
    if kind not in ("day", "time"):
        return str(value)
    on = value.astimezone(ZONE).date() if isinstance(value, datetime) else datetime.fromisoformat(value).date()
    firsts = {
        1: on, 2: on - timedelta(days=on.weekday()), 3: on.replace(day=1), 4: on.replace(month=(on.month - 1) // 3 * 3 + 1, day=1),
        5: on.replace(month=1, day=1),
    }  # fmt: skip
    return firsts[one.granularity].isoformat()


def wrong(noun: Contract, rows: list[dict[str, Any]], measure: Any, told: Any) -> str:
    """How what was told differs from what the rows give; "" where it does not."""
    kind, held = measurable(noun.record).get(measure.field, ""), [row for row in rows if row.get(measure.field) is not None]
    if measure.function == COUNT:
        return "" if told.count == len(held) else f"{told.count} of {len(held)}"
    if kind == "money":
        by_code: dict[str, list[tuple[int, Decimal]]] = {}
        for row in held:
            weight = (
                Decimal(str(row.get(traits(noun.field(measure.field)).weighed_by) or 0)) if measure.function == WEIGHTED else Decimal(100)
            )
            by_code.setdefault(row[measure.field]["currency_code"], []).append((row[measure.field]["amount_micros"], weight))
        found = {one.currency_code: one.amount_micros for one in told.amounts}
        wanted = {code: _amount(measure.function, values) for code, values in by_code.items()}
        near = found.keys() == wanted.keys() and all(
            abs(found[code] - wanted[code]) <= 500_000 * (measure.function == AVG) + 1 for code in found
        )
        return "" if near else f"{found} of {wanted}"
    values = [row[measure.field] for row in held]
    if kind in ("time", "day"):
        ends = (min if measure.function == MIN else max)(values, default=None)
        shown = told.time.ToDatetime(UTC) if told.HasField("time") else told.day if told.HasField("day") else None
        return "" if shown == ends else f"{shown} of {ends}"
    wanted_number = {
        SUM: sum(values), AVG: sum(values) / len(values) if values else None, MIN: min(values, default=None), MAX: max(values, default=None),
    }[measure.function]  # fmt: skip
    shown_number = told.number if told.HasField("number") else None
    near = shown_number == wanted_number or (None not in (shown_number, wanted_number) and isclose(shown_number, wanted_number))  # type: ignore[arg-type]
    return "" if near else f"{shown_number} of {wanted_number}"


def _amount(function: int, values: list[tuple[int, Decimal]]) -> int:
    amounts = [amount for amount, _ in values]
    if function in (MIN, MAX):
        return (min if function == MIN else max)(amounts)
    total = sum((amount * weight / 100 for amount, weight in values), Decimal(0))
    return round(total / len(amounts) if function == AVG else total)


@pytest.mark.parametrize("seed", rounds(2, 60, "aggregates"))
async def test_what_is_reckoned_for_somebody_is_what_their_lists_give(matrix: Matrix, seed: int) -> None:
    chance, crm, answered = random.Random(seed), matrix.crm, 0
    for reader in READERS:
        for noun in chance.sample(NOUNS, 3):
            criteria, groupings, measures = question(noun, chance)
            where = (reader, noun.name, str(criteria), [str(one) for one in groupings], [str(one) for one in measures])
            more, limit = {"filter": criteria} if criteria else {}, chance.choice([1000, 1000, 3])
            try:
                answer = await call(crm, noun, "Aggregate", reader, groupings=groupings, measures=measures, limit=limit, **more)
            except CrmError as refusal:
                assert refusal.code in ("NOT_ALLOWED", "FIELD_NOT_READABLE"), (where, refusal.message)
                continue
            rows, found = await everything(crm, noun, reader, criteria), answer.aggregate
            by_key: dict[Any, list[dict[str, Any]]] = {}
            for row in rows:
                by_key.setdefault(tuple(key_of(noun, row, one) for one in groupings), []).append(row)
            told = {tuple(key.value if key.HasField("value") else None for key in row.keys): row for row in found.rows}
            assert len(told) == len(found.rows) <= limit and told.keys() <= by_key.keys(), where
            if not any(one.top for one in groupings):
                assert len(told) == min(limit, len(by_key)), where
            rest = [row for key, group in by_key.items() if key not in told for row in group]
            assert found.HasField("others") == bool(rest), where
            parts = [(key, row, by_key[key]) for key, row in told.items()] + ([("others", found.others, rest)] if rest else [])
            for key, row, inside in (*parts, ("totals", found.totals, rows)):
                assert row.count == len(inside), (where, key)
                for measure, value in zip(measures, row.values, strict=True):
                    assert not (fault := wrong(noun, inside, measure, value)), (where, key, fault)
            await behind(crm, noun, reader, found, chance)
            answered += bool(rows)
    assert answered > len(READERS) // 2


async def behind(crm: Installation, noun: Contract, reader: str, found: Any, chance: random.Random) -> None:
    """The records behind some of the groups are as many as were counted, to the last page."""
    rows = chance.sample(list(found.rows), min(len(found.rows), 4))
    if not rows:
        return
    answer = await call(crm, noun, "Drill", reader, filters=[row.drill for row in rows], page_size=100)
    for row, drill in zip(rows, answer.drills, strict=True):
        count, token = len(getattr(drill, noun.resource)), drill.next_page_token
        while token:
            page = (await call(crm, noun, "Drill", reader, filters=[row.drill], page_size=100, page_token=token)).drills[0]
            count, token = count + len(getattr(page, noun.resource)), page.next_page_token
        assert count == row.count, (reader, noun.name, str(row))


async def test_what_everybody_asks_at_the_same_time_is_reckoned_for_each_alone(matrix: Matrix) -> None:
    noun = next(one for one in NOUNS if one.resource == "opportunities")
    groupings = [aggregate_pb2.Grouping(field="create_time", granularity=3)]  # type: ignore[arg-type]

    async def reckoned(reader: str) -> Any:
        try:
            found = (await call(matrix.crm, noun, "Aggregate", reader, groupings=groupings, limit=1000)).aggregate
        except CrmError as refusal:
            return refusal.code
        found.ClearField("as_of")
        return found

    together = await asyncio.gather(*map(reckoned, READERS))
    assert together == [await reckoned(reader) for reader in READERS]
    assert len({str(one) for one in together}) > 2


def test_enums_of_the_test_are_those_of_the_contract() -> None:
    assert enum_names(aggregate_pb2.AggregateFunction.DESCRIPTOR)[WEIGHTED] == "WEIGHTED"
    assert enum_names(aggregate_pb2.Granularity.DESCRIPTOR) == {1: "DAY", 2: "WEEK", 3: "MONTH", 4: "QUARTER", 5: "YEAR"}
