"""What a reader is told of records is of records that they may read: lists, timelines, names that are copies, and every number."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio
from crm.common.v1 import disclosure_service_pb2
from crm.marketing.v1 import campaign_pb2

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from gateway.graph.contract import to_global
from tests.e2e.test_access_roles import departments, holder, role
from tests.e2e.world import message
from tests.support.checks import equals
from tests.support.installation import Installation

DISCLOSURES = disclosure_service_pb2.DESCRIPTOR.services_by_name["DisclosureService"]
WORK = """query($id: ID!) { customer(id: $id) {
    opportunities { nodes { name } } tickets { nodes { subject } } messages { nodes { subject contactName } } timeline(first: 50) { nodes { subject } } } }"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def reps(crm: Installation) -> dict[str, str]:
    """Two reps of different departments and their leads, and a pipeline."""
    found = {key: await crm.person(key, kind, unit=unit) for key, kind, unit in (
        ("owner", "SALES_REP", "sales"), ("other", "SALES_REP", "other"), ("lead of owner", "SALES_LEAD", "sales"), ("lead of other", "SALES_LEAD", "other"),
    )}  # fmt: skip
    for name in ("organization", "customer", "sales", "marketing", "support"):
        await crm.until(lambda name=name: set(found.values()) <= set(crm.suite[name].authority.directory.members), 5)  # type: ignore[misc]
    made = await crm.ask("CreatePipeline", name=f"管道 {new_id()}", stages=[{"key": "first", "name": "第一", "probability": 10}])
    return found | {"pipeline": made.pipeline.id}


async def customer_of(crm: Installation, key: str, **more: Any) -> str:
    return str((await crm.ask("CreateCustomer", role=key, name=f"客户 {new_id()}", kind=1, **more)).customer.id)


async def worked_on(crm: Installation, reps: dict[str, str], customer: str, owner: str) -> None:
    """Work of every department for a customer, in the name of somebody."""
    named = {"customer_id": customer, "owner_id": owner}
    opportunity = {**named, "name": "别人的商机", "pipeline_id": reps["pipeline"]}
    made = await crm.ask("CreateOpportunity", role="COORDINATOR", **opportunity)
    ticket = await crm.ask("CreateTicket", role="COORDINATOR", **named, subject="别人的工单", channel=1)
    await crm.ask("LoseOpportunity", role="COORDINATOR", opportunity_id=made.opportunity.id, reason="x")
    await crm.ask("ResolveTicket", role="COORDINATOR", ticket_id=ticket.ticket.id, resolution="x")  # open work would open its customer
    contact = await crm.ask("CreateContact", role="COORDINATOR", customer_id=customer, name="联系人甲")
    key = new_id()
    campaigns = [message("BatchUpsertCampaigns", source_key=key, name="活动", channel=1, state=3, owner_id=owner)]
    out = await crm.ask("BatchUpsertCampaigns", campaigns=campaigns)
    rows = [message(
        "BatchUpsertCampaignMessages", source_key=key, campaign_id=out.outcomes[0].id, customer_id=customer, contact_id=contact.contact.id, state=2,
        subject="活动", contact_name="联系人甲", owner_id=owner, planned_time={"seconds": 1}, sent_time={"seconds": 2},
    )]  # fmt: skip
    await crm.ask("BatchUpsertCampaignMessages", campaign_messages=rows)
    await crm.settled()


@pytest.mark.parametrize(("reader", "sees"), [("owner", True), ("lead of owner", True), ("lead of other", False)])
async def test_who_answers_for_a_customer_reads_what_others_do_with_it(
    crm: Installation, reps: dict[str, str], reader: str, sees: bool
) -> None:
    customer = await customer_of(crm, "owner")
    await worked_on(crm, reps, customer, reps["other"])
    asked = {"opportunities": "ListOpportunities", "tickets": "ListTickets", "campaign_messages": "ListCampaignMessages"}

    async def found() -> list[bool]:
        answers = [await crm.ask(rpc, role=reader, page_size=100, filter=equals("customer_id", customer)) for rpc in asked.values()]
        return [bool(getattr(answer, rows)) for answer, rows in zip(answers, asked, strict=True)]

    if sees:
        await crm.until(lambda: _all(found), 5)
        told = (await crm.data(WORK, reader, id=to_global("Customer", customer)))["customer"]
        assert {row["subject"] for row in told["timeline"]["nodes"]} >= {"别人的商机", "别人的工单", "活动"}
        assert [row["name"] for row in told["opportunities"]["nodes"]] == ["别人的商机"]
    else:  # what is done in the own name is one's team's, the customer is not
        assert (await crm.data(WORK, reader, id=to_global("Customer", customer)))["customer"] is None


