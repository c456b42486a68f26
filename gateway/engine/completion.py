"""Values to answers, by their types: all values of a field together, with the checks of the specification (6.4.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol, cast

from graphql import (
    GraphQLAbstractType,
    GraphQLError,
    GraphQLLeafType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    Undefined,
    default_type_resolver,
    is_object_type,
)
from graphql.pyutils import inspect, is_iterable
from graphql.pyutils.is_awaitable import is_async_iterable, is_awaitable

from gateway.engine.faults import Faults
from gateway.engine.places import Items, Place, Some
from gateway.engine.plan import Kind, Plan, PlannedField, Selection, Shown


class Execution(Protocol):
    """What completion needs of the execution that it is a part of: `Run`."""

    plan: Plan
    context: object
    faults: Faults

    async def select(self, selection: Selection, rows: Sequence[Any], place: Place) -> list[Any]:
        """One answer a row: what is selected of it."""

    def info(self, field: PlannedField, place: Place, row: int) -> GraphQLResolveInfo[Any]:
        """What a resolver of graphql-core is told about where it is."""


class _Nulled:
    """Stands where an error was told already; whoever may be null above becomes null."""

    def __repr__(self) -> str:
        return "NULLED"


NULLED = _Nulled()
_ABSENT = (type(None), type(Undefined), Exception)


async def complete(run: Execution, field: PlannedField, type_: Shown, values: Sequence[Any], place: Place) -> list[Any]:
    """One answer a value: None only where null may stand, NULLED where an error forbids the value and null as well."""
    kinds = set(map(type, values))
    if any(issubclass(kind, _ABSENT) for kind in kinds):
        done = await _sifted(run, field, type_, values, place)
    else:
        done = await _complete(run, field, type_, values, place)
    if type_.nullable and run.faults:
        return [None if value is NULLED else value for value in done]
    return done


async def _sifted(run: Execution, field: PlannedField, type_: Shown, values: Sequence[Any], place: Place) -> list[Any]:
    done: list[Any] = [None] * len(values)
    live = []
    for number, value in enumerate(values):
        if isinstance(value, Exception):
            run.faults.add(value, field.nodes, place, number)
            done[number] = NULLED
        elif value is not None and value is not Undefined:
            live.append(number)
        elif not type_.nullable:
            error = TypeError(f"Cannot return null for non-nullable field {field.parent}.{field.name}.")
            run.faults.add(error, field.nodes, place, number)
            done[number] = NULLED
    if live:
        found = await _complete(run, field, type_, [values[number] for number in live], Some(place, live))
        for number, value in zip(live, found, strict=True):
            done[number] = value
    return done


async def _complete(run: Execution, field: PlannedField, type_: Shown, values: Sequence[Any], place: Place) -> list[Any]:
    if type_.kind is Kind.OBJECT:
        return await _objects(run, field, cast(GraphQLObjectType, type_.type), values, place)
    if type_.kind is Kind.LEAF:
        return _leaves(run, field, cast(GraphQLLeafType, type_.type), values, place)
    if type_.kind is Kind.LIST:
        return await _lists(run, field, type_, values, place)
    return await _abstract(run, field, cast(GraphQLAbstractType, type_.type), values, place)


async def _objects(run: Execution, field: PlannedField, type_: GraphQLObjectType, values: Sequence[Any], place: Place) -> list[Any]:
    try:
        selection = field.selection(type_)
    except GraphQLError as error:  # a directive below does not fit; graphql-core finds it at every value
        for number in range(len(values)):
            run.faults.add(error, field.nodes, place, number)
        return [NULLED] * len(values)
    return await run.select(selection, values, place)


def _leaves(run: Execution, field: PlannedField, type_: GraphQLLeafType, values: Sequence[Any], place: Place) -> list[Any]:
    coerce, done = type_.coerce_output_value, []
    for number, value in enumerate(values):
        try:
            found = coerce(value)
            if found is None or found is Undefined:
                raise TypeError(
                    f"Expected `{inspect(type_)}.coerce_output_value({inspect(value)})` to return non-nullable value, returned: {inspect(found)}"
                )
        except Exception as error:
            run.faults.add(error, field.nodes, place, number)
            found = NULLED
        done.append(found)
    return done


async def _lists(run: Execution, field: PlannedField, type_: Shown, values: Sequence[Any], place: Place) -> list[Any]:
    assert type_.of is not None
    flat: list[Any] = []
    counts: list[int] = []
    broken: set[int] = set()
    for number, value in enumerate(values):
        before = len(flat)
        try:
            await _lay_out(field, value, flat)
        except Exception as error:  # what came before it broke is looked at, for its errors are told
            run.faults.add(error, field.nodes, place, number, (len(flat) - before,))
            broken.add(number)
        counts.append(len(flat) - before)
    waiting = [number for number, item in enumerate(flat) if is_awaitable(item)] if _may_wait(flat) else []
    if waiting:
        await settle(flat, waiting)
    items = await complete(run, field, type_.of, flat, Items(place, counts, type_.of.nullable)) if flat else []
    done: list[Any] = []
    begin = 0
    for number, count in enumerate(counts):
        part = items[begin : begin + count]
        begin += count
        lost = number in broken or (bool(run.faults) and any(item is NULLED for item in part))
        done.append(NULLED if lost else part)
    return done


async def _lay_out(field: PlannedField, value: Any, flat: list[Any]) -> None:
    """The items of one list at the end of `flat`."""
    if is_async_iterable(value):
        async for item in value:
            flat.append(item)
    elif is_iterable(value):
        flat.extend(value)
    else:
        raise GraphQLError(f"Expected Iterable, but did not find one for field '{field.parent}.{field.name}'.")


def _may_wait(items: Sequence[Any]) -> bool:
    return any(hasattr(kind, "__await__") or kind.__name__ == "generator" for kind in set(map(type, items)))


async def _abstract(run: Execution, field: PlannedField, type_: GraphQLAbstractType, values: Sequence[Any], place: Place) -> list[Any]:
    """Values grouped by the object type that each one is; the groups run together."""
    done: list[Any] = [NULLED] * len(values)
    groups: dict[str, tuple[GraphQLObjectType, list[int]]] = {}
    known = run.plan.kinds_of(type_)
    for number, value in enumerate(values):
        try:
            found = known.get(type(value)) or await _runtime_type(run, field, type_, value, place, number)
        except Exception as error:
            run.faults.add(error, field.nodes, place, number)
            continue
        groups.setdefault(found.name, (found, []))[1].append(number)

    async def one(of: GraphQLObjectType, numbers: list[int]) -> None:
        rows = await _objects(run, field, of, [values[number] for number in numbers], Some(place, numbers))
        for number, row in zip(numbers, rows, strict=True):
            done[number] = row

    await asyncio.gather(*[one(of, numbers) for of, numbers in groups.values()])
    return done


async def _runtime_type(
    run: Execution, field: PlannedField, type_: GraphQLAbstractType, value: Any, place: Place, number: int
) -> GraphQLObjectType:
    """The object type of a value; refuses with graphql-core's words."""
    resolve: Any = type_.resolve_type or default_type_resolver
    name = resolve(value, run.info(field, place, number), type_)
    if is_awaitable(name):
        name = await name
    at = f"field '{field.parent}.{field.name}'"
    if name is None:
        raise GraphQLError(
            f"Abstract type '{type_}' must resolve to an Object type at runtime for {at}. Either the '{type_}' type should provide"
            " a 'resolve_type' function or each possible type should provide an 'is_type_of' function.",
            field.nodes,
        )
    if not isinstance(name, str):
        raise GraphQLError(
            f"Abstract type '{type_}' must resolve to an Object type at runtime for {at} with value {inspect(value)},"
            f" received '{inspect(name)}', which is not a valid Object type name.",
            field.nodes,
        )
    found = run.plan.schema.get_type(name)
    if found is None:
        words = f"Abstract type '{type_}' was resolved to a type '{name}' that does not exist inside the schema."
        raise GraphQLError(words, field.nodes)
    if not is_object_type(found):
        raise GraphQLError(f"Abstract type '{type_}' was resolved to a non-object type '{name}'.", field.nodes)
    if not run.plan.schema.is_sub_type(type_, found):
        raise GraphQLError(f"Runtime Object type '{found}' is not a possible type for '{type_}'.", field.nodes)
    return found


async def settle(values: list[Any], waiting: Sequence[int]) -> None:
    """Await those values, together; an exception takes the place of its value."""
    if len(waiting) == 1:
        try:
            values[waiting[0]] = await values[waiting[0]]
        except Exception as error:
            values[waiting[0]] = error
        return
    done = await asyncio.gather(*[values[number] for number in waiting], return_exceptions=True)
    for number, value in zip(waiting, done, strict=True):
        if isinstance(value, BaseException) and not isinstance(value, Exception):
            raise value
        values[number] = value
