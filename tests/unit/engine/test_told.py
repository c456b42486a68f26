"""What resolvers and batches are told, and subscriptions: as graphql-core has it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from graphql import ExecutionResult, GraphQLError, build_schema, parse, subscribe

from gateway.engine import Batch, Engine, Shape
from tests.unit.engine.sides import core, late, ours, schema, shown, streamed

# ---- what resolvers are told


async def test_resolvers_are_told_what_graphql_core_tells() -> None:
    async def run(how: Any) -> list[str]:
        of, log = schema(), list[str]()

        def told(kind: str, info: Any) -> None:
            path, nodes = info.path.as_list(), [(node.name.value, node.loc.start) for node in info.field_nodes]
            log.append(repr((
                kind, path, info.path.typename, nodes, info.field_name, str(info.return_type), str(info.parent_type), info.schema is of, sorted(info.fragments),
                info.root_value is root, info.operation.name.value, dict(info.variable_values.coerced), sorted(info.variable_values.sources), info.context,
                info.is_awaitable(late_value), info.is_awaitable(1), info.abort_signal,
            )))  # fmt: skip

        def resolver(key: str) -> Any:
            def resolve(row: Any, info: Any, **given: Any) -> Any:
                told(f"resolve {given}", info)
                return row.get(key)

            return resolve

        late_value = late(1)
        row: dict[str, Any] = {"a": 1, "b": 2, "thing": {"id": 4}}
        row["rows"] = [{"a": 3}, {"a": 4, "thing": {"id": 4}}]
        root = {"rows": [row, None, row], "row": row, "ask": "x"}
        for name in ("Query", "Row"):
            for key, field in of.type_map[name].fields.items():  # type: ignore[attr-defined]
                field.resolve = resolver(key)
        await how(
            of, "query Q($n: Int = 3, $m: Int) { k: row { a x: a rows { thing { id } ...F } } ask(n: $n) rows { rows { a } } } fragment F on Row { a thing { id } }",
            root, {"m": None}, "the context",
        )  # fmt: skip
        late_value.close()
        return sorted(log)

    assert await run(ours) == await run(core)


async def test_type_resolvers_are_told_the_place_of_the_field() -> None:
    async def run(how: Any) -> list[str]:
        of, log = schema(), list[str]()

        def kind(value: Any, info: Any, type_: Any) -> str:
            log.append(repr(("resolve_type", info.path.as_list(), info.field_name)))
            return "Cat"

        def test(value: Any, info: Any) -> bool:
            log.append(repr(("is_type_of", info.path.as_list(), info.field_name)))
            return True

        of.type_map["Thing"].resolve_type = kind  # type: ignore[attr-defined]
        of.type_map["Cat"].is_type_of = of.type_map["Row"].is_type_of = test  # type: ignore[attr-defined]
        root = {"thing": {"id": 1}, "things": [{"id": 1}, {"id": 2}], "rows": [{"thing": {"id": 1}}, {}]}
        await how(of, "{ thing { id } things { id } rows { thing { id } } }", root)
        return sorted(log)

    assert await run(ours) == await run(core)


# ---- batches


class Batches:
    """Batch functions by the name of a field."""

    def __init__(self, **batches: Batch) -> None:
        self.batches = batches

    def shape(self, parent: Any) -> Shape | None:
        """None."""
        return None

    def batch(self, parent: Any, name: str, definition: Any) -> Batch | None:
        """The function of that name."""
        return self.batches.get(name) if parent.name == "Row" else None


ROWS = {"rows": [{"a": 1}, None, {"a": 2}, {"a": 3}]}


@pytest.mark.parametrize("name", ["a", "b", "rows", "strict", "thing"])
async def test_a_batch_gives_each_row_what_its_resolver_would_give(name: str) -> None:
    of = schema()
    values: list[Any] = [
        1, None, GraphQLError("refused", extensions={"code": "NO"}), [{"a": 5}, None], [{"a": "bad"}], {"__typename": "Cat", "id": 7}, {"__typename": "No"}, "text", KeyError("k"),
    ]  # fmt: skip

    def given(row: Any) -> Any:
        return values[row["seed"]]

    async def batch(rows: Sequence[Any], info: Any, arguments: Any) -> list[Any]:
        await asyncio.sleep(0)
        return [given(row) for row in rows]

    of.type_map["Row"].fields[name].resolve = lambda row, info: given(row) if "seed" in row else row.get(name)  # type: ignore[attr-defined]
    below = {"rows": " { q: a }", "strict": " { q: a }", "thing": " { id __typename }"}.get(name, "")
    text = f"{{ list rows {{ {name}{below} }} row {{ {name}{below} }} }}"
    readings = Batches(**{name: batch}) if name != "a" else None
    for seed in range(len(values)):
        root = {"list": [seed], "rows": [{"seed": seed}, {"seed": (seed + 1) % len(values)}], "row": {"seed": seed}}
        theirs, mine = await core(of, text, root), await ours(of, text, root, readings=readings)
        assert json.dumps(mine.data) == json.dumps(theirs.data), seed
        assert {error.message for error in mine.errors or ()} <= {error.message for error in theirs.errors or ()} | {
            "Cannot return null for non-nullable field Row.b."
        }


async def test_a_batch_that_raises_or_gives_too_few_is_an_error_of_every_row() -> None:
    async def raising(rows: Sequence[Any], info: Any, arguments: Any) -> list[Any]:
        raise GraphQLError("away", extensions={"code": "UNAVAILABLE"})

    async def short(rows: Sequence[Any], info: Any, arguments: Any) -> list[Any]:
        return [1]

    found = await ours(schema(), "{ rows { x: a } }", ROWS, readings=Batches(a=raising))
    assert found.data == {"rows": [{"x": None}, None, {"x": None}, {"x": None}]}
    assert [(error.message, error.path, error.extensions) for error in found.errors or ()] == [
        ("away", ["rows", number, "x"], {"code": "UNAVAILABLE"}) for number in (0, 2, 3)
    ]
    found = await ours(schema(), "{ rows { x: a } }", ROWS, readings=Batches(a=short))
    assert [(error.message, error.path) for error in found.errors or ()] == [
        ("the batch of Row.a gave 1 values for 3 parents", ["rows", number, "x"]) for number in (0, 2, 3)
    ]


async def test_a_batch_is_called_once_a_level_and_told_what_a_resolver_is_told() -> None:
    calls: list[Any] = []

    async def batch(rows: Sequence[Any], info: Any, arguments: dict[str, Any]) -> list[Any]:
        calls.append(
            (
                len(rows),
                info.path.as_list(),
                info.field_name,
                [node.alias.value for node in info.field_nodes],
                dict(arguments),
                info.context,
            )
        )
        arguments["x"] = None
        return [[1]] * len(rows)

    document = parse("{ rows { k: f(x: [7]) rows { k: f } } }")
    node: Any = document.definitions[0]
    operation = Engine(schema(), Batches(f=batch)).prepare(document, node)
    for _ in range(2):
        await operation.execute("c", {}, {"rows": [{"rows": [{}, {}]}, {"rows": [{}]}]})
    once = [
        (2, ["rows", 0, "k"], "f", ["k"], {"x": [7], "mood": "SAD"}, "c"),
        (3, ["rows", 0, "rows", 0, "k"], "f", ["k"], {"x": [3], "mood": "SAD"}, "c"),
    ]
    assert calls == once * 2


async def test_a_batch_that_changes_its_arguments_changes_them_for_nobody_else() -> None:
    seen: list[dict[str, Any]] = []

    async def batch(rows: Sequence[Any], info: Any, arguments: dict[str, Any]) -> list[Any]:
        seen.append(dict(arguments))
        arguments.clear()
        return [[1]] * len(rows)

    of = build_schema("type Query { rows: [Row] } type Row { f(n: Int = 2): [Int] }")
    document = parse("{ rows { f } }")
    node: Any = document.definitions[0]
    operation = Engine(of, Batches(f=batch)).prepare(document, node)
    for _ in range(2):
        await operation.execute(None, {}, {"rows": [{}]})
    assert seen == [{"n": 2}, {"n": 2}]


# ---- subscriptions


class Bare:
    """A source that cannot be closed; a ValueError in it is raised."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = iter(items)

    def __aiter__(self) -> Bare:
        return self

    async def __anext__(self) -> Any:
        for item in self.items:
            if type(item) is ValueError:
                raise item
            return item
        raise StopAsyncIteration


