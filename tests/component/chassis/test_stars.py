"""Stars (K15): what somebody wants to find again, in lists and on records, for nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from crm.common.v1 import star_service_pb2 as contract

from chassis.kernel.ids import new_id
from chassis.rpc.contract import nouns
from chassis.storage import stars
from chassis.storage.changes import AUDIT, OUTBOX
from gateway.graph.contract import from_global, to_global
from gateway.graph.noun import NOUNS
from tests.support.installation import Installation
from tests.support.specimens import Specimens

_COMMAND = "mutation($i: %sInput!) { %s(input: $i) { starred errors { code path } } }"


async def star(crm: Installation, role: str, identity: str, *, on: bool = True) -> dict[str, Any]:
    name = "recordStar" if on else "recordUnstar"
    query = _COMMAND % (f"{name[0].upper()}{name[1:]}", name)
    found: dict[str, Any] = (await crm.data(query, role, i={"id": identity}))[name]
    return found


async def starred(crm: Installation, role: str, more: str = "starred: true") -> dict[str, bool]:
    """Name → whether it is starred, of the customers that a list gives."""
    rows = (await crm.data(f"{{ customers(first: 50, {more}) {{ nodes {{ name isStarred }} }} }}", role))["customers"]["nodes"]
    return {row["name"]: row["isStarred"] for row in rows}


async def customer(crm: Installation, name: str, **more: Any) -> str:
    made = await crm.ask("CreateCustomer", role="COORDINATOR", name=name, kind=1, **more)
    return to_global("Customer", made.customer.id)


async def test_a_star_is_set_found_and_taken_away_for_its_owner_alone(crm: Installation) -> None:
    await crm.person(mine := f"p{new_id()}", "COORDINATOR")
    await crm.person(other := f"p{new_id()}", "COORDINATOR")
    await crm.settled()
    mark = new_id()
    one, two = [await customer(crm, f"{mark} {number}") for number in (1, 2)]
    assert await starred(crm, mine) == {}
    assert await star(crm, mine, one) == {"starred": True, "errors": []} == await star(crm, mine, one)
    assert await starred(crm, mine) == {f"{mark} 1": True}
    assert await starred(crm, other) == {}
    both = f'filter: {{name: {{startsWith: "{mark}"}}}}'
    assert await starred(crm, mine, both) == {f"{mark} 1": True, f"{mark} 2": False}
    assert await starred(crm, mine, f"{both}, starred: false") == {f"{mark} 2": False}
    assert await starred(crm, mine, f'starred: true, filter: {{name: {{eq: "{mark} 2"}}}}') == {}
    assert await star(crm, mine, one, on=False) == {"starred": False, "errors": []} == await star(crm, mine, two, on=False)
    assert await starred(crm, mine) == {}


async def test_a_deputy_does_not_get_them(crm: Installation) -> None:
    await crm.person(absent := f"p{new_id()}", "COORDINATOR")
    await crm.person(deputy := f"p{new_id()}", "COORDINATOR")
    await star(crm, absent, await customer(crm, new_id()))
    await crm.ask("SetAbsence", person_id=crm.people[absent], deputy_id=crm.people[deputy])
    await crm.settled()
    assert await starred(crm, deputy) == {}


async def test_what_cannot_be_read_is_neither_starred_nor_listed(crm: Installation) -> None:
    await crm.person(rep := f"p{new_id()}", "SALES_REP")
    await crm.settled()
    name = new_id()
    identity = await customer(crm, name, owner_id=crm.people[rep])
    refused = await star(crm, rep, foreign := await customer(crm, new_id()))
    assert [one["code"] for one in refused["errors"]] == ["NOT_FOUND"]
    assert (await star(crm, rep, foreign, on=False))["errors"] == []
    await star(crm, rep, identity)
    assert list(await starred(crm, rep)) == [name]
    raw = identity_of(identity)
    await crm.ask("AssignCustomer", role="COORDINATOR", customer_id=raw, owner_id=crm.people["COORDINATOR"])

    async def gone() -> bool:
        return await starred(crm, rep) == {}

    await crm.until(gone)


def identity_of(identity: str) -> str:
    return from_global(identity)[1]


async def test_the_star_of_a_customer_that_was_merged_is_its_survivors(crm: Installation) -> None:
    await crm.person(mine := f"p{new_id()}", "COORDINATOR")
    await crm.settled()
    kept, lost = new_id(), new_id()
    survivor, loser = await customer(crm, kept), await customer(crm, lost)
    await star(crm, mine, loser)
    both = {"survivor_id": identity_of(survivor), "loser_id": identity_of(loser)}
    merge = (await crm.ask("MergeCustomers", role="COORDINATOR", **both, reason="同一家")).customer_merge
    await crm.settled()
    await crm.until(lambda: _stars(crm, mine, kept))  # within the second in which every replica looks for merges
    await crm.ask("UnmergeCustomer", role="COORDINATOR", customer_merge_id=merge.id, reason="弄错了")
    await crm.until(lambda: _stars(crm, mine, lost))


async def _stars(crm: Installation, role: str, name: str) -> bool:
    return await starred(crm, role) == {name: True}


async def test_every_noun_with_the_option_has_stars_and_one_call_tells_of_a_level(crm: Installation) -> None:
    specimens, found = Specimens(crm), [noun for noun in nouns() if noun.traits.starrable]
    assert len(found) >= 9
    for noun in found:
        record = to_global(noun.name, (await specimens.made(noun)).id)
        assert (await star(crm, "COORDINATOR", record))["errors"] == [], noun.name
        resource = "".join(part.capitalize() for part in noun.resource.split("_"))
        field = f"{resource[0].lower()}{resource[1:]}"
        before = crm.calls().get("BatchGetStars", 0)
        rows = (await crm.data(f"{{ {field}(first: 100, starred: true) {{ nodes {{ id isStarred }} }} }}"))[field]["nodes"]
        assert record in [row["id"] for row in rows] and all(row["isStarred"] for row in rows), noun.name
        assert crm.calls()["BatchGetStars"] == before + 1
        await star(crm, "COORDINATOR", record, on=False)


async def test_the_condition_stands_beside_others_and_never_inside(crm: Installation) -> None:
    wanted: dict[str, Any] = {"condition": {"field": "starred", "operator": "EQUALS", "values": [{"flag": True}]}}
    named: dict[str, Any] = {"condition": {"field": "name", "operator": "EQUALS", "values": [{"text": "x"}]}}
    assert stars.parted(wanted) == (None, [True])
    assert stars.parted({"all": {"items": [named, wanted]}}) == ({"all": {"items": [named]}}, [True])
    for inside in ({"any": {"items": [named, wanted]}}, {"negated": wanted}, named, None):
        assert stars.parted(inside) == (inside, [])


async def test_somebody_has_two_thousand_stars_in_a_department(crm: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stars, "MOST", 2)
    await crm.person(mine := f"p{new_id()}", "COORDINATOR")
    await crm.settled()
    first, *more = [await customer(crm, new_id()) for _ in range(3)]
    for one in (first, more[0]):
        assert (await star(crm, mine, one))["errors"] == []
    assert [one["code"] for one in (await star(crm, mine, more[1]))["errors"]] == ["STARS_FULL"]
    assert (await star(crm, mine, first))["errors"] == []


async def test_what_has_no_stars_says_so(crm: Installation) -> None:
    refused = await star(crm, "COORDINATOR", to_global("Person", crm.people["SALES_REP"]))
    assert refused["errors"] == [{"code": "INVALID_ARGUMENT", "path": ["input", "id"]}]
    assert not NOUNS["Person"].contract.traits.starrable


async def test_a_repeat_of_a_star_has_one_effect(crm: Installation) -> None:
    await crm.person(mine := f"p{new_id()}", "COORDINATOR")
    await crm.settled()
    one = await customer(crm, name := new_id())
    query = "mutation($i: RecordStarInput!) { recordStar(input: $i) { starred errors { code } } }"
    given = {"id": one, "requestId": f"star-{new_id()}"}
    first = await crm.data(query, mine, i=given)
    await star(crm, mine, one, on=False)
    assert await crm.data(query, mine, i=given) == first == {"recordStar": {"starred": True, "errors": []}}
    assert await starred(crm, mine) == {}
    await star(crm, mine, one)
    assert await starred(crm, mine) == {name: True}
    service = contract.DESCRIPTOR.services_by_name["StarService"]
    request = contract.UnstarRecordRequest(resource="customers", record_id=identity_of(one))  # as a gateway of an older build asks
    await crm.channels["customer"].call(service, "UnstarRecord", request, token=crm.tokens[mine])
    assert await starred(crm, mine) == {}
    database = crm.suite["customer"].database
    assert [await database[name].count_documents({"actor_id": crm.people[mine]}) for name in (AUDIT, OUTBOX)] == [0, 0]


async def test_who_leaves_and_who_is_erased_leaves_no_star_behind(crm: Installation) -> None:
    await crm.person(leaver := f"p{new_id()}", "COORDINATOR")
    await crm.person(stays := f"p{new_id()}", "COORDINATOR")
    await crm.settled()
    erased, other = await customer(crm, new_id()), await customer(crm, name := new_id())
    for who in (leaver, stays):
        for one in (erased, other):
            await star(crm, who, one)
    rows = crm.suite["customer"].database[stars.COLLECTION]
    await crm.ask("EraseCustomer", role="COORDINATOR", customer_id=identity_of(erased), reason="本人要求")
    assert await rows.count_documents({"record_id": identity_of(erased)}) == 0
    await crm.ask("DeactivatePerson", person_id=crm.people[leaver])

    async def gone() -> bool:
        return await rows.count_documents({"person_id": crm.people[leaver]}) == 0

    await crm.until(gone)
    assert await starred(crm, stays) == {name: True}
