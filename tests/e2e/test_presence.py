"""Who is at a record: told at once to those who may read it, by those who may read it, from any gateway, and forgotten without a beat."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.departments import presence
from gateway.departments.presence import Presences
from gateway.graph.contract import from_global, to_global
from tests.e2e.test_access_roles import holder, role
from tests.e2e.test_graph_websocket import ask, heard, new_customer, socket
from tests.support.installation import Installation

PRESENCE = "subscription($id: ID!) { presence(id: $id) { person { name } activity field since } }"
BEAT = """mutation($id: ID!, $a: PresenceActivity!, $f: String) { presenceBeat(input: {id: $id, activity: $a, field: $f}) {
    nextSeconds errors { code path } } }"""


async def beat(crm: Installation, role: str, record: str, activity: str = "VIEWING", field: str | None = None) -> list[Any]:
    """The refusals of a beat."""
    done = await crm.data(BEAT, role, id=record, a=activity, f=field)
    refusals: list[Any] = done["presenceBeat"]["errors"]
    assert done["presenceBeat"]["nextSeconds"] == (None if refusals else 10)
    return refusals


async def told(connection: Any) -> list[tuple[str, str, str | None]]:
    """Who is there, as the subscription tells next."""
    message = await heard(connection, 8)
    assert message["type"] == "next", message
    assert "errors" not in message["payload"], message
    return [(one["person"]["name"], one["activity"], one["field"]) for one in message["payload"]["data"]["presence"]]


async def test_people_at_a_record_see_each_other_come_act_and_go(crm: Installation) -> None:
    await crm.person("present one", "COORDINATOR")
    record = await new_customer(crm)
    async with socket(crm) as connection:
        await ask(connection, "1", PRESENCE, id=record)
        assert await told(connection) == []
        assert await beat(crm, "COORDINATOR", record) == []
        assert await told(connection) == [("人 COORDINATOR", "VIEWING", None)]
        assert await beat(crm, "COORDINATOR", record) == []  # no news
        assert await beat(crm, "present one", record, "EDITING", "industry") == []
        both = [("人 COORDINATOR", "VIEWING", None), ("人 present one", "EDITING", "industry")]
        assert await told(connection) == both
        assert await beat(crm, "COORDINATOR", record, "LEFT") == []
        assert await told(connection) == both[1:]
    async with socket(crm, "present one") as connection:  # who comes later sees who is there already
        await ask(connection, "1", PRESENCE, id=record)
        assert await told(connection) == both[1:]


async def test_the_name_of_a_field_is_told_only_to_who_gets_something_of_it(crm: Installation) -> None:
    limits = [("customers", "industry", "HIDDEN"), ("customers", "phone", "MASKED")]
    acts = [("customers", "read", "ALL"), ("people", "read", "ALL"), ("explanations", "read", "OWN")]
    found = await role(crm, "不见行业", acts, limits)
    await holder(crm, "no industry", found["id"])
    record = await new_customer(crm)
    async with socket(crm, "no industry") as connection:
        await ask(connection, "1", PRESENCE, id=record)
        assert await told(connection) == []
        for field, shown in (("industry", None), ("phone", "phone"), ("noSuchField", None), ("website", "website")):
            assert await beat(crm, "COORDINATOR", record, "EDITING", field) == []
            assert await told(connection) == [("人 COORDINATOR", "EDITING", shown)]


async def test_who_beats_no_more_has_gone(crm: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (presence.BEAT_SECONDS, presence.TTL_SECONDS) == (10, 25)
    monkeypatch.setattr(presence, "TTL_SECONDS", 0.5)
    record = await new_customer(crm)
    async with socket(crm) as connection:
        await ask(connection, "1", PRESENCE, id=record)
        assert await told(connection) == []
        await beat(crm, "COORDINATOR", record)
        assert len(await told(connection)) == 1
        assert await told(connection) == []


async def test_a_beat_at_another_gateway_is_heard_here_and_the_other_way_round(crm: Installation) -> None:
    record = await new_customer(crm)
    kind, identity = from_global(record)
    gateway = crm.suite["gateway"]
    other = Presences()
    assert gateway.nats
    await other.start(gateway.nats)
    async with socket(crm) as connection:
        await ask(connection, "1", PRESENCE, id=record)
        assert await told(connection) == []
        await other.beat((kind, identity), crm.people["SALES_REP"], "REPLYING", "")
        assert await told(connection) == [("人 SALES_REP", "REPLYING", None)]
    await beat(crm, "COORDINATOR", record)
    await crm.until(lambda: {one.person_id for one in other.at((kind, identity))} == {crm.people["SALES_REP"], crm.people["COORDINATOR"]})


async def test_who_watches_a_customer_that_is_merged_sees_who_is_at_the_one_that_stayed(crm: Installation) -> None:
    survivor, loser = await new_customer(crm), await new_customer(crm)
    async with socket(crm) as connection:
        await ask(connection, "1", PRESENCE, id=loser)
        assert await told(connection) == []
        names = {"survivor_id": from_global(survivor)[1], "loser_id": from_global(loser)[1]}
        await crm.ask("MergeCustomers", role="COORDINATOR", **names)
        assert await beat(crm, "COORDINATOR", survivor) == []
        assert await told(connection) == [("人 COORDINATOR", "VIEWING", None)]


async def test_a_record_out_of_reach_and_one_that_is_not_are_refused_alike(crm: Installation) -> None:
    await crm.person("present two", "SALES_REP")
    record = await new_customer(crm)
    await beat(crm, "COORDINATOR", record)
    for identity in (record, to_global("Customer", "none")):
        assert await beat(crm, "present two", identity) == [{"code": "NOT_FOUND", "path": ["input", "id"]}]
        async with socket(crm, "present two") as connection:
            await ask(connection, "1", PRESENCE, id=identity)
            message = await heard(connection)
            errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
            assert errors[0]["extensions"]["code"] == "NOT_FOUND"
    here = crm.suite["gateway"].live.presences.at(("Customer", from_global(record)[1]))
    assert [one.person_id for one in here] == [crm.people["COORDINATOR"]]


async def test_without_a_token_nobody_beats_and_nobody_hears(crm: Installation) -> None:
    record = await new_customer(crm)
    assert [refusal["code"] for refusal in await beat(crm, "", record)] == ["UNAUTHENTICATED"]
    async with socket(crm, "") as connection:
        await ask(connection, "1", PRESENCE, id=record)
        message = await heard(connection)
        errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
        assert errors[0]["extensions"]["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("field", ["a b", "1a", "名", "x" * 61, "a>b"])
async def test_what_is_no_name_of_a_field_is_refused(crm: Installation, field: str) -> None:
    record = await new_customer(crm)
    assert await beat(crm, "COORDINATOR", record, "EDITING", field) == [{"code": "INVALID_ARGUMENT", "path": ["input", "field"]}]
