"""Files at records: attached, listed, fetched, replaced and forgotten, each time by the right to the record (K14)."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from typing import Any

import pytest

from chassis.files import sweep
from chassis.files.store import ATTACHMENTS
from chassis.kernel.clock import now
from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from chassis.rpc.contract import nouns
from chassis.storage.files import PARTS
from gateway.graph.contract import from_global, to_global
from tests.support.checks import cny
from tests.support.files import DRAWING, LIST, PART, PDF, Client, attach, rpc, sha256
from tests.support.installation import Installation

BOSS = {"role": "COORDINATOR"}


async def customer(crm: Installation, role: str = "COORDINATOR", **more: Any) -> str:
    return str((await crm.ask("CreateCustomer", role=role, name=f"附件 {new_id()}", kind=1, **more)).customer.id)


async def records(crm: Installation, about: str) -> dict[str, str]:
    """One record of each noun that has files: noun → id of the graph."""
    line = {"quantity": 1, "unit_price": cny(5), "description": "P"}
    ticket = (await crm.ask("CreateTicket", **BOSS, customer_id=about, subject="坏了", channel=1)).ticket.id
    made = {
        "Customer": about,
        "Note": (await crm.ask("CreateNote", **BOSS, customer_id=about, text="备注")).note.id,
        "Order": (await crm.ask("CreateOrder", **BOSS, customer_id=about, lines=[line])).order.id,
        "Ticket": ticket,
        "TicketReply": (await crm.ask("CreateTicketReply", **BOSS, ticket_id=ticket, text="答", author=2)).ticket_reply.id,
        "Article": (await crm.ask("CreateArticle", **BOSS, title=f"t {new_id()}", body="b", category="x", language=1)).article.id,
    }
    return {noun: to_global(noun, identity) for noun, identity in made.items()}


async def test_every_noun_with_the_option_has_files(crm: Installation) -> None:
    found = await records(crm, await customer(crm))
    assert set(found) == {noun.name for noun in nouns() if noun.traits.attachable}
    client = Client(crm)
    for kind, record in found.items():
        made = await client.attached(record, "报价.pdf", PDF)
        assert made | {"id": ""} == {
            "id": "", "version": 1, "state": "READY", "name": "报价.pdf", "size": len(PDF), "mediaType": "application/pdf", "edition": 1,
            "recordId": record, "replacedId": None,
        }  # fmt: skip
        assert [(one["id"], one["creator"]["name"]) for one in await client.listed(kind, record)] == [(made["id"], "人 COORDINATOR")]
        answer = await crm.http.get(await client.address(made["id"]))
        assert (answer.status_code, answer.content) == (200, PDF), answer.text
    node = await crm.data("query($id: ID!) { node(id: $id) { ... on Attachment { name } } attachment(id: $id) { name } }", id=made["id"])
    assert node == {"node": {"name": "报价.pdf"}, "attachment": {"name": "报价.pdf"}}


async def test_a_file_of_several_parts_comes_back_as_it_went_in(crm: Installation) -> None:
    client, record = Client(crm), to_global("Customer", await customer(crm))
    content = DRAWING + os.urandom(3 * PART)
    begun = (await client.begin(record, "图纸.dwg", content))["attachment"]
    assert (begun["state"], begun["version"], begun["received"]) == ("UPLOADING", 0, 0)
    key = begun["id"]
    assert (await client.send(key, content[: PART + 5000])).status_code == 422  # a part in the middle that is too short
    assert await _received(client, key) == PART
    assert (await client.send(key, content[PART:], part=1)).json() == {"received": len(content)}  # it goes on where it stood
    assert (await client.send(key, content[PART : 2 * PART], part=1)).json() == {"received": len(content)}  # the same part again
    assert await client.listed("Customer", record) == []  # nobody sees it before it is complete
    assert (await client.complete(key))["errors"] == []
    answer = await crm.http.get(await client.address(key))
    assert answer.content == content
    sealed = [row["data"] async for row in crm.suite["customer"].database[PARTS].find({"_id": {"$regex": f"^{from_global(key)[1]}"}})]
    assert len(sealed) == 4 and all(content[100:116] not in part for part in sealed)


async def _received(client: Client, key: str) -> int:
    found = await client.crm.data("query($id: ID!) { attachment(id: $id) { received } }", client.role, id=key)
    return int(found["attachment"]["received"])


async def test_a_download_is_safe_in_a_browser(crm: Installation) -> None:
    client, record = Client(crm), to_global("Customer", await customer(crm))
    made = await client.attached(record, "a\u202e\nб «报价».txt", "客户".encode())
    answer = await crm.http.get(await client.address(made["id"]))
    told = answer.headers
    assert told["content-disposition"].startswith("attachment; filename*=UTF-8''a") and told["content-type"].startswith("text/plain")
    assert (told["x-content-type-options"], told["cache-control"], told["referrer-policy"]) == ("nosniff", "no-store", "no-referrer")
    assert "sandbox" in told["content-security-policy"] and "default-src 'none'" in told["content-security-policy"]
    assert int(told["content-length"]) == len(answer.content)
    head = await crm.http.head(await client.address(made["id"]))
    assert (head.status_code, head.content) == (200, b"")


async def test_an_address_is_for_one_person_whose_right_is_judged_again(crm: Installation) -> None:
    client, record = Client(crm), to_global("Customer", identity := await customer(crm, owner_id=crm.people["SALES_REP"]))
    made = await client.attached(record, "a.pdf", PDF)
    rep = Client(crm, "SALES_REP")
    path = await rep.address(made["id"])
    assert (await crm.http.get(path, headers=crm.bearer("SALES_REP"))).status_code == 200
    for headers in (crm.bearer("COORDINATOR"), {"Authorization": "Bearer x"}):
        refused = await crm.http.get(path, headers=headers)
        assert (refused.status_code, refused.json()["code"]) in ((403, "DOWNLOAD_NOT_VALID"), (401, "UNAUTHENTICATED")), refused.text
    assert (await crm.http.get(f"{path}x")).json()["code"] == "DOWNLOAD_NOT_VALID"
    assert (await crm.http.get("/files/none")).json()["code"] == "DOWNLOAD_NOT_VALID"
    await crm.ask("AssignCustomer", **BOSS, customer_id=identity, owner_id=crm.people["COORDINATOR"])
    await crm.until(lambda: _status(crm, path, 404))  # who answered for the customer does no more
    reads = "query($id: ID!) { personalDataReads(id: $id) { nodes { fields } } }"
    noted = (await crm.data(reads, id=record))["personalDataReads"]["nodes"]
    assert ["attachments"] in [one["fields"] for one in noted]


async def _status(crm: Installation, path: str, status: int) -> bool:
    return (await crm.http.get(path)).status_code == status


async def test_rights_are_those_of_the_record(crm: Installation) -> None:
    """A sales rep works on the own customer, a marketer reads all customers and no notes, nobody changes another one's reply."""
    identity = await customer(crm)
    found = await records(crm, identity)
    files = {kind: (await Client(crm).attached(record, "a.pdf", PDF))["id"] for kind, record in found.items()}
    expected = {
        "SALES_REP": {"read": {"Article"}, "write": set()},
        "MARKETER": {"read": {"Customer", "Ticket", "Article"}, "write": set()},
        "SUPPORT_AGENT": {"read": set(found), "write": {"Note", "Article", "Ticket"}},
        "COORDINATOR": {"read": set(found), "write": set(found)},
        "ADMINISTRATOR": {"read": {"Article"}, "write": set()},
    }
    for role, may in expected.items():
        client = Client(crm, role)
        assert {kind for kind, record in found.items() if await client.listed(kind, record)} == may["read"], role
        query = "query($id: ID!) { attachment(id: $id) { name } }"
        seen = {kind for kind, key in files.items() if (await crm.data(query, role, id=key))["attachment"]}
        assert seen == may["read"], role
        written = {kind for kind, record in found.items() if not (await client.begin(record, "b.pdf", PDF + b" "))["errors"]}
        assert written == may["write"], role
        for kind, key in files.items():
            done = await client.command("attachmentArchive", attachmentId=key, version=99)
            codes = [one["code"] for one in done["errors"]]
            assert codes == (["VERSION_CONFLICT"] if kind in may["write"] else codes), (role, kind)
            assert codes in ([["VERSION_CONFLICT"]] if kind in may["write"] else [["NOT_FOUND"], ["NOT_ALLOWED"]]), (role, kind, codes)


