"""Commands on many records through the graph."""

from __future__ import annotations

from typing import Any

from chassis.kernel.ids import new_id
from tests.support.installation import Installation

MAKE = "mutation M($input: CustomerCreateInput!) { customerCreate(input: $input) { customer { id version } errors { message } } }"
ARCHIVE = """mutation A($input: CustomersBulkArchiveInput!, $only: Boolean! = false) {
  customersBulkArchive(input: $input, validateOnly: $only) { outcomes { id ok version errors { code message path details } } errors { code path } } }"""


async def made(crm: Installation, count: int) -> list[str]:
    found = []
    for _ in range(count):
        body: Any = await crm.data(MAKE, role="COORDINATOR", input={"kind": "COMPANY", "name": f"批量 {new_id()}"})
        found.append(body["customerCreate"]["customer"]["id"])
    return found


async def test_each_record_has_an_outcome_in_the_words_of_the_graph(crm: Installation) -> None:
    ids = await made(crm, 3)
    only: Any = await crm.data(ARCHIVE, role="COORDINATOR", input={"ids": ids}, only=True)
    assert [one["ok"] for one in only["customersBulkArchive"]["outcomes"]] == [True] * 3
    body = await crm.graph(ARCHIVE, "COORDINATOR", headers={"accept-language": "zh-CN"}, input={"ids": ids, "versions": [1, 5, 0]})
    told = body["data"]["customersBulkArchive"]
    assert told["errors"] == []
    assert [(one["id"], one["ok"], one["version"]) for one in told["outcomes"]] == [
        (ids[0], True, 2),
        (ids[1], False, None),
        (ids[2], True, 2),
    ]
    (error,) = told["outcomes"][1]["errors"]
    assert (error["code"], error["path"]) == ("VERSION_CONFLICT", ["input", "version"])
    assert error["details"]["version"] == 1
    assert "版本" in error["message"]


async def test_a_wrong_id_is_refused_before_anything_is_done(crm: Installation) -> None:
    (one,) = await made(crm, 1)
    viewer: Any = await crm.data("{ viewer { id } }", role="COORDINATOR")
    body: Any = await crm.data(ARCHIVE, role="COORDINATOR", input={"ids": [one, viewer["viewer"]["id"]]})
    assert body["customersBulkArchive"] == {"outcomes": None, "errors": [{"code": "INVALID_ARGUMENT", "path": ["input", "ids", "1"]}]}


async def test_fields_are_changed_on_many_at_once(crm: Installation) -> None:
    ids = await made(crm, 2)
    change = "mutation U($input: CustomersBulkUpdateInput!) { customersBulkUpdate(input: $input) { outcomes { ok version errors { message } } errors { message } } }"
    body: Any = await crm.data(change, role="COORDINATOR", input={"ids": ids, "industry": "制造", "description": None})
    assert body["customersBulkUpdate"]["outcomes"] == [{"ok": True, "version": 2, "errors": []}] * 2
    read: Any = await crm.data("query($id: ID!) { customer(id: $id) { industry } }", role="COORDINATOR", id=ids[1])
    assert read["customer"] == {"industry": "制造"}


async def test_whoever_has_no_right_is_refused_as_a_whole(crm: Installation) -> None:
    ids = await made(crm, 1)
    body: Any = await crm.data(ARCHIVE, role="SUPPORT_AGENT", input={"ids": ids})
    told = body["customersBulkArchive"]
    assert [one["code"] for one in told["errors"]] == ["NOT_ALLOWED"] or told["outcomes"][0]["errors"][0]["code"] in (
        "NOT_ALLOWED",
        "NOT_FOUND",
    )
