"""Nothing of a document becomes code: names and texts of any form are names and texts."""

from __future__ import annotations

import asyncio
import builtins
import json
import keyword
from typing import Any

import pytest
from graphql import ExecutionResult, GraphQLObjectType, GraphQLSchema, build_schema, execute, parse, validate

from gateway.engine import Batch, Engine, Operation, Read, Shape
from gateway.engine.plan import Plan

GENERATED = (
    "row",
    "rows",
    "deviate",
    "one",
    "values",
    "item",
    "found",
    *(f"k{number}" for number in range(12)),
    *(f"v{number}" for number in range(12)),
)
DUNDERS = ("__builtins__", "__import__", "__class__", "__name__", "__dict__", "__globals__", "_", "__")
BUILTINS = tuple(name for name in dir(builtins) if name.isidentifier())
NAMES = (*GENERATED, *DUNDERS, *keyword.kwlist, *keyword.softkwlist, *BUILTINS[:40], "exec", "eval", "open", "type", "None", "x" * 300)
TEXTS = (
    '"', "'", "'''", '"""', "\\", "\\n", "\n", "\r\n", "\t", "\0", "{", "}", "{}", "{row}", "{0}", "{row.__class__}", "{!r}", "%s", "%(row)s", "${row}",
    "\u2028", "\u2029", "\u0085", "\ufeff", "\u202e",
    "😀", "\ud7ff", "'); raise SystemExit(1) #", '"); __import__("os")._exit(1) #', "\\\"); deviate() #", "k1", "row", "# coding: rot13", "a\x0bb\x0cc\x1cd",
)  # fmt: skip


class Box:
    """A row."""

    def __init__(self, deep: int = 3) -> None:
        self.name, self.deep = "{row} {0} k1", deep

    @property
    def inner(self) -> Box | None:
        """A box in it."""
        return Box(self.deep - 1) if self.deep else None

    @property
    def many(self) -> list[Box]:
        """Boxes in it."""
        return [Box(self.deep - 1)] * 2 if self.deep else []


class Boxes:
    """Every field of a box is read by generated code, but for those that take arguments."""

    def shape(self, parent: GraphQLObjectType) -> Shape | None:
        """That of a box."""
        reads = {"name": Read("{shown}({row}.name)", {"shown": str}), "inner": Read("{row}.inner"), "many": Read("{row}.many")}
        return Shape(Box, reads) if parent.name == "Box" else None

    def batch(self, parent: GraphQLObjectType, name: str, definition: Any) -> Batch | None:
        """None."""
        return None


def schema() -> GraphQLSchema:
    """Boxes in boxes, and a field that gives back what it is asked."""
    made = build_schema(
        'type Query { box: Box boxes: [Box!]! } type Box { name: String! inner: Box many: [Box!]! echo(text: String = "{row}", list: [String!], on: Of): String }'
        " input Of { text: String }"
    )
    assert made.query_type
    made.query_type.fields["box"].resolve = lambda *_: Box()
    made.query_type.fields["boxes"].resolve = lambda *_: [Box(), Box()]
    made.type_map["Box"].fields["echo"].resolve = lambda row, info, **given: json.dumps(given)  # type: ignore[attr-defined]
    return made


SCHEMA = schema()


def prepared(text: str) -> Operation:
    """The first operation of a valid document."""
    document = parse(text)
    assert validate(SCHEMA, document) == [], text
    node: Any = next(item for item in document.definitions if item.kind == "operation_definition")
    return Engine(SCHEMA, Boxes(), lambda reason: pytest.fail(reason)).prepare(document, node)


def check(text: str, variables: dict[str, Any] | None = None) -> ExecutionResult:
    """The engine's answer, which is graphql-core's to the byte."""
    found = asyncio.run(prepared(text).execute(None, variables or {}))
    theirs = execute(SCHEMA, parse(text), None, None, variables or {})
    assert isinstance(theirs, ExecutionResult)
    assert json.dumps(found.data) == json.dumps(theirs.data)
    assert found.errors == theirs.errors
    return found


