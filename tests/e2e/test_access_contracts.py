"""Sharing contracts from end to end: another department sees exactly what is agreed, as long as it is, and learns no more at a side door."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from chassis.access import directory as access
from chassis.kernel.clock import now
from chassis.kernel.errors import CrmError
from gateway.graph.contract import to_global
from tests.e2e.test_access_roles import departments, holder, role
from tests.e2e.test_graph_websocket import ask, heard, listening, socket
from tests.support.checks import cny, equals, mask
from tests.support.installation import Installation

PHONE, MAIL, TAX, SITE = "13877776666", "agreed.canary@pact.example", "PACTTAX77", "https://pact.example"
FIELDS = "id version state: archiveTime ownerId departmentId kind name industry phone email taxNumber website annualRevenue { amount }"
SECRETS = (PHONE, PHONE[-8:], MAIL, "pact.example", TAX, "987654")


def silent(answer: Any) -> None:
    """Nothing of what is not agreed is in the answer."""
    for secret in SECRETS:
        assert secret not in str(answer), secret


def stamp(moment: datetime) -> dict[str, int]:
    return {"seconds": int(moment.timestamp())}


async def agreed(crm: Installation, **more: Any) -> Any:
    """A contract by which sales shows customers to the other department, known everywhere."""
    given: dict[str, Any] = {
        "display_name": "联合回访", "provider_department_id": crm.units["sales"], "consumer_department_id": crm.units["other"], "resource": "customers",
        "fields": ["name", "industry"], "purpose": "老客户联合回访", "start_time": stamp(now() - timedelta(days=1)),
        "end_time": stamp(now() + timedelta(days=30)), **more,
    }  # fmt: skip
    made = (await crm.ask("CreateSharingContract", role="ADMINISTRATOR", **given)).sharing_contract
    await crm.until(lambda: all(_known(one, made.id) for _, one in departments(crm)), 5)
    return made


def _known(department: Any, contract_id: str) -> bool:
    return any(one.contract_id == contract_id for one in department.authority.directory.contracts)


async def ended(crm: Installation, contract: Any) -> None:
    await crm.ask("ArchiveSharingContract", role="ADMINISTRATOR", sharing_contract_id=contract.id)
    await crm.until(lambda: not any(_known(one, contract.id) for _, one in departments(crm)), 5)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def people(crm: Installation) -> dict[str, str]:
    """A representative of the other department, somebody there without any right to customers, and a customer of each department."""
    await crm.person("visitor", "SALES_REP", unit="other")
    none = await role(crm, "没有客户权 p", [("articles", "read", "ALL"), ("histories", "read", "ALL"), ("explanations", "read", "OWN")], [])
    bare = await holder(crm, "bare", none["id"])
    units = {"home_department_id": crm.units["other"], "home_team_id": crm.units["other-team"]}
    await crm.ask("UpdatePerson", person_id=bare, version=2, update_mask=mask(*units), **units)
    wanted = crm.units["other"]
    await crm.until(lambda: all(one.authority.directory.members[bare].department_id == wanted for _, one in departments(crm)), 5)
    secret = {"phone": PHONE, "email": MAIL, "tax_number": TAX, "website": SITE, "annual_revenue": cny(987654)}
    theirs = (await crm.ask("CreateCustomer", role="SALES_REP", name="约定甲公司", kind=1, industry="约定", **secret)).customer
    own = (await crm.ask("CreateCustomer", role="visitor", name="约定乙公司", kind=1, industry="约定", phone="13800001111")).customer
    await crm.ask("CreateNote", role="SALES_REP", customer_id=theirs.id, text="pact.example 的备注")
    await crm.settled()
    return {"theirs": theirs.id, "own": own.id, "bare": bare}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def contract(crm: Installation, people: dict[str, str]) -> AsyncIterator[Any]:
    with pytest.raises(CrmError):  # the agreed minimum is nothing of it
        await crm.ask("GetCustomer", role="visitor", customer_id=people["theirs"])
    made = await agreed(crm)
    yield made
    await ended(crm, made)


async def listed(crm: Installation, who: str, **asked: Any) -> list[str]:
    answer = await crm.ask("ListCustomers", role=who, page_size=100, count_up_to=1000, **asked)
    if not answer.next_page_token and not asked.get("page_token"):  # what is counted is what is shown
        assert (answer.total.count, answer.total.exact) == (len(answer.customers), True)
    return [one.id for one in answer.customers]


@pytest.mark.usefixtures("contract")
@pytest.mark.parametrize("who", ["visitor", "bare"])
async def test_every_way_to_a_record_shows_exactly_what_is_agreed(crm: Installation, people: dict[str, str], who: str) -> None:
    ways = {
        f"query($id: ID!) {{ customer(id: $id) {{ {FIELDS} }} }}": lambda data: data["customer"],
        f"query($id: ID!) {{ node(id: $id) {{ ... on Customer {{ {FIELDS} }} }} }}": lambda data: data["node"],
        f'query {{ customers(filter: {{name: {{eq: "约定甲公司"}}}}) {{ nodes {{ {FIELDS} }} }} }}': lambda data: data["customers"][
            "nodes"
        ][0],
        f'query {{ customerSearch(query: "约定甲公司") {{ {FIELDS} }} }}': lambda data: data["customerSearch"][0],
    }
    for query, pick in ways.items():
        found = pick(await crm.data(query, who, **({"id": to_global("Customer", people["theirs"])} if "$id" in query else {})))
        silent(found)
        assert (found["name"], found["industry"], found["kind"], found["version"]) == ("约定甲公司", "约定", "COMPANY", 1), query
        assert {found[name] for name in ("phone", "email", "taxNumber", "website", "annualRevenue")} == {None}, query
    raw = (await crm.ask("GetCustomer", role=who, customer_id=people["theirs"])).customer
    told = {field.name for field, _ in raw.ListFields()}
    assert told == {
        "id",
        "version",
        "create_time",
        "update_time",
        "creator_id",
        "updater_id",
        "owner_id",
        "team_id",
        "department_id",
        "kind",
        "name",
        "industry",
    }
    part = (await crm.ask("GetCustomer", role=who, customer_id=people["theirs"], read_mask=mask("phone", "name"))).customer
    assert (part.name, part.phone) == ("约定甲公司", "")


@pytest.mark.usefixtures("contract")
async def test_what_a_role_reaches_stays_whole_beside_it(crm: Installation, people: dict[str, str]) -> None:
    found = {one.id: one for one in (await crm.ask("ListCustomers", role="visitor", page_size=100)).customers}
    assert (found[people["own"]].phone, found[people["theirs"]].phone) == ("13800001111", "")


@pytest.mark.usefixtures("contract")
async def test_no_filter_order_or_page_token_tells_what_is_not_agreed(crm: Installation, people: dict[str, str]) -> None:
    own, theirs = people["own"], people["theirs"]
    assert {own, theirs} <= set(await listed(crm, "visitor", filter=equals("industry", "约定")))
    both = {"all": {"items": [equals("industry", "约定"), {"negated": equals("tax_number", "nobody's")}]}}
    assert await listed(crm, "visitor", filter=both) == [own]
    for value in (TAX, "nobody's"):
        assert theirs not in await listed(crm, "visitor", filter=equals("tax_number", value))
        assert await listed(crm, "bare", filter=equals("tax_number", value)) == []
    assert theirs in await listed(crm, "bare", order_by=4)
    page = await crm.ask("ListCustomers", role="visitor", page_size=1, row_tokens=True, filter=equals("industry", "约定"))
    for token in (page.next_page_token, *page.row_tokens):
        silent(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode())
    following = await crm.ask(
        "ListCustomers", role="visitor", page_size=1, page_token=page.next_page_token, filter=equals("industry", "约定")
    )
    assert {page.customers[0].id, following.customers[0].id} == {own, theirs}


@pytest.mark.usefixtures("contract")
@pytest.mark.parametrize("question", [PHONE, PHONE[-4:], MAIL, "pact.example", TAX])
async def test_no_search_finds_by_what_is_not_agreed(crm: Installation, people: dict[str, str], question: str) -> None:
    for who in ("visitor", "bare"):
        found = (await crm.ask("SearchCustomers", role=who, query=question)).customers
        assert people["theirs"] not in [one.id for one in found]
    assert people["theirs"] in [one.id for one in (await crm.ask("SearchCustomers", role="SALES_REP", query=question)).customers]


@pytest.mark.usefixtures("contract")
async def test_nothing_that_hangs_on_the_record_is_opened(crm: Installation, people: dict[str, str]) -> None:
    query = """query($id: ID!) { customer(id: $id) { name timeline(first: 50) { nodes { subject } } notes(first: 5) { nodes { text } }
        contacts(first: 5) { nodes { name } } opportunities(first: 5) { nodes { name } } segments(first: 5) { nodes { enterTime } } orderTotals { saleCount } } }"""
    found = (await crm.data(query, "visitor", id=to_global("Customer", people["theirs"])))["customer"]
    silent(found)
    assert found.pop("name") == "约定甲公司"
    assert all(edge in ([], {"nodes": []}) for edge in found.values()), found
    history = "query($id: ID!) { recordHistory(id: $id) { nodes { action } } }"
    for who in ("visitor", "bare"):
        body = await crm.graph(history, who, id=to_global("Customer", people["theirs"]))
        assert not body["data"]["recordHistory"], body


@pytest.mark.usefixtures("contract")
async def test_what_is_shown_cannot_be_changed_or_built_upon(crm: Installation, people: dict[str, str]) -> None:
    theirs = people["theirs"]
    stage = {"key": "first", "name": "第一", "probability": 10}
    await crm.ask("CreatePipeline", role="COORDINATOR", name="约定流程", stages=[stage], is_default=True)
    attempts: list[tuple[str, dict[str, Any]]] = [
        ("UpdateCustomer", {"customer_id": theirs, "version": 1, "update_mask": mask("industry"), "industry": "x"}),
        ("ArchiveCustomer", {"customer_id": theirs}),
        ("CreateNote", {"customer_id": theirs, "text": "x"}),
        ("CreateContact", {"customer_id": theirs, "name": "x"}),
        ("CreateOpportunity", {"customer_id": theirs, "name": "x"}),
        ("CreateCustomer", {"name": "x", "kind": 1, "parent_id": theirs}),
    ]
    for method, given in attempts:
        with pytest.raises(CrmError) as refusal:
            await crm.ask(method, role="visitor", **given)
        assert refusal.value.code in ("NOT_FOUND", "REFERENCE_NOT_FOUND"), (method, refusal.value.code)
    stored = await crm.suite["customer"].database["customers"].find_one({"_id": theirs})
    assert stored
    assert stored["version"] == 1


async def test_an_explanation_names_the_contract(crm: Installation, people: dict[str, str], contract: Any) -> None:
    query = """query($id: ID!, $field: String, $action: String! = "read") { accessExplain(id: $id, field: $field, action: $action) {
        allowed fieldAccess reasons { rule sharingContractId text } } }"""
    one = {"id": to_global("Customer", people["theirs"])}
    for who in ("visitor", "bare"):
        told = (await crm.data(query, who, **one))["accessExplain"]
        assert told["allowed"]
        assert [(reason["rule"], reason["sharingContractId"]) for reason in told["reasons"]] == [("CONTRACT", contract.id)]
        assert "«联合回访»" in told["reasons"][0]["text"]
        assert "老客户联合回访" in told["reasons"][0]["text"]
        for field, allowed, level in (("name", True, "READ"), ("phone", False, "HIDDEN")):
            told = (await crm.data(query, who, field=field, **one))["accessExplain"]
            assert (told["allowed"], told["fieldAccess"]) == (allowed, level)
        assert not (await crm.data(query, who, action="update", **one))["accessExplain"]["allowed"]


@pytest.mark.usefixtures("contract")
async def test_no_subscription_tells_of_what_only_a_contract_shows(crm: Installation, people: dict[str, str]) -> None:
    query = "subscription($id: ID!) { customerActivity(customerId: $id) { eventType record { ... on Customer { id } } } }"
    async with socket(crm, "visitor") as connection:
        await ask(connection, "1", query, id=to_global("Customer", people["theirs"]))
        await ask(connection, "2", query, id=to_global("Customer", people["own"]))
        await listening(crm)
        await crm.ask("MoveCustomerLifecycle", role="COORDINATOR", customer_id=people["theirs"], lifecycle=2, reason="x")
        await crm.settled()
        await crm.ask("MoveCustomerLifecycle", role="COORDINATOR", customer_id=people["own"], lifecycle=2, reason="x")
        assert (await heard(connection))["id"] == "2"


@pytest.mark.usefixtures("contract")
async def test_a_contract_counts_only_between_its_start_and_its_end(
    crm: Installation, people: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for days, seen in ((0, True), (31, False), (-2, False), (29, True)):
        with monkeypatch.context() as clock:
            clock.setattr(access, "now", lambda days=days: now() + timedelta(days=days))
            for who in ("visitor", "bare"):
                assert (people["theirs"] in (await _some(crm, who))) is seen, (who, days)


async def _some(crm: Installation, who: str) -> list[str]:
    try:
        return [one.id for one in (await crm.ask("BatchGetCustomers", role=who, ids=list(await _all(crm)))).customers]
    except CrmError as refusal:
        assert refusal.code == "NOT_ALLOWED", refusal.code
        return []


async def _all(crm: Installation) -> list[str]:
    return [row["_id"] async for row in crm.suite["customer"].database["customers"].find({"industry": "约定"}, {"_id": 1})]


async def test_role_limits_stay_on_top_of_a_contract(crm: Installation, people: dict[str, str]) -> None:
    shy = await role(
        crm, "约定也看不到 q", [("customers", "read", "OWN")], [("customers", "phone", "MASKED"), ("customers", "email", "HIDDEN")]
    )
    identity = await holder(crm, "shy", shy["id"])
    units = {"home_department_id": crm.units["other"], "home_team_id": crm.units["other-team"]}
    await crm.ask("UpdatePerson", person_id=identity, version=2, update_mask=mask(*units), **units)
    wide = await agreed(crm, display_name="都给", fields=["name", "phone", "email"])
    await crm.until(
        lambda: all(one.authority.directory.members[identity].department_id == crm.units["other"] for _, one in departments(crm)), 5
    )
    try:
        whole = (await crm.ask("GetCustomer", role="visitor", customer_id=people["theirs"])).customer
        assert (whole.phone, whole.email, whole.tax_number) == (PHONE, MAIL, "")
        less = (await crm.ask("GetCustomer", role="shy", customer_id=people["theirs"])).customer
        assert (less.name, less.phone, less.email) == ("约定甲公司", "138****6666", "")
    finally:
        await ended(crm, wide)


async def test_an_ended_contract_and_a_key_show_nothing(crm: Installation, people: dict[str, str]) -> None:
    made = await agreed(crm, display_name="短", fields=["name"])
    day = stamp(now() + timedelta(days=1))
    key = await crm.ask(
        "CreateApiKey", role="ADMINISTRATOR", name="约定", roles=[1], expire_time=day, home_department_id=crm.units["other"]
    )
    for who, seen in (("visitor", True), (key.secret, False)):
        query = "query($id: ID!) { customer(id: $id) { name } }"
        found = (await crm.data(query, who, id=to_global("Customer", people["theirs"])))["customer"]
        assert (found is not None) is seen, who
    await ended(crm, made)
    await crm.ask("RevokeApiKey", role="ADMINISTRATOR", api_key_id=key.api_key.id)
    remaining = [one for one in crm.suite["customer"].authority.directory.contracts if one.resource == "customers"]
    seen = people["theirs"] in await _some(crm, "visitor")
    assert seen is bool(remaining)
