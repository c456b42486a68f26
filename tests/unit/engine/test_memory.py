"""Ever new documents keep the gateway's memory bounded."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graphql import get_named_type, is_leaf_type, is_object_type

from gateway.bootstrap import shared_schema
from gateway.engine import Engine
from gateway.engine.plan import Plan, Selection
from gateway.graph.readings import Readings
from gateway.operations.documents import KEPT, Documents
from gateway.settings import Settings
from tests.support.samples import LONG

ADDRESSES = ("nats_url", *(f"{name}_address" for name in ("organization", "customer", "sales", "marketing", "support")))
FULL = KEPT + 199  # by then everything that is kept is there
ROUNDS = 3000 if LONG else FULL + 600


@pytest.fixture(autouse=True)
def often_collected() -> Iterator[None]:
    """Garbage of many objects at once, as the run lets it gather, would be taken for what is kept."""
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def resident() -> float:
    """Megabytes of this process."""
    gc.collect()
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def plan_all(selection: Selection) -> None:
    """Plan what is below too, as executions do."""
    for field in selection.fields:
        inner = get_named_type(field.definition.type)
        if is_object_type(inner):
            plan_all(field.selection(inner))


def test_large_documents_under_all_their_decisions_need_no_more_memory_than_is_kept_of_them() -> None:
    shared = shared_schema()
    given: Any = dict.fromkeys(ADDRESSES, "127.0.0.1:1")
    documents = Documents(Engine(shared._schema, Readings(shared)), Settings(**given))
    customer: Any = shared._schema.type_map["Customer"]
    leaves = " ".join(name for name, field in customer.fields.items() if not field.args and is_leaf_type(get_named_type(field.type)))
    before, full = resident(), 0.0
    for number in range(48):
        pages = " ".join(
            f"x{number}_{part}: customers(first: {part + 1}) {{ nodes {{ {leaves} parent {{ {leaves} }} id @skip(if: $a) }}"
            " edges { cursor @skip(if: $b) } pageInfo { endCursor @skip(if: $c) } }"
            for part in range(6)
        )
        operation = documents.prepare(f"query Q{number}($a: Boolean!, $b: Boolean!, $c: Boolean!) {{ {pages} }}").operation(None).run
        for bits in range(8):
            variables: Any = operation.variables.coerce({"a": bool(bits & 1), "b": bool(bits & 2), "c": bool(bits & 4)})
            plan = operation.plan(variables)
            assert isinstance(plan, Plan)
            plan_all(plan.root)
        if number == 23:
            full = resident()
    assert full - before < 200
    assert resident() - full < 20


def test_ever_new_documents_need_no_more_memory_than_the_cache_keeps() -> None:
    shared = shared_schema()
    given: Any = dict.fromkeys(ADDRESSES, "127.0.0.1:1")
    documents = Documents(Engine(shared._schema, Readings(shared)), Settings(**given))
    full = 0.0
    for number in range(ROUNDS):
        text = f"query Q{number} {{ customers(first: {number % 100 + 1}) {{ nodes {{ id a{number}: createTime owner {{ name }} }} }} }}"
        operation = documents.prepare(text).operation(None).run
        variables: Any = operation.variables.coerce({})
        plan = operation.plan(variables)
        assert isinstance(plan, Plan)
        plan_all(plan.root)
        if number == FULL:
            full = resident()
    assert len(documents._kept) == KEPT
    assert resident() - full < 15