def test_names_of_the_generated_code_and_of_python_are_fit_for_aliases() -> None:
    fields = " ".join(f"{name}: name" for name in NAMES)
    inner = " ".join(f"{name}: inner {{ name {name}: name }}" for name in NAMES[:60])
    many = " ".join(f"{name}: many {{ {name}: __typename v{number}: inner {{ {name}: name }} }}" for number, name in enumerate(NAMES[:60]))
    found = check(f"{{ box {{ {fields} }} boxes {{ {inner} }} row: box {{ {many} }} }}")
    assert found.data
    assert list(found.data["box"]) == list(dict.fromkeys(NAMES))


def test_every_alias_alone() -> None:
    for name in NAMES:
        check(f"{{ {name}: box {{ {name}: name z_{name}: inner {{ {name}: many {{ {name}: name }} }} {name}2: echo }} }}")


def test_names_of_fragments_operations_and_variables() -> None:
    for name in NAMES:
        if name != "on":
            check(
                f"query {name}(${name}: String, $b_{name}: Boolean!) {{ box {{ ...{name} }} }}"
                f" fragment {name} on Box {{ name @include(if: $b_{name}) echo(text: ${name}) inner {{ many {{ name }} }} }}",
                {name: name, f"b_{name}": True},
            )


def test_texts_in_arguments_are_texts() -> None:
    for text in TEXTS:
        literal = json.dumps(text, ensure_ascii=False) if text.isprintable() else json.dumps(text)
        both = f"a: echo(text: {literal}, list: [{literal}], on: {{text: {literal}}}) b: echo(text: $t, list: $l, on: {{text: $t}})"
        asked = f"query($t: String, $l: [String!]) {{ box {{ {both} c: echo name }} }}"
        if "\ud800" <= text <= "\udfff":
            continue
        found = check(asked, {"t": text, "l": [text]})
        assert found.data
        assert (
            json.loads(found.data["box"]["a"]) == {"text": text, "list": [text], "on": {"text": text}} == json.loads(found.data["box"]["b"])
        )


def test_block_texts_are_texts() -> None:
    for text in ('""" quo\\""" te """', '"""\n  {row}\n  {0} \'\'\'\n"""', '"""\u2028\u2029"""'):
        check(f"{{ box {{ a: echo(text: {text}) }} }}")


def functions(plan: Plan) -> list[Any]:
    """All functions that were generated for a plan."""
    found: list[Any] = []
    for selection in [plan.root, *plan._selections.values()]:
        found += [item for item in (selection.one, selection.rows, *(field.values for field in selection.fields)) if item is not None]
    return found


def test_generated_code_is_the_same_whatever_the_names_and_texts_are() -> None:
    def codes(alias: str, text: str) -> list[tuple[Any, ...]]:
        inner = f"{alias}: name x_{alias}: inner {{ {alias}: name ...F_{alias} }} e: echo(text: {json.dumps(text)})"
        operation = prepared(f"query Q_{alias} {{ box {{ {inner} }} }} fragment F_{alias} on Box {{ many {{ {alias}: name }} }}")

        asyncio.run(operation.execute(None, {}))
        variables: Any = operation.variables.coerce({})
        plan = operation.plan(variables)
        assert isinstance(plan, Plan)
        made = functions(plan)
        assert made
        return [
            (
                item.__code__.co_code,
                item.__code__.co_names,
                item.__code__.co_varnames,
                repr([c for c in item.__code__.co_consts if not hasattr(c, "co_code")]),
            )
            for item in made
        ]

    plain = codes("plain", "plain")
    for name in NAMES:
        for text in TEXTS[:3]:
            assert codes(name, text) == plain


def test_an_operation_may_have_a_thousand_aliases() -> None:
    check("{ box { " + " ".join(f"n{number}: name i{number}: inner {{ name }}" for number in range(1000)) + " } }")


def test_a_deep_operation_runs() -> None:
    for deep in (20, 60, 95):
        check("{ box " + "{ inner { many " * (deep // 2) + "{ name } " + "} } " * (deep // 2) + "}")