async def test_a_reply_takes_files_from_its_author_alone(crm: Installation) -> None:
    about = await customer(crm)
    reply = (await records(crm, about))["TicketReply"]
    await crm.person(author := f"agent {new_id()}", "SUPPORT_LEAD")
    refused = (await Client(crm, author).begin(reply, "a.pdf", PDF))["errors"]
    assert [one["code"] for one in refused] == ["NOT_ALLOWED"]


async def test_what_is_not_the_file_that_was_announced_is_refused(crm: Installation) -> None:
    client, record = Client(crm), to_global("Customer", await customer(crm))
    begun = (await client.begin(record, "a.pdf", PDF))["attachment"]["id"]
    missing = await client.complete(begun)
    assert missing["errors"][0]["code"] == "UPLOAD_BROKEN"
    other = PDF[:-2] + b"x\n"
    await client.send(begun, other)
    assert (await client.complete(begun))["errors"][0]["code"] == "UPLOAD_BROKEN"
    more = await client.send(begun, PDF + b"x")
    assert (more.status_code, more.json()["code"]) == (413, "FILE_TOO_LARGE")
    await client.send(begun, PDF)
    assert (await client.complete(begun))["errors"] == []
    assert (await client.send(begun, PDF)).json()["code"] == "ATTACHMENT_STATE_NOT_ALLOWED"


