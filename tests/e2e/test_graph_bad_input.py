"""Bad input at the gateway: a precise error in the right form, nothing written, one line in the log with the request id."""

from __future__ import annotations

import base64
import logging
import random
from typing import Any

import orjson
import pytest

from chassis.kernel.ids import new_id
from gateway.graph.contract import to_global
from tests.support.installation import Installation

CREATE = "mutation($i: CustomerCreateInput!) { customerCreate(input: $i) { customer { id } errors { code message path } } }"
UPDATE = "mutation($i: CustomerUpdateInput!) { customerUpdate(input: $i) { customer { id } errors { code path } } }"
GOOD = {"kind": "COMPANY", "name": "好"}
_ALIEN = to_global("Person", "someone")
# What is wrong with an input → (what is given, the code, the path)
REFUSED: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "an id that is none": ({"parentId": "zzz"}, "INVALID_ARGUMENT", ["input", "parentId"]),
    "an empty id": ({"parentId": ""}, "INVALID_ARGUMENT", ["input", "parentId"]),
    "an id of letters that are not ASCII": ({"parentId": "编号"}, "INVALID_ARGUMENT", ["input", "parentId"]),
    "an id of another type": ({"parentId": _ALIEN}, "INVALID_ARGUMENT", ["input", "parentId"]),
    "an id with a NUL inside": ({"parentId": to_global("Customer", "a\0b")}, "INVALID_ARGUMENT", ["input", "parentId"]),
    "an id of four hundred letters": ({"parentId": to_global("Customer", "a" * 400)}, "INVALID_ARGUMENT", ["input", "parentId"]),
    "a record that is not there": ({"parentId": to_global("Customer", "nobody")}, "REFERENCE_NOT_FOUND", ["input", "parentId"]),
    "an over-long text": ({"name": "长" * 201}, "INVALID_ARGUMENT", ["input", "name"]),
    "an empty name": ({"name": ""}, "INVALID_ARGUMENT", ["input", "name"]),
    "a NUL in a text": ({"name": "a\0b"}, "INVALID_ARGUMENT", ["input", "name"]),
    "a mail address that is none": ({"email": "a@@b"}, "INVALID_ARGUMENT", ["input", "email"]),
    "a negative count": ({"employeeCount": -1}, "INVALID_ARGUMENT", ["input", "employeeCount"]),
    "a currency that is none": ({"annualRevenue": {"currencyCode": "yuan", "amount": "1"}}, "INVALID_ARGUMENT", ["input", "annualRevenue", "currencyCode"]),
    "an amount with seven decimals": ({"annualRevenue": {"currencyCode": "CNY", "amount": "1.0000001"}}, "INVALID_ARGUMENT", ["input", "annualRevenue"]),
    "a request id with a NUL": ({"requestId": "a\0b-12345678"}, "INVALID_ARGUMENT", ["input", "requestId"]),
}  # fmt: skip
# What GraphQL itself must refuse → a word of the message
UNFIT: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown field": ({"nothing": 1}, "nothing"),
    "a wrong enum value": ({"kind": "ALIEN"}, "ALIEN"),
    "a text for a number": ({"employeeCount": "12"}, "Long"),
    "a number of sixty bits": ({"employeeCount": 2**60}, "2^53-1"),
    "a broken number": ({"employeeCount": 1.5}, "Long"),
    "an amount that is no number": ({"annualRevenue": {"currencyCode": "CNY", "amount": "viel"}}, "amount"),
    "an amount without end": ({"annualRevenue": {"currencyCode": "CNY", "amount": "NaN"}}, "finite"),
    "an amount beyond all bounds": ({"annualRevenue": {"currencyCode": "CNY", "amount": "1e999999999"}}, "finite"),
    "a missing name": ({"name": None}, "name"),
    "a list for a text": ({"name": ["a"]}, "name"),
}


@pytest.fixture
def log_lines(caplog: pytest.LogCaptureFixture) -> Any:
    """The lines of gateway and departments for a request id."""
    for name in ("crm.gateway", "crm.rpc"):
        caplog.set_level(logging.INFO, name)

    def lines(request_id: str) -> list[logging.LogRecord]:
        return [record for record in caplog.records if getattr(record, "request_id", "") == request_id and record.name.startswith("crm.")]

    return lines


