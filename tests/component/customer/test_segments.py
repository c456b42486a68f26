"""Segments and timeline: built, kept current, rebuilt, restored; one timeline entry for each fact, in order."""

from __future__ import annotations

from typing import Any

from tests.support.checks import cny, equals, mask, refused
from tests.support.installation import Installation

SEGMENTS = "customer.segments"


async def make(crm: Installation, region: str, **more: Any) -> Any:
    return (await crm.ask("CreateCustomer", **{"kind": 1, "name": "段员", "region": region, "role": "COORDINATOR", **more})).customer


async def segment(crm: Installation, region: str, **more: Any) -> Any:
    made = (await crm.ask("CreateSegment", **{"role": "COORDINATOR", "name": region, "criteria": equals("region", region), **more})).segment
    await crm.settled()
    return (await crm.ask("GetSegment", segment_id=made.id)).segment


async def members(crm: Installation, identity: str, role: str = "COORDINATOR") -> set[str]:
    group = (await crm.ask("BatchListSegmentMembers", role=role, segment_ids=[identity], page_size=100)).groups[0]
    return {member.customer_id for member in group.segment_members}


async def state(crm: Installation, identity: str) -> tuple[int, int, set[str]]:
    await crm.settled()
    found = (await crm.ask("GetSegment", segment_id=identity)).segment
    return found.state, found.member_count, await members(crm, identity)


async def test_a_segment_is_built_and_follows_each_customer(crm: Installation) -> None:
    inside = await make(crm, "段一")
    outside = await make(crm, "别处")
    made = await segment(crm, "段一")
    assert await state(crm, made.id) == (2, 1, {inside.id})
    await crm.ask("UpdateCustomer", customer_id=outside.id, version=1, update_mask=mask("region"), region="段一")
    fresh = await make(crm, "段一")
    assert await state(crm, made.id) == (2, 3, {inside.id, outside.id, fresh.id})
    await crm.ask("UpdateCustomer", customer_id=outside.id, version=2, update_mask=mask("region"), region="别处")
    await crm.ask("ArchiveCustomer", customer_id=inside.id)
    assert await state(crm, made.id) == (2, 1, {fresh.id})
    await crm.ask("RestoreCustomer", customer_id=inside.id)
    assert await state(crm, made.id) == (2, 2, {inside.id, fresh.id})
    names = [
        row["headers"]["ce-type"].rsplit(".", 1)[1]
        async for row in crm.suite["customer"].database["outbox"].find({"headers.ce-subject": f"{made.id}-{inside.id}"}).sort("_id", 1)
    ]
    assert names == ["SegmentMemberEntered", "SegmentMemberLeft", "SegmentMemberEntered"]
    groups = (await crm.ask("BatchListCustomerSegments", customer_ids=[inside.id, outside.id])).groups
    assert [[one.segment_id for one in group.segment_members] for group in groups] == [[made.id], []]


async def test_new_criteria_rebuild_the_segment(crm: Installation) -> None:
    one, two = await make(crm, "段二"), await make(crm, "段三")
    made = await segment(crm, "段二")
    await crm.ask(
        "UpdateSegment", segment_id=made.id, version=made.version, update_mask=mask("criteria"), criteria=equals("region", "段三")
    )
    assert await state(crm, made.id) == (2, 1, {two.id})
    fresh = (await crm.ask("GetSegment", segment_id=made.id)).segment
    renamed = await crm.ask("UpdateSegment", segment_id=made.id, version=fresh.version, update_mask=mask("name"), name="改名")
    assert renamed.segment.state == 2
    assert one.id not in await members(crm, made.id)


async def test_criteria_changed_forth_and_back_at_once_end_ready(crm: Installation) -> None:
    one = await make(crm, "段四")
    made = await segment(crm, "段四")
    for number in range(3):
        fresh = (await crm.ask("GetSegment", segment_id=made.id)).segment
        other = await crm.ask(
            "UpdateSegment",
            segment_id=made.id,
            version=fresh.version,
            update_mask=mask("criteria"),
            criteria=equals("region", f"别{number}"),
        )
        await crm.ask(
            "UpdateSegment",
            segment_id=made.id,
            version=other.segment.version,
            update_mask=mask("criteria"),
            criteria=equals("region", "段四"),
        )
        assert await state(crm, made.id) == (2, 1, {one.id})


async def test_a_restored_segment_is_current(crm: Installation) -> None:
    stays, goes = await make(crm, "段五"), await make(crm, "段五")
    made = await segment(crm, "段五")
    assert await state(crm, made.id) == (2, 2, {stays.id, goes.id})
    await crm.ask("ArchiveSegment", segment_id=made.id)
    await refused(crm, SEGMENTS, crm.ask("ArchiveSegment", segment_id=made.id), "ARCHIVED", record_id=made.id)
    await crm.ask("UpdateCustomer", customer_id=goes.id, version=1, update_mask=mask("region"), region="别处")
    comes = await make(crm, "段五")
    await crm.settled()
    await crm.ask("RestoreSegment", segment_id=made.id)
    assert await state(crm, made.id) == (2, 2, {stays.id, comes.id})