async def test_large_and_runnable_files_are_refused_in_both_languages(crm: Installation) -> None:
    client, record = Client(crm), to_global("Customer", await customer(crm))
    given = {"recordId": record, "name": "a.pdf", "size": 50 * PART + 1, "sha256": sha256(PDF)}
    begin = "mutation($input: AttachmentBeginInput!) { attachmentBegin(input: $input) { errors { code path } } }"
    large = (await crm.data(begin, input=given))["attachmentBegin"]["errors"]
    assert large == [{"code": "FILE_TOO_LARGE", "path": ["input", "size"]}]
    named = (await client.begin(record, "a.svg", PDF))["errors"]
    assert [one["code"] for one in named] == ["FILE_TYPE_REFUSED"]
    svg = await client.attach(record, "a.png", b"<svg onload='x()'/>")
    assert svg["attachment"] is None and svg["errors"][0]["code"] == "FILE_TYPE_REFUSED"
    path = f"/files/{to_global('Attachment', 'customer-none')}"
    chinese = await crm.http.post(path, content=b"x", headers={**crm.bearer("COORDINATOR"), "Accept-Language": "zh-CN"})
    assert (chinese.status_code, chinese.json()["code"]) == (404, "NOT_FOUND") and "没有" in chinese.json()["message"]
    assert (await crm.http.post(path, content=b"x")).status_code == 401
    kind = {**crm.bearer("COORDINATOR"), "Content-Type": "multipart/form-data; boundary=x"}
    assert (await crm.http.post(path, content=b"x", headers=kind)).status_code == 415
    assert (await crm.http.post("/files/nothing", content=b"x", headers=crm.bearer("COORDINATOR"))).status_code == 400