async def customers(crm: Installation) -> int:
    return int(await crm.suite["customer"].database["customers"].count_documents({}))


@pytest.mark.parametrize("name", REFUSED)
async def test_a_command_with_bad_input_is_refused_by_name_and_writes_nothing(crm: Installation, log_lines: Any, name: str) -> None:
    given, code, path = REFUSED[name]
    request_id, before = new_id(), await customers(crm)
    body = await crm.graph(CREATE, headers={"X-Request-Id": request_id}, i=GOOD | given)
    assert "errors" not in body, body["errors"]
    refusal = body["data"]["customerCreate"]
    assert refusal["customer"] is None
    assert [(error["code"], error["path"]) for error in refusal["errors"]] == [(code, path)]
    assert await customers(crm) == before
    found = {(record.message, getattr(record, "code", "")) for record in log_lines(request_id)}
    assert found == {("refused", code)}


@pytest.mark.parametrize("name", UNFIT)
async def test_a_command_that_does_not_fit_the_schema_is_refused_before_it_runs(crm: Installation, log_lines: Any, name: str) -> None:
    given, word = UNFIT[name]
    request_id, before, calls = new_id(), await customers(crm), crm.calls()
    body = await crm.graph(CREATE, headers={"X-Request-Id": request_id}, i=GOOD | given)
    assert set(body) == {"errors"}
    assert word in body["errors"][0]["message"]
    assert body["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT", "requestId": request_id}
    assert (await customers(crm), crm.calls()) == (before, calls)
    assert len(log_lines(request_id)) == 1


@pytest.mark.parametrize("version", [0, -1, 2, 2**53 - 1])
async def test_a_version_that_is_not_the_stored_one_changes_nothing(crm: Installation, version: int) -> None:
    identity = (await crm.data(CREATE, i=GOOD))["customerCreate"]["customer"]["id"]
    refusal = (await crm.data(UPDATE, i={"customerId": identity, "version": version, "name": "neu"}))["customerUpdate"]
    assert refusal["customer"] is None
    assert refusal["errors"][0]["path"] == ["input", "version"]
    assert refusal["errors"][0]["code"] in (("VERSION_CONFLICT",) if version == 2 else ("VERSION_CONFLICT", "INVALID_ARGUMENT"))
    assert (await crm.data("query($id: ID!) { customer(id: $id) { name version } }", id=identity))["customer"] == {
        "name": "好",
        "version": 1,
    }


async def test_a_negative_amount_of_an_opportunity_is_refused(crm: Installation) -> None:
    query = 'mutation($a: Decimal!) { opportunityCreate(input: {name: "x", amount: {currencyCode: "CNY", amount: $a}}) { errors { code path } } }'
    assert await crm.data(query, a="-0.01") == {
        "opportunityCreate": {"errors": [{"code": "INVALID_ARGUMENT", "path": ["input", "amount"]}]}
    }