async def test_members_are_seen_by_who_sees_the_customer(crm: Installation) -> None:
    await crm.person("segment rep", "SALES_REP", unit="sales")
    mine = await make(crm, "段六", owner_id=crm.people["SALES_REP"])
    theirs = await make(crm, "段六", owner_id=crm.people["SALES_LEAD"])
    made = await segment(crm, "段六")
    assert await members(crm, made.id, "SALES_REP") == {mine.id}
    assert await members(crm, made.id, "SALES_LEAD") == {mine.id, theirs.id}
    assert await members(crm, made.id, "segment rep") == set()
    await crm.ask("AssignCustomer", customer_id=mine.id, owner_id=crm.people["segment rep"])
    await crm.settled()
    assert await members(crm, made.id, "SALES_REP") == set()
    assert await members(crm, made.id, "segment rep") == {mine.id}
    assert await members(crm, made.id) == {mine.id, theirs.id}


async def test_who_may_make_segments_and_which_criteria_are_refused(crm: Installation) -> None:
    for role in ("SALES_REP", "SUPPORT_AGENT", "ADMINISTRATOR"):
        await refused(crm, SEGMENTS, crm.ask("CreateSegment", role=role, name="x", criteria=equals("region", "x")), "NOT_ALLOWED")
    for wrong in (
        equals("secret", "x"),
        equals("level", "Z"),
        {"condition": {"field": "region", "operator": 1, "values": [{"number": 1}]}},
    ):
        await refused(crm, SEGMENTS, crm.ask("CreateSegment", name="x", criteria=wrong), "CRITERIA_INVALID")
    made = await segment(crm, "段七", role="MARKETER")
    await refused(
        crm,
        SEGMENTS,
        crm.ask("UpdateSegment", segment_id=made.id, version=99, update_mask=mask("name"), name="x"),
        "VERSION_CONFLICT",
        record_id=made.id,
    )
    assert made.id in {one.id for one in (await crm.ask("ListSegments", role="SALES_REP", page_size=100)).segments}
    assert list((await crm.ask("BatchGetSegments", ids=[made.id, "x"])).missing_ids) == ["x"]


async def test_the_timeline_has_one_entry_for_each_fact_in_order(crm: Installation) -> None:
    made = await make(crm, "时间线")
    await crm.ask("MoveCustomerLifecycle", customer_id=made.id, lifecycle=2, reason="r")
    contact = (await crm.ask("CreateContact", customer_id=made.id, name="李雷")).contact
    await crm.ask("ArchiveContact", contact_id=contact.id)
    note = (await crm.ask("CreateNote", customer_id=made.id, text="第一行\n第二行 \\n 😀")).note
    order = (await crm.ask("CreateOrder", customer_id=made.id, lines=[{"quantity": 1, "unit_price": cny(1)}])).order
    await crm.ask("CancelOrder", order_id=order.id, reason="r")
    ticket = (await crm.ask("CreateTicket", customer_id=made.id, subject="坏了", channel=1)).ticket
    await crm.ask("CreateTicketReply", ticket_id=ticket.id, author=2, text="你好")
    await crm.settled()
    rows = (await crm.ask("BatchListTimelineEntries", customer_ids=[made.id], page_size=100)).groups[0].timeline_entries
    found = [(row.event_type.rsplit(".", 1)[1], row.record_id, row.record_version, row.department) for row in reversed(rows)]
    assert len(found) == len(set(found))
    assert {one[:3] for one in found} >= {
        ("CustomerCreated", made.id, 1),
        ("CustomerLifecycleMoved", made.id, 2),
        ("ContactCreated", contact.id, 1),
        ("ContactArchived", contact.id, 2),
        ("NoteCreated", note.id, 1),
        ("OrderCreated", order.id, 1),
        ("OrderCancelled", order.id, 2),
        ("TicketCreated", ticket.id, 1),
        ("TicketUpdated", ticket.id, 2),
    }
    assert "TicketReplyCreated" in {one[0] for one in found}
    assert len(found) == 10
    times = [row.occur_time.ToDatetime() for row in reversed(rows)]
    assert times == sorted(times)
    assert next(row.subject for row in rows if row.record_id == note.id) == "第一行\n第二行 \\n 😀"
    pages: list[str] = []
    token = ""
    while True:
        group = (await crm.ask("BatchListTimelineEntries", customer_ids=[made.id], page_size=3, page_token=token)).groups[0]
        pages += [row.id for row in group.timeline_entries]
        token = group.next_page_token
        if not token:
            break
    assert pages == [row.id for row in rows]
    seen = (await crm.ask("BatchListTimelineEntries", role="MARKETER", customer_ids=[made.id], page_size=100)).groups[0].timeline_entries
    assert {row.resource for row in seen} == {"customers", "contacts", "tickets"}


async def test_a_segment_tells_its_members_only_to_who_may_read_it(crm: Installation) -> None:
    stranger = await crm.person("segment stranger", "SALES_REP", unit="other")
    one = await make(crm, "段密")
    await crm.ask("AssignCustomer", customer_id=one.id, owner_id=stranger)
    made = await segment(crm, "段密")
    assert await members(crm, made.id) == {one.id}
    assert await members(crm, made.id, "segment stranger") == set()
    # That their own customer is in some segment they may know: it tells what marketing will send.
    found = await crm.ask("BatchListCustomerSegments", role="segment stranger", customer_ids=[one.id])
    assert [member.segment_id for member in found.groups[0].segment_members] == [made.id]
