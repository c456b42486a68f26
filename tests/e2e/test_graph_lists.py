"""Lists as a client uses them: found by parts of words, by ids and with what is archived; counted; paged both ways; records by their ids."""

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


# ---- counts

COUNTED = """query($m: String!, $most: Int) { customers(first: 2, filter: {region: {eq: $m}}) {
      nodes { id } totalCount(most: $most) { count exact } all: totalCount { count exact } }
    customerCount(filter: {region: {eq: $m}}, most: $most) { count exact } }"""


async def test_a_list_tells_how_many_there_are_exactly_up_to_a_bound(crm: Installation, region: str) -> None:
    whole = {"count": 5, "exact": True}
    for most, told in [(100, whole), (5, whole), (4, {"count": 4, "exact": False}), (1, {"count": 1, "exact": False}), (10_000, whole)]:
        found = await crm.data(COUNTED, m=region, most=most)
        assert len(found["customers"]["nodes"]) == 2
        assert (found["customers"]["totalCount"], found["customers"]["all"], found["customerCount"]) == (told, whole, told)
    none = await crm.data(COUNTED, m="nowhere", most=5)
    assert none["customerCount"] == none["customers"]["totalCount"] == {"count": 0, "exact": True}


async def test_archived_ones_are_counted_where_they_are_shown(crm: Installation, region: str) -> None:
    query = "query($m: String!, $a: Archived) { customerCount(filter: {region: {eq: $m}}, archived: $a) { count } }"
    found = [(await crm.data(query, m=region, a=one))["customerCount"]["count"] for one in (None, "EXCLUDE", "INCLUDE", "ONLY")]
    assert found == [5, 5, 6, 1]


@pytest.mark.parametrize("most", [0, -1, 10_001])
async def test_a_bound_out_of_range_is_refused_by_its_name(crm: Installation, region: str, most: int) -> None:
    body = await crm.graph(COUNTED, m=region, most=most)
    assert [one["extensions"]["field"] for one in body["errors"]] == ["most", "most"]
    assert body["errors"][0]["extensions"]["params"] == {"rule": "number.between", "least": "1", "most": "10000"}


async def test_what_hangs_on_many_is_counted_in_one_call_a_level(crm: Installation) -> None:
    mark = new_id()
    for number in range(3):
        made = (await crm.ask("CreateCustomer", name=f"有 {number} 个", kind=1, region=mark)).customer
        for index in range(number):
            await crm.ask("CreateContact", customer_id=made.id, name=f"联系人 {index}")
    query = """query($m: String!, $most: Int) { customers(filter: {region: {eq: $m}}, orderBy: NAME_ASC) {
        nodes { contacts(first: 1) { nodes { name } totalCount(most: $most) { count exact } } } } }"""
    for most, told in [(9, [(0, True), (1, True), (2, True)]), (1, [(0, True), (1, True), (1, False)])]:
        before = crm.calls()
        nodes = (await crm.data(query, m=mark, most=most))["customers"]["nodes"]
        assert sum(crm.calls().values()) - sum(before.values()) == 2
        assert [tuple(node["contacts"]["totalCount"].values()) for node in nodes] == told
        assert [len(node["contacts"]["nodes"]) for node in nodes] == [0, 1, 1]


# ---- both ways

PAGES = """query($m: String!, $first: Int, $after: String, $last: Int, $before: String, $skip: Int, $order: CustomerOrder) {
    customers(first: $first, after: $after, last: $last, before: $before, skip: $skip, orderBy: $order, filter: {region: {eq: $m}}) {
      edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def many(crm: Installation) -> str:
    """A word by which nine customers are found, of three names."""
    mark = new_id()
    for index in range(9):
        await crm.ask("CreateCustomer", name=f"名 {index % 3}", kind=1, region=mark)
    return mark


def _ids(page: Any) -> list[str]:
    return [edge["node"]["id"] for edge in page["edges"]]


@pytest.mark.parametrize("order", ["CREATE_TIME_DESC", "CREATE_TIME_ASC", "NAME_ASC"])
@pytest.mark.parametrize("size", [1, 2, 4, 9, 20])
async def test_pages_are_walked_back_as_they_were_walked_on(crm: Installation, many: str, order: str, size: int) -> None:
    whole = _ids((await crm.data(PAGES, m=many, first=100, order=order))["customers"])
    found: list[str] = []
    before = None
    while True:
        page = (await crm.data(PAGES, m=many, last=size, before=before, order=order))["customers"]
        info = page["pageInfo"]
        found = _ids(page) + found
        assert info["hasNextPage"] is (before is not None)
        assert info["hasPreviousPage"] is (len(found) < len(whole))
        assert (info["startCursor"], info["endCursor"]) == (page["edges"][0]["cursor"], page["edges"][-1]["cursor"])
        if not info["hasPreviousPage"]:
            break
        before = info["startCursor"]
    assert found == whole


async def test_a_cursor_leads_both_ways(crm: Installation, many: str) -> None:
    whole = (await crm.data(PAGES, m=many, first=100))["customers"]["edges"]
    ids = [edge["node"]["id"] for edge in whole]
    for index in (0, 3, 8):
        cursor = whole[index]["cursor"]
        assert _ids((await crm.data(PAGES, m=many, first=100, after=cursor))["customers"]) == ids[index + 1 :]
        assert _ids((await crm.data(PAGES, m=many, last=100, before=cursor))["customers"]) == ids[:index]


async def test_rows_are_passed_over_on_either_way(crm: Installation, many: str) -> None:
    ids = _ids((await crm.data(PAGES, m=many, first=100))["customers"])
    page = (await crm.data(PAGES, m=many, first=3, skip=4))["customers"]
    assert (_ids(page), page["pageInfo"]["hasPreviousPage"], page["pageInfo"]["hasNextPage"]) == (ids[4:7], True, True)
    page = (await crm.data(PAGES, m=many, last=3, skip=4))["customers"]
    assert (_ids(page), page["pageInfo"]["hasPreviousPage"], page["pageInfo"]["hasNextPage"]) == (ids[2:5], True, True)
    assert _ids((await crm.data(PAGES, m=many, first=3, skip=9))["customers"]) == []


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"last": 0}, "last"), ({"last": 101}, "last"), ({"first": 101}, "first"), ({"skip": 10_001}, "skip"), ({"skip": -1}, "skip"),
        ({"last": 2, "first": 3}, "first"), ({"last": 2, "after": "x"}, "after"), ({"before": "x"}, "before"), ({"last": 2, "before": "x"}, "before"),
        ({"first": 2, "after": "x"}, "after"),
    ],
)  # fmt: skip
async def test_a_refusal_names_the_argument(crm: Installation, many: str, given: dict[str, Any], field: str) -> None:
    error = (await crm.graph(PAGES, m=many, **given))["errors"][0]
    assert error["extensions"]["field"] == field
    assert field in error["message"] or "cursor" in error["message"]
