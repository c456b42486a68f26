"""Tags (K15): set and taken away on records of every noun that has them, found, suggested within reach, united by merges, erased."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from chassis.rpc.contract import nouns
from gateway.graph.contract import from_global, to_global
from gateway.graph.noun import NOUNS
from tests.support.installation import Installation
from tests.support.specimens import Specimens

_TAG = "mutation($i: CustomerTagInput!) { customerTag(input: $i) { customer { version tags } errors { code path } } }"


async def customer(crm: Installation, **more: Any) -> str:
    made = await crm.ask("CreateCustomer", role="COORDINATOR", name=new_id(), kind=1, **more)
    return to_global("Customer", made.customer.id)


async def tag(crm: Installation, role: str, identity: str, *added: str, removed: tuple[str, ...] = ()) -> dict[str, Any]:
    values = {"customerId": identity, "addTags": list(added), "removeTags": list(removed)}
    found: dict[str, Any] = (await crm.data(_TAG, role, i=values))["customerTag"]
    return found


async def suggested(crm: Installation, role: str, contains: str, field: str = "customerTags") -> dict[str, int]:
    rows = (await crm.data(f"query($c: String!) {{ {field}(contains: $c, first: 100) {{ tag count }} }}", role, c=contains))[field]
    return {row["tag"]: row["count"] for row in rows}


def raw(identity: str) -> str:
    return from_global(identity)[1]


async def test_tags_are_added_and_taken_away_by_their_words_whatever_the_version(crm: Installation) -> None:
    identity = await customer(crm, tags=["VIP", " 老  客户 ", "vip"])
    found = await tag(crm, "COORDINATOR", identity, "重点", "Vip", removed=("老 客户",))
    assert found == {"customer": {"version": 2, "tags": ["VIP", "重点"]}, "errors": []}
    assert (await tag(crm, "COORDINATOR", identity, "vip", removed=("none",)))["customer"]["version"] == 2, (
        "nothing changed, nothing is told"
    )
    await asyncio.gather(*(tag(crm, "COORDINATOR", identity, f"t{number}") for number in range(4)))
    rest = (await tag(crm, "COORDINATOR", identity, removed=("VIP", "重点")))["customer"]
    assert sorted(rest["tags"]) == [f"t{number}" for number in range(4)], "those who tag at once all count"
    assert rest["version"] == 7
    assert (await tag(crm, "COORDINATOR", identity, removed=tuple(rest["tags"])))["customer"]["tags"] == []
    query = "query($i: ID!) { recordHistory(id: $i, first: 1) { nodes { action changes { field } } } }"
    history = await crm.data(query, "COORDINATOR", i=identity)
    assert history["recordHistory"]["nodes"] == [{"action": "CustomerUpdated", "changes": [{"field": "tags"}]}]


async def test_who_may_not_change_a_record_does_not_tag_it(crm: Installation) -> None:
    await crm.person(rep := f"p{new_id()}", "SALES_REP")
    await crm.settled()
    mine, other = await customer(crm, owner_id=crm.people[rep]), await customer(crm)
    assert (await tag(crm, rep, mine, "x"))["errors"] == []
    assert [one["code"] for one in (await tag(crm, rep, other, "x"))["errors"]] == ["NOT_FOUND"]


async def test_a_hundred_tags_are_the_most_and_marks_alone_are_none(crm: Installation) -> None:
    identity = await customer(crm, tags=[f"t{number}" for number in range(100)])
    assert (await tag(crm, "COORDINATOR", identity, "more"))["errors"] == [{"code": "TAGS_FULL", "path": ["input", "addTags"]}]
    assert (await tag(crm, "COORDINATOR", identity, "more", removed=("t0",)))["errors"] == []
    assert [one["code"] for one in (await tag(crm, "COORDINATOR", identity, "——"))["errors"]] == ["INVALID_ARGUMENT"]
    assert [one["code"] for one in (await tag(crm, "COORDINATOR", identity, "x" * 51))["errors"]] == ["INVALID_ARGUMENT"]


async def test_lists_are_filtered_by_tags(crm: Installation) -> None:
    mark = new_id()
    one, two, none = await customer(crm, tags=[f"{mark} a"]), await customer(crm, tags=[f"{mark} b", "x"]), await customer(crm)

    async def ids(filter: str) -> set[str]:
        rows = (await crm.data(f"{{ customers(first: 100, filter: {{{filter}}}) {{ nodes {{ id }} }} }}", "COORDINATOR"))["customers"][
            "nodes"
        ]
        return {row["id"] for row in rows}

    assert await ids(f'tags: {{in: ["{mark} a", "{mark} b"]}}') == {one, two}
    assert await ids(f'tags: {{eq: "{mark} b"}}') == {two}
    assert none in await ids("tags: {isSet: false}")


async def test_tags_are_suggested_with_counts_of_what_the_caller_may_read_alone(crm: Installation) -> None:
    await crm.person(rep := f"p{new_id()}", "SALES_REP")
    await crm.settled()
    mark = new_id()[-8:]
    await customer(crm, owner_id=crm.people[rep], tags=[f"大客户 {mark}", "z"])
    await customer(crm, tags=[f"大客户 {mark}", f"secret {mark}"])
    gone = await customer(crm, tags=[f"gone {mark}"])
    await crm.ask("ArchiveCustomer", role="COORDINATOR", customer_id=raw(gone))
    assert await suggested(crm, "COORDINATOR", mark.upper()) == {f"大客户 {mark}": 2, f"secret {mark}": 1}
    assert await suggested(crm, rep, mark) == {f"大客户 {mark}": 1}
    assert await suggested(crm, rep, "") == {f"大客户 {mark}": 1, "z": 1}
    assert await suggested(crm, rep, "(.*") == {}


async def test_many_are_tagged_with_an_outcome_each(crm: Installation) -> None:
    await crm.person(rep := f"p{new_id()}", "SALES_REP")
    await crm.settled()
    mine, other = await customer(crm, owner_id=crm.people[rep], tags=["a"]), await customer(crm)
    query = "mutation($i: CustomersBulkTagInput!) { customersBulkTag(input: $i) { outcomes { id ok version errors { code } } errors { code } } }"
    values = {"ids": [mine, other], "addTags": ["b"], "removeTags": ["A"], "requestId": new_id()}
    told = (await crm.data(query, rep, i=values))["customersBulkTag"]
    assert told == {
        "outcomes": [{"id": mine, "ok": True, "version": 2, "errors": []}, {"id": other, "ok": False, "version": None, "errors": [{"code": "NOT_FOUND"}]}],
        "errors": [],
    }  # fmt: skip
    assert (await crm.data(query, rep, i=values))["customersBulkTag"] == told
    assert (await crm.ask("GetCustomer", customer_id=raw(mine))).customer.tags == ["b"]


async def test_a_merge_unites_tags(crm: Installation) -> None:
    stays, goes = await customer(crm, tags=["a", "b"]), await customer(crm, tags=["B", "c"])
    both = {"survivor_id": raw(stays), "loser_id": raw(goes)}
    merge = (await crm.ask("MergeCustomers", role="COORDINATOR", **both, reason="同一家")).customer_merge
    assert (await crm.ask("GetCustomer", customer_id=raw(stays))).customer.tags == ["a", "b", "c"]
    await crm.settled()
    await crm.ask("UnmergeCustomer", role="COORDINATOR", customer_merge_id=merge.id, reason="弄错了")
    assert (await crm.ask("GetCustomer", customer_id=raw(stays))).customer.tags == ["a", "b", "c"]
    assert (await crm.ask("GetCustomer", customer_id=raw(goes))).customer.tags == ["B", "c"]


async def test_two_whose_tags_are_too_many_together_are_not_merged(crm: Installation) -> None:
    stays, goes = await customer(crm, tags=[f"t{number}" for number in range(100)]), await customer(crm, tags=["c"])
    with pytest.raises(CrmError) as refused:
        await crm.ask("MergeCustomers", role="COORDINATOR", survivor_id=raw(stays), loser_id=raw(goes), reason="x")
    assert (refused.value.code, refused.value.field) == ("TAGS_FULL", "loser_id")


async def test_tags_of_a_customer_who_is_erased_are_gone_everywhere(crm: Installation) -> None:
    identity = await customer(crm, tags=["王五的亲戚"])
    contact = (await crm.ask("CreateContact", role="COORDINATOR", customer_id=raw(identity), name="王五", tags=["王五"])).contact
    text = f'{{ recordHistory(id: "{identity}", first: 1) {{ nodes {{ changes {{ name after }} }} }} }}'
    (change,) = [one for one in (await crm.data(text))["recordHistory"]["nodes"][0]["changes"] if one["name"] == "tags"]
    assert "王五的亲戚" in change["after"]
    lines = crm.suite["customer"].database["audit_entries"]
    held = [line async for line in lines.find({"record_id": {"$in": [raw(identity), contact.id]}})]
    assert held, "the audit has lines"
    assert "王五" not in str(held), "and nothing in them in the clear"
    await crm.ask("EraseCustomer", role="COORDINATOR", customer_id=raw(identity), reason="申请")
    await crm.settled()
    assert "王五" not in str((await crm.graph(text))["data"])
    rows = [
        await crm.suite["customer"].database[resource].find_one({"_id": one}) or {}
        for resource, one in (("customers", raw(identity)), ("contacts", contact.id))
    ]
    assert ["tags" in row for row in rows] == [False, False]


async def test_every_noun_with_the_option_has_tags_in_the_graph(crm: Installation) -> None:
    specimens, found = Specimens(crm), [noun for noun in nouns() if noun.traits.taggable]
    assert len(found) >= 8
    for noun in found:
        record, field, mark = (await specimens.made(noun)).id, NOUNS[noun.name].field, new_id()
        shown = f"{field[0].upper()}{field[1:]}"
        query = f"mutation($i: {shown}TagInput!) {{ {field}Tag(input: $i) {{ {field} {{ tags }} errors {{ code }} }} }}"
        told = (await crm.data(query, "COORDINATOR", i={f"{field}Id": to_global(noun.name, record), "addTags": [mark]}))[f"{field}Tag"]
        assert told["errors"] == [] and mark in told[field]["tags"], noun.name
        assert await suggested(crm, "COORDINATOR", mark, f"{field}Tags") == {mark: 1}, noun.name
