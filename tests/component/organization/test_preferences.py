"""What clients remember for people: everybody's own, and nobody else's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chassis.kernel.ids import new_id
from tests.support.installation import Installation

_SET = "mutation($i: PreferenceSetInput!) { preferenceSet(input: $i) { preference { key value version updateTime } errors { code message path } } }"
_GET = "query($keys: [String!]) { viewerPreferences(keys: $keys) { key value version } }"


async def put(crm: Installation, role: str, key: str, value: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await crm.data(_SET, role, i={"key": key, "value": value}))["preferenceSet"]
    return found


async def told(crm: Installation, role: str, *keys: str) -> dict[str, Any]:
    rows = (await crm.data(_GET, role, keys=list(keys) or None))["viewerPreferences"]
    return {row["key"]: row["value"] for row in rows}


async def somebody(crm: Installation, role: str = "SALES_REP") -> str:
    await crm.person(key := f"p{new_id()}", role)
    await crm.until(lambda: crm.people[key] in crm.suite["organization"].authority.directory.members)
    return key


async def test_a_preference_is_set_read_and_taken_away(crm: Installation) -> None:
    one = await somebody(crm)
    value = {"columns": ["name", "级别"], "width": 1.5, "dark": True, "none": None}
    made = await put(crm, one, "list.customers", value)
    assert made["errors"] == [] and (made["preference"]["version"], made["preference"]["value"]) == (1, value)
    assert (await put(crm, one, "list.customers", [1]))["preference"]["version"] == 2
    await put(crm, one, "theme", "深色")
    assert await told(crm, one) == {"list.customers": [1], "theme": "深色"}
    assert await told(crm, one, "theme", "other") == {"theme": "深色"}
    assert (await put(crm, one, "theme", None)) == {"preference": None, "errors": []}
    assert (await put(crm, one, "theme", None)) == {"preference": None, "errors": []}
    assert await told(crm, one) == {"list.customers": [1]}
    rows = await crm.suite["organization"].database["preferences"].find({"person_id": crm.people[one]}).to_list()
    assert all(isinstance(row["value"], bytes) for row in rows)


async def test_nobody_gets_another_ones_not_even_a_deputy(crm: Installation) -> None:
    absent, deputy = await somebody(crm), await somebody(crm)
    await put(crm, absent, "theme", "x")
    await crm.ask("SetAbsence", person_id=crm.people[absent], deputy_id=crm.people[deputy])
    assert await told(crm, deputy) == {} == await told(crm, "ADMINISTRATOR", "theme")
    body = await crm.graph(_GET, "")
    assert body["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    ("key", "value", "path"),
    [("", 1, "key"), ("x" * 65, 1, "key"), ("a b", 1, "key"), ("键", 1, "key"), ("a", "x" * 8_191, "value"), ("a", ["级"] * 1_400, "value")],
)  # fmt: skip
async def test_what_does_not_fit_is_refused(crm: Installation, key: str, value: Any, path: str) -> None:
    refused = await put(crm, "SALES_REP", key, value)
    assert [(one["code"], one["path"]) for one in refused["errors"]] == [("INVALID_ARGUMENT", ["input", path])]


async def test_of_two_devices_the_later_one_stays_and_a_hundred_keys_fit(crm: Installation) -> None:
    one = await somebody(crm)
    both = await asyncio.gather(*[put(crm, one, "theme", number) for number in range(8)])
    assert sorted(answer["preference"]["version"] for answer in both) == list(range(1, 9))
    last = next(answer["preference"]["value"] for answer in both if answer["preference"]["version"] == 8)
    assert await told(crm, one) == {"theme": last}
    for start in range(0, 98, 2):
        pair = await asyncio.gather(*[put(crm, one, f"k{start + number}", 1) for number in range(2)])
        assert [answer["errors"] for answer in pair] == [[], []]
    more = await asyncio.gather(*[put(crm, one, f"last{number}", 1) for number in range(4)])
    assert sorted(error["code"] for answer in more for error in answer["errors"]) == ["PREFERENCES_FULL"] * 3
    assert len(await told(crm, one)) == 100
    assert (await put(crm, one, "theme", "still"))["errors"] == []


async def test_who_leaves_takes_them_along(crm: Installation) -> None:
    one = await somebody(crm)
    await put(crm, one, "theme", "x")
    await crm.ask("DeactivatePerson", person_id=crm.people[one])
    rows = crm.suite["organization"].database["preferences"]
    assert await rows.count_documents({"person_id": crm.people[one]}) == 0
