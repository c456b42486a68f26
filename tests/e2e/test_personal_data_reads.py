"""Whoever reads personal data leaves a line: who, which fields of which records, and what for. What was not asked for leaves none."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from chassis.kernel.ids import new_id
from chassis.rpc.reads import MOST_WAITING, Reads
from gateway.graph.contract import from_global, to_global
from tests.e2e.test_access_roles import holder, role
from tests.support.installation import Installation

READS = """query($id: ID!, $first: Int, $after: String) { personalDataReads(id: $id, first: $first, after: $after) {
    nodes { actorId fields purpose method recordCount } pageInfo { hasNextPage endCursor } } }"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def known(crm: Installation) -> dict[str, str]:
    """A customer with a note, whom nobody has read."""
    customer = await crm.ask("CreateCustomer", role="COORDINATOR", name="赵六", kind=2, phone="13711110000", email="z@z.example")
    note = await crm.ask("CreateNote", role="COORDINATOR", customer_id=customer.customer.id, text="过敏")
    await crm.settled()
    return {"id": to_global("Customer", customer.customer.id), "key": customer.customer.id, "note": to_global("Note", note.note.id)}


async def lines(crm: Installation, record: str, count: int) -> list[dict[str, Any]]:
    """The newest reads of a record, once there are that many."""
    kind, key = {"C": "customers", "N": "notes"}[record[0]], record[1:]
    audit = crm.suite["customer"].database["audit_entries"]

    async def enough() -> bool:
        return await audit.count_documents({"read_ids": key, "resource": kind}) >= count

    await crm.until(enough, 5)
    return [row async for row in audit.find({"read_ids": key, "resource": kind}).sort([("time", -1), ("_id", -1)])]


async def test_a_read_says_who_what_and_what_for(crm: Installation, known: dict[str, str]) -> None:
    query = "query CustomerPage($id: ID!) { customer(id: $id) { name phone } }"
    await crm.graph(query, "SUPPORT_AGENT", id=known["id"])
    before = await lines(crm, f"C{known['key']}", 1)
    assert (before[0]["actor_id"], before[0]["fields"], before[0]["reason"]) == (
        crm.people["SUPPORT_AGENT"], ["phone"], "operation CustomerPage",
    )  # fmt: skip
    why = {"X-Purpose": "%E5%9B%9E%E8%AE%BF%E5%AE%A2%E6%88%B7"}
    await crm.graph(query.replace("phone", "phone email"), "SUPPORT_AGENT", headers=why, id=known["id"])
    after = await lines(crm, f"C{known['key']}", len(before) + 1)
    assert (after[0]["fields"], after[0]["reason"], len(after)) == (["email", "phone"], "回访客户", len(before) + 1)


async def test_what_nobody_asked_for_was_read_by_nobody(crm: Installation, known: dict[str, str]) -> None:
    before = len(await lines(crm, f"C{known['key']}", 0))
    await crm.data(
        "query($id: ID!) { customer(id: $id) { name level tickets(first: 2) { nodes { subject } } } }", "SUPPORT_AGENT", id=known["id"]
    )
    await crm.ask("CreateTicket", role="SUPPORT_AGENT", subject="查", customer_id=known["key"], channel=1)  # support looks the customer up
    await crm.data("query($id: ID!) { customer(id: $id) { phone } }", "SALES_LEAD", id=known["id"])
    found = await lines(crm, f"C{known['key']}", before + 1)
    assert (len(found), found[0]["actor_id"]) == (before + 1, crm.people["SALES_LEAD"])


async def test_who_gets_a_field_masked_has_not_read_it(crm: Installation, known: dict[str, str]) -> None:
    made = await role(crm, f"遮 {new_id()}", [("customers", "read", "ALL")], [("customers", "phone", "MASKED")])
    reader = await holder(crm, "masked", made["id"])
    before = len(await lines(crm, f"C{known['key']}", 0))
    seen = (await crm.data("query($id: ID!) { customer(id: $id) { phone email } }", "masked", id=known["id"]))["customer"]
    assert seen["phone"] == "137****0000"
    found = await lines(crm, f"C{known['key']}", before + 1)
    assert (found[0]["actor_id"], found[0]["fields"]) == (reader, ["email"])


