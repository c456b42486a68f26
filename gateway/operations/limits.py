"""How much an operation may ask for: depth, aliases, cost. One linear pass before validation; fragments are measured once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    NamedTypeNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    is_interface_type,
    is_introspection_type,
    is_object_type,
)

from gateway.graph.connections import LARGEST
from gateway.operations.inputs import extent
from gateway.operations.sizes import SCHEMA_FIELDS, Lists
from gateway.settings import Settings

_ENDLESS = 10**9
MOST_SIZES = 64


@dataclass(frozen=True)
class Measure:
    """What an operation asks for; of the schema's own description apart, which is the same for everybody."""

    depth: int
    cost: int
    schema: int = 0

    @property
    def charge(self) -> int:
        """What it takes from the caller's budget."""
        return self.cost + self.schema


def refused(limit: str, found: int, most: int, mend: str) -> GraphQLError:
    """The refusal of an operation that asks for too much, with its numbers."""
    return GraphQLError(
        f"{limit} {found} exceeds the limit of {most}; {mend}",
        extensions={"code": "LIMIT_EXCEEDED", "limit": limit, "found": found, "most": most},
    )


def check_text(document: DocumentNode, settings: Settings) -> GraphQLError | None:
    """What can be judged without schema and variables. It bounds the work of validation too, which is quadratic in repeated fields."""
    counts = _count(document)
    for limit, most, mend in (
        ("directives", settings.most_directives, "ask for what you need without conditions"),
        ("aliases", settings.most_aliases, "ask for the same in several operations"),
        ("repeats", settings.most_repeats, "name a field once in a selection"),
        ("breadth", settings.most_breadth, "ask for fewer fields of one object at once"),
        ("spreads", settings.most_spreads, "use fewer fragments"),
    ):
        if counts[limit] > most:
            return refused(limit, counts[limit], most, mend)
    fragments = _fragments(document)
    for operation in _operations(document):
        depth = _Meter(None, fragments, {}, {}).measure(operation.selection_set, None).depth
        if depth > settings.most_depth:
            return refused("depth", depth, settings.most_depth, "ask for fewer levels at once")
    return None


class Cost:
    """What one operation costs: its fields, times the rows asked for, and its input. Worked out once for each set of page sizes and inputs."""

    def __init__(self, lists: Lists, document: DocumentNode, operation: OperationDefinitionNode) -> None:
        self._lists, self._operation, self._fragments = lists, operation, _fragments(document)
        self._sizes, self._inputs = (sorted(set(names)) for names in _variables(document))
        self._defaults = {node.variable.name.value: _literal(node.default_value) for node in operation.variable_definitions or ()}
        self._known: dict[tuple[int | None, ...], Measure] = {}

    def of(self, variables: Mapping[str, Any]) -> Measure:
        """The cost with the page sizes that the variables, or their defaults, give, and with the input that the variables hold."""
        given = {name: _rows(variables.get(name, self._defaults.get(name))) for name in self._sizes}
        held = {name: extent(variables.get(name)).values for name in self._inputs}
        key = (*given.values(), *held.values())
        found = self._known.get(key)
        if found is None:
            root = self._lists.schema.get_root_type(self._operation.operation)
            found = _Meter(self._lists, self._fragments, given, held).measure(self._operation.selection_set, root)
            if len(self._known) < MOST_SIZES:
                self._known[key] = found
        return found


def check_cost(measure: Measure, settings: Settings) -> None:
    """Refuse a cost that is too high. Raises GraphQLError."""
    if measure.cost > settings.most_cost:
        raise refused("cost", measure.cost, settings.most_cost, "ask for smaller pages (first) or fewer fields")


def _variables(document: DocumentNode) -> tuple[list[str], list[str]]:
    """Names of the variables that page sizes are taken from, and of those that are or are in other arguments."""
    sizes: list[str] = []
    inputs: list[str] = []
    for selections in _selection_sets(document):
        for node in selections.selections:
            for argument in node.arguments or () if isinstance(node, FieldNode) else ():
                whole = argument.name.value in ("first", "last") and isinstance(argument.value, VariableNode)
                (sizes if whole else inputs).extend(
                    value.name.value for value in _values(argument.value) if isinstance(value, VariableNode)
                )
    return sizes, inputs


def _values(node: ValueNode) -> Iterator[ValueNode]:
    """A literal value with all that are in it."""
    waiting: list[ValueNode] = [node]
    while waiting:
        found = waiting.pop()
        yield found
        if isinstance(found, ListValueNode):
            waiting += found.values
        elif isinstance(found, ObjectValueNode):
            waiting += [item.value for item in found.fields]


def _selection_sets(document: DocumentNode) -> Iterator[SelectionSetNode]:
    """Every selection set of a document, each once."""
    waiting = [node.selection_set for node in document.definitions if isinstance(node, OperationDefinitionNode | FragmentDefinitionNode)]
    while waiting:
        found = waiting.pop()
        yield found
        waiting += [inner for node in found.selections if (inner := getattr(node, "selection_set", None))]


def _rows(asked: Any) -> int | None:
    """A page size as far as it can be read here."""
    if isinstance(asked, float) and asked.is_integer():
        asked = int(asked)
    return asked if isinstance(asked, int) and not isinstance(asked, bool) else None


