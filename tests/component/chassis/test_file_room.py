"""How much room the files of a department may take."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chassis.files.usage import Usage
from chassis.kernel.errors import CrmError
from chassis.storage.files import MOST_BYTES
from gateway.graph.contract import to_global
from tests.component.chassis.test_attachments import customer
from tests.support.files import PDF, Client
from tests.support.installation import Installation


@pytest.fixture
def usage(crm: Installation) -> Iterator[Usage]:
    """What the customer department knows of its room; the bound is put back."""
    found = crm.suite["customer"].files.usage
    most = found.most
    yield found
    found.most = most


async def test_a_department_takes_files_as_long_as_it_has_room(crm: Installation, usage: Usage) -> None:
    client, record = Client(crm), to_global("Customer", await customer(crm))
    database = crm.suite["customer"].database
    assert usage.most == 20 * 2**30
    before = await Usage(0).bytes(database, 5000)
    await client.attached(record, "a.pdf", PDF)
    assert await Usage(0).bytes(database, 5000) == before + len(PDF)
    other = PDF + b"1"
    usage.most = await usage.bytes(database, 5000) + len(other)
    begun = await client.begin(record, "b.pdf", other)
    assert begun["errors"] == []
    (full,) = (await client.begin(record, "c.pdf", PDF + b"2"))["errors"]
    assert (full["code"], full["path"]) == ("ATTACHMENTS_FULL", ["input", "size"]) and "CRM_MOST_FILE_GIGABYTES" in full["message"]
    replaced = await client.command("attachmentReplace", attachmentId=begun["attachment"]["id"], size=5, sha256="0" * 64)
    assert replaced["errors"]  # a later edition takes room too, and this one is not even complete
    query = "mutation($i: AttachmentBeginInput!) { attachmentBegin(input: $i) { errors { message } } }"
    given = {"recordId": record, "name": "d.pdf", "size": 9, "sha256": "0" * 64}
    answer = await crm.http.post(
        "/graphql", json={"query": query, "variables": {"i": given}}, headers={**crm.bearer("COORDINATOR"), "Accept-Language": "zh-CN"}
    )
    assert "放不下" in answer.json()["data"]["attachmentBegin"]["errors"][0]["message"]


async def test_the_sum_is_read_from_its_index_alone(crm: Installation) -> None:
    summed = [{"$match": {"kept": True}}, {"$group": {"_id": None, "size": {"$sum": "$size"}}}]
    command = {"aggregate": "attachments", "pipeline": summed, "cursor": {}, "hint": "by_kept_size"}
    told = await crm.suite["customer"].database.command("explain", command, verbosity="executionStats")
    stats = told["executionStats"] if "executionStats" in told else told["stages"][0]["$cursor"]["executionStats"]
    assert stats["totalDocsExamined"] == 0


async def test_what_replicas_announce_meanwhile_is_added(crm: Installation) -> None:
    database = crm.suite["customer"].database
    usage = Usage(await Usage(0).bytes(database, 5000) + MOST_BYTES)
    await usage.take(database, MOST_BYTES, 5000)
    with pytest.raises(CrmError) as refusal:
        await usage.take(database, 1, 5000)
    assert refusal.value.code == "ATTACHMENTS_FULL"