async def test_the_same_bytes_are_attached_once_at_a_record(crm: Installation) -> None:
    client = Client(crm)
    first, second = [to_global("Customer", await customer(crm)) for _ in range(2)]
    made = await client.attached(first, "a.pdf", PDF)
    twin = await client.attach(first, "b.pdf", PDF)
    assert twin["errors"][0]["code"] == "ALREADY_ATTACHED"
    await client.attached(second, "a.pdf", PDF)
    keys = [(await client.begin(first, f"{number}.dwg", DRAWING))["attachment"]["id"] for number in range(2)]
    for key in keys:
        await client.send(key, DRAWING)
    both = await asyncio.gather(*[client.complete(key) for key in keys])
    assert sorted(len(one["errors"]) for one in both) == [0, 1], both
    await client.command("attachmentArchive", attachmentId=made["id"])
    assert (await client.attach(first, "c.pdf", PDF))["errors"] == []
    back = await client.command("attachmentRestore", attachmentId=made["id"])
    assert back["errors"][0]["code"] == "ALREADY_ATTACHED"


async def test_a_later_edition_takes_the_place_of_the_one_before(crm: Installation) -> None:
    client, record = Client(crm), to_global("Customer", await customer(crm))
    first = await client.attached(record, "a.pdf", PDF)
    keys = []
    for number in range(2):  # two at once: one is later
        content = PDF + str(number).encode()
        given = {"attachmentId": first["id"], "size": len(content), "sha256": sha256(content)}
        begun = await client.command("attachmentReplace", **given)
        assert begun["errors"] == [] and begun["attachment"]["edition"] == 2
        keys.append(begun["attachment"]["id"])
        await client.send(keys[-1], content)
    both = await asyncio.gather(*[client.complete(key) for key in keys])
    codes = sorted([error["code"] for one in both for error in one["errors"]])
    assert codes == ["ATTACHMENT_STATE_NOT_ALLOWED"], both
    (listed,) = await client.listed("Customer", record)
    assert (listed["edition"], listed["name"]) == (2, "a.pdf")
    assert (await crm.http.get(await client.address(first["id"]))).content == PDF  # what pins it finds it still
    await crm.settled()
    database = crm.suite["customer"].database
    rows = await database["outbox"].find({"headers.ce-subject": from_global(first["id"])[1]}).sort("_id", 1).to_list()
    told = [(row["headers"]["ce-type"], row["headers"]["ce-version"]) for row in rows]
    assert told == [("crm.customer.v1.AttachmentAdded", "1"), ("crm.customer.v1.AttachmentReplaced", "2")]


async def test_archived_ones_are_listed_when_asked_for_and_come_back(crm: Installation) -> None:
    client, record = Client(crm), to_global("Customer", await customer(crm))
    made = await client.attached(record, "a.pdf", PDF)
    assert (await client.command("attachmentArchive", attachmentId=made["id"], version=1))["attachment"]["archiveTime"]
    assert (await client.command("attachmentArchive", attachmentId=made["id"]))["errors"][0]["code"] == "ARCHIVED"
    assert await client.listed("Customer", record) == []
    query = (LIST % "Customer").replace("first: 50", "first: 50, archived: true")
    assert len((await crm.data(query, id=record))["node"]["attachments"]["nodes"]) == 1
    assert (await client.command("attachmentRestore", attachmentId=made["id"]))["attachment"]["archiveTime"] is None
    assert len(await client.listed("Customer", record)) == 1


async def test_pages_go_on_and_cost_one_call_a_level(crm: Installation) -> None:
    about = await customer(crm)
    notes = [(await crm.ask("CreateNote", **BOSS, customer_id=about, text=f"n{n}")).note.id for n in range(3)]
    for note in notes:
        for number in range(3):
            await attach(crm, "customer", "notes", note, f"{number}.pdf", PDF + str(number).encode())
    query = "query($id: ID!) { customer(id: $id) { notes { nodes { attachments(first: 2) { nodes { name } pageInfo { hasNextPage endCursor } } } } } }"
    before = crm.calls().get("BatchListAttachments", 0)
    found = (await crm.data(query, id=to_global("Customer", about)))["customer"]["notes"]["nodes"]
    assert crm.calls()["BatchListAttachments"] == before + 1
    assert [[one["name"] for one in note["attachments"]["nodes"]] for note in found] == [["2.pdf", "1.pdf"]] * 3
    after = found[0]["attachments"]["pageInfo"]
    rest = "query($id: ID!, $after: String) { node(id: $id) { ... on Note { attachments(after: $after) { nodes { name } } } } }"
    more = await crm.data(rest, id=to_global("Note", notes[-1]), after=after["endCursor"])
    assert [one["name"] for one in more["node"]["attachments"]["nodes"]] == ["0.pdf"]


