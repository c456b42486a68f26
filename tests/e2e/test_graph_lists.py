"""Lists as a client uses them: found by parts of words, by ids and with what is archived; records of any kind by their ids."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from chassis.kernel.ids import new_id
from gateway.graph.contract import to_global
from tests.support.installation import Installation

NAMES = ["臺灣電子有限公司", "台湾电机", "ＡＢＣ Trading", "abc-handel", "Café Zürich", "华东机械设备有限公司"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def region(crm: Installation) -> str:
    """A word by which this module's customers are found; the last of them is archived."""
    mark = new_id()
    for name in NAMES:
        made = await crm.ask("CreateCustomer", name=name, kind=1, region=mark, industry=f"行业 {name[:1]}")
    await crm.ask("ArchiveCustomer", customer_id=made.customer.id, version=made.customer.version)
    return mark


async def names(crm: Installation, mark: str, criteria: str, more: str = "") -> set[str]:
    query = f'{{ customers(filter: {{region: {{eq: "{mark}"}}, {criteria}}}{more}) {{ nodes {{ name }} }} }}'
    return {node["name"] for node in (await crm.data(query))["customers"]["nodes"]}


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ('contains: "湾"', {0, 1}),
        ('contains: "台灣电"', {0, 1}),
        ('contains: "灣電子有限"', {0}),
        ('contains: "ABC"', {2, 3}),
        ('contains: "handel"', {3}),
        ('contains: "zurich"', {4}),
        ('contains: "é z"', {4}),
        ('contains: "abcd"', set()),
        ('startsWith: "AbC"', {2, 3}),
        ('startsWith: "台湾"', {0, 1}),
        ('startsWith: "湾"', set()),
        ('startsWith: "臺湾電子有限公司"', {0}),
        ('contains: "有限公司"', {0}),
    ],
)
async def test_a_part_of_a_name_finds_it_however_it_is_written(crm: Installation, region: str, condition: str, found: set[int]) -> None:
    assert await names(crm, region, f"name: {{{condition}}}") == {NAMES[index] for index in found}


async def test_a_changed_name_is_found_by_the_new_one_alone(crm: Installation) -> None:
    mark = new_id()
    made = (await crm.ask("CreateCustomer", name="旧名字", kind=1, region=mark)).customer
    query = 'mutation($id: ID!) { customerUpdate(input: {customerId: $id, version: 1, name: "新名字"}) { errors { code } } }'
    await crm.data(query, id=to_global("Customer", made.id))
    assert await names(crm, mark, 'name: {contains: "旧名"}') == set()
    assert await names(crm, mark, 'name: {contains: "新名"}') == {"新名字"}


async def test_archived_ones_are_shown_by_an_argument(crm: Installation, region: str) -> None:
    used = set(NAMES[:-1])
    anything = "name: {isSet: true}"
    assert await names(crm, region, anything) == used
    assert await names(crm, region, anything, ", archived: EXCLUDE") == used
    assert await names(crm, region, anything, ", archived: INCLUDE") == set(NAMES)
    assert await names(crm, region, anything, ", archived: ONLY") == {NAMES[-1]}
    assert await names(crm, region, "archiveTime: {isSet: true}") == {NAMES[-1]}
    assert await names(crm, region, "archiveTime: {isSet: true}", ", archived: EXCLUDE") == set()


async def test_a_cursor_goes_with_what_was_shown_of_archived_ones(crm: Installation, region: str) -> None:
    query = """query($a: Archived, $after: String, $mark: String!) {
        customers(first: 1, archived: $a, after: $after, filter: {region: {eq: $mark}}) { pageInfo { endCursor } } }"""
    end = (await crm.data(query, mark=region))["customers"]["pageInfo"]["endCursor"]
    body = await crm.graph(query, mark=region, after=end, a="INCLUDE")
    assert body["errors"][0]["extensions"]["code"] == "PAGE_TOKEN_INVALID"
    assert body["errors"][0]["extensions"]["field"] == "after"


async def test_records_are_listed_by_their_ids(crm: Installation, region: str) -> None:
    query = "query($m: String!) { customers(filter: {region: {eq: $m}}) { nodes { id name } } }"
    rows = (await crm.data(query, m=region))["customers"]["nodes"]
    wanted = [rows[0]["id"], rows[2]["id"]]
    by_ids = "query($ids: [ID!]) { customers(filter: {id: {in: $ids}}) { nodes { id } } }"
    assert {node["id"] for node in (await crm.data(by_ids, ids=wanted))["customers"]["nodes"]} == set(wanted)
    without = "query($ids: [ID!], $m: String!) { customers(filter: {region: {eq: $m}, not: {id: {in: $ids}}}) { nodes { id } } }"
    assert len((await crm.data(without, ids=wanted, m=region))["customers"]["nodes"]) == len(rows) - 2
    wrong = await crm.graph(by_ids, ids=["VGlja2V0OmE"])  # a ticket's
    assert wrong["errors"][0]["extensions"]["params"]["rule"] == "id.kind"


# ---- nodes

NODES = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id ... on Customer { name } ... on Contact { name customer { name } } } }"


async def several(crm: Installation) -> tuple[list[str], list[Any]]:
    """Ids of records of four kinds, and what is shown of them."""
    customer = (await crm.ask("CreateCustomer", name="混合", kind=1)).customer
    contact = (await crm.ask("CreateContact", customer_id=customer.id, name="周明")).contact
    ids = [
        to_global(kind, identity)
        for kind, identity in [
            ("Contact", contact.id), ("Customer", customer.id), ("Person", crm.people["SALES_REP"]), ("Ticket", "nowhere"), ("Customer", customer.id),
        ]
    ]  # fmt: skip
    shown = {"__typename": "Customer", "id": ids[1], "name": "混合"}
    return ids, [
        {"__typename": "Contact", "id": ids[0], "name": "周明", "customer": {"name": "混合"}},
        shown, {"__typename": "Person", "id": ids[2]}, None, shown,
    ]  # fmt: skip


async def test_records_of_any_kind_are_got_by_their_ids_in_the_order_asked(crm: Installation) -> None:
    ids, shown = await several(crm)
    assert (await crm.data(NODES, ids=ids))["nodes"] == shown
    assert (await crm.data(NODES, ids=[]))["nodes"] == []


async def test_what_a_person_may_not_see_is_null_in_its_place(crm: Installation) -> None:
    ids, shown = await several(crm)
    found = (await crm.data(NODES, "SALES_REP", ids=ids))["nodes"]
    assert found == [None, None, shown[2], None, None]


async def test_nodes_refuses_too_many_and_what_is_no_id(crm: Installation) -> None:
    ids, _ = await several(crm)
    many = await crm.graph("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=ids[:1] * 101)
    assert many["errors"][0]["extensions"]["params"] == {"rule": "repeated.max_items", "limit": "100"}
    wrong = await crm.graph("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=[*ids, "x"])
    assert wrong["errors"][0]["extensions"]["field"] == "ids[5]"


async def test_nodes_cost_as_many_rows_as_ids_are_given(crm: Installation) -> None:
    ids, _ = await several(crm)
    query = """query($ids: [ID!]!) { nodes(ids: $ids) { ... on Customer { contacts(first: 100) { nodes { id name title } } } } }"""
    assert len((await crm.data(query, ids=ids[:2]))["nodes"]) == 2
    assert (await crm.graph(query, ids=ids[:1] * 100))["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
