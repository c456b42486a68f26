"""Runs a plan: level by level, all rows of a level together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from graphql import ExecutionResult, GraphQLError, GraphQLObjectType, GraphQLResolveInfo, default_field_resolver
from graphql.execution.values import VariableValues, get_argument_values
from graphql.pyutils import gather_with_cancel, inspect
from graphql.pyutils.is_awaitable import is_awaitable
from graphql.type.definition import GraphQLResolveInfoHelpers

from gateway.engine.completion import NULLED, complete, settle
from gateway.engine.faults import Faults
from gateway.engine.places import At, Place, Root, Some, path_of
from gateway.engine.plan import Plan, PlannedField, Selection
from gateway.engine.source import Function

Row = Any
_UNCHANGING = (str, int, float, bool, Enum, type(None))
_tracked: set[asyncio.Future[Any]] = set()


def _track(values: Sequence[Any]) -> None:
    """Let work end that nobody waits for any more."""
    waiting = [value for value in values if is_awaitable(value)]
    if waiting:
        future = asyncio.gather(*waiting, return_exceptions=True)
        _tracked.add(future)
        future.add_done_callback(_tracked.discard)


_HELPERS = GraphQLResolveInfoHelpers(gather=lambda values: gather_with_cancel(*values), track=_track)


class Run:
    """One execution of a plan."""

    def __init__(self, plan: Plan, variables: VariableValues, context: object, root: object, on_deviation: Callable[[str], None]) -> None:
        self.plan, self.variables, self.context, self.root = plan, variables, context, root
        self.on_deviation = on_deviation
        self.faults = Faults()
        self._arguments: dict[PlannedField, dict[str, Any] | Exception] = {}

    async def result(self) -> ExecutionResult:
        """The answer."""
        (data,) = await self.select(self.plan.root, [self.root], Root(), checked=True)
        return ExecutionResult(None if data is NULLED else data, self.faults.settled() or None)

    # ---- selections

    async def select(self, selection: Selection, rows: Sequence[Row], place: Place, *, checked: bool = False) -> list[Any]:
        """One dict a row, or NULLED where an error took the row."""
        found = self._generated(selection.parent, selection.rows, rows)
        if found is not None:
            return await self._filled(found, selection, selection.waiting, rows, place) if selection.waiting else found
        if not checked:
            wrong = await self._of_another_type(selection, rows, place)
            if wrong:
                good = [number for number in range(len(rows)) if number not in wrong]
                done = await self.select(selection, [rows[number] for number in good], Some(place, good), checked=True)
                merged: list[Any] = [NULLED] * len(rows)
                for number, row in zip(good, done, strict=True):
                    merged[number] = row
                return merged
        empty: list[Any] = [dict.fromkeys(selection.keys) for _ in rows]
        return await self._filled(empty, selection, selection.fields, rows, place)

    def _generated(self, parent: GraphQLObjectType, function: Function | None, rows: Sequence[Row]) -> list[Any] | None:
        """What generated code gives; None when some row is not as its shape says: then all are read again with every check."""
        if function is None:
            return None
        try:
            found: list[Any] = function(rows)
        except Exception:  # nothing is lost: the resolvers meet the same value and tell it; how often is counted
            self.on_deviation(parent.name)
            return None
        return found

    async def _of_another_type(self, selection: Selection, rows: Sequence[Row], place: Place) -> set[int]:
        """Rows that the type's own `is_type_of` refuses; each is told."""
        test, owner = selection.parent.is_type_of, _owner(place)
        if test is None:
            return set()
        wrong = set()
        for number, row in enumerate(rows):
            try:
                fits: Any = test(row, self.info(owner, place, number))
                if is_awaitable(fits):
                    fits = await fits
                if fits:
                    continue
                error: Exception = GraphQLError(f"Expected value of type '{selection.parent}' but got: {inspect(row)}.", owner.nodes)
            except Exception as raised:
                error = raised
            self.faults.add(error, owner.nodes, place, number)
            wrong.add(number)
        return wrong

    async def _filled(
        self, found: list[Any], selection: Selection, fields: Sequence[PlannedField], rows: Sequence[Row], place: Place
    ) -> list[Any]:
        """The rows with the values of these fields set."""
        if not rows:
            return found
        if selection.serial:
            for field in fields:
                _set(found, field.key, await self._field(field, rows, place))
                if found[0] is NULLED:
                    break
        elif len(fields) == 1:
            _set(found, fields[0].key, await self._field(fields[0], rows, place))
        else:
            done = await asyncio.gather(*[self._field(field, rows, place) for field in fields])
            for field, values in zip(fields, done, strict=True):
                _set(found, field.key, values)
        return found

    # ---- fields

    async def _field(self, field: PlannedField, rows: Sequence[Row], above: Place) -> list[Any]:
        """The completed values of a field, one a row."""
        place = FieldPlace(above, field)
        if field.is_typename:
            return [field.parent.name] * len(rows)
        if field.batch is not None:
            return await complete(self, field, field.shown, await self._batched(field, rows, place), place)
        values = self._generated(field.parent, field.values, rows)
        if values is None:
            values = await self._resolved(field, rows, place)
        return await complete(self, field, field.shown, values, place)

    async def _batched(self, field: PlannedField, rows: Sequence[Row], place: Place) -> Sequence[Any]:
        try:
            assert field.batch is not None
            values = await field.batch(rows, self.info(field, place, 0), self.arguments(field))
            if len(values) != len(rows):
                raise RuntimeError(f"the batch of {field.parent.name}.{field.name} gave {len(values)} values for {len(rows)} parents")
        except Exception as error:
            return [error] * len(rows)
        return values

    async def _resolved(self, field: PlannedField, rows: Sequence[Row], place: Place) -> list[Any]:
        resolve, values, waiting = field.definition.resolve or default_field_resolver, [], []
        for number, row in enumerate(rows):
            try:
                value = resolve(row, self.info(field, place, number), **self.arguments(field))
            except Exception as error:
                value = error
            if is_awaitable(value):
                waiting.append(number)
            values.append(value)
        if waiting:
            await settle(values, waiting)
        return values

    def arguments(self, field: PlannedField) -> dict[str, Any]:
        """The arguments of a field, nobody else's to change. Raises GraphQLError when they do not fit."""
        if not field.takes_arguments:
            return {}
        found = field.arguments or self._arguments.get(field)
        if found is None:
            try:
                found = get_argument_values(field.definition, field.nodes[0], self.variables)
            except Exception as error:
                found = error
            if isinstance(found, Exception) or all(isinstance(value, _UNCHANGING) for value in found.values()):
                self._arguments[field] = found
                if field.nodes.constant and not isinstance(found, Exception):
                    field.arguments = found
        if isinstance(found, Exception):
            raise found
        return dict(found)

    def info(self, field: PlannedField, place: Place, row: int) -> GraphQLResolveInfo[Any]:
        """What resolvers are told of the execution."""
        plan, steps = self.plan, place.steps(row)
        while isinstance(steps[-1].key, int):  # those who ask about an item are told its field
            steps.pop()
        return GraphQLResolveInfo(
            field.name, field.nodes, field.definition.type, field.parent, path_of(steps), plan.schema, plan.fragments, self.root,
            plan.operation, self.variables, self.context, is_awaitable, None, _HELPERS,
        )  # fmt: skip


class FieldPlace(At):
    """The place of a field's values, which remembers the field."""

    __slots__ = ("field",)

    def __init__(self, above: Place, field: PlannedField) -> None:
        super().__init__(above, field.step)
        self.field = field


def _owner(place: Any) -> PlannedField:
    """The field whose values stand at a place."""
    while not isinstance(place, FieldPlace):
        place = place.above
    return place.field


def _set(found: list[Any], key: str, values: Sequence[Any]) -> None:
    for number, value in enumerate(values):
        if value is NULLED:
            found[number] = NULLED
        elif found[number] is not NULLED:
            found[number][key] = value
