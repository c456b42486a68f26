"""Hostile documents: each refused quickly, naming the limit, while a normal client is answered as ever."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.graph.contract import to_global
from gateway.operations.run import Operations
from tests.support.installation import Installation

SECONDS = 0.2  # of processor time: other programs on the machine, and waiting for them, do not count


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    """Garbage of the whole test run is not collected while these tests look at the clock."""
    gc.disable()
    yield
    gc.enable()


def chain(length: int, inside: str) -> str:
    """Fragments, each containing the next one as often as `inside` says."""
    named = "".join(f" fragment F{i} on Person {{ {inside.replace('#', str(i + 1))} }}" for i in range(length))
    return f"{{ viewer {{ ...F0 }} }} {named} fragment F{length} on Person {{ id }}"


HOSTILE = {
    "a path of sixteen levels": ("depth", "{ viewer" + " { manager" * 15 + " { id }" + " }" * 15 + " }"),
    "ten thousand levels of braces": ("depth", "{a" * 10_000 + "}" * 10_000),
    "a hundred levels": ("depth", "{ viewer" + " { manager" * 100 + " { id }" + " }" * 100 + " }"),
    "a circle of fragments": ("depth", "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }"),
    "a list nested nineteen hundred times": ("depth", "{ customers(first: " + "[" * 1900 + "]" * 1900 + ") { nodes { id } } }"),
    "sixty-one aliases": ("aliases", "{ " + " ".join(f"a{i}: __typename" for i in range(61)) + " }"),
    "a thousand aliases": ("aliases", "{ " + " ".join(f"a{i}: __typename" for i in range(1000)) + " }"),
    "four thousand tokens": ("tokens", "{ " + "__typename " * 4000 + "}"),
    "forty thousand directives": ("tokens", "{ __typename " + "@x" * 40_000 + " }"),
    "sixty-one directives": ("directives", "{ " + " ".join(f"... @include(if: true) {{ y{i}: __typename }}" for i in range(61)) + " }"),
    "a selection of five hundred and one entries": ("breadth", "{ " + "... { __typename } " * 501 + "}"),
    "a thousand operations": ("tokens", "".join(f"query Q{i} {{ __typename }}" for i in range(1000))),
    "two to the thirtieth fields by fragments": ("cost", chain(30, "...F# ...F#")),
    "two to the thirtieth levels by fragments": ("depth", chain(30, "a: manager { ...F# } b: manager { ...F# }")),
    "a hundred of a hundred of a hundred": (
        "cost", "{ customers(first: 100) { nodes { contacts(first: 100) { nodes { customer { orders(first: 100) { nodes { id } } } } } } } }",
    ),
    "pages whose rows stand in fragments": (
        "cost",
        """{ customers { ...A } } fragment A on CustomerConnection { nodes { contacts { ...B } } }
           fragment B on ContactConnection { nodes { customer { orders { ...C } } } }
           fragment C on OrderConnection { nodes { customer { tickets { ...D } } } } fragment D on TicketConnection { nodes { id } }""",
    ),
    "pages below a search": (
        "cost", '{ customerSearch(query: "a") { contacts(first: 100) { nodes { ' + "id name " * 6 + "} } orders(first: 100) { nodes { id total { amount } } } } }",
    ),
    "two million characters of directives": ("body", "{ __typename " + "@x " * 700_000 + "}"),
    "ten thousand aliases": ("body", "{ " + " ".join(f"a{i}: __typename" for i in range(10_000)) + " }"),
}  # fmt: skip
_PAGES = "{ customers(first: $n) { nodes { contacts(first: $n) { nodes { customer { orders(first: $n) { nodes { id } } } } } } } }"
BY_VARIABLES: dict[str, tuple[str, dict[str, Any]]] = {
    "a page size in a variable": ("query($n: Int) " + _PAGES, {"n": 100}),
    "a page size written with a decimal point": ("query($n: Int) " + _PAGES, {"n": 100.0}),
    "a page size that is a variable's default": ("query($n: Int = 100) " + _PAGES, {}),
}


async def refusal(crm: Installation, query: str, variables: dict[str, Any] | None = None) -> tuple[dict[str, Any], int, float]:
    """The first error, the status and the seconds."""
    started = time.process_time()
    response = await crm.http.post(
        "/graphql", json={"query": query, "variables": variables or {}},
        headers={**crm.bearer("COORDINATOR"), "Accept": "application/graphql-response+json"},
    )  # fmt: skip
    error: dict[str, Any] = response.json()["errors"][0]
    return error, response.status_code, time.process_time() - started


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_document_is_refused_at_once_naming_the_limit(crm: Installation, name: str) -> None:
    limit, query = HOSTILE[name]
    before = crm.calls()
    error, status, seconds = await refusal(crm, query)
    assert limit in error["message"]
    assert error["extensions"]["code"] == ("BAD_REQUEST" if limit == "body" else "LIMIT_EXCEEDED")
    if limit != "body":
        assert error["extensions"]["found"] > error["extensions"]["most"]
    assert status == (413 if limit == "body" else 400)
    assert crm.calls() == before
    assert seconds < SECONDS


@pytest.mark.parametrize("name", BY_VARIABLES)
async def test_the_cost_counts_page_sizes_that_variables_give(crm: Installation, name: str) -> None:
    query, variables = BY_VARIABLES[name]
    error, status, seconds = await refusal(crm, query, variables)
    assert error["extensions"] == {"code": "LIMIT_EXCEEDED", "limit": "cost", "found": 2_030_201, "most": 25_000}
    assert (status, seconds < SECONDS) == (400, True)


async def test_equal_fields_a_thousand_times_are_judged_at_once(crm: Installation) -> None:
    started = time.process_time()
    await crm.graph("{ " + "viewer { id manager { id } } " * 490 + "}")
    assert time.process_time() - started < SECONDS


async def test_fragments_that_spread_each_other_are_judged_at_once(crm: Installation) -> None:
    parts = [f"fragment F{i} on Person {{ {' '.join(f'...F{j}' for j in range(i + 1, 45))} id name }}" for i in range(45)]
    started = time.process_time()
    await crm.graph(f"{{ viewer {{ {' '.join(f'...F{i}' for i in range(45))} }} }} {' '.join(parts)}")
    assert time.process_time() - started < SECONDS


async def test_a_body_of_twenty_megabytes_is_refused_with_413(crm: Installation) -> None:
    response = await crm.http.post(
        "/graphql", content=b'{"query": "{ __typename }"}' + b" " * 20_000_000, headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 413
    assert response.json()["errors"][0]["message"] == "the body exceeds the limit of 100000 bytes (limit: body); ask for less at once"


async def test_a_body_that_does_not_tell_its_length_is_refused_with_413(crm: Installation) -> None:
    async def parts() -> Any:
        for _ in range(200):
            yield b" " * 10_000

    response = await crm.http.post("/graphql", content=parts(), headers={"Content-Type": "application/json"})
    assert response.status_code == 413


async def test_a_body_just_within_the_limit_is_answered(crm: Installation) -> None:
    body = b'{"query": "{ __typename }"}'
    response = await crm.http.post("/graphql", content=body + b" " * (100_000 - len(body)), headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()) == (200, {"data": {"__typename": "Query"}})


@pytest.mark.parametrize("count", [0, 11, 1000])
async def test_a_batch_that_is_empty_or_too_long_is_refused_naming_the_limit(crm: Installation, count: int) -> None:
    response = await crm.http.post("/graphql", json=[{"query": "{__typename}"}] * count)
    assert response.status_code == 400
    (error,) = response.json()["errors"]
    assert error["message"] == f"a batch of {count} operations; send 1 to 10 (limit: batch)"
    shown = {name: error["extensions"].get(name) for name in ("code", "limit", "found", "most")}
    assert shown == {"code": "LIMIT_EXCEEDED", "limit": "batch", "found": count, "most": 10}


async def test_ten_operations_in_one_request_are_answered_in_their_order(crm: Installation) -> None:
    response = await crm.http.post("/graphql", json=[{"query": f"{{ a{i}: __typename }}"} for i in range(10)])
    assert response.json() == [{"data": {f"a{i}": "Query"}} for i in range(10)]


async def test_the_operations_of_a_batch_run_side_by_side(crm: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every one is under way before any has ended: each waits here until all ten have begun."""
    operations, whole, begun = crm.suite["gateway"].operations, Operations.run, asyncio.Barrier(10)

    async def run(question: Any, context: Any, **more: Any) -> Any:
        await begun.wait()
        return await whole(operations, question, context, **more)

    monkeypatch.setattr(operations, "run", run)
    batch = [
        {"query": "query($id: ID!) { node(id: $id) { id } }", "variables": {"id": to_global("Customer", f"none{i}")}} for i in range(10)
    ]
    before = crm.calls().get("BatchGetCustomers", 0)
    response = await asyncio.wait_for(crm.http.post("/graphql", json=batch, headers=crm.bearer("COORDINATOR")), 10)
    assert response.json() == [{"data": {"node": None}}] * 10
    # What they ask at the same time is one call; a second one where some were slower to begin.
    assert crm.calls()["BatchGetCustomers"] - before <= 2


