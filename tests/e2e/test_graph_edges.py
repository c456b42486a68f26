"""Every edge of every type costs one gRPC call a level, whether one record is asked or a hundred; no limit of a field makes it a fault."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from graphql import GraphQLInterfaceType, GraphQLObjectType, GraphQLUnionType, get_named_type, is_leaf_type

from chassis.rpc.contract import edges_of
from gateway.bootstrap import shared_schema
from gateway.departments.spelling import camel
from gateway.graph.contract import SHOWN, to_global
from gateway.graph.noun import NOUNS
from services.organization.access import catalogue
from tests.e2e import test_access_roles as roles
from tests.e2e.world import MANY, fill, installation
from tests.support.installation import Engines, Installation
from tests.support.samples import sample

SCHEMA = shared_schema()._schema
# Where the records of a type are listed; «#» is the number of them that is asked for, «@» what is asked of each.
ROOTS = {
    "Customer": "customers(first: #, filter: {name: {startsWith: \"客户\"}}) { nodes { @ } }",
    "Contact": "contacts(first: #) { nodes { @ } }", "Segment": "segments(first: #) { nodes { @ } }",
    "Campaign": "campaigns(first: #) { nodes { @ } }", "CampaignMessage": "campaignMessages(first: #) { nodes { @ } }",
    "Department": "departments(first: #, orderBy: CREATE_TIME_DESC) { nodes { @ } }",
    "Person": "people(first: #, orderBy: CREATE_TIME_DESC) { nodes { @ } }",
    "Opportunity": "opportunities(first: #) { nodes { @ } }", "Ticket": "tickets(first: #) { nodes { @ } }",
    "Order": "orders(first: #, filter: {kind: {eq: RETURN}}) { nodes { @ } }",
    "Note": "customers(first: #, filter: {name: {startsWith: \"客户\"}}) { nodes { notes(first: 1) { nodes { @ } } } }",
    "TicketReply": "tickets(first: #) { nodes { replies(first: 1) { nodes { @ } } } }",
    "TimelineEntry": "customers(first: #, filter: {name: {startsWith: \"客户\"}}) { nodes { timeline(first: 1) { nodes { @ } } } }",
    "Attachment": "customers(first: #, filter: {name: {startsWith: \"客户\"}}) { nodes { attachments(first: 1) { nodes { @ } } } }",
    "AggregateKey": "opportunityAggregate(first: #, groupBy: [{field: OWNER_ID}]) { rows { keys { @ } } }",
    "NumberingRule": "numberingRules { @ }",
    "Job": "jobs(first: #) { nodes { @ } }", "SegmentMember": 'segments(first: 1, filter: {name: {eq: "人群 0"}}) { nodes { members(first: #) { nodes { @ } } } }',
}  # fmt: skip
# Messages within records, some in each.
PARTS = {
    "OrderLine": "orders(first: #, filter: {kind: {eq: SALE}}) { nodes { lines { @ } } }",
    "OpportunityStageStay": "opportunities(first: #) { nodes { stageHistory { @ } } }",
    "OrderTotals": "customers(first: #) { nodes { orderTotals { @ } } }", "TicketStateStay": "tickets(first: #) { nodes { stateHistory { @ } } }",
    "CalendarYear": "workCalendars(first: #) { nodes { years { @ } } }", "ProvidedRoles": "people(first: #) { nodes { providedRoles { @ } } }",
    "RoleGrant": "identityProviders(first: #) { nodes { roleGrants { @ } } }",
}  # fmt: skip
# Told by questions about one thing alone; the last two by subscriptions.
ALONE = ("SignInChoice", "HistoryEntry", "PersonalDataRead", "GetWorkingTimeResponse", "RecordChange", "PresentPerson")
# Of these there is no hundred: set-up, and logs of what other systems sent.
FEW = frozenset(("Session", "RoleDefinition", "Pipeline", "Article", "ApiKey", "IdentityProvider", "SharingContract", "WebhookEndpoint",
                 "WebhookDelivery", "WebhookSource", "WebhookReceipt", "NumberingRule"))  # fmt: skip
# A return comes from no opportunity; what was put in by a tool was made by no person; nobody has left or is away, or
# gave a customer away; none was merged; nobody changed a rule.
EMPTY = {("NumberingRule", "updater"),
         ("Order", "opportunity"), ("TimelineEntry", "actor"), ("Person", "deputy"), ("Person", "successor"), ("Customer", "formerOwner"), ("Customer", "mergedInto"),
         ("CampaignMessage", "owner"), ("CampaignMessage", "team"), ("CampaignMessage", "department")}  # fmt: skip
# Nouns that came after this world was made: what holds for a hundred of others holds for theirs, made by the same code.
MADE_LATER = frozenset(NOUNS) - frozenset(ROOTS) - FEW - {"Product"}
ADMINISTERED = ("ApiKey", "IdentityProvider", "WebhookEndpoint", "WebhookDelivery", "WebhookSource", "WebhookReceipt", "RoleGrant")
MADE_BY = ("creator", "updater")
TOP = 10  # people and units of the installation itself, at the top of their trees


def root_of(name: str) -> str:
    """Where the records of a type are listed."""
    if name in ROOTS or name in PARTS:
        return ROOTS.get(name) or PARTS[name]
    if name.endswith("AggregateRow"):
        noun = name.removesuffix("Row")
        return f"{noun[0].lower()}{noun[1:]}(first: #, groupBy: [{{field: SOURCE_KEY}}]) {{ rows {{ @ }} }}"
    plural = "".join(part.capitalize() for part in NOUNS[name].contract.resource.split("_"))
    return f"{plural[0].lower()}{plural[1:]}(first: #) {{ nodes {{ @ }} }}"


def edges() -> list[tuple[str, str]]:
    """(type, field) of every field of the graph that leads to records or to sums of them."""
    found = []
    for name, shape in SCHEMA.type_map.items():
        if not isinstance(shape, GraphQLObjectType) or name.endswith(("Connection", "Edge", "Payload")):
            continue
        if name in ("Query", "Mutation", "Subscription", *ALONE):
            continue
        if name.startswith("OpportunityBoard"):  # one call is all of it (test_aggregates_graph)
            continue
        if name in ("RecordCard", "SearchHit"):  # fifty at most, of every kind: tests/e2e/test_search.py counts their calls
            continue
        for field, definition in shape.fields.items():
            target = get_named_type(definition.type)
            leads = target.name in NOUNS or target.name.endswith("Connection") or target.name in ("Node", "OrderTotals")
            if leads and isinstance(target, GraphQLObjectType | GraphQLInterfaceType):
                found.append((name, field))
    return found


def asked(name: str, field: str) -> str:
    """The selection of an edge: as little as shows that it was followed."""
    definition = SCHEMA.type_map[name].fields[field]  # type: ignore[attr-defined]
    target = get_named_type(definition.type)
    if target.name == "OrderTotals":
        return f"{field} {{ saleCount }}"
    if target.name == "SegmentMemberConnection":
        return f"{field}(first: 2) {{ nodes {{ enterTime }} }}"
    if target.name.endswith("Connection"):
        return f"{field}(first: 2) {{ nodes {{ id }} }}"
    return f"{field}{'(first: 1)' if 'first' in definition.args else ''} {{ id }}"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """An installation with a hundred of each record."""
    async with installation(engines, tmp_path_factory.mktemp("edges")) as crm:
        await fill(crm)
        yield crm


async def calls_for(crm: Installation, query: str, found: list[object], role: str = "COORDINATOR") -> Counter[str]:
    """The calls that a query takes; what it answers is put into `found`."""
    before = Counter(crm.calls())
    found.append(await crm.data(query, role=role))
    return Counter(crm.calls()) - before


def leaves(value: object, key: str) -> list[object]:
    """What stands under a key, anywhere."""
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item, key)]
    if isinstance(value, dict):
        return [leaf for name, item in value.items() for leaf in ([item] if name == key else leaves(item, key))]
    return []


@pytest.mark.parametrize(("name", "field"), sample(edges(), 15, "edges"), ids=lambda part: str(part))
async def test_an_edge_takes_one_call_for_one_record_and_for_a_hundred(world: Installation, name: str, field: str) -> None:
    root, role = root_of(name), "ADMINISTRATOR" if name in ADMINISTERED else "COORDINATOR"
    bare: list[object] = []
    plain = await calls_for(world, "{" + root.replace("#", str(MANY)).replace("@", "__typename") + "}", bare, role)
    answers: list[object] = []
    one, many = [
        await calls_for(world, "{" + root.replace("#", str(count)).replace("@", asked(name, field)) + "}", answers, role)
        for count in (1, MANY)
    ]
    rows = [leaves(answer, field) for answer in answers]
    if name not in FEW and name not in MADE_LATER and name not in PARTS:
        assert (len(rows[0]), len(rows[1])) == (1, MANY)
        if (name, field) not in EMPTY and field not in MADE_BY:
            assert len([row for row in rows[1] if row is not None]) >= (MANY - TOP if name in ("Person", "Department") else MANY)
    assert sum((many - plain).values()) <= 1, f"{many - plain} beside {plain}"
    assert one == many


async def test_the_whole_graph_of_a_hundred_customers_takes_one_call_an_edge(world: Installation) -> None:
    query = """{ customers(first: #, filter: {name: {startsWith: "客户"}}) { nodes { name owner { name } parent { name }
        contacts(first: 1) { nodes { name } } notes(first: 1) { nodes { text } } openOpportunities(first: 1) { nodes { name } }
        orders(first: 1) { nodes { number } } orderTotals { saleCount } messages(first: 1) { nodes { campaign { name } } }
        tickets(first: 1) { nodes { subject } } timeline(first: 1) { nodes { eventType } } } } }"""
    answers: list[object] = []
    one, many = [await calls_for(world, query.replace("#", str(count)), answers) for count in (1, MANY)]
    assert one == many
    assert many == Counter({
        "ListCustomers": 1, "BatchGetPeople": 1, "BatchGetCustomers": 1, "BatchListContacts": 1, "BatchListNotes": 1,
        "BatchListOpportunities": 1, "BatchListOrders": 1, "BatchGetOrderTotals": 1, "BatchListCampaignMessages": 1,
        "BatchGetCampaigns": 1, "BatchListTickets": 1, "BatchListTimelineEntries": 1,
    })  # fmt: skip


async def test_lines_within_orders_lead_to_products_and_products_back_to_orders_in_one_call_a_level(world: Installation) -> None:
    query = (
        """{ orders(first: #, filter: {kind: {eq: SALE}}) { nodes { id lines { product { code orders(first: 1) { nodes { id } } } } } } }"""
    )
    answers: list[Any] = []
    one, many = [await calls_for(world, query.replace("#", str(count)), answers) for count in (1, MANY)]
    assert one == many == Counter({"ListOrders": 1, "BatchGetProducts": 1, "BatchListOrders": 1})
    orders = answers[1]["orders"]["nodes"]
    assert len({line["product"]["code"] for order in orders for line in order["lines"]}) == MANY
    assert all(line["product"]["orders"]["nodes"] == [{"id": order["id"]}] for order in orders for line in order["lines"])


async def test_the_company_is_walked_down_and_up_again_with_one_call_a_level(world: Installation) -> None:
    query = """{ departments(first: #, orderBy: CREATE_TIME_DESC) { nodes { id parent { children(first: 1) { nodes { id } } }
        teamPeople(first: 1) { nodes { id manager { reports(first: 1) { nodes { id manager { id } } } }
        customers(first: 1) { nodes { owner { id } } } opportunities(first: 1) { nodes { id } } tickets(first: 1) { nodes { id } } } } } } }"""
    answers: list[Any] = []
    one, many = [await calls_for(world, query.replace("#", str(count)), answers) for count in (1, MANY)]
    assert one == many
    assert max(many.values()) <= 2, many  # two levels of people, two of departments
    for unit in answers[1]["departments"]["nodes"]:
        (person,) = unit["teamPeople"]["nodes"]
        assert [customer["owner"]["id"] for customer in person["customers"]["nodes"]] == [person["id"]]
        assert len(person["opportunities"]["nodes"]) == len(person["tickets"]["nodes"]) == 1
        assert person["manager"]["reports"]["nodes"][0]["manager"]["id"] == to_global("Person", world.people["SALES_LEAD"])
        assert len(unit["parent"]["children"]["nodes"]) == 1


async def test_a_history_leads_to_who_did_it_in_one_call(world: Installation) -> None:
    (ticket,) = (await world.data("{ tickets(first: 1) { nodes { id } } }", role="COORDINATOR"))["tickets"]["nodes"]
    found: list[Any] = []
    query = f"""{{ recordHistory(id: "{ticket["id"]}") {{ nodes {{ actorId actor {{ id }} deputyFor {{ id }} }} }} }}"""
    assert await calls_for(world, query, found) == Counter({"ListRecordHistory": 1, "BatchGetPeople": 1})
    assert all(line["actor"] is None or line["actor"]["id"] == line["actorId"] for line in found[0]["recordHistory"]["nodes"])


# An earlier edition of a file is fetched alone, by `attachment(id:)`: files have no method for many ids, and their bytes are what is wanted.
WITHOUT_EDGE = [("Attachment", "replaced_id")]


def test_every_reference_of_every_type_is_an_edge() -> None:
    lacking = [
        (name, held)
        for name, message in SHOWN.items()
        if isinstance(shape := SCHEMA.type_map.get(name), GraphQLObjectType)
        for edge, held in edges_of(message).items()
        if camel(edge) not in shape.fields
    ]
    assert lacking == WITHOUT_EDGE


def test_every_noun_has_edges_and_every_edge_of_its_contract_is_in_the_graph() -> None:
    found = set(edges())
    assert {name for name, _ in found} >= set(NOUNS) - {"WebhookReceipt"}
    for noun in NOUNS.values():
        for edge, key in noun.contract.edges.items():
            if NOUNS[noun.contract.references[key]].by_id is not None:
                assert (noun.name, camel(edge)) in found


# ---- hide, mask or only-read every field that can be limited


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def limited(world: Installation) -> Installation:
    """With somebody for each limit, who reads everything else."""
    await world.ask("CreateArticle", role="COORDINATOR", title="t", body="b", category="x", language=1)
    acts = [(resource, "read", "ALL") for resource, names in catalogue.actions().items() if "read" in names and resource != "directory"]
    for access in ("HIDDEN", "MASKED", "READ"):
        limits = [(resource, field, access) for resource, names in catalogue.fields().items() for field in names]
        found = await roles.role(world, f"全 {access}", acts, limits)
        await roles.holder(world, access, found["id"])
    await world.settled()
    return world


def scalars(kind: Any, depth: int) -> str:
    found = ["__typename"] if isinstance(kind, GraphQLUnionType) else []
    for name, field in getattr(kind, "fields", {}).items():
        if any(str(a.type).endswith("!") for a in field.args.values()):
            continue
        inner = get_named_type(field.type)
        if is_leaf_type(inner):
            found.append(name)
        elif isinstance(inner, (GraphQLObjectType, GraphQLInterfaceType)) and depth:
            text = scalars(inner, depth - 1)
            first = "(first: 2)" if "first" in field.args else ""
            if text:
                found.append(f"{name}{first} {{ {text} }}")
    return " ".join(found)


# Every noun of which the graph has a list.
LISTED = sorted(name for name in NOUNS if name in ROOTS or root_of(name).partition("(")[0] in SCHEMA.type_map["Query"].fields)  # type: ignore[attr-defined]
CASES = sample([(name, access) for name in LISTED for access in ("HIDDEN", "MASKED", "READ")], 6, "hidden")


@pytest.mark.parametrize(("name", "access"), CASES)
async def test_no_field_that_is_hidden_masked_or_only_read_is_a_fault(limited: Installation, name: str, access: str) -> None:
    kind = SCHEMA.type_map[name]
    bad = []
    for field, definition in kind.fields.items():  # type: ignore[union-attr]
        inner = get_named_type(definition.type)
        depth = 3
        if is_leaf_type(inner):
            text = field
        else:
            if any(str(a.type).endswith("!") for a in definition.args.values()):
                continue
            first = "(first: 2)" if "first" in definition.args else ""
            body = None
            for depth in (2, 1, 0):
                body = scalars(inner, depth)
                if body and len(body) < 2500:
                    break
            if not body:
                body = "__typename"
            text = f"{field}{first} {{ {body} }}"
        query = "{" + root_of(name).replace("#", "3").replace("@", text) + "}"
        if "filter: {name" in query or "filter: {kind" in query:
            query = re.sub(r", filter: \{[a-zA-Z]+: \{[^}]*\}\}", "", query)
        out = await limited.graph(query, access)
        for error in out.get("errors", []):
            bad.append(
                (field, error["extensions"].get("code") if "extensions" in error else None, error["message"][:160], error.get("path"))
            )
    assert not bad, bad[:5]
