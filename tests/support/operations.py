"""Random operations of any schema: aliases, fragments, directives, arguments and variables. The same seed gives the same operation."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from graphql import (
    GraphQLField,
    GraphQLInputType,
    GraphQLNamedType,
    GraphQLSchema,
    get_named_type,
    is_abstract_type,
    is_enum_type,
    is_input_object_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
    is_required_argument,
    is_union_type,
)

HOSTILE = ("row", "rows", "deviate", "k1", "v2", "None", "class", "__builtins__", "exec", "lambda", "one", "values", "import", "_", "True")
Literal = Callable[[Random, str], tuple[str, Any]]


class Operations:
    """Makes operations. `literal` gives (text in a document, value in JSON) for a scalar's name; `deep` bounds the levels."""

    def __init__(
        self, schema: GraphQLSchema, literal: Literal, *, deep: int = 4, wide: int = 5, skip: frozenset[str] = frozenset()
    ) -> None:
        self.schema, self.literal, self.deep, self.wide, self.skip = schema, literal, deep, wide, skip

    def make(self, seed: int, kind: str = "query") -> tuple[str, dict[str, Any]]:
        """(text, variables) of one operation."""
        self.random = Random(seed)
        self.definitions: list[str] = []
        self.variables: dict[str, Any] = {}
        self.fragments: list[str] = []
        root: Any = {"query": self.schema.query_type, "mutation": self.schema.mutation_type}[kind]
        body = self._selection(root, self.deep)
        head = f"({', '.join(self.definitions)})" if self.definitions else ""
        return f"{kind} Made{head} {body}\n" + "\n".join(self.fragments), self.variables

    def _selection(self, parent: GraphQLNamedType, deep: int) -> str:
        parts = [self._part(parent, deep) for _ in range(self.random.randint(1, self.wide))]
        shown = [part for part in parts if part]
        return "{ " + " ".join(shown or ["__typename"]) + " }"

    def _part(self, parent: Any, deep: int) -> str:
        chance = self.random.random()
        if chance < 0.08 or is_union_type(parent):
            if chance < 0.03 or deep <= 0:
                return self._alias() + "__typename" + self._directive()
            return self._fragment(parent, deep)
        if chance < 0.2 and deep > 0:
            return self._fragment(parent, deep)
        fields = [
            (name, field) for name, field in parent.fields.items()
            if f"{parent.name}.{name}" not in self.skip and (deep > 0 or is_leaf_type(get_named_type(field.type)))
        ]  # fmt: skip
        if not fields:
            return "__typename"
        name, field = self.random.choice(fields)
        return self._field(name, field, deep)

    def _field(self, name: str, field: GraphQLField, deep: int) -> str:
        inner = get_named_type(field.type)
        arguments = []
        for key, argument in field.args.items():
            if is_required_argument(argument) or self.random.random() < 0.4:
                arguments.append(f"{key}: {self._value(argument.type)}")
        alias = f"u{self.random.randint(0, 9999)}: " if arguments and self.random.random() < 0.8 else self._alias()
        text = alias + name + (f"({', '.join(arguments)})" if arguments else "") + self._directive()
        return text if is_leaf_type(inner) else f"{text} {self._selection(inner, deep - 1)}"

    def _fragment(self, parent: Any, deep: int) -> str:
        possible: Any = [parent]
        if is_abstract_type(parent):
            possible = [*self.schema.get_possible_types(parent)]
        elif self.random.random() < 0.4 and is_object_type(parent):
            possible = [*parent.interfaces, parent]
        target = self.random.choice(possible)
        body = self._selection(target, deep - 1)
        if self.random.random() < 0.5:
            name = f"F{len(self.fragments)}"
            self.fragments.append(f"fragment {name} on {target.name} {body}")
            return f"...{name}{self._directive()}" + (f" ...{name}" if self.random.random() < 0.2 else "")
        condition = f" on {target.name}" if target is not parent or self.random.random() < 0.5 else ""
        return f"...{condition}{self._directive()} {body}"

    def _alias(self) -> str:
        chance = self.random.random()
        if chance < 0.06:
            return f"{self.random.choice(HOSTILE)}: "
        return f"a{self.random.randint(0, 99)}: " if chance < 0.3 else ""

    def _directive(self) -> str:
        if self.random.random() > 0.12:
            return ""
        name = self.random.choice(("skip", "include"))
        value = self.random.random() < 0.6
        if self.random.random() < 0.5:
            return f" @{name}(if: {str(value).lower()})"
        return f" @{name}(if: ${self._variable('Boolean!', value)})"

    def _variable(self, type_: str, value: Any) -> str:
        name = f"v{len(self.definitions)}"
        self.definitions.append(f"${name}: {type_}")
        self.variables[name] = value
        return name

    def _value(self, type_: GraphQLInputType) -> str:
        """An argument: a literal, or a variable."""
        text, value = self._both(type_)
        if self.random.random() < 0.4:
            name = self._variable(str(type_), value)
            if self.random.random() < 0.1 and not is_non_null_type(type_):
                del self.variables[name]
            return f"${name}"
        return text

    def _both(self, type_: Any) -> tuple[str, Any]:
        if is_non_null_type(type_):
            return self._both(type_.of_type)
        if self.random.random() < 0.05:
            return "null", None
        if is_list_type(type_):
            items = [self._both(type_.of_type) for _ in range(self.random.randint(0, 2))]
            return f"[{', '.join(text for text, _ in items)}]", [value for _, value in items]
        if is_enum_type(type_):
            name = self.random.choice(list(type_.values))
            return name, name
        if is_input_object_type(type_):
            return self._input(type_)
        return self.literal(self.random, type_.name)

    def _input(self, type_: Any) -> tuple[str, Any]:
        texts, values = [], {}
        for name, field in type_.fields.items():
            needed = is_non_null_type(field.type)
            if needed or self.random.random() < 0.15:
                text, value = self._both(field.type)
                if value is None and needed:
                    continue
                texts.append(f"{name}: {text}")
                values[name] = value
        return "{" + ", ".join(texts) + "}", values