async def _all(found: Any) -> bool:
    return all(await found())


async def test_what_a_customer_takes_along_when_it_goes_to_somebody_else(crm: Installation, reps: dict[str, str]) -> None:
    customer = await customer_of(crm, "owner")
    await worked_on(crm, reps, customer, reps["lead of other"])

    async def count(reader: str) -> int:
        return len((await crm.ask("ListOpportunities", role=reader, filter=equals("customer_id", customer))).opportunities)

    await crm.until(lambda: _equals(count("owner"), 1), 5)
    assert await count("other") == 0
    await crm.ask("AssignCustomer", role="COORDINATOR", customer_id=customer, owner_id=reps["other"])
    await crm.until(lambda: _equals(count("other"), 1), 5)
    await crm.until(lambda: _equals(count("owner"), 0), 5)


async def _equals(value: Any, wanted: int) -> bool:
    return bool(await value == wanted)


async def test_to_read_what_others_do_is_not_to_change_it(crm: Installation, reps: dict[str, str]) -> None:
    customer = await customer_of(crm, "owner")
    made = await crm.ask(
        "CreateOpportunity", role="COORDINATOR", customer_id=customer, name="别人的", owner_id=reps["other"], pipeline_id=reps["pipeline"]
    )
    await crm.settled()
    identity = made.opportunity.id
    await crm.until(lambda: _done(crm.ask("GetOpportunity", role="owner", opportunity_id=identity)), 5)
    with pytest.raises(CrmError) as refused:
        await crm.ask("ArchiveOpportunity", role="owner", opportunity_id=identity)
    assert refused.value.code == "NOT_ALLOWED"


async def _done(asking: Any) -> bool:
    try:
        await asking
    except CrmError:
        return False
    return True


async def test_why_who_answers_for_a_customer_reads_it_is_told(crm: Installation, reps: dict[str, str]) -> None:
    customer = await customer_of(crm, "owner")
    given = {"customer_id": customer, "name": "别人的", "owner_id": reps["other"], "pipeline_id": reps["pipeline"]}
    made = await crm.ask("CreateOpportunity", role="COORDINATOR", **given)
    await crm.until(lambda: _done(crm.ask("GetOpportunity", role="owner", opportunity_id=made.opportunity.id)), 5)
    query = "query($id: ID!) { accessExplain(id: $id) { allowed reasons { rule role } } }"
    told = (await crm.data(query, "owner", id=to_global("Opportunity", made.opportunity.id)))["accessExplain"]
    assert told == {"allowed": True, "reasons": [{"rule": "OWNERSHIP", "role": "SALES_REP"}]}


async def test_what_a_guest_begins_ends_with_the_invitation(crm: Installation, reps: dict[str, str]) -> None:
    customer = await customer_of(crm, "owner", collaborator_ids=[reps["other"]])
    seen = {"customer_id": customer}
    await crm.until(lambda: _done(crm.ask("GetCustomer", role="other", **seen)), 5)
    made = await crm.ask("CreateOpportunity", role="other", customer_id=customer, name="客人的", pipeline_id=reps["pipeline"])
    ticket = await crm.ask("CreateTicket", role="COORDINATOR", customer_id=customer, subject="给客人", channel=1, owner_id=reps["other"])
    await crm.settled()
    await crm.ask("UpdateCustomer", role="owner", customer_id=customer, version=1, update_mask={"paths": ["collaborator_ids"]})
    await crm.settled()
    assert await _done(crm.ask("GetCustomer", role="other", **seen))  # a ticket that somebody gave who may, does open it
    await crm.ask("ResolveTicket", role="COORDINATOR", ticket_id=ticket.ticket.id, resolution="x")

    async def gone() -> bool:
        return not await _done(crm.ask("GetCustomer", role="other", **seen))

    await crm.until(gone, 5)
    assert await _done(crm.ask("GetOpportunity", role="other", opportunity_id=made.opportunity.id))
    await crm.until(lambda: _done(crm.ask("GetOpportunity", role="owner", opportunity_id=made.opportunity.id)), 5)