@pytest.mark.parametrize("nested", [10, 60, 200, 400])
async def test_a_deep_filter_in_variables_is_refused_as_bad_criteria(crm: Installation, nested: int) -> None:
    text = '{"not":' * nested + '{"name":{"eq":"x"}}' + "}" * nested
    query = "query($f: CustomerFilter) { customers(filter: $f) { nodes { id } } }"
    response = await crm.http.post(
        "/graphql", content=f'{{"query":"{query}","variables":{{"f":{text}}}}}',
        headers={**crm.bearer("COORDINATOR"), "Content-Type": "application/json"},
    )  # fmt: skip
    assert response.status_code in (200, 400)
    assert response.json()["errors"][0]["extensions"]["code"] in ("CRITERIA_INVALID", "LIMIT_EXCEEDED")


async def test_the_standard_introspection_is_within_the_limits(crm: Installation) -> None:
    from graphql import get_introspection_query

    body = await crm.graph(get_introspection_query(descriptions=True, input_value_deprecation=True, specified_by_url=True))
    assert "errors" not in body


async def test_a_normal_client_is_answered_while_hostile_documents_come_in(crm: Installation) -> None:
    texts = [query for limit, query in HOSTILE.values() if limit != "body"]

    async def hostile() -> None:
        for index, text in enumerate(texts):
            await crm.http.post("/graphql", json={"query": f"#{index}\n{text}"})

    async def normal() -> list[float]:
        taken = []
        for _ in range(20):
            started = time.process_time()
            assert await crm.data("{ viewer { name } }") == {"viewer": {"name": "人 COORDINATOR"}}
            taken.append(time.process_time() - started)
        return taken

    attack = asyncio.gather(*[hostile() for _ in range(3)])
    taken = await normal()
    await attack
    assert sorted(taken)[10] < SECONDS