async def test_a_note_read_on_the_timeline_and_by_a_disclosure_was_read(crm: Installation, known: dict[str, str]) -> None:
    note = f"N{from_global(known['note'])[1]}"
    await crm.data("query Line($id: ID!) { customer(id: $id) { timeline(first: 9) { nodes { subject } } } }", "SALES_LEAD", id=known["id"])
    found = await lines(crm, note, 1)
    assert (found[0]["fields"], found[0]["reason"]) == (["text"], "operation Line")
    await crm.data("query($id: ID!) { customerDisclosure(customerId: $id) { place } }", "COORDINATOR", id=known["id"])
    assert (await lines(crm, note, len(found) + 1))[0]["method"] == "DiscloseSubject"


async def test_the_reads_of_a_record_are_paged_for_who_answers_for_them(crm: Installation, known: dict[str, str]) -> None:
    before = len(await lines(crm, f"C{known['key']}", 0))
    for number in range(3):
        await crm.graph("query($id: ID!) { customer(id: $id) { phone } }", headers={"X-Purpose": f"why {number}"}, id=known["id"])
    total = len(await lines(crm, f"C{known['key']}", before + 3))
    first = (await crm.data(READS, "COORDINATOR", id=known["id"], first=2))["personalDataReads"]
    assert [line["purpose"] for line in first["nodes"]] == ["why 2", "why 1"]
    assert first["nodes"][0]["actorId"] == to_global("Person", crm.people["COORDINATOR"])
    more = (await crm.data(READS, "COORDINATOR", id=known["id"], first=100, after=first["pageInfo"]["endCursor"]))["personalDataReads"]
    assert (more["nodes"][0]["purpose"], len(more["nodes"]) + 2) == ("why 0", total)
    body = await crm.graph(READS, "SALES_LEAD", id=known["id"])
    assert body["errors"][0]["extensions"]["code"] == "NOT_ALLOWED"


async def test_reads_are_sealed_like_writes(crm: Installation, known: dict[str, str]) -> None:
    await crm.data("query($id: ID!) { customer(id: $id) { phone } }", "COORDINATOR", id=known["id"])
    newest = (await lines(crm, f"C{known['key']}", 1))[0]["_id"]
    audit = crm.suite["customer"].database["audit_entries"]

    async def sealed() -> bool:
        return "block" in (await audit.find_one({"_id": newest}) or {})

    await crm.until(sealed, 10)


async def test_what_was_written_is_not_written_twice_and_nothing_grows_without_end(crm: Installation, known: dict[str, str]) -> None:
    department = crm.suite["customer"]
    reads, audit = Reads(department.database), department.database["audit_entries"]
    call, answer = department.own_call("Test"), await crm.ask("GetCustomer", role="COORDINATOR", customer_id=known["key"])
    call.request_id = f"twice-{new_id()}"
    await reads.note(call, answer)
    first = dict(reads._waiting[0])
    await audit.insert_one(first)  # as if a flush had been cut off behind the database
    await reads.note(call, answer)
    await reads.flush()
    assert await audit.count_documents({"request_id": call.request_id}) == 2
    for _ in range(MOST_WAITING):
        await reads.note(call, answer)
    assert len(reads._waiting) < MOST_WAITING
    assert await audit.count_documents({"request_id": call.request_id}) == MOST_WAITING + 2
    await audit.delete_many({"request_id": call.request_id})


async def test_the_index_answers_for_the_reads_of_a_record(crm: Installation, known: dict[str, str]) -> None:
    query = {"$and": [{"read_ids": known["key"], "resource": "customers", "action": "PersonalDataRead"}]}
    plan = await crm.suite["customer"].database.command(
        "explain", {"find": "audit_entries", "filter": query, "sort": {"time": -1, "_id": -1}, "limit": 21}, verbosity="queryPlanner"
    )
    assert "by_read_id" in str(plan["queryPlanner"]["winningPlan"])


@pytest.mark.parametrize("header", ["%ff%00%0a bad", "x" * 5000])
async def test_a_purpose_is_one_short_line(crm: Installation, known: dict[str, str], header: str) -> None:
    before = len(await lines(crm, f"C{known['key']}", 0))
    await crm.graph("query($id: ID!) { customer(id: $id) { phone } }", headers={"X-Purpose": header}, id=known["id"])
    reason = (await lines(crm, f"C{known['key']}", before + 1))[0]["reason"]
    assert len(reason) <= 200
    assert reason.isprintable()