# ---- numbers


async def test_a_segment_counts_what_its_reader_may_see(crm: Installation, reps: dict[str, str]) -> None:
    industry = new_id()
    for key in ("owner", "owner", "other"):
        await customer_of(crm, key, industry=industry)
    made = await crm.ask("CreateSegment", role="lead of owner", name=industry, criteria=equals("industry", industry))
    await crm.settled()
    asked = {"segment_id": made.segment.id}
    version = (await crm.ask("GetSegment", role="COORDINATOR", **asked)).segment.version

    async def told(reader: str) -> int | None:
        segment = (await crm.ask("GetSegment", role=reader, **asked)).segment
        return int(segment.member_count) if segment.HasField("member_count") else None

    assert [await told(reader) for reader in ("COORDINATOR", "lead of owner")] == [3, 2]
    listed = await crm.ask("ListSegments", role="lead of owner", filter=equals("name", industry))
    assert listed.segments[0].member_count == 2
    changed = await crm.ask(
        "UpdateSegment", role="lead of owner", **asked, version=version, update_mask={"paths": ["description"]}, description="x"
    )
    assert changed.segment.member_count == 2
    sees = await role(crm, f"只看人群 {new_id()}", [("segments", "read", "ALL")], [])
    await holder(crm, "sees segments", sees["id"])
    assert await told("sees segments") is None


async def test_criteria_are_for_who_may_read_what_they_ask(crm: Installation) -> None:
    found = await role(crm, f"人群无客户 {new_id()}", [("segments", "create", "ALL"), ("segments", "read", "ALL")], [])
    await holder(crm, "segments alone", found["id"])
    with pytest.raises(CrmError) as refused:
        await crm.ask("CreateSegment", role="segments alone", name="x", criteria=equals("industry", "x"))
    assert (refused.value.code, refused.value.field) == ("NOT_ALLOWED", "criteria")
    few = await role(
        crm, f"人群少 {new_id()}", [("segments", "create", "ALL"), ("segments", "read", "ALL"), ("customers", "read", "ALL")],
        [("customers", "region", "HIDDEN")],
    )  # fmt: skip
    await holder(crm, "no regions", few["id"])
    with pytest.raises(CrmError) as hidden:
        await crm.ask("CreateSegment", role="no regions", name="x", criteria=equals("region", "x"))
    assert hidden.value.field == "criteria"


async def test_a_hidden_field_is_not_told_by_the_number_or_the_facts_of_a_segment(crm: Installation) -> None:
    region = new_id()
    customer = await customer_of(crm, "COORDINATOR", region=region)
    made = await crm.ask("CreateSegment", role="COORDINATOR", name=region, criteria=equals("region", region))
    await crm.settled()
    acts = [(one, "read", "ALL") for one in ("segments", "customers", "timeline_entries", "histories")]
    secret = await role(crm, f"无区域 {new_id()}", acts, [("customers", "region", "HIDDEN")])
    await holder(crm, "regions hidden", secret["id"])
    query = "query($id: ID!) { customer(id: $id) { timeline(first: 50) { nodes { eventType } } } }"
    kinds = {}
    for reader in ("COORDINATOR", "regions hidden"):
        rows = (await crm.data(query, reader, id=to_global("Customer", customer)))["customer"]["timeline"]["nodes"]
        kinds[reader] = {row["eventType"].rsplit(".", 1)[1] for row in rows}
    assert kinds["COORDINATOR"] - kinds["regions hidden"] == {"SegmentMemberEntered"}
    segment = (await crm.ask("GetSegment", role="regions hidden", segment_id=made.segment.id)).segment
    assert (segment.HasField("member_count"), segment.HasField("criteria")) == (False, False)
    changed = {"update_mask": {"paths": ["criteria"]}, "criteria": equals("region", "x"), "version": segment.version}
    await crm.ask("UpdateSegment", role="COORDINATOR", segment_id=made.segment.id, **changed)
    history = "query($id: ID!) { recordHistory(id: $id) { nodes { changes { field before } } } }"
    told = [str(await crm.data(history, one, id=to_global("Segment", made.segment.id))) for one in ("COORDINATOR", "regions hidden")]
    assert [region in one for one in told] == [True, False]


