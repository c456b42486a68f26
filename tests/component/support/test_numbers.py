"""Numbers of tickets and orders by a rule: never two alike, whoever asks at once, dies in between or brings some; the rule can be changed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from chassis.kernel.ids import new_id
from chassis.kernel.numbering import check_letter
from chassis.storage import numbers
from tests.support.checks import cny
from tests.support.installation import Installation

LIST = "{ numberingRules { resource version pattern reset example } }"
UPDATE = """mutation($version: Long!, $pattern: String!, $reset: NumberReset!) { numberingRuleUpdate(input: {resource: "tickets",
    version: $version, pattern: $pattern, reset: $reset}) { numberingRule { version pattern example } errors { code message path } } }"""
LOOP = """
import asyncio, sys
from chassis.storage import client, numbers
async def main():
    database = client.connect(sys.argv[1], sys.argv[2])
    while True:
        print(await numbers._drawn(database, sys.argv[3], 1), flush=True)
asyncio.run(main())
"""


async def make(crm: Installation, **more: Any) -> Any:
    return (await crm.ask("CreateTicket", role="SUPPORT_AGENT", subject="坏了", channel=1, **more)).ticket


async def put(crm: Installation, rows: Sequence[dict[str, Any]]) -> list[Any]:
    """What becomes of imported tickets."""
    common = {"subject": "旧工单", "channel": 1, "kind": 1, "priority": 1, "state": 1}
    return list((await crm.ask("BatchUpsertTickets", tickets=[{"source_key": new_id(), **common, **row} for row in rows])).outcomes)


async def numbers_of(crm: Installation, ids: Sequence[str]) -> list[str]:
    found = {row.id: row.number for row in (await crm.ask("BatchGetTickets", ids=list(ids))).tickets}
    return [found[one] for one in ids]


async def rule(crm: Installation) -> dict[str, Any]:
    return next(one for one in (await crm.data(LIST))["numberingRules"] if one["resource"] == "tickets")


async def test_many_at_once_get_numbers_of_their_own(file_crm: Installation) -> None:
    line = {"quantity": 1, "unit_price": cny(5), "description": "x"}
    made = await asyncio.gather(*[file_crm.ask("CreateOrder", role="COORDINATOR", lines=[line]) for _ in range(60)])
    found = [one.order.number for one in made]
    assert len(set(found)) == 60
    year = f"SO-{made[0].order.create_time.ToDatetime():%Y}-"
    assert all(number.startswith(year) and number[-1] == check_letter(number[:-1]) for number in found), found[:3]


async def test_who_is_killed_leaves_gaps_and_never_a_double(file_crm: Installation) -> None:
    database = file_crm.suite["support"].database
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LOOP, file_crm.suite["support"].settings.mongo_uri, database.name, "kill:test", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    theirs = [int(await process.stdout.readline()) for _ in range(30)]
    process.kill()
    theirs += [int(line) for line in (await process.stdout.read()).splitlines() if line]
    await process.wait()
    ours = [await numbers._drawn(database, "kill:test", 1) for _ in range(30)]
    assert len({*theirs, *ours}) == len(theirs) + 30


async def test_imports_bring_numbers_and_new_ones_pass_them_over(file_crm: Installation) -> None:
    before, following = await make(file_crm), (await rule(file_crm))["example"]
    count = int(following[7:-1])
    ahead = [f"{following[:7]}{number:04d}" for number in range(count, count + 40)]
    brought = [f"{number}{check_letter(number)}" for number in ahead]
    outcomes = await put(file_crm, [{"number": number} for number in brought] + [{}, {}])
    assert not [one.error_message for one in outcomes if one.error_code]
    drawn = await numbers_of(file_crm, [one.id for one in outcomes[-2:]])
    new = (await make(file_crm)).number
    assert len({*brought, *drawn, new, before.number}) == 44
    (refused,) = await put(file_crm, [{"number": new}])
    assert (refused.error_code, refused.error_field) == ("NUMBER_TAKEN", "number")


async def test_an_old_number_stays_and_is_found(file_crm: Installation) -> None:
    old = f"T-{new_id().upper()}"
    await put(file_crm, [{"number": old}])
    query = "query($number: String!) { tickets(filter: {number: {eq: $number}}) { nodes { number } } }"
    assert (await file_crm.data(query, number=old))["tickets"]["nodes"] == [{"number": old}]


async def test_a_coordinator_changes_the_rule_and_counters_go_on(file_crm: Installation) -> None:
    stands = await rule(file_crm)
    last = int((await make(file_crm)).number[7:-1])
    given = {"version": stands["version"], "pattern": "GD{YY}{MM}-{SEQ:5}", "reset": "YEAR"}
    changed = (await file_crm.data(UPDATE, **given))["numberingRuleUpdate"]
    assert changed["errors"] == [] and changed["numberingRule"]["version"] == stands["version"] + 1
    number = (await make(file_crm)).number
    assert number.startswith("GD") and int(number[-5:]) == last + 1
    assert changed["numberingRule"]["example"] == number
    again = (await file_crm.data(UPDATE, **given))["numberingRuleUpdate"]
    assert again["errors"][0]["code"] == "VERSION_CONFLICT"
    back = {"version": stands["version"] + 1, "pattern": stands["pattern"], "reset": stands["reset"]}
    assert (await file_crm.data(UPDATE, **back))["numberingRuleUpdate"]["errors"] == []
    assert int((await make(file_crm)).number[7:-1]) == last + 2


async def test_what_is_wrong_with_a_rule_is_said_and_who_may_not_is_refused(file_crm: Installation) -> None:
    version = (await rule(file_crm))["version"]
    wrong = (await file_crm.data(UPDATE, version=version, pattern="T-{SEQ:4}", reset="YEAR"))["numberingRuleUpdate"]
    assert (wrong["errors"][0]["code"], wrong["errors"][0]["path"]) == ("INVALID_ARGUMENT", ["input", "pattern"])
    body = await file_crm.graph(UPDATE, "SUPPORT_AGENT", version=version, pattern="T-{SEQ:4}", reset="NEVER")
    assert body["data"]["numberingRuleUpdate"]["errors"][0]["code"] == "NOT_ALLOWED"


async def test_the_day_of_the_record_decides_and_not_the_clock(file_crm: Installation) -> None:
    outcomes = await put(file_crm, [{"create_time": {"seconds": 1_735_661_000}}, {"create_time": {"seconds": 1_735_659_000}}])
    first, second = await numbers_of(file_crm, [one.id for one in outcomes])
    assert (first[:7], second[:7]) == ("T-2025-", "T-2024-")  # New Year in Shanghai, and the evening before
