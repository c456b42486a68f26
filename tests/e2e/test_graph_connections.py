"""Lists as Relay connections: walked without loss or repetition; filters, orders, masked selections, nodes of any type."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import pytest_asyncio

from chassis.kernel.ids import new_id
from gateway.graph.contract import to_global
from tests.e2e.world import message
from tests.support.installation import Installation

COUNT = 100


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def industry(crm: Installation) -> str:
    """A word by which this module's hundred customers are found; all were made in one moment, by tens at a level and by two names."""
    mark = new_id()
    rows = [
        message(
            "BatchUpsertCustomers", source_key=f"{mark}:{i}", kind=1, name=f"名 {i // 2:02}", level=1 + i % 4, industry=mark,
            employee_count=i, annual_revenue={"currency_code": "CNY", "amount_micros": i * 1_000_000},
        )
        for i in range(COUNT)
    ]  # fmt: skip
    answer = await crm.ask("BatchUpsertCustomers", customers=rows)
    assert all(outcome.id for outcome in answer.outcomes)
    return mark


async def walk(crm: Installation, mark: str, first: int, order: str) -> list[str]:
    """Ids in the order of the pages."""
    query = """query($first: Int, $after: String, $mark: String!, $order: CustomerOrder) {
        customers(first: $first, after: $after, filter: {industry: {eq: $mark}}, orderBy: $order) {
          edges { cursor node { id name } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
    found: list[str] = []
    after = None
    while True:
        page = (await crm.data(query, first=first, after=after, mark=mark, order=order))["customers"]
        edges = page["edges"]
        found += [edge["node"]["id"] for edge in edges]
        assert len(edges) <= first
        assert page["pageInfo"]["hasPreviousPage"] is (after is not None)
        if edges:
            assert (page["pageInfo"]["startCursor"], page["pageInfo"]["endCursor"]) == (edges[0]["cursor"], edges[-1]["cursor"])
        if not page["pageInfo"]["hasNextPage"]:
            return found
        after = page["pageInfo"]["endCursor"]


@pytest.mark.parametrize("order", ["CREATE_TIME_DESC", "CREATE_TIME_ASC", "UPDATE_TIME_DESC", "NAME_ASC"])
@pytest.mark.parametrize("first", [7, 33, 50, 99, 100])
async def test_pages_show_every_record_once_in_one_order(crm: Installation, industry: str, first: int, order: str) -> None:
    found = await walk(crm, industry, first, order)
    assert len(found) == len(set(found)) == COUNT
    assert found == await walk(crm, industry, 100, order)


async def test_the_cursor_of_any_edge_goes_on_after_that_edge(crm: Installation, industry: str) -> None:
    query = """query($first: Int, $after: String, $mark: String!) {
        customers(first: $first, after: $after, filter: {industry: {eq: $mark}}) { edges { cursor node { id } } } }"""
    whole = (await crm.data(query, first=100, mark=industry))["customers"]["edges"]
    for index in (0, 1, 49, 97, 98):
        follow = (await crm.data(query, first=3, after=whole[index]["cursor"], mark=industry))["customers"]["edges"]
        assert [edge["node"]["id"] for edge in follow] == [edge["node"]["id"] for edge in whole[index + 1 : index + 4]]


@pytest.mark.parametrize("first", [50, 100])
async def test_after_the_last_record_there_is_an_empty_page(crm: Installation, industry: str, first: int) -> None:
    query = """query($first: Int, $after: String, $mark: String!) {
        customers(first: $first, after: $after, filter: {industry: {eq: $mark}}) { nodes { id } pageInfo { hasNextPage endCursor } } }"""
    after = None
    for _ in range(COUNT // first):
        info = (await crm.data(query, first=first, after=after, mark=industry))["customers"]["pageInfo"]
        after = info["endCursor"]
    assert info["hasNextPage"] is False
    last = (await crm.data(query, first=first, after=after, mark=industry))["customers"]
    assert last == {"nodes": [], "pageInfo": {"hasNextPage": False, "endCursor": None}}


async def test_a_cursor_still_goes_on_after_its_edge_when_records_came_in_before_it(crm: Installation) -> None:
    mark = new_id()

    async def add(count: int) -> None:
        for _ in range(count):
            await crm.ask("CreateCustomer", name="新", kind=1, industry=mark)

    query = """query($after: String, $mark: String!) {
        customers(first: 2, after: $after, filter: {industry: {eq: $mark}}) { edges { cursor node { id } } } }"""
    await add(4)
    before = (await crm.data(query, mark=mark))["customers"]["edges"]
    await add(1)
    follow = (await crm.data(query, after=before[0]["cursor"], mark=mark))["customers"]["edges"]
    assert follow[0]["node"]["id"] == before[1]["node"]["id"]


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ("level: {eq: KEY}", 25),
        ("level: {in: [KEY, A]}", 50),
        ("employeeCount: {gte: 90}", 10),
        ("employeeCount: {gt: 9, lt: 20}", 10),
        ("annualRevenue: {lte: \"9\"}", 10),
        ("name: {startsWith: \"名 0\"}", 20),
        ("or: [{employeeCount: {lt: 5}}, {employeeCount: {gte: 98}}]", 7),
        ("and: [{employeeCount: {lt: 50}}, {level: {eq: KEY}}]", 13),
        ("not: {level: {eq: KEY}}", 75),
        ("not: {or: [{level: {eq: KEY}}, {employeeCount: {gte: 50}}]}", 37),
        ("taxNumber: {isSet: true}", 0),
        ("parentId: {isSet: false}", 100),
        ("createTime: {gt: \"2099-01-01T00:00:00Z\"}", 0),
        ("createTime: {lt: \"2099-01-01T08:00:00+08:00\"}", 100),
    ],
)  # fmt: skip
async def test_a_filter_finds_what_its_conditions_say(crm: Installation, industry: str, criteria: str, expected: int) -> None:
    query = f'{{ customers(first: 100, filter: {{industry: {{eq: "{industry}"}}, {criteria}}}) {{ nodes {{ id }} }} }}'
    assert len((await crm.data(query))["customers"]["nodes"]) == expected


async def test_a_condition_with_null_is_never_dropped_in_silence(crm: Installation, industry: str) -> None:
    query = "query($l: CustomerLevel, $m: String) { customers(filter: {industry: {eq: $m}, level: {eq: $l}}) { nodes { id } } }"
    body = await crm.graph(query, l=None, m=industry)
    assert body["data"]["customers"] is None
    assert body["errors"][0]["extensions"]["code"] == "CRITERIA_INVALID"


async def test_an_order_is_kept_by_name(crm: Installation, industry: str) -> None:
    query = f'{{ customers(first: 100, orderBy: NAME_ASC, filter: {{industry: {{eq: "{industry}"}}}}) {{ nodes {{ name }} }} }}'
    names = [node["name"] for node in (await crm.data(query))["customers"]["nodes"]]
    assert names == sorted(names)


# ---- selections, nodes


async def one(crm: Installation, name: str = "唯一") -> str:
    made = await crm.data(
        'mutation($n: String!) { customerCreate(input: {kind: COMPANY, name: $n, phone: "110", region: "华东"}) { customer { id } } }',
        n=name,
    )
    return str(made["customerCreate"]["customer"]["id"])


async def test_aliases_and_fragments_of_every_kind_are_answered_from_one_record(crm: Installation) -> None:
    query = """query($id: ID!) { a: customer(id: $id) { __typename x: name ...F ... on Customer { y: region } ... on Node { id } }
        node(id: $id) { __typename ... on Customer { z: phone ...F } ... on Ticket { subject } } }
        fragment F on Customer { ...G owner { n: name } } fragment G on Customer { kind @include(if: true) version @skip(if: true) }"""
    identity = await one(crm)
    shared = {"kind": "COMPANY", "owner": {"n": "人 COORDINATOR"}}
    assert await crm.data(query, id=identity) == {
        "a": {"__typename": "Customer", "x": "唯一", "y": "华东", "id": identity, **shared},
        "node": {"__typename": "Customer", "z": "110", **shared},
    }


async def test_the_same_field_asked_twice_is_merged(crm: Installation) -> None:
    identity = await one(crm)
    query = "query($id: ID!) { customer(id: $id) { name } ...Q } fragment Q on Query { customer(id: $id) { region owner { id } owner { name } } }"
    found = (await crm.data(query, id=identity))["customer"]
    assert (found["name"], found["region"], found["owner"]["name"]) == ("唯一", "华东", "人 COORDINATOR")


async def test_rows_asked_as_nodes_and_as_edges_hold_what_each_asked(crm: Installation, industry: str) -> None:
    query = """query($m: String!) { customers(first: 1, filter: {industry: {eq: $m}}) { ...P edges { node { ...N } } } }
        fragment P on CustomerConnection { nodes { industry } } fragment N on Customer { kind name }"""
    found = (await crm.data(query, m=industry))["customers"]
    assert found["nodes"] == [{"industry": industry}]
    assert found["edges"] == [{"node": {"kind": "COMPANY", "name": found["edges"][0]["node"]["name"]}}]


async def test_a_node_that_is_absent_and_one_that_is_forbidden_are_answered_alike(crm: Installation) -> None:
    forbidden, absent = await one(crm), to_global("Customer", new_id())
    answers = [
        await crm.graph("query($id: ID!) { node(id: $id) { id } customer(id: $id) { id } }", "SALES_REP", id=x) for x in (forbidden, absent)
    ]
    assert answers[0] == answers[1] == {"data": {"node": None, "customer": None}}


async def test_a_node_of_a_noun_that_the_role_may_not_read_is_answered_like_an_absent_one(crm: Installation) -> None:
    made = await crm.ask("CreateCustomer", name="有备注", kind=1)
    note = await crm.ask("CreateNote", customer_id=made.customer.id, text="密")
    ids = (to_global("Note", note.note.id), to_global("Note", new_id()))
    bodies: list[dict[str, Any]] = [
        await crm.graph("query($id: ID!) { node(id: $id) { id } }", "MARKETER", id=identity) for identity in ids
    ]
    for body in bodies:
        for error in body.get("errors", []):
            error["extensions"].pop("requestId")
    assert bodies[0] == bodies[1]


async def test_a_timeline_shows_the_records_it_tells_of_by_their_types(crm: Installation) -> None:
    identity = await one(crm)
    await crm.data('mutation($id: ID!) { noteCreate(input: {customerId: $id, text: "见过"}) { errors { code } } }', id=identity)
    await crm.data(
        'mutation($id: ID!) { ticketCreate(input: {customerId: $id, subject: "坏", channel: WEB}) { errors { code } } }', id=identity
    )
    await crm.settled()
    query = """query($id: ID!) { customer(id: $id) { timeline { nodes { record { __typename
        ... on Customer { name } ... on Note { text } ... on Ticket { subject } } } } } }"""
    nodes = (await crm.data(query, id=identity))["customer"]["timeline"]["nodes"]
    assert sorted((node["record"] for node in nodes), key=lambda record: str(record["__typename"])) == [
        {"__typename": "Customer", "name": "唯一"}, {"__typename": "Note", "text": "见过"}, {"__typename": "Ticket", "subject": "坏"},
    ]  # fmt: skip


@pytest.mark.parametrize("noun", ["TimelineEntry", "Session"])
async def test_every_node_type_is_found_again_by_its_id(crm: Installation, noun: str) -> None:
    if noun == "Session":
        (row, *_) = (await crm.data("{ sessions(first: 1) { nodes { id } } }"))["sessions"]["nodes"]
    else:
        identity = await one(crm)
        await crm.settled()
        customer = (await crm.data("query($id: ID!) { customer(id: $id) { timeline { nodes { id } } } }", id=identity))["customer"]
        (row,) = customer["timeline"]["nodes"]
    assert await crm.data("query($id: ID!) { node(id: $id) { __typename id } }", id=row["id"]) == {"node": {"__typename": noun, **row}}


async def test_a_command_after_another_in_one_operation_answers_with_what_is_true_then(crm: Installation) -> None:
    identity = await one(crm)
    note = 'noteCreate(input: {customerId: $id, text: "%s"}) { note { customer { notes { nodes { text } } } } }'
    found = await crm.data(f"mutation($id: ID!) {{ a: {note % '一'} b: {note % '二'} }}", id=identity)
    assert [row["text"] for row in found["a"]["note"]["customer"]["notes"]["nodes"]] == ["一"]
    assert [row["text"] for row in found["b"]["note"]["customer"]["notes"]["nodes"]] == ["二", "一"]


async def test_a_page_too_large_for_one_message_is_a_precise_error(crm: Installation) -> None:
    body = "长" * 16_000
    for begin in range(0, 90, 15):  # each is 48 kB with its bigrams; all at once take longer than one call's deadline on a busy machine
        await asyncio.gather(
            *[crm.ask("CreateArticle", title=f"长文 {i}", body=body, category="长", language=1) for i in range(begin, begin + 15)]
        )
    answer = await crm.graph('{ articles(first: 100, filter: {category: {eq: "长"}}) { nodes { body } } }')
    assert "errors" not in answer or answer["errors"][0]["extensions"]["code"] not in ("INTERNAL", None)