class Stubborn(Bare):
    """A source that fails to close."""

    async def aclose(self) -> None:
        """Fail."""
        raise RuntimeError("stuck")


PAYLOADS: list[Any] = [
    {"tick": {"a": 1, "b": 2}, "plain": 1},
    {"tick": {"b": None}},
    {"tick": KeyError("p")},
    {},
    {"tick": {"a": "bad", "b": 1}, "plain": None},
]
SOURCES: dict[str, Callable[..., Any]] = {
    "stream": lambda *_, **__: streamed(*PAYLOADS),
    "late stream": lambda *_, **__: late(streamed(*PAYLOADS)),
    "fails in the middle": lambda *_, **__: streamed(*PAYLOADS, ValueError("mid")),
    "no stream": lambda *_, **__: 7,
    "none": lambda *_, **__: None,
    "exception": lambda *_, **__: KeyError("returned"),
    "late exception": lambda *_, **__: late(ValueError("late")),
    "bare": lambda *_, **__: Bare(PAYLOADS),
    "bare that fails": lambda *_, **__: Bare([*PAYLOADS, ValueError("mid")]),
    "stubborn": lambda *_, **__: Stubborn(PAYLOADS),
    "empty": lambda *_, **__: streamed(),
}
ASKED = [
    ("subscription { tick { a b __typename } }", {}), ("subscription { plain }", {}),
    ("subscription($x: Boolean!, $n: Int) { k: tick(n: $n) { ...F @include(if: $x) b } } fragment F on Row { a }", {"x": True, "n": 4}),
    ("subscription($x: Boolean!, $n: Int) { k: tick(n: $n) { a @include(if: $x) b } }", {"x": False}),
    ("subscription($x: Boolean!, $n: Int) { k: tick(n: $n) { a @include(if: $x) b } }", {"n": "wrong"}),
    ("subscription($x: Boolean = true) { tick { a @include(if: $x) b } }", {"x": None}),
]  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(("text", "variables"), ASKED)
async def test_a_subscription_tells_what_graphql_core_tells(source: str, text: str, variables: dict[str, Any]) -> None:
    async def run(of_engine: bool) -> list[Any]:
        of = schema()
        assert of.subscription_type
        for field in of.subscription_type.fields.values():
            field.subscribe = SOURCES[source]
        document = parse(text)
        node: Any = document.definitions[0]
        if of_engine:
            found: Any = await Engine(of).prepare(document, node).subscribe("context", variables)
        else:
            found = subscribe(of, document, None, "context", variables)
            found = await found if hasattr(found, "__await__") else found
        if isinstance(found, ExecutionResult):
            return ["refused", shown(found)]
        told: list[Any] = []
        try:
            async for result in found:
                told.append(shown(result))
        except Exception as error:
            told.append(repr(error))
        return told

    assert await run(True) == await run(False)


async def test_a_subscriber_that_leaves_closes_the_source() -> None:
    closed: list[bool] = []

    async def source(root: Any, info: Any) -> AsyncIterator[Any]:
        try:
            for payload in PAYLOADS:
                yield payload
        finally:
            closed.append(True)

    of = schema()
    assert of.subscription_type
    of.subscription_type.fields["tick"].subscribe = source
    document = parse("subscription { tick { a } }")
    node: Any = document.definitions[0]
    stream: Any = await Engine(of).prepare(document, node).subscribe(None, {})
    assert (await anext(stream)).data == {"tick": {"a": 1}}
    await stream.aclose()
    assert closed == [True]
