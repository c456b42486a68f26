"""The plan of an operation: which fields each selection has, in which order, and how each is got."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import Enum, auto
from typing import Any, NamedTuple, cast

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLAbstractType,
    GraphQLError,
    GraphQLField,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    ValueNode,
    VariableNode,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_fields, collect_subfields
from graphql.execution.values import VariableValues

from gateway.engine.places import Step
from gateway.engine.readings import Batch, Read, Readings, Shape
from gateway.engine.source import Function, Source


class NotCovered(Exception):
    """The operation uses what plans leave to graphql-core; the text says what."""


class Kind(Enum):
    """What stands behind a type, without its «not null»."""

    LEAF = auto()
    LIST = auto()
    OBJECT = auto()
    ABSTRACT = auto()


class Shown(NamedTuple):
    """A type, taken apart once: may it be null, what is it, and of what (for lists)."""

    nullable: bool
    kind: Kind
    type: GraphQLNamedType | None
    of: Shown | None


def shown(given: GraphQLOutputType) -> Shown:
    """A type taken apart."""
    nullable = not is_non_null_type(given)
    inner: Any = given.of_type if is_non_null_type(given) else given
    if is_list_type(inner):
        return Shown(nullable, Kind.LIST, None, shown(inner.of_type))
    kind = Kind.LEAF if is_leaf_type(inner) else Kind.ABSTRACT if is_abstract_type(inner) else Kind.OBJECT
    return Shown(nullable, kind, inner, None)


class Nodes(list[FieldNode]):
    """The nodes of one key, the same list for every execution; `memo` is for what resolvers work out from them.

    `constant` tells that no variable stands in the arguments: what follows from them may be kept in `memo` too.
    """

    def __init__(self, nodes: Iterable[FieldNode]) -> None:
        super().__init__(nodes)
        self._memo: dict[object, Any] | None = None
        self.constant = not any(_has_variable(argument.value) for argument in self[0].arguments or ())

    @property
    def memo(self) -> dict[object, Any]:
        """What was worked out from these nodes."""
        if self._memo is None:
            self._memo = {}
        return self._memo


def _has_variable(value: ValueNode) -> bool:
    waiting: list[Any] = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, VariableNode):
            return True
        waiting += getattr(node, "values", None) or [field.value for field in getattr(node, "fields", None) or ()]
    return False


class PlannedField:
    """One key of a selection."""

    __slots__ = (
        "arguments", "batch", "definition", "details", "is_typename", "key", "name", "nodes", "parent", "plan", "shown", "step", "takes_arguments", "values",
    )  # fmt: skip

    def __init__(self, plan: Plan, parent: GraphQLObjectType, key: str, rank: int, details: list[FieldDetails]) -> None:
        self.plan, self.parent, self.key, self.details = plan, parent, key, details
        self.nodes = Nodes(detail.node for detail in details)
        self.name = self.nodes[0].name.value
        self.definition = cast(GraphQLField, plan.schema.get_field(parent, self.name))  # the document is valid
        self.shown = shown(self.definition.type)
        self.step = Step(key, rank, self.shown.nullable, parent.name)
        self.is_typename = self.name == "__typename"
        self.arguments: dict[str, Any] | None = None  # where they are the same for every execution
        self.takes_arguments = bool(self.definition.args or self.nodes[0].arguments)
        self.batch: Batch | None = None if self.is_typename else plan.readings.batch(parent, self.name, self.definition)
        self.values: Function | None = None  # a direct read, for what is completed level by level

    def selection(self, of: GraphQLObjectType) -> Selection:
        """What is selected of a value of an object type; planned when it is first met."""
        return self.plan.selection(of, self.details)

    def inline(self, source: Source, read: Read | None) -> str | None:
        """The expression that gives the field whole, for rows called `row`; None when it takes calls or checks."""
        if self.is_typename:
            return source.constant(self.parent.name)
        if read is None or self.batch is not None:
            return None
        kind, inner, is_list = self.shown.kind, self.shown.type, False
        if self.shown.kind is Kind.LIST and self.shown.of:
            kind, inner, is_list = self.shown.of.kind, self.shown.of.type, True
        if kind is Kind.LEAF:
            return source.read(read, "row")
        if kind is not Kind.OBJECT:
            return None
        try:
            selection = self.selection(cast(GraphQLObjectType, inner))
        except GraphQLError:  # told where values are completed
            return None
        if selection.waiting or selection.rows is None or selection.one is None:
            return None
        function = selection.rows if is_list else selection.one
        return source.nested(source.read(read, "row"), function, nullable=self.shown.nullable)


class Selection:
    """The keys of one object type. `rows` gives those that need no call, with None for the `waiting` ones, which are filled in later."""

    def __init__(self, plan: Plan, parent: GraphQLObjectType, grouped: Mapping[str, list[FieldDetails]]) -> None:
        self.parent = parent
        plan.size += len(grouped)
        self.fields = [PlannedField(plan, parent, key, rank, details) for rank, (key, details) in enumerate(grouped.items())]
        self.keys = tuple(grouped)
        self.waiting = self.fields
        self.one: Function | None = None
        self.rows: Function | None = None
        self.serial = False
        shape = plan.readings.shape(parent)
        if shape is not None:
            self._generate(shape)

    def _generate(self, shape: Shape) -> None:
        source, entries, waiting = Source(), [], []
        for field in self.fields:
            read = shape.reads.get(field.name) if not field.takes_arguments else None
            code = field.inline(source, read)
            if code is None:
                waiting.append(field)
                if read is not None and field.batch is None:
                    own = Source()
                    field.values = own.values(shape.kind, own.read(read, "row"))
            entries.append((field.key, code or "None"))
        self.one, self.rows = source.rows(shape.kind, entries)
        self.waiting = waiting


class Plan:
    """One operation under one set of @skip and @include decisions."""

    def __init__(
        self, schema: GraphQLSchema, readings: Readings, operation: OperationDefinitionNode,
        fragments: Mapping[str, FragmentDefinitionNode], decisions: VariableValues,
    ) -> None:  # fmt: skip
        if any(fragment.variable_definitions for fragment in fragments.values()):
            raise NotCovered("variables of fragments")
        if operation.directives:
            raise NotCovered("directives of operations")
        self.schema, self.readings, self.operation = schema, readings, operation
        self.fragments = dict(fragments)
        self._details = {name: FragmentDetails(fragment, None) for name, fragment in fragments.items()}
        self._decisions = decisions
        self.size = 0  # planned fields so far; some are planned when they are met
        self._kinds: dict[str, Mapping[type, GraphQLObjectType]] = {}
        self._selections: dict[tuple[str, tuple[int, ...]], Selection] = {}
        root = schema.get_root_type(operation.operation)
        if root is None:
            raise NotCovered(f"{operation.operation.value} without a type")
        collected = collect_fields(schema, self._details, decisions, root, operation)
        self.root = Selection(self, root, collected.grouped_field_set)
        self.root.serial = operation.operation is OperationType.MUTATION

    def kinds_of(self, abstract: GraphQLAbstractType) -> Mapping[type, GraphQLObjectType]:
        """Object types of an abstract one by the class of their rows, where a class belongs to one type only."""
        found = self._kinds.get(abstract.name)
        if found is None:
            shapes = [(self.readings.shape(possible), possible) for possible in self.schema.get_possible_types(abstract)]
            classes = Counter(shape.kind for shape, _ in shapes if shape)
            found = {shape.kind: possible for shape, possible in shapes if shape and classes[shape.kind] == 1}
            self._kinds[abstract.name] = found
        return found

    def selection(self, parent: GraphQLObjectType, details: list[FieldDetails]) -> Selection:
        """The selection of a type below these fields; the same fields are planned once, however often fragments spread them."""
        key = (parent.name, tuple(id(detail.node) for detail in details))
        found = self._selections.get(key)
        if found is None:
            collected = collect_subfields(self.schema, self._details, self._decisions, self.operation, parent, details)
            found = self._selections[key] = Selection(self, parent, collected.grouped_field_set)
        return found