@pytest.mark.parametrize(
    "moment", ["2026-11-22T10:00:00", "2026-13-22T10:00:00Z", "gestern", "", 5, "0001-01-01T00:00:00+08:00", "9999-12-31T23:59:59-08:00"]
)
async def test_a_broken_moment_is_refused(crm: Installation, moment: object) -> None:
    body = await crm.graph("query($t: DateTime) { customers(filter: {createTime: {gt: $t}}) { nodes { id } } }", t=moment)
    assert set(body) == {"errors"}
    assert body["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize("day", ["2026-02-30", "2026-1-1", "22.11.2026", "", 20261122, "20261122", "2026-W47-7"])
async def test_a_broken_day_is_refused(crm: Installation, day: object) -> None:
    body = await crm.graph("query($d: Date) { opportunities(filter: {closeDate: {gt: $d}}) { nodes { id } } }", d=day)
    assert set(body) == {"errors"}
    assert body["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize("first", [0, -1, 101, 2**31 - 1])
async def test_a_page_size_out_of_bounds_is_refused(crm: Installation, first: int) -> None:
    body = await crm.graph("query($n: Int) { customers(first: $n) { nodes { id } } }", n=first)
    assert body["errors"][0]["extensions"]["code"] in ("INVALID_ARGUMENT", "LIMIT_EXCEEDED")
    assert "first" in body["errors"][0]["message"]


async def test_a_page_size_of_a_million_millions_is_refused(crm: Installation) -> None:
    body = await crm.graph("query($n: Int) { customers(first: $n) { nodes { id } } }", n=10**12)
    assert body["errors"][0]["extensions"]["code"] in ("BAD_USER_INPUT", "LIMIT_EXCEEDED")


async def test_a_page_size_of_a_search_out_of_bounds_names_the_argument(crm: Installation) -> None:
    body = await crm.graph('{ customerSearch(query: "x", first: 101) { id } }')
    assert (body["errors"][0]["extensions"]["code"], body["errors"][0]["extensions"]["field"]) == ("INVALID_ARGUMENT", "first")


@pytest.mark.parametrize("value", [2**64 - 1, 2**63, 1e300, -1e13, True, None, "x\0", 10**15, "v" * 500])
@pytest.mark.parametrize("kind", ["v", "t"])
async def test_a_cursor_that_was_tampered_with_is_never_a_fault_of_ours(crm: Installation, value: object, kind: str) -> None:
    for name in "abc":
        await crm.ask("CreateCustomer", name=name, kind=1)
    query = "query($after: String) { customers(first: 1, after: $after, orderBy: NAME_ASC) { nodes { id } pageInfo { endCursor } } }"
    cursor = (await crm.data(query))["customers"]["pageInfo"]["endCursor"]
    mark, _, _, identity = orjson.loads(base64.urlsafe_b64decode(cursor + "=="))
    forged = base64.urlsafe_b64encode(orjson.dumps([mark, kind, value, identity])).decode().rstrip("=")
    body = await crm.graph(query, after=forged)
    assert [error["extensions"]["code"] for error in body.get("errors", [])] in ([], ["PAGE_TOKEN_INVALID"])


@pytest.mark.parametrize("after", ["x", "é", "W10", "WyIiLDk5OTld", "WyIiLC0xXQ", "bnVsbA", "A" * 5000, "\0"])
async def test_a_cursor_that_is_none_is_refused(crm: Installation, after: str) -> None:
    body = await crm.graph("query($a: String) { customers(after: $a) { nodes { id } } }", a=after)
    assert (body["errors"][0]["extensions"]["code"], body["data"]) == ("PAGE_TOKEN_INVALID", {"customers": None})


LISTS = {
    "jobs": "query($a: String) { jobs(after: $a) { nodes { id } } }",
    "history": "query($a: String, $id: ID!) { recordHistory(id: $id, after: $a) { nodes { entryId } } }",
    "timeline": "query($a: String, $id: ID!) { customer(id: $id) { timeline(after: $a) { nodes { occurTime } } } }",
    "groups": "query($a: String, $id: ID!) { customer(id: $id) { contacts(after: $a) { nodes { id } } } }",
}
FEW = [
    "W10",
    "WyJzYWxlcyJd",
    "bnVsbA",
    "MQ",
    '"e30"',
    "eyJzYWxlcyI6MX0",
    "eyJzYWxlcyI6IngifQ",
    "eyJub2JvZHkiOiIifQ",
    "W1tdXQ",
    "é",
    "\0",
    "A" * 5000,
]


@pytest.mark.parametrize("name", LISTS)
async def test_no_cursor_of_any_list_is_a_fault_of_ours(crm: Installation, name: str) -> None:
    """Forged ones, ones of another list, halves of true ones, and whatever a generator thinks of."""
    customer = await crm.ask("CreateCustomer", name="游标", kind=1)
    await crm.ask("CreateCustomer", name="游标", kind=1)
    true = (await crm.data("{ customers(first: 1) { pageInfo { endCursor } } }"))["customers"]["pageInfo"]["endCursor"]
    draw = random.Random(name)
    junk = ["".join(draw.choices("AZaz09_-=eyJ", k=draw.randint(1, 80))) for _ in range(10)]
    nested = [
        base64.urlsafe_b64encode(orjson.dumps(one)).decode().rstrip("=") for one in ({"sales": True}, ["sales"], [["sales", "x"]], "sales")
    ]
    identity = to_global("Customer", customer.customer.id)
    for after in [*FEW, *junk, *nested, true, true[:-3], true + "A"]:
        body = await crm.graph(LISTS[name], a=after, **({"id": identity} if "$id" in LISTS[name] else {}))
        assert [error["extensions"]["code"] for error in body.get("errors", [])] in ([], ["PAGE_TOKEN_INVALID"]), (after[:60], body)
        assert after == "e30" or "errors" in body, after[:60]


@pytest.mark.parametrize("text", ['"\\uD800"', '"\\uDFFF\\uD800"'])
async def test_half_a_character_is_refused_wherever_it_stands(crm: Installation, text: str) -> None:
    documents = (
        orjson.dumps({"query": f"{{ customerSearch(query: {text}) {{ id }} }}"}),
        b'{"query": "query($q: String!) { customerSearch(query: $q) { id } }", "variables": {"q": %s}}' % text.encode(),
    )
    for content in documents:
        response = await crm.http.post(
            "/graphql", content=content, headers={**crm.bearer("COORDINATOR"), "Content-Type": "application/json"}
        )
        assert response.status_code in (200, 400)
        assert response.json()["errors"][0]["extensions"]["code"] in ("GRAPHQL_PARSE_FAILED", "BAD_REQUEST", "BAD_USER_INPUT")


# ---- requests that are none; each leaves one line in the log

REQUESTS: dict[str, tuple[bytes, dict[str, str], int]] = {
    "no JSON": (b"{", {}, 400),
    "no object": (b"5", {}, 400),
    "no query": (b"{}", {}, 400),
    "an empty query": (b'{"query": " "}', {}, 400),
    "variables that are a list": (b'{"query": "{__typename}", "variables": []}', {}, 400),
    "bytes that are no UTF-8": (b'{"query": "\xff"}', {}, 400),
    "another media type": (b"{__typename}", {"Content-Type": "application/graphql"}, 415),
    "a form": (b"query=%7B__typename%7D", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    "another charset": (b'{"query": "{__typename}"}', {"Content-Type": "application/json; charset=utf-16"}, 415),
    "nothing that we can answer with": (b'{"query": "{__typename}"}', {"Accept": "image/png"}, 406),
    "a body that is too large": (b'{"query": "{__typename}"}' + b" " * 100_001, {}, 413),
    "a batch of nothing": (b"[]", {}, 400),
    "a document that is no GraphQL": (b'{"query": "{"}', {"Accept": "application/graphql-response+json"}, 400),
    "a field that is not there": (b'{"query": "{ nothing }"}', {"Accept": "application/graphql-response+json"}, 400),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_request_that_is_none_is_refused_and_logged_once_with_its_id(crm: Installation, log_lines: Any, name: str) -> None:
    content, headers, status = REQUESTS[name]
    request_id = new_id()
    response = await crm.http.post(
        "/graphql", content=content, headers={"Content-Type": "application/json", "X-Request-Id": request_id, **headers}
    )
    assert (response.status_code, response.headers["x-request-id"]) == (status, request_id)
    assert response.json()["errors"][0]["extensions"]["code"] in (
        "BAD_REQUEST",
        "LIMIT_EXCEEDED",
        "GRAPHQL_PARSE_FAILED",
        "GRAPHQL_VALIDATION_FAILED",
    )
    assert len(log_lines(request_id)) == 1


# ---- tokens


@pytest.mark.parametrize("kind", ["none", "garbage", "forged", "another header", "other claims"])
async def test_without_a_token_of_ours_nothing_is_answered_and_nothing_written(crm: Installation, kind: str) -> None:
    head, claims, signature = crm.tokens["COORDINATOR"].split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').decode().rstrip("=")
    token = {
        "none": "", "garbage": "garbage", "forged": f"{head}.{claims}.{'A' * 86}", "another header": f"{none}.{claims}.{signature}",
        "other claims": f"{head}.{claims[:-4]}AAAA.{signature}",
    }[kind]  # fmt: skip
    before = await customers(crm)
    asked = await crm.graph("{ customers { nodes { id } } viewer { id } grants { role } tickets { nodes { id } } }", token)
    assert asked["data"] == {"customers": None, "viewer": None, "grants": None, "tickets": None}
    assert {error["extensions"]["code"] for error in asked["errors"]} == {"UNAUTHENTICATED"}
    told = (await crm.data(CREATE, token, i=GOOD))["customerCreate"]
    assert (told["customer"], [error["code"] for error in told["errors"]]) == (None, ["UNAUTHENTICATED"])
    assert await customers(crm) == before
