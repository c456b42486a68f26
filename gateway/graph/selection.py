"""Which fields of a record an operation asks for, so that a department reads and sends no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

from google.protobuf.descriptor import Descriptor
from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    GraphQLResolveInfo,
    InlineFragmentNode,
    SelectionSetNode,
    get_named_type,
)
from graphql.execution import get_argument_values
from strawberry.types import Info

from chassis.rpc.contract import contract_of
from chassis.rpc.documents import traits
from gateway.departments.spelling import camel
from gateway.graph.connections import COUNTED

ResolveInfo = GraphQLResolveInfo[Any]


def _once(info: Info, key: object, make: Callable[[], Any]) -> Any:
    """What depends on the selection alone, worked out once for a planned operation."""
    memo = getattr(info._raw_info.field_nodes, "memo", None)
    if memo is None:
        return make()
    if key not in memo:
        memo[key] = make()
    return memo[key]


def once_asked(info: Info, key: object, make: Callable[[], Any]) -> Any:
    """What depends on the selection and the arguments: worked out once where no variable is among them."""
    return _once(info, key, make) if getattr(info._raw_info.field_nodes, "constant", False) else make()


def selected(info: Info, row: Descriptor, inside: str = "", under: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Names of the record's fields that are asked for, and the ids by which edges go on; sorted.

    `inside` names the field that holds the rows of a connection ("nodes", and "node" of the edges), `under` the fields that lead to it.
    """
    found: tuple[str, ...] = _once(info, (row.full_name, inside, under), lambda: _selected(info._raw_info, row, inside, under))
    return found


def _below(raw: ResolveInfo, under: tuple[str, ...]) -> list[SelectionSetNode]:
    """What is selected of the field itself, or of what those fields in it lead to."""
    sets = [node.selection_set for node in raw.field_nodes if node.selection_set]
    for name in under:
        sets = [node.selection_set for node in _fields(raw, sets) if node.name.value == name and node.selection_set]
    return sets


def _selected(raw: ResolveInfo, row: Descriptor, inside: str, under: tuple[str, ...]) -> tuple[str, ...]:
    sets = _below(raw, under)
    names = set(_rows(raw, sets) if inside else _names(raw, sets))
    by_shown = {camel(field.name): field.name for field in row.fields}
    wanted = {by_shown[name] for name in names if name in by_shown}
    wanted |= {field.name for field in row.fields if traits(field).refers_to and not field.is_repeated}
    wanted |= {key for edge, key in contract_of(row).edges.items() if camel(edge) in names}
    return tuple(sorted(wanted | {"id"}))


def _fields(info: ResolveInfo, sets: list[SelectionSetNode]) -> Iterator[FieldNode]:
    waiting, seen = list(sets), set()
    while waiting:
        for node in waiting.pop().selections:
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                waiting.append(node.selection_set)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
                seen.add(node.name.value)
                waiting.append(info.fragments[node.name.value].selection_set)


def _names(info: ResolveInfo, sets: list[SelectionSetNode]) -> Iterator[str]:
    for node in _fields(info, sets):
        yield node.name.value


def _rows(info: ResolveInfo, sets: list[SelectionSetNode]) -> Iterator[str]:
    for node in _fields(info, sets):
        if node.selection_set and node.name.value == "nodes":
            yield from _names(info, [node.selection_set])
        elif node.selection_set and node.name.value == "edges":
            for inner in _fields(info, [node.selection_set]):
                if inner.name.value == "node" and inner.selection_set:
                    yield from _names(info, [inner.selection_set])


def counted(info: Info) -> tuple[tuple[str, int], ...]:
    """How far each count of this connection is to go: (key in the answer, most); none where nothing is counted."""
    nodes: list[FieldNode] = _once(info, "counts", lambda: _counts(info._raw_info))
    if not nodes:
        return ()
    raw = info._raw_info
    definition = cast(GraphQLObjectType, get_named_type(raw.return_type)).fields["totalCount"]
    asked = [get_argument_values(definition, node, raw.variable_values).get("most") for node in nodes]
    return tuple(((node.alias or node.name).value, COUNTED if most is None else most) for node, most in zip(nodes, asked, strict=True))


def _counts(raw: ResolveInfo) -> list[FieldNode]:
    sets = [node.selection_set for node in raw.field_nodes if node.selection_set]
    return [node for node in _fields(raw, sets) if node.name.value == "totalCount"]


def shows_cursors(info: Info, under: tuple[str, ...] = ()) -> bool:
    """Whether the operation shows a cursor of this connection, or of those `under` these fields: a row's, or the first or last one's."""
    return bool(_once(info, ("cursors", under), lambda: _shows_cursors(info._raw_info, under)))


def _shows_cursors(raw: ResolveInfo, under: tuple[str, ...]) -> bool:
    wanted = {"cursor", "startCursor", "endCursor"}
    for node in _fields(raw, _below(raw, under)):
        if node.selection_set and node.name.value in ("edges", "pageInfo"):
            names = {inner.name.value for inner in _fields(raw, [node.selection_set])}
            if names & wanted:
                return True
    return False