async def test_numbers_of_messages_and_replies_are_for_who_reads_all_of_them(crm: Installation, reps: dict[str, str]) -> None:
    out = await crm.ask(
        "BatchUpsertCampaigns",
        campaigns=[message("BatchUpsertCampaigns", source_key=new_id(), name="活动", channel=1, state=1, owner_id=crm.people["MARKETER"])],
    )
    asked = {"campaign_id": out.outcomes[0].id}
    names = [field.name for field in campaign_pb2.Campaign.DESCRIPTOR.fields if field.name.endswith("_count")]
    assert len(names) >= 8
    await crm.suite["marketing"].database["campaigns"].update_one({"_id": asked["campaign_id"]}, {"$set": dict.fromkeys(names, 7)})
    for paths in ([], names):
        mask = {"read_mask": {"paths": paths}} if paths else {}
        known = (await crm.ask("GetCampaign", role="MARKETER", **asked, **mask)).campaign
        unknown = (await crm.ask("GetCampaign", role="owner", **asked, **mask)).campaign
        assert [getattr(known, name) for name in names] == [7] * len(names)
        assert [name for name in names if unknown.HasField(name)] == []
    ticket = (await crm.ask("CreateTicket", role="COORDINATOR", subject="工单", channel=1)).ticket
    await crm.ask("CreateTicketReply", role="COORDINATOR", ticket_id=ticket.id, text="内部", author=2, internal=True)
    told = [(await crm.ask("GetTicket", role=reader, ticket_id=ticket.id)).ticket for reader in ("COORDINATOR", "MARKETER")]
    assert [one.reply_count if one.HasField("reply_count") else None for one in told] == [1, None]


async def test_who_is_not_told_a_kept_number_neither_finds_nor_sorts_by_it(crm: Installation, reps: dict[str, str]) -> None:
    mark = new_id()
    for _ in range(2):
        given = {"subject": mark, "channel": 1, "owner_id": crm.people["COORDINATOR"]}
        ticket = (await crm.ask("CreateTicket", role="COORDINATOR", **given)).ticket
    await crm.ask("CreateTicketReply", role="COORDINATOR", ticket_id=ticket.id, text="内部", author=2, internal=True)
    query = """query($m: String!) { tickets(first: 10, filter: {subject: {eq: $m}, replyCount: {gte: 1}}) { nodes { replyCount } totalCount { count } } }"""
    order = """query($m: String!) { tickets(first: 10, filter: {subject: {eq: $m}}, sortBy: [{field: REPLY_COUNT, direction: DESC}]) { nodes { replyCount } } }"""
    count = "query($m: String!) { ticketCount(filter: {subject: {eq: $m}, replyCount: {gte: 1}}) { count } }"
    found = await crm.data(query, "COORDINATOR", m=mark)
    assert found["tickets"] == {"nodes": [{"replyCount": 1}], "totalCount": {"count": 1}}
    ranked = (await crm.data(order, "COORDINATOR", m=mark))["tickets"]["nodes"]
    assert [row["replyCount"] for row in ranked] == [1, 0]
    acts = [("tickets", "read", "ALL")]
    for name, replies, code in (("none", [], "FIELD_NOT_READABLE"), ("own", [("ticket_replies", "read", "OWN")], "")):
        made = await role(crm, f"看工单 {name} {new_id()}", acts + replies, [])
        await holder(crm, f"replies: {name}", made["id"])
        for asked in (query, order, count):
            told = await crm.graph(asked, f"replies: {name}", m=mark)
            if code:
                assert told["errors"][0]["extensions"]["code"] == code, (name, asked)
            else:  # they are told of their own tickets alone, of which these are none
                assert next(iter(told["data"].values())) in ({"nodes": [], "totalCount": {"count": 0}}, {"nodes": []}, {"count": 0}), asked