async def test_a_record_that_was_archived_meanwhile_takes_nothing(crm: Installation) -> None:
    client = Client(crm)
    about = await customer(crm)
    note = (await crm.ask("CreateNote", **BOSS, customer_id=about, text="n")).note.id
    key = (await client.begin(to_global("Note", note), "a.pdf", PDF))["attachment"]["id"]
    await client.send(key, PDF)
    await crm.ask("ArchiveNote", **BOSS, note_id=note)
    assert (await client.complete(key))["errors"][0]["code"] == "ARCHIVED"


async def test_a_record_has_a_hundred_files(crm: Installation) -> None:
    about = await customer(crm)
    for start in range(0, 96, 8):
        await asyncio.gather(
            *[attach(crm, "customer", "customers", about, "a.pdf", PDF + str(start + number).encode()) for number in range(8)]
        )
    client, record = Client(crm), to_global("Customer", about)
    keys = [(await client.begin(record, "a.pdf", PDF + f"x{number}".encode()))["attachment"]["id"] for number in range(6)]
    for number, key in enumerate(keys):
        await client.send(key, PDF + f"x{number}".encode())
    made = await asyncio.gather(*[client.complete(key) for key in keys])
    assert sorted(error["code"] for one in made for error in one["errors"]) == ["ATTACHMENTS_FULL"] * 2
    full = await client.begin(record, "a.pdf", PDF)
    assert full["errors"][0]["code"] == "ATTACHMENTS_FULL"


# ---- what is left of them


async def test_uploads_that_do_not_end_are_swept_with_their_parts(crm: Installation) -> None:
    client, record = Client(crm), to_global("Customer", await customer(crm))
    kept, late = [(await client.begin(record, "a.pdf", PDF))["attachment"]["id"] for _ in range(2)]
    await client.send(late, PDF)
    department = crm.suite["customer"]
    day = {"$set": {"create_time": now() - timedelta(hours=24, seconds=1)}}
    await department.database[ATTACHMENTS].update_one({"_id": from_global(late)[1]}, day)
    worker = sweep.FileSweep(department.own_call)
    while await worker.turn():
        continue
    left = [
        row["_id"] async for row in department.database[ATTACHMENTS].find({"_id": {"$in": [from_global(one)[1] for one in (kept, late)]}})
    ]
    assert left == [from_global(kept)[1]]
    assert await department.database[PARTS].count_documents({"_id": f"{from_global(late)[1]}:00"}) == 0
    assert await _orphans(department) == []


async def _orphans(department: Any) -> list[str]:
    """Parts without a file."""
    files = {row["_id"] async for row in department.database[ATTACHMENTS].find({}, {"_id": 1})}
    parts = [row["_id"] async for row in department.database[PARTS].find({}, {"_id": 1})]
    return [part for part in parts if part.rpartition(":")[0].removesuffix(".preview") not in files]


