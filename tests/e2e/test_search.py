"""One search over every kind of record: what it finds and how it is told, what it must not tell, and what it costs."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from chassis.kernel.clock import now
from chassis.kernel.ids import new_id
from chassis.kernel.terms import of_question
from chassis.storage.terms import sought
from gateway.graph.contract import to_global
from tests.e2e.test_access_roles import departments, holder, role
from tests.support.checks import cny
from tests.support.installation import Installation

SEARCH = """query($q: String!, $kinds: [RecordKind!], $first: Int, $archived: Boolean! = false) {
  search(query: $q, kinds: $kinds, first: $first, archived: $archived) {
    hits { rank card { kind recordId title subtitle state owner { name } customer { name } } matched { field before match after }
      record { id ... on Ticket { number } ... on Customer { name } } }
    missingDepartments } }"""
BOSS = {"role": "COORDINATOR"}


async def search(crm: Installation, question: str, who: str = "COORDINATOR", **more: Any) -> list[dict[str, Any]]:
    """The hits of a search that every department answered."""
    found = (await crm.data(SEARCH, who, q=question, **more))["search"]
    assert found["missingDepartments"] == []
    return list(found["hits"])


async def titles(crm: Installation, question: str, who: str = "COORDINATOR", **more: Any) -> list[str]:
    return [hit["card"]["title"] for hit in await search(crm, question, who, **more)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def made(crm: Installation) -> dict[str, str]:
    """Something of every kind whose name has 岚皋 in it."""
    customer = (
        await crm.ask("CreateCustomer", role="SALES_REP", kind=1, name="岚皋茶业有限公司", phone="0915-2522345", industry="茶叶")
    ).customer.id
    about = {**BOSS, "customer_id": customer}
    contact = (await crm.ask("CreateContact", **about, name="解岚皋", phone="+86 139 9255 1177", email="lan.gao@tea.example")).contact.id
    pipeline = (
        await crm.ask("CreatePipeline", name=f"管道 {new_id()}", stages=[{"key": "first", "name": "第一", "probability": 10}])
    ).pipeline.id
    opportunity = (await crm.ask("CreateOpportunity", **about, name="岚皋年度框架", pipeline_id=pipeline, amount=cny(1200))).opportunity.id
    line = {"quantity": 1, "unit_price": cny(5), "description": "茶"}
    order = (await crm.ask("CreateOrder", **about, number="LG-2026-00731", lines=[line])).order.id
    ticket = (await crm.ask("CreateTicket", **about, subject="岚皋到货破损", channel=1)).ticket
    article = (
        await crm.ask("CreateArticle", **BOSS, title="岚皋运费", body="七天内可以退货，E-1024 说明包装破损。", category="运费", language=1)
    ).article.id
    campaign = (await crm.ask("CreateCampaign", **BOSS, name="岚皋春茶节", channel=1)).campaign.id
    product = (await crm.ask("CreateProduct", **BOSS, name="岚皋绿茶", code="TEA-0915")).product.id
    await crm.settled()
    return {
        "CUSTOMER": customer, "CONTACT": contact, "OPPORTUNITY": opportunity, "ORDER": order, "TICKET": ticket.id, "ARTICLE": article,
        "CAMPAIGN": campaign, "PRODUCT": product, "number": ticket.number,
    }  # fmt: skip


async def test_one_question_finds_every_kind_by_one_call_a_department(crm: Installation, made: dict[str, str]) -> None:
    channels = crm.suite.running["gateway"].clients.channels
    before = {name: Counter(channel.calls) for name, channel in channels.items()}
    hits = await search(crm, "岚皋", first=50)
    asked = {name: dict(Counter(channel.calls) - before[name]) for name, channel in channels.items()}
    assert [calls.get("Search") for calls in asked.values()] == [1] * 5, asked
    # A record, and a customer as a card's edge too, which is asked for less of it.
    assert all(count <= 1 + (method == "BatchGetCustomers") for calls in asked.values() for method, count in calls.items()), asked
    kinds = {hit["card"]["kind"] for hit in hits}
    assert kinds == {"CUSTOMER", "CONTACT", "OPPORTUNITY", "TICKET", "ARTICLE", "CAMPAIGN", "PRODUCT"}
    assert all(hit["record"]["id"] == hit["card"]["recordId"] for hit in hits)
    ranks = [hit["rank"] for hit in hits]
    assert ranks == sorted(ranks, key=["WHOLE", "BEGINS", "PART"].index)
    told = {hit["card"]["kind"]: hit["card"] for hit in hits}
    assert told["OPPORTUNITY"]["subtitle"] == "1,200.00 CNY" and told["OPPORTUNITY"]["state"] == "OPEN"
    assert told["TICKET"]["subtitle"] == made["number"] and told["TICKET"]["customer"] == {"name": "岚皋茶业有限公司"}
    assert told["CUSTOMER"]["owner"] == {"name": "人 SALES_REP"} and told["CUSTOMER"]["state"] is None


@pytest.mark.parametrize(
    ("question", "kind", "field", "match"),
    [
        ("茶业", "CUSTOMER", "name", "茶业"), ("lgcy", "CUSTOMER", "name", "岚皋茶业"), ("langao", "CAMPAIGN", "name", "岚皋"),
        ("嵐皋", "TICKET", "subject", "岚皋"), ("xielangao", "CONTACT", "name", "解岚皋"), ("00731", "ORDER", "number", "00731"),
        ("lg2026", "ORDER", "number", "LG-2026"), ("731", "ORDER", "number", "731"), ("tea 0915", "PRODUCT", "code", "TEA"),
        ("E1024", "ARTICLE", "body", "E-1024"), ("怎么退", "ARTICLE", "body", "退"), ("lan.gao@tea.example", "CONTACT", "email", "lan.gao@tea.example"),
        ("139-9255-1177", "CONTACT", "phone", "86 139 9255 1177"), ("0915 2522345", "CUSTOMER", "phone", "0915-2522345"),
        ("13992551177", "CUSTOMER", "contacts.phone", "86 139 9255 1177"), ("解岚", "CUSTOMER", "contacts.name", "解岚"),
    ],
)  # fmt: skip
async def test_a_hit_says_what_matched(crm: Installation, made: dict[str, str], question: str, kind: str, field: str, match: str) -> None:
    hits = await search(crm, question, kinds=[kind])
    found = [hit for hit in hits if hit["record"]["id"] == to_global(kind.capitalize(), made[kind])]
    assert found, hits
    assert (field, match) in [(one["field"], one["match"]) for one in found[0]["matched"]], found[0]["matched"]


async def test_a_ticket_is_found_by_its_number_however_it_is_typed(crm: Installation, made: dict[str, str]) -> None:
    for question in (made["number"], made["number"].lower(), made["number"].replace("-", " ")):
        hits = await search(crm, question, kinds=["TICKET"])
        assert hits[0]["record"]["number"] == made["number"], question


async def test_whole_names_come_first_and_of_equals_what_changed_last(crm: Installation) -> None:
    for name in ("镇坪", "镇坪供销", "新镇坪", "镇坪"):
        await crm.ask("CreateCustomer", **BOSS, kind=1, name=name)
    hits = await search(crm, "镇坪", kinds=["CUSTOMER"])
    assert [hit["card"]["title"] for hit in hits] == ["镇坪", "镇坪", "镇坪供销", "新镇坪"]
    first = hits[1]["card"]["recordId"]
    change = "mutation($input: CustomerUpdateInput!) { customerUpdate(input: $input) { errors { message } } }"
    await crm.data(change, input={"customerId": first, "version": 1, "industry": "x"})
    assert (await search(crm, "镇坪", kinds=["CUSTOMER"]))[0]["card"]["recordId"] == first


async def test_what_is_out_of_use_is_found_on_request(crm: Installation) -> None:
    one = (await crm.ask("CreateProduct", **BOSS, name="停产紫阳壶", code=f"P-{new_id()}")).product
    await crm.ask("ArchiveProduct", **BOSS, product_id=one.id, version=1)
    assert await titles(crm, "紫阳壶") == []
    assert await titles(crm, "紫阳壶", archived=True) == ["停产紫阳壶"]


async def test_what_a_role_does_not_get_neither_finds_nor_shows(crm: Installation, made: dict[str, str]) -> None:
    reads = [(name, "read", "ALL") for name in ("customers", "contacts", "records", "people", "graph")]
    hidden = [
        ("customers", "phone", "HIDDEN"),
        ("contacts", "name", "MASKED"),
        ("contacts", "email", "HIDDEN"),
        ("customers", "industry", "HIDDEN"),
    ]
    await holder(crm, "peeping", (await role(crm, "搜索少看", reads, hidden))["id"])
    for question in ("0915-2522345", "lan.gao@tea.example", "解岚", "xielangao"):
        assert await search(crm, question, "peeping") == [], question
    (hit,) = await search(crm, "岚皋", "peeping")
    assert hit["card"]["title"] == "岚皋茶业有限公司" and "茶叶" not in str(hit)
    (by_number,) = await search(crm, "13992551177", "peeping", kinds=["CONTACT"])
    # The customer's name is theirs to read; of the contact's they get what they get elsewhere.
    told = by_number["card"]
    assert (told["title"], told["subtitle"], told["customer"]) == ("解****", "", {"name": "岚皋茶业有限公司"}) and "lan.gao" not in str(
        by_number
    )
    assert [(one["field"], one["match"]) for one in by_number["matched"]] == [("phone", "86 139 9255 1177")]
    none = await role(crm, "不许搜索", [("customers", "read", "ALL")], [])
    await holder(crm, "mute", none["id"])
    refused = await crm.graph(SEARCH, "mute", q="岚皋")
    assert refused["errors"][0]["extensions"]["code"] == "NOT_ALLOWED"


async def test_records_out_of_reach_are_not_found(crm: Installation, made: dict[str, str]) -> None:
    await crm.person("afar", "SALES_REP", unit="other")
    assert {hit["card"]["kind"] for hit in await search(crm, "岚皋", "afar")} <= {"CAMPAIGN", "PRODUCT", "ARTICLE"}
    assert await search(crm, "13992551177", "afar") == [] == await search(crm, "LG-2026-00731", "afar")


async def test_a_contract_finds_by_what_it_shows_alone(crm: Installation, made: dict[str, str]) -> None:
    await crm.person("partner", "SALES_REP", unit="other")
    given = {
        "display_name": "联合搜索", "provider_department_id": crm.units["sales"], "consumer_department_id": crm.units["other"],
        "resource": "customers", "fields": ["name"], "purpose": "搜索", "start_time": {"seconds": int((now() - timedelta(days=1)).timestamp())},
        "end_time": {"seconds": int((now() + timedelta(days=9)).timestamp())},
    }  # fmt: skip
    contract = (await crm.ask("CreateSharingContract", role="ADMINISTRATOR", **given)).sharing_contract

    def known(there: bool) -> bool:
        all_contracts = [[one.contract_id for one in department.authority.directory.contracts] for _, department in departments(crm)]
        return all((contract.id in each) is there for each in all_contracts)

    await crm.until(lambda: known(True), 5)
    hits = await search(crm, "岚皋茶业", "partner", kinds=["CUSTOMER"])
    assert [hit["card"]["title"] for hit in hits] == ["岚皋茶业有限公司"] and hits[0]["card"]["subtitle"] == ""
    assert await search(crm, "0915-2522345", "partner") == [] == await search(crm, "13992551177", "partner")
    await crm.ask("ArchiveSharingContract", role="ADMINISTRATOR", sharing_contract_id=contract.id)
    await crm.until(lambda: known(False), 5)
    assert await search(crm, "岚皋茶业", "partner", kinds=["CUSTOMER"]) == []


async def test_a_merged_customer_leads_to_the_one_that_it_is_part_of(crm: Installation) -> None:
    keep = (await crm.ask("CreateCustomer", **BOSS, kind=1, name="旬阳矿业")).customer.id
    lose = (await crm.ask("CreateCustomer", **BOSS, kind=1, name="洵河水电", phone="0915-7233001")).customer.id
    await crm.ask("MergeCustomers", **BOSS, survivor_id=keep, loser_id=lose, reason="一家")
    for question in ("洵河", "0915-7233001"):
        (hit,) = await search(crm, question, kinds=["CUSTOMER"])
        assert hit["record"]["id"] == to_global("Customer", keep) and hit["card"]["title"] == "旬阳矿业", question
    cards = "query($ids: [ID!]!) { recordCards(ids: $ids) { kind recordId title record { id } } }"
    asked = [to_global("Customer", lose), to_global("Product", "nowhere"), to_global("Customer", keep)]
    found = (await crm.data(cards, ids=asked))["recordCards"]
    assert [one["title"] for one in found] == ["旬阳矿业", "旬阳矿业"] and {one["record"]["id"] for one in found} == {asked[2]}


async def test_nothing_of_whoever_was_erased_is_found_anywhere(crm: Installation) -> None:
    customer = (await crm.ask("CreateCustomer", **BOSS, kind=2, name="白河行者", phone="0915-7812001")).customer.id
    about = {**BOSS, "customer_id": customer}
    await crm.ask("CreateContact", **about, name="白河家人")
    await crm.ask("CreateTicket", **about, subject="白河的投诉", channel=1)
    assert len(await search(crm, "白河")) == 3
    await crm.ask("EraseCustomer", **BOSS, customer_id=customer, reason="本人要求")
    await crm.settled()
    for question in ("白河", "baihe", "0915-7812001", "已删除"):
        assert await search(crm, question, archived=True) == [], question
    for department in ("customer", "support"):
        for table in ("customers", "contacts", "tickets"):
            async for row in crm.suite[department].database[table].find({"$or": [{"_id": customer}, {"customer_id": customer}]}):
                assert not row.get("search_terms"), table


async def test_a_personal_text_that_a_hit_shows_stands_among_the_reads(crm: Installation, made: dict[str, str]) -> None:
    await search(crm, "139 9255 1177", kinds=["CUSTOMER"])
    department = crm.suite["customer"]
    await department.server.reads.flush()
    rows = department.database["audit_entries"].find({"action": "PersonalDataRead", "read_ids": made["CONTACT"], "method": "Search"})
    assert "phone" in {name async for row in rows for name in row["fields"]}


@pytest.mark.parametrize("question", ["!?", "。，", "@", "'", "(((", "\\", "^", "$where", "*" * 200])
async def test_a_question_without_words_finds_nothing(crm: Installation, question: str) -> None:
    assert await search(crm, question) == []


@pytest.mark.parametrize("first", [0, 51, -1])
async def test_pages_are_bounded(crm: Installation, first: int) -> None:
    body = await crm.graph(SEARCH, q="x", first=first)
    assert body["errors"][0]["extensions"]["code"] == "INVALID_ARGUMENT"


async def test_a_department_that_is_away_is_named_and_the_others_answer(own_crm: Installation) -> None:
    await own_crm.ask("CreateCustomer", **BOSS, kind=1, name="平利女娲茶")
    await own_crm.ask("CreateProduct", **BOSS, name="女娲茶礼盒", code="NW-1")
    assert len((await own_crm.data(SEARCH, q="女娲"))["search"]["hits"]) == 2
    await own_crm.suite.stop("sales")
    found = (await own_crm.data(SEARCH, q="女娲"))["search"]
    assert [hit["card"]["kind"] for hit in found["hits"]] == ["CUSTOMER"] and found["missingDepartments"] == ["sales"]
    alone = await own_crm.graph(SEARCH, q="女娲", kinds=["PRODUCT"])
    assert alone["data"]["search"] is None and alone["errors"][0]["extensions"]["department"] == "sales"


QUESTIONS = ("岚皋", "岚", "langao", "lg", "tea 0915", "LG-2026-00731", "13992551177", "a@b.example", "怎么退", "E1024", "岚皋 茶业")


async def test_every_question_is_answered_from_an_index(crm: Installation) -> None:
    asked = 0
    for _, department in departments(crm):
        call = department.own_call("tests")
        for store in (one for one in department.stores if one.searched):
            for question in QUESTIONS:
                if (found := sought(call, store.searched, of_question(question))) is None:
                    continue
                find = {"find": store.resource, "filter": {"$and": [found, store.in_search()]}}
                told = await department.database.command({"explain": find, "verbosity": "queryPlanner"})
                assert "COLLSCAN" not in str(told["queryPlanner"]["winningPlan"]), (store.resource, question)
                asked += 1
    assert asked > 60