async def test_a_name_that_is_a_copy_is_for_who_may_read_what_it_repeats(crm: Installation, reps: dict[str, str]) -> None:
    found = await role(
        crm, f"看所有信件 {new_id()}", [("campaign_messages", "read", "ALL"), ("contacts", "read", "OWN"), ("customers", "read", "OWN")], []
    )
    reader = await holder(crm, "all letters", found["id"])
    mine, other = await customer_of(crm, "COORDINATOR", owner_id=reader), await customer_of(crm, "owner")
    for customer in (mine, other):
        await worked_on(crm, reps, customer, reps["other"])

    async def names() -> dict[str, str]:
        asked = {"customer_ids": [mine, other]}
        groups = (await crm.ask("BatchListCampaignMessages", role="all letters", **asked)).groups
        return {group.key: group.campaign_messages[0].contact_name for group in groups}

    await crm.until(lambda: _same(names(), {mine: "联系人甲", other: ""}), 5)


async def _same(value: Any, wanted: Any) -> bool:
    return bool(await value == wanted)


# ---- what nobody lends


async def test_who_stands_in_for_a_coordinator_neither_discloses_nor_erases(crm: Installation) -> None:
    away, deputy = await crm.person("coordinator away", "COORDINATOR"), await crm.person("deputy of one", "MANAGER")
    await crm.until(lambda: all({away, deputy} <= set(one.authority.directory.members) for _, one in departments(crm)), 5)
    await crm.ask("SetAbsence", role="coordinator away", person_id=away, deputy_id=deputy)
    customer = await customer_of(crm, "COORDINATOR", phone="13812345678")
    await crm.until(lambda: _done(_renamed(crm, customer)), 5)  # the deputyship counts
    for rpc, more in (("EraseCustomer", {"reason": "x"}), ("DiscloseSubject", {})):
        code = "" if await _done(_asked(crm, rpc, "deputy of one", customer_id=customer, **more)) else "refused"
        assert code == "refused", rpc


async def _renamed(crm: Installation, customer: str) -> None:
    before = (await crm.ask("GetCustomer", role="COORDINATOR", customer_id=customer)).customer
    named = {"update_mask": {"paths": ["industry"]}, "industry": "x", "version": before.version}
    await crm.ask("UpdateCustomer", role="deputy of one", customer_id=customer, **named)


async def _asked(crm: Installation, rpc: str, reader: str, **fields: Any) -> Any:
    if rpc != "DiscloseSubject":
        return await crm.ask(rpc, role=reader, **fields)
    request = disclosure_service_pb2.DiscloseSubjectRequest(**fields)
    return await crm.channels["customer"].call(DISCLOSURES, rpc, request, token=crm.tokens[reader])


async def test_a_disclosure_shows_what_its_reader_gets_of_a_field(crm: Installation) -> None:
    acts = [("disclosures", "read", "ALL"), ("customers", "read", "ALL")]
    found = await role(crm, f"查阅 {new_id()}", acts, [("customers", "phone", "MASKED"), ("customers", "email", "HIDDEN")])
    await holder(crm, "masked discloser", found["id"])
    customer = await customer_of(crm, "COORDINATOR", phone="13812345678", email="li.si@example.com")
    told = {}
    for reader in ("COORDINATOR", "masked discloser"):
        places = (await _asked(crm, "DiscloseSubject", reader, customer_id=customer)).places
        record = next(place for place in places if place.place == "customers").records[0]
        told[reader] = {one.field: one.value for one in record.values if one.field in ("phone", "email")}
    assert told["COORDINATOR"] == {"phone": '"13812345678"', "email": '"li.si@example.com"'}
    assert told["masked discloser"] == {"phone": '"138****5678"'}


async def test_a_list_counts_for_a_reader_what_it_shows_them(crm: Installation, reps: dict[str, str]) -> None:
    mark = new_id()
    for key, number in (("owner", 3), ("other", 2)):
        for _ in range(number):
            await customer_of(crm, key, industry=mark)
    query = """query($m: String!) { customers(first: 100, filter: {industry: {eq: $m}}) { nodes { id } totalCount { count exact } }
        customerCount(filter: {industry: {eq: $m}}) { count exact } }"""
    for reader, seen in {"owner": 3, "lead of owner": 3, "other": 2, "lead of other": 2, "COORDINATOR": 5}.items():
        found = await crm.data(query, reader, m=mark)
        assert len(found["customers"]["nodes"]) == seen
        assert found["customers"]["totalCount"] == found["customerCount"] == {"count": seen, "exact": True}, reader