async def test_an_erased_customer_takes_the_files_along(crm: Installation) -> None:
    about = await customer(crm)
    client = Client(crm)
    found = {kind: record for kind, record in (await records(crm, about)).items() if kind != "Article"}
    word = new_id()
    for record in found.values():
        await client.attached(record, f"合同 {word}.pdf", PDF)
    await crm.settled()
    disclosed = (
        "query($id: ID!) { customerDisclosure(customerId: $id) { department place recordCount records { values { field value } } } }"
    )
    places = (await crm.data(disclosed, id=to_global("Customer", about)))["customerDisclosure"]
    counted = {one["department"]: one["recordCount"] for one in places if one["place"] == "attachments"}
    assert counted == {"customer": 2, "sales": 1, "support": 2} and word in str(places)
    key = (await client.listed("Ticket", found["Ticket"]))[0]["id"]
    path = await client.address(key)
    await crm.ask("EraseCustomer", **BOSS, customer_id=about, reason="要求删除")
    await crm.settled()
    answer = await crm.http.get(path)
    assert answer.status_code in (404, 410), answer.text
    for name in ("customer", "sales", "support"):
        department = crm.suite[name]
        worker = sweep.FileSweep(department.own_call)
        while await worker.turn():
            continue
        rows = await department.database[ATTACHMENTS].find({"customer_id": about}).to_list()
        assert rows and word not in str(rows)
        parts = [await department.database[PARTS].count_documents({"_id": {"$regex": f"^{row['_id']}:"}}) for row in rows]
        assert sum(parts) == 0
        assert word not in str([row async for row in department.database["outbox"].find({"headers.ce-customer": about})])
        assert word.encode() not in b"".join([row.get("response", b"") async for row in department.database["request_records"].find()])


async def test_a_merged_customers_files_are_the_survivors_until_the_merge_is_undone(crm: Installation) -> None:
    client = Client(crm)
    survivor, loser = await customer(crm), await customer(crm)
    note = (await crm.ask("CreateNote", **BOSS, customer_id=loser, text="n")).note.id
    await client.attached(to_global("Customer", survivor), "s.pdf", PDF)
    await client.attached(to_global("Customer", loser), "l.pdf", PDF + b"1")
    await client.attached(to_global("Note", note), "n.pdf", PDF + b"2")
    merge = (await crm.ask("MergeCustomers", **BOSS, survivor_id=survivor, loser_id=loser, reason="同一家")).customer_merge
    await crm.settled()
    both = to_global("Customer", survivor)
    await crm.until(lambda: _names(client, "Customer", both, {"s.pdf", "l.pdf"}))
    asked = await rpc(crm, "customer", "BatchListAttachments", "COORDINATOR", resource="customers", record_ids=[loser, survivor])
    assert [(group.key, len(group.attachments)) for group in asked.groups] == [(loser, 2), (survivor, 2)]
    assert await _names(client, "Note", to_global("Note", note), {"n.pdf"})
    key = next(one["id"] for one in await client.listed("Customer", both) if one["name"] == "l.pdf")
    assert (await crm.http.get(await client.address(key))).content == PDF + b"1"
    await crm.ask("UnmergeCustomer", **BOSS, customer_merge_id=merge.id, reason="弄错了")
    await crm.settled()
    await crm.until(lambda: _names(client, "Customer", to_global("Customer", loser), {"l.pdf"}))
    assert await _names(client, "Customer", both, {"s.pdf"})


async def _names(client: Client, kind: str, record: str, names: set[str]) -> bool:
    return {one["name"] for one in await client.listed(kind, record)} == names


async def test_a_part_that_was_changed_where_it_lies_is_never_given(crm: Installation) -> None:
    client, record = Client(crm), to_global("Customer", await customer(crm))
    keys = [(await client.attached(record, f"{n}.pdf", PDF + str(n).encode()))["id"] for n in range(2)]
    parts = crm.suite["customer"].database[PARTS]
    other = await parts.find_one({"_id": f"{from_global(keys[0])[1]}:00"})
    assert other
    await parts.update_one({"_id": f"{from_global(keys[1])[1]}:00"}, {"$set": {"data": other["data"]}})
    assert (await crm.http.get(await client.address(keys[1]))).status_code == 500


async def test_a_department_tells_what_it_attaches_to(crm: Installation) -> None:
    with pytest.raises(CrmError) as refusal:
        await attach(crm, "sales", "opportunities", "none", "a.pdf", PDF)
    assert refusal.value.field == "resource" and "orders" in refusal.value.message
    (wrong,) = (await Client(crm).begin(to_global("Person", "x"), "a.pdf", PDF))["errors"]
    assert wrong["path"] == ["input", "recordId"] and "Ticket" in wrong["message"]
