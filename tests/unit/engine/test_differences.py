"""Single cases in which plans must give what graphql-core gives: odd values, odd types, directives, arguments, places."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from inspect import getsource
from typing import Any

import pytest
from graphql import GraphQLError, Undefined, parse

from gateway.engine import Engine
from tests.unit.engine.sides import core, late, made, ours, same, schema, shown, streamed

# ---- selections and directives


async def test_introspection_below_the_root_falls_back() -> None:
    reasons: list[str] = []
    text = "{ self { __schema { queryType { name } } } }"
    document = parse(text)
    node: Any = document.definitions[0]
    of = schema()
    found = await Engine(of, None, reasons.append).prepare(document, node).execute(None, {}, {"self": {}})
    assert shown(found) == shown(await core(of, text, {"self": {}}))
    assert reasons == ["introspection"]


@pytest.mark.parametrize(
    "text",
    [
        "{ __schema { queryType { name } } a }",
        '{ __type(name: "Row") { name kind } }',
        "{ a ...F } fragment F on Query { __schema { types { name } } }",
    ],
)
async def test_introspection_falls_back_and_is_counted_with_its_reason(text: str) -> None:
    reasons: list[str] = []
    document = parse(text)
    node: Any = document.definitions[0]
    operation = Engine(schema(), None, reasons.append).prepare(document, node)
    for _ in range(2):
        assert shown(await operation.execute(None, {}, {"a": 1})) == shown(await core(schema(), text, {"a": 1}))
    assert reasons == ["introspection"] * 2


@pytest.mark.parametrize("variables", [{}, {"x": None}, {"x": True}, {"x": False}, {"x": "no"}])
@pytest.mark.parametrize("text", [
    "query($x: Boolean = true) { row { a @include(if: $x) b } text }",
    "query($x: Boolean = true) { rows { a ... @skip(if: $x) { b } } text }",
    "query($x: Boolean = false) { row { b rows { a @skip(if: $x) } } text }",
    "query($x: Boolean = true) { anys { ... on Cat { id @include(if: $x) } __typename } text }",
    "query($x: Boolean = true) { a @include(if: $x) text }",
    "query($x: Boolean!) { row { ...F @include(if: $x) } } fragment F on Row { a b }",
])  # fmt: skip
async def test_directives_with_defaults_nulls_and_missing_variables(text: str, variables: dict[str, Any]) -> None:
    root = {
        "row": {"a": 1, "b": 2, "rows": [{"a": 1}]},
        "rows": [{"a": 1, "b": 2}, None],
        "text": "t",
        "a": 1,
        "anys": [{"__typename": "Cat", "id": 1}],
    }
    await same(schema(), text, lambda: root, variables)


async def test_everything_skipped_is_an_empty_answer() -> None:
    await same(schema(), "{ a @skip(if: true) }", dict)
    await same(schema(), "{ row { a @skip(if: true) } rows { a @include(if: false) } }", lambda: {"row": {}, "rows": [{}, {}]})


async def test_typename_stands_everywhere() -> None:
    text = "{ t: __typename self { __typename } any { __typename k: __typename ... on Cat { x: __typename } } things { __typename } }"
    await same(schema(), text, lambda: {"self": {}, "any": {"__typename": "Cat"}, "things": [{"__typename": "Dog"}]})
    await same(schema(), "mutation { __typename one { __typename } }", lambda: {"one": {}})


async def test_the_same_field_twice_merges_what_is_below() -> None:
    text = """{ row { a } ...F row { rows { b } } ... on Query { row { rows { a } x: b } } }
      fragment F on Query { row { rows { c: a thing { id ... on Dog { bark } } } thing { ... on Cat { id } } } }"""
    row = {
        "a": 1,
        "b": 2,
        "thing": {"__typename": "Cat", "id": 3},
        "rows": [{"a": 1, "b": None}, {"a": 2, "b": 3, "thing": {"__typename": "Dog"}}],
    }
    await same(schema(), text, lambda: {"row": row})


# ---- mutations


async def test_mutations_run_in_order_and_stop_behind_a_failure_that_takes_the_answer() -> None:
    async def run(how: Any, text: str) -> tuple[Any, list[str]]:
        log: list[str] = []

        def step(name: str, value: Any) -> Callable[..., Any]:
            async def resolve(info: Any) -> Any:
                log.append(f"{name} begins")
                await asyncio.sleep(0.001)
                log.append(f"{name} ends")
                return await late(value)

            return resolve

        root = {"a": step("a", 1), "b": step("b", ValueError("no")), "c": step("c", KeyError("c"))}
        return shown(await how(schema(), text, root)), log

    for text in ("mutation { c a x: a }", "mutation { a b c }", "mutation { ...F a } fragment F on Mutation { c b }"):
        assert await run(ours, text) == await run(core, text)


async def test_a_mutation_type_below_the_root_is_no_row_of_steps() -> None:
    text = "mutation { many { b a c } one { b c } }"
    await same(schema(), text, lambda: {"many": [{"a": 1, "b": None, "c": 3}, {"a": 1, "b": 2, "c": 3}, None], "one": {"b": 2, "c": 1}})


# ---- arguments and variables


@pytest.mark.parametrize(("head", "call", "variables"), [
    ("$n: Int", "n: $n", {"n": 2**31}), ("$n: Int", "n: $n", {"n": True}), ("$n: Int", "n: $n", {"n": 1.0}), ("$n: Int", "n: $n", {}),
    ("$n: Int = 4", "n: $n", {"n": None}), ("$n: Int!", "n: $n", {}), ("$n: Int!", "n: $n", {"n": None}), ("$n: Int", "n: $n", {"n": "4", "other": 1}),
    ("$t: String = null", "text: $t", {}), ("$t: String", "text: $t", {}), ("$t: String", "text: $t", {"t": 4}), ("$i: ID", "id: $i", {"i": 4}),
    ("$i: ID!", "id: $i", {"i": 4.5}), ("$b: Boolean", "b: $b", {"b": 1}), ("$f: Float", "f: $f", {"f": 3}), ("$f: Float", "f: $f", {"f": float("nan")}),
    ("$m: Mood", "mood: $m", {"m": "SAD"}), ("$m: Mood = GLAD", "mood: $m", {}), ("$m: Mood", "mood: $m", {"m": "NONE"}), ("$m: Mood", "mood: $m", {"m": None}),
    ("$x: [Int!]", "x: $x", {"x": 3}), ("$x: [Int!]", "x: $x", {"x": [1, None]}), ("$x: Int!", "x: [1, $x]", {"x": 3}), ("$x: Int!", "x: $x", {"x": 3}),
    ("$r: Range", "range: $r", {"r": {}}), ("$r: Range", "range: $r", {"r": {"low": None, "zzz": 1}}), ("$r: Range", "range: $r", {"r": {"inner": {"tags": "t"}}}),
    ("$l: Int, $t: String!", "range: {high: $l, tags: [$t], inner: {low: 5}}", {"t": "t"}), ("$l: Int! = 4", "range: {low: $l}", {}),
    ("$l: Int = 4", "range: {low: $l}", {"l": None}), ("", "range: {}, mood: null, text: null", {}),
])  # fmt: skip
async def test_arguments_arrive_as_graphql_core_coerces_them(head: str, call: str, variables: dict[str, Any]) -> None:
    of = schema()
    assert of.query_type
    of.query_type.fields["ask"].resolve = lambda row, info, **given: repr((given, dict(info.variable_values.coerced)))
    text = f"query{f'({head})' if head else ''} {{ ask({call}) again: ask({call}) text }}"
    theirs, mine = await core(of, text, {}, variables), await ours(of, text, {}, variables)
    assert shown(mine) == shown(theirs)


async def test_no_more_errors_of_variables_are_told_than_graphql_core_tells() -> None:
    found = await same(schema(), "query($x: [Int!]) { ask(x: $x) }", dict, {"x": ["a"] * 60})
    assert len(found.errors or ()) == 51


@pytest.mark.parametrize(
    ("text", "variables"),
    [("{ rows { f(x: [1]) } }", {}), ("{ rows { f } }", {}), ("query($r: Range) { rows { f(range: $r) } }", {"r": {"tags": ["t"]}})],
)
async def test_a_resolver_that_changes_its_arguments_changes_them_for_nobody_else(text: str, variables: dict[str, Any]) -> None:
    of = schema()

    def resolve(row: Any, info: Any, x: list[int], mood: Any, range: dict[str, Any] | None = None) -> list[int]:
        if range is not None:
            return [len(json.dumps(range)), range.setdefault("high", row["n"])]
        x = x if text == "{ rows { f(x: [1]) } }" else list(x)
        x.append(len(x))
        return x

    of.type_map["Row"].fields["f"].resolve = resolve  # type: ignore[attr-defined]
    if variables:
        # A variable's value is shared by graphql-core too; what matters is that it is not shared any further.
        assert shown(await ours(of, text, {"rows": [{"n": 1}]}, variables)) == shown(await core(of, text, {"rows": [{"n": 1}]}, variables))
        return
    document = parse(text)
    node: Any = document.definitions[0]
    operation = Engine(of).prepare(document, node)
    root = {"rows": [{"n": 1}, {"n": 2}]}
    first, second = await operation.execute(None, variables, root), await operation.execute(None, variables, root)
    assert shown(first) == shown(await core(of, text, root, variables))
    assert shown(second) == shown(first)


# ---- values


class Told(Exception):
    """An exception with what graphql-core looks at."""

    message, extensions, nodes = "own words", {"code": 7}, None


ODD: list[Callable[[], Any]] = [
    lambda: None, lambda: Undefined, lambda: 1, lambda: True, lambda: 1.5, lambda: float("nan"), lambda: float("-inf"), lambda: 2**40, lambda: "",
    lambda: "7", lambda: b"b", lambda: [], lambda: [1, None, "x"], lambda: [[1], None, [2, None]], lambda: [[[1], [2]], [[3, None]]], lambda: {"a": 1},
    lambda: {1}, lambda: (1, 2), lambda: range(3), lambda: made(1, 2), lambda: iter([1, "bad"]), lambda: streamed(1, None), lambda: streamed(),
    lambda: ValueError("returned"), lambda: lambda info: ValueError, lambda: Told("t"), lambda: [1, ValueError("item")], lambda: late([1, 2]),
    lambda: late(ValueError("late")), lambda: [late(1), late(None), 3], lambda: [late(ValueError("i")), late(GraphQLError("g", extensions={"a": 1}))],
    lambda: streamed(late(4), KeyError("k")), lambda: made(late(1), late(2)), lambda: [late([1]), late([late(2)])], lambda: [streamed(1), made(2)],
    lambda: late(streamed(1, late(2))), lambda: [[[late(1)], late([2])], streamed([3])], lambda: GraphQLError("placed", path=["z", 1], extensions={"a": 1}),
    lambda: object, lambda: lambda info: late(3), lambda: StopIteration("s"),
]  # fmt: skip


@pytest.mark.parametrize("name", ["a", "b", "text", "f", "mood", "id", "flag", "list", "strict", "grid", "cube", "loose"])
async def test_odd_values_of_leaves_and_lists(name: str) -> None:
    for number, make in enumerate(ODD):
        text = f"{{ self {{ self {{ {name} t: __typename }} k: id }} }}"
        theirs = await core(schema(), text, {"self": {"self": {name: make()}, "id": 1}})
        mine = await ours(schema(), text, {"self": {"self": {name: make()}, "id": 1}})
        assert json.dumps(mine.data) == json.dumps(theirs.data), number
        assert bool(mine.errors) == bool(theirs.errors), number
        competing = len(theirs.errors or ()) > 1 or len(mine.errors or ()) > 1 or (name == "cube" and "late" in getsource(make))
        if not competing:
            told = [[(error.message, error.extensions) for error in side.errors or ()] for side in (mine, theirs)]
            assert told[0] == told[1], number


async def test_items_that_failed_before_their_list_broke_are_told_as_graphql_core_tells_them() -> None:
    await same(schema(), "{ list }", lambda: {"list": lambda info: made("bad", ValueError("mid"))})
    await same(schema(), "{ list }", lambda: {"list": lambda info: streamed("bad", ValueError("mid"))})


async def test_an_endless_asynchronous_list_stops_at_the_item_that_takes_it() -> None:
    async def endless() -> AsyncIterator[Any]:
        yield None
        while True:
            await asyncio.sleep(0)
            yield 1

    of = schema()
    assert of.query_type
    text = "{ self { strict } }"
    theirs = await core(of, text, {"self": {"strict": lambda info: endless()}})
    task = asyncio.create_task(ours(of, text, {"self": {"strict": lambda info: limited(endless(), 2000)}}))
    assert shown(await task) == shown(theirs)


async def limited(values: AsyncIterator[Any], most: int) -> AsyncIterator[Any]:
    """No more than so many values."""
    count = 0
    async for value in values:
        count += 1
        if count > most:
            raise AssertionError("asked for more than anybody needs")
        yield value


async def test_a_root_field_that_may_not_be_null_takes_the_answer() -> None:
    for value in (None, ValueError("b"), "x"):
        await same(schema(), "{ a b }", lambda value=value: {"a": 1, "b": value})  # type: ignore[misc]


# ---- object types


NAMES: list[Any] = ["Cat", "Dog", "Row", "Thing", "Mood", "Nowhere", "", None, 7, b"Cat", ValueError("no type")]


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize(
    "text", ["{ thing { id } a }", "{ things { id ... on Dog { bark } } a }", "{ anys { ... on Cat { id mate { id } } __typename } a }"]
)
async def test_resolve_type_may_name_anything(text: str, awaited: bool) -> None:
    of = schema()

    def resolve(value: Any, info: Any, type_: Any) -> Any:
        name = value["kind"]
        if awaited:
            return late(name)
        if isinstance(name, Exception):
            raise name
        return name

    for type_ in ("Thing", "Any"):
        of.type_map[type_].resolve_type = resolve  # type: ignore[attr-defined]
    for name in NAMES:
        row = {"kind": name, "id": 1, "mate": {"kind": "Dog", "id": None}}
        await same(of, text, lambda row=row: {"thing": row, "things": [row], "anys": [row, {"kind": "Cat"}, None], "a": 1})  # type: ignore[misc]


@pytest.mark.parametrize(
    "answers", [(True, True), (False, True), (False, False), (ValueError("is"), True), (None, 1), (True, ValueError("is"))]
)
@pytest.mark.parametrize("awaited", [(False, False), (True, True), (False, True), (True, False)])
async def test_is_type_of_may_be_late_refuse_or_fail(answers: tuple[Any, Any], awaited: tuple[bool, bool]) -> None:
    of = schema()

    def test(answer: Any, wait: bool) -> Any:
        def of_type(value: Any, info: Any) -> Any:
            if wait:
                return late(answer)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return of_type

    for name, answer, wait in zip(("Cat", "Dog"), answers, awaited, strict=True):
        of.type_map[name].is_type_of = test(answer, wait)  # type: ignore[attr-defined]
    of.type_map["Row"].is_type_of = test(answers[0], awaited[0])  # type: ignore[attr-defined]
    root = {"thing": {"id": 1}, "anys": [{"id": 2}, None], "row": {"a": 1}, "rows": [{"a": 1}, {"a": 2}], "a": 1}
    await same(of, "{ a thing { __typename id } anys { __typename } row { a } rows { a } }", lambda: root)


async def test_an_answer_of_is_type_of_that_is_not_needed_is_awaited_all_the_same() -> None:
    async def run(how: Any) -> list[str]:
        of, log = schema(), list[str]()

        async def slow(value: Any, info: Any) -> bool:
            log.append("ran")
            return False

        of.type_map["Cat"].is_type_of = slow  # type: ignore[attr-defined]
        of.type_map["Dog"].is_type_of = lambda value, info: True  # type: ignore[attr-defined]
        await how(of, "{ thing { id } }", {"thing": {"id": 1}})
        await asyncio.sleep(0.01)
        return log

    theirs = await run(core)
    assert await run(ours) == theirs
