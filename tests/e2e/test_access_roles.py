"""Roles as data: made, copied and changed while everybody works; what a role hides is hidden at every door."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import pytest_asyncio

from chassis.kernel.ids import new_id
from gateway.graph.contract import from_global, to_global
from tests.e2e.test_graph_websocket import ask, heard, listening, socket
from tests.support.installation import PASSWORD, Installation

CREATE = """mutation($input: RoleDefinitionCreateInput!) { roleDefinitionCreate(input: $input) {
    roleDefinition { id name version customized permissions { resource action scope } } errors { code message path } } }"""
UPDATE = """mutation($input: RoleDefinitionUpdateInput!) { roleDefinitionUpdate(input: $input) {
    roleDefinition { id version customized } errors { code path } } }"""
PHONE, MAIL, TAX, TEXT = "13899994444", "canary.person@canary.example", "CANARYTAX42", "canary words of a note"


async def role(crm: Installation, name: str, permissions: list[tuple[str, str, str]], fields: list[tuple[str, str, str]]) -> dict[str, Any]:
    lines = [{"resource": resource, "action": action, "scope": scope} for resource, action, scope in permissions]
    limits = [{"resource": resource, "field": field, "access": access} for resource, field, access in fields]
    answer = await crm.data(CREATE, "ADMINISTRATOR", input={"name": name, "permissions": lines, "fieldPermissions": limits})
    assert answer["roleDefinitionCreate"]["errors"] == []
    found: dict[str, Any] = answer["roleDefinitionCreate"]["roleDefinition"]
    return found


async def holder(crm: Installation, key: str, role_id: str) -> str:
    """A person with only this role, signed in as `key`."""
    made = await crm.ask(
        "CreatePerson", name=key, email=f"{new_id()}@example.com", role_definition_ids=[from_global(role_id)[1]],
        home_department_id=crm.units["sales"], home_team_id=crm.units["sales-team"],
    )  # fmt: skip
    await crm.ask("SetPassword", person_id=made.person.id, password=PASSWORD)
    session = await crm.ask("CreateSession", role="", email=made.person.email, password=PASSWORD)
    crm.tokens[key], crm.people[key] = session.tokens.access_token, made.person.id
    await crm.until(lambda: all(made.person.id in department.authority.directory.members for name, department in departments(crm)), 5)
    return str(made.person.id)


def departments(crm: Installation) -> list[tuple[str, Any]]:
    return [(name, service) for name, service in crm.suite.running.items() if name != "gateway"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def canaries(crm: Installation) -> dict[str, str]:
    """A customer full of secrets, a note on it, and somebody whose only role hides them."""
    made = await crm.ask(
        "CreateCustomer", role="COORDINATOR", name="金丝雀公司", kind=1, phone=PHONE, email=MAIL, tax_number=TAX, annual_revenue={"currency_code": "CNY", "amount_micros": 5},
    )  # fmt: skip
    note = await crm.ask("CreateNote", role="COORDINATOR", customer_id=made.customer.id, text=TEXT)
    reads = [(name, "read", "ALL") for name in ("customers", "contacts", "notes", "timeline_entries", "segments", "histories")]
    found = await role(
        crm, "看得少 a", [*reads, ("customers", "update", "ALL"), ("customers", "create", "ALL"), ("segments", "create", "ALL")],
        [("customers", "phone", "MASKED"), ("customers", "email", "HIDDEN"), ("customers", "tax_number", "HIDDEN"),
         ("customers", "annual_revenue", "HIDDEN"), ("customers", "website", "READ"), ("notes", "text", "HIDDEN")],
    )  # fmt: skip
    await holder(crm, "canary", found["id"])
    await crm.settled()
    return {
        "customer": made.customer.id,
        "id": to_global("Customer", made.customer.id),
        "note": to_global("Note", note.note.id),
        "role": found["id"],
    }


def silent(answer: Any) -> None:
    """Nothing of any secret is in the answer."""
    text = str(answer)
    for secret in (PHONE, MAIL, TAX, TEXT, PHONE[-8:], MAIL.partition("@")[0]):
        assert secret not in text, secret


FIELDS = "id name phone email taxNumber annualRevenue { amount }"


async def test_every_way_to_a_record_shows_the_same_part_of_it(crm: Installation, canaries: dict[str, str]) -> None:
    one, hidden = {"id": canaries["id"]}, {"phone": "138****4444", "email": None, "taxNumber": None, "annualRevenue": None}
    ways = {
        f"query($id: ID!) {{ customer(id: $id) {{ {FIELDS} }} }}": lambda data: data["customer"],
        f"query($id: ID!) {{ node(id: $id) {{ ... on Customer {{ {FIELDS} }} }} }}": lambda data: data["node"],
        f'query {{ customerSearch(query: "金丝雀公司") {{ {FIELDS} }} }}': lambda data: data["customerSearch"][0],
        f'query {{ customers(filter: {{name: {{eq: "金丝雀公司"}}}}) {{ nodes {{ {FIELDS} }} }} }}': lambda data: data["customers"][
            "nodes"
        ][0],
        f"query($id: ID!) {{ node(id: $id) {{ ... on Note {{ customer {{ {FIELDS} }} }} }} }}": lambda data: data["node"]["customer"],
    }
    for query, pick in ways.items():
        given = {"id": canaries["note"] if "on Note" in query else canaries["id"]} if "$id" in query else {}
        found = pick(await crm.data(query, "canary", **given))
        assert {name: found[name] for name in hidden} == hidden, query
        assert found["name"] == "金丝雀公司"
    whole = (await crm.data(f"query($id: ID!) {{ customer(id: $id) {{ {FIELDS} }} }}", "COORDINATOR", **one))["customer"]
    assert (whole["phone"], whole["email"], whole["taxNumber"]) == (PHONE, MAIL, TAX)


@pytest.mark.parametrize(
    "filter",
    ['{taxNumber: {eq: "CANARYTAX42"}}', '{taxNumber: {in: ["CANARYTAX42"]}}', "{annualRevenue: {gte: \"0\"}}", '{not: {taxNumber: {isSet: true}}}'],
)  # fmt: skip
async def test_no_filter_tells_a_hidden_field(crm: Installation, canaries: dict[str, str], filter: str) -> None:
    query = f"{{ customers(filter: {filter}) {{ nodes {{ id }} }} }}"
    body = await crm.graph(query, "canary")
    assert body["errors"][0]["extensions"]["code"] == "CRITERIA_INVALID", body
    assert "errors" not in await crm.graph(query, "COORDINATOR")
    counting = f"{{ customerCount(filter: {filter}) {{ count }} }}"
    body = await crm.graph(counting, "canary")
    assert (body["data"], body["errors"][0]["extensions"]["code"]) == ({"customerCount": None}, "CRITERIA_INVALID")
    assert "errors" not in await crm.graph(counting, "COORDINATOR")


@pytest.mark.parametrize("question", [PHONE, PHONE[-4:], MAIL, "canary.example", TAX])
async def test_no_search_finds_by_a_hidden_field(crm: Installation, canaries: dict[str, str], question: str) -> None:
    query = "query($q: String!) { customerSearch(query: $q) { id } }"
    assert (await crm.data(query, "canary", q=question))["customerSearch"] == []
    assert {"id": canaries["id"]} in (await crm.data(query, "COORDINATOR", q=question))["customerSearch"]


async def test_timeline_and_history_keep_quiet(crm: Installation, canaries: dict[str, str]) -> None:
    await crm.ask(
        "UpdateCustomer",
        role="COORDINATOR",
        customer_id=canaries["customer"],
        version=1,
        update_mask={"paths": ["phone"]},
        phone="13899995555",
    )
    await crm.ask(
        "UpdateCustomer",
        role="COORDINATOR",
        customer_id=canaries["customer"],
        version=2,
        update_mask={"paths": ["phone", "email"]},
        phone=PHONE,
        email="x@canary.example",
    )
    await crm.ask(
        "UpdateCustomer", role="COORDINATOR", customer_id=canaries["customer"], version=3, update_mask={"paths": ["email"]}, email=MAIL
    )
    await crm.settled()
    query = "query($id: ID!) { customer(id: $id) { timeline(first: 50) { nodes { subject resource } } } }"
    lines = (await crm.data(query, "canary", id=canaries["id"]))["customer"]["timeline"]["nodes"]
    assert {line["subject"] for line in lines if line["resource"] == "notes"} == {None}
    assert any(line["subject"] == "金丝雀公司" for line in lines if line["resource"] == "customers")
    silent(lines)
    history = """query($id: ID!) { recordHistory(id: $id) { nodes { action actorId version changes { field before after } } pageInfo { hasNextPage } } }"""
    seen = (await crm.data(history, "canary", id=canaries["id"]))["recordHistory"]["nodes"]
    assert [line["action"] for line in seen] == ["CustomerUpdated"] * 3 + ["CustomerCreated"]
    assert seen[1]["changes"] == [
        {"field": "phone", "before": '"138****5555"', "after": '"138****4444"'},
    ]
    silent(seen)
    told = (await crm.data(history, "COORDINATOR", id=canaries["id"]))["recordHistory"]["nodes"]
    assert told[0]["changes"] == [
        {"field": "email", "before": '"x****@canary.example"', "after": '"c****@canary.example"'}
    ]  # the history keeps no personal value, for nobody


async def test_no_segment_can_be_made_to_tell(crm: Installation, canaries: dict[str, str]) -> None:
    criteria = '{annualRevenue: {gte: "0"}}'
    mutation = f'mutation {{ segmentCreate(input: {{name: "x", criteria: {criteria}}}) {{ segment {{ id }} errors {{ code path }} }} }}'
    refusal = (await crm.data(mutation, "canary"))["segmentCreate"]
    assert refusal == {"segment": None, "errors": [{"code": "CRITERIA_INVALID", "path": ["input", "criteria"]}]}


async def test_what_cannot_be_written_is_refused_and_the_answer_of_a_command_is_limited_too(
    crm: Installation, canaries: dict[str, str]
) -> None:
    mutation = f"""mutation($input: CustomerUpdateInput!) {{ customerUpdate(input: $input) {{ customer {{ {FIELDS} version }} errors {{ code path }} }} }}"""
    version = (await crm.data("query($id: ID!) { customer(id: $id) { version } }", "canary", id=canaries["id"]))["customer"]["version"]
    for field, value in (("phone", "110"), ("email", "a@b.cn"), ("website", "https://x.cn"), ("taxNumber", "1234")):
        answer = (await crm.data(mutation, "canary", input={"customerId": canaries["id"], "version": version, field: value}))[
            "customerUpdate"
        ]
        assert answer["errors"][0]["code"] == "NOT_ALLOWED", field
    done = (await crm.data(mutation, "canary", input={"customerId": canaries["id"], "version": version, "industry": "鸟"}))[
        "customerUpdate"
    ]
    assert done["errors"] == []
    assert done["customer"]["phone"] == "138****4444"
    silent(done)
    stored = (await crm.ask("GetCustomer", role="COORDINATOR", customer_id=canaries["customer"])).customer
    assert (stored.phone, stored.email, stored.industry) == (PHONE, MAIL, "鸟")


async def test_a_changed_role_counts_in_every_department_within_five_seconds(crm: Installation) -> None:
    made = await role(
        crm,
        "临时 b",
        [("customers", "read", "ALL"), ("orders", "read", "ALL"), ("tickets", "read", "ALL"), ("campaigns", "read", "ALL")],
        [],
    )
    await holder(crm, "temporary", made["id"])
    methods = ("ListCustomers", "ListOrders", "ListTickets", "ListCampaigns")
    for method in methods:
        await crm.ask(method, role="temporary")
    answer = await crm.data(UPDATE, "ADMINISTRATOR", input={"roleDefinitionId": made["id"], "version": made["version"], "permissions": []})
    assert answer["roleDefinitionUpdate"]["errors"] == []
    begun = asyncio.get_running_loop().time()

    async def refused(method: str) -> bool:
        try:
            await crm.ask(method, role="temporary")
        except Exception as error:
            return getattr(error, "code", "") == "NOT_ALLOWED"
        return False

    for method in methods:
        await crm.until(lambda method=method: refused(method), 5)  # type: ignore[misc]
    assert asyncio.get_running_loop().time() - begun < 5
    entry = await crm.suite["organization"].database["audit_entries"].find_one({"record_id": from_global(made["id"])[1], "version": 2})
    assert entry
    assert entry["actor_id"] == crm.people["ADMINISTRATOR"]
    assert entry["changed"]["permissions"][1] in ([], None)


async def test_a_role_taken_from_a_person_is_gone_before_their_token_ends(crm: Installation) -> None:
    person = await crm.person("demoted", "COORDINATOR")
    await crm.until(lambda: all(person in department.authority.directory.members for _, department in departments(crm)), 5)
    await crm.ask("ListCustomers", role="demoted")
    await crm.ask("UpdatePerson", person_id=person, version=1, update_mask={"paths": ["roles"]}, roles=[6])

    async def refused() -> bool:
        try:
            await crm.ask("ListCustomers", role="demoted")
        except Exception as error:
            return getattr(error, "code", "") == "NOT_ALLOWED"
        return False

    await crm.until(refused, 5)


LIFECYCLES = {"recordChanged": 2, "recordsChanged": 3, "resourceChanged": 4}  # each moves the customer on


@pytest.mark.parametrize(
    "asked", ["recordChanged(id: $id)", "recordsChanged(ids: [$id])", 'resourceChanged(resource: "customers", after: $after)']
)
async def test_a_subscription_shows_no_more_than_a_query(crm: Installation, canaries: dict[str, str], asked: str) -> None:
    variables = "$id: ID!" if "$id" in asked else "$after: String"
    field = asked.partition("(")[0]
    query = f"subscription({variables}) {{ {asked} {{ record {{ ... on Customer {{ {FIELDS} }} }} }} }}"
    await crm.settled()
    crm.suite.running["gateway"].live._listeners.clear()  # those of tests before this one
    async with socket(crm, "canary") as connection:
        await ask(connection, "1", query, id=canaries["id"])
        await listening(crm)
        await crm.ask(
            "MoveCustomerLifecycle", role="COORDINATOR", customer_id=canaries["customer"], lifecycle=LIFECYCLES[field], reason="x"
        )
        told = await heard(connection)
    record = told["payload"]["data"][field]["record"]
    assert (record["phone"], record["email"], record["taxNumber"]) == ("138****4444", None, None)
    silent(told)