def _literal(node: ValueNode | None) -> Any:
    return int(node.value[:9]) if isinstance(node, IntValueNode) else None


def _operations(document: DocumentNode) -> list[OperationDefinitionNode]:
    return [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]


def _fragments(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    return {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}


def _count(document: DocumentNode) -> dict[str, int]:
    """Aliases, directives and fragment spreads as they stand in the text; the fields of its widest selection, and the repeats of one."""
    found = {"aliases": 0, "directives": 0, "spreads": 0, "breadth": 0, "repeats": 0}
    for operation in _operations(document):
        found["directives"] += len(operation.directives or ())
    for selections in _selection_sets(document):
        names: Counter[str] = Counter()
        for node in selections.selections:
            found["directives"] += len(node.directives or ())
            if isinstance(node, FieldNode):
                found["aliases"] += node.alias is not None
                names[(node.alias or node.name).value] += 1
            else:
                found["spreads"] += 1
        found["breadth"] = max(found["breadth"], len(selections.selections))
        found["repeats"] = max(found["repeats"], *names.values(), 0)
    return found


class _Meter:
    """Depth and cost of a selection. A fragment is measured once; one that contains itself counts as endless.

    Every field with a `first` argument counts what is below it as often as rows are asked for, by the schema's default if need be; every
    other list as often as it has rows about. Input counts where it is used, as often as it is.
    """

    def __init__(
        self, lists: Lists | None, fragments: Mapping[str, FragmentDefinitionNode], sizes: Mapping[str, Any], inputs: Mapping[str, int]
    ) -> None:
        self.lists, self.fragments, self.variables, self.inputs = lists, fragments, sizes, inputs
        self.known: dict[str, Measure] = {}

    def measure(self, selection: SelectionSetNode, parent: Any) -> Measure:
        depth = cost = schema = 0
        for node in selection.selections:
            if isinstance(node, FieldNode):
                found = self._field(node, parent)
            elif isinstance(node, InlineFragmentNode):
                found = self.measure(node.selection_set, self._type(node.type_condition) or parent)
            elif isinstance(node, FragmentSpreadNode):
                found = self._fragment(node.name.value)
            else:
                continue
            depth, cost, schema = max(depth, found.depth), min(cost + found.cost, _ENDLESS), min(schema + found.schema, _ENDLESS)
        return Measure(depth, cost, schema)

    def _field(self, node: FieldNode, parent: Any) -> Measure:
        own = 1 + (self._input(node) if self.lists else 0)
        if node.selection_set is None:
            return Measure(1, own)
        name = node.name.value
        field = SCHEMA_FIELDS.get(name) or (parent.fields.get(name) if is_object_type(parent) or is_interface_type(parent) else None)
        inside = self.measure(node.selection_set, get_named_type(field.type) if field else None)
        depth, rows = min(inside.depth + 1, _ENDLESS), self._rows(node, parent, field)
        if name == "ofType" and parent and is_introspection_type(parent):  # of what most types have not; tools ask for nine levels of it
            return Measure(depth, own + inside.cost // 2)
        cost, schema = min(own + rows * inside.cost, _ENDLESS), min(rows * inside.schema, _ENDLESS)
        return Measure(depth, 1, cost) if name in SCHEMA_FIELDS else Measure(depth, cost, schema)

    def _fragment(self, name: str) -> Measure:
        if name not in self.known:
            self.known[name] = Measure(_ENDLESS, _ENDLESS, _ENDLESS)  # while it is being measured: a circle ends here
            fragment = self.fragments.get(name)
            self.known[name] = self.measure(fragment.selection_set, self._type(fragment.type_condition)) if fragment else Measure(0, 0)
        return self.known[name]

    def _type(self, node: NamedTypeNode | None) -> Any:
        return self.lists.schema.get_type(node.name.value) if self.lists and node else None

    def _input(self, node: FieldNode) -> int:
        """The values in a field's arguments beyond plain ones, by which nothing is multiplied."""
        found = 0
        for argument in node.arguments or ():
            for value in _values(argument.value):
                found += self.inputs.get(value.name.value, 0) if isinstance(value, VariableNode) else 1
            found -= 1
        return max(found, 0)

    def _size(self, value: ValueNode) -> Any:
        return self.variables.get(value.name.value) if isinstance(value, VariableNode) else _literal(value)

    def _named(self, node: FieldNode) -> int:
        """As many rows as ids are given."""
        value = next((argument.value for argument in node.arguments or () if argument.name.value == "ids"), None)
        if isinstance(value, VariableNode):
            return max(self.inputs.get(value.name.value, 0), 1)
        return max(len(value.values), 1) if isinstance(value, ListValueNode) else 1

    def _rows(self, node: FieldNode, parent: Any, field: GraphQLField | None) -> int:
        asked: Any
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        found = [self._size(given[name]) for name in ("last", "first") if name in given]
        if "first" in given or any(found):
            asked = next(filter(None, found), None)
        else:
            takes = field.args.get("first") if field else None
            if takes is None and parent and (parent.name, node.name.value) == ("Query", "nodes"):
                return self._named(node)
            if takes is None:
                return self.lists.rows(node, parent, field) if self.lists else 1
            asked = takes.default_value
        asked = _rows(asked)
        # What cannot be read here is refused later, or means the default; it is never cheap.
        return LARGEST if asked is None else max(asked, 1)
