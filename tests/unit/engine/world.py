"""A schema with every kind of type, over data made from seeds: nulls, wrong types, errors, late answers. The same twice, however asked."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Any

from graphql import GraphQLError, GraphQLField, GraphQLObjectType, GraphQLSchema, build_schema

from gateway.engine import Batch, Read, Shape

SDL = """
scalar Moment
enum Color { RED GREEN BLUE }
input Range { low: Int! = 1 high: Int names: [String!] inner: Range }
interface Thing { id: ID! name: String mate: Thing }
interface Sized implements Thing { id: ID! name: String mate: Thing size: Float }
union Any = Cat | Dog | House
type Cat implements Thing { id: ID! name: String mate: Thing! color: Color! friends(first: Int = 2, range: Range): [Thing!] home: House any: Any lives: Int }
type Dog implements Thing & Sized {
  id: ID! name: String mate: Thing size: Float color: Color home: House! tricks: [String!]! born: Moment grid: [[Int]!] pack: [Dog!]! box: Box }
type House { name: String! rooms: [Room!]! cats(color: Color): [Cat] dogs: [Dog!] any: [Any]! matrix: [[Room!]] open: Boolean! size: Float! }
type Room { id: ID! name: String label: String! box: Box! boxes: [Box!] tags: [String] owner: Thing house: House }
type Box { w: Int! h: Int note: String kind: Color! made: Moment! }
type Query { cat(id: ID): Cat dog(range: Range!): Dog! house: House houses(first: Int! = 3): [House!]! things: [Thing] any: Any
  echo(text: String, n: Int, f: Float, b: Boolean): String
  numbers: [Int!] self: Query! }
type Mutation { rename(id: ID!, range: Range): Cat grow: Int! build(color: Color): House! }
"""


class Color(Enum):
    RED = 1
    GREEN = 2
    BLUE = 3


@dataclass(frozen=True)
class Row:
    """One object: what its fields are follows from its seed."""

    seed: int


class Cat(Row): ...


class Dog(Row): ...


class House(Row): ...


class Room(Row): ...


class Box(Row): ...


CLASSES = {kind.__name__: kind for kind in (Cat, Dog, House, Room, Box)}
BATCHED = {
    "Cat.friends", "Cat.home", "Cat.mate", "Dog.home", "Dog.pack", "Dog.mate", "House.cats", "House.dogs", "Room.owner", "Room.house",
    "Query.houses", "House.any",
}  # fmt: skip
SLOW = {"Cat.any", "House.rooms", "Dog.grid", "Query.cat", "Dog.tricks"}
INTERFACES = {"Thing": ("Cat", "Dog"), "Sized": ("Dog",), "Any": ("Cat", "Dog", "House")}
FAULTS = 0.03


def value_of(row: Row, owner: str, name: str, type_: Any, arguments: dict[str, Any], faults: float) -> Any:
    """The value of a field, mostly right; an exception may stand for it."""
    mark = zlib.crc32(repr((row.seed, owner, name, sorted(arguments.items(), key=str))).encode())
    return _value(Random(mark), type_, faults)


def _value(random: Random, type_: Any, faults: float) -> Any:
    chance = random.random()
    if chance < faults / 3:
        return random.choice([GraphQLError("refused", extensions={"code": "NO"}), ValueError("broken"), KeyError("k")])
    if chance < faults:
        return random.choice([None, 12.5, "text", [1], {"a": 1}, object, float("nan"), 2**40, True])
    if str(type_).endswith("!"):
        return _value(random, type_.of_type, faults)
    if random.random() < 0.1:
        return None
    if str(type_).startswith("["):
        return [_value(random, type_.of_type, faults) for _ in range(random.choice([0, 1, 2, 3]))]
    name = type_.name
    if name in INTERFACES:
        name = random.choice(INTERFACES[name])
    if name in CLASSES:
        return CLASSES[name](random.randrange(10**6))
    return {
        "Int": lambda: random.randrange(100), "Float": lambda: random.choice([1.5, 2, -0.0, 1e300]), "String": lambda: random.choice(["a", "é中", ""]),
        "ID": lambda: str(random.randrange(100)), "Boolean": lambda: random.random() < 0.5, "Color": lambda: random.choice(list(Color)),
        "Moment": lambda: random.randrange(10**9),
    }.get(name, lambda: Row(random.randrange(10**6)))()  # fmt: skip


def _moment(value: object) -> str:
    if type(value) is not int:
        raise TypeError(f"no moment: {value!r}")
    return f"t{value}"


def build(faults: float = FAULTS) -> GraphQLSchema:
    """The schema with resolvers that wait or not, and read the data row by row."""
    schema = build_schema(SDL)
    schema.type_map["Moment"].coerce_output_value = _moment  # type: ignore[attr-defined]
    for name, color in Color.__members__.items():
        schema.type_map["Color"].values[name].value = color  # type: ignore[attr-defined]
    schema.type_map["Color"].__dict__.pop("_value_lookup", None)
    for type_ in schema.type_map.values():
        if isinstance(type_, GraphQLObjectType) and not type_.name.startswith("__"):
            if type_.name in CLASSES:
                type_.is_type_of = _test(CLASSES[type_.name])
            for name, field in type_.fields.items():
                field.resolve = _resolver(f"{type_.name}.{name}", type_.name, name, field, faults)
    return schema


def _test(kind: type) -> Any:
    return lambda value, info: isinstance(value, kind)


def _resolver(full: str, owner: str, name: str, field: GraphQLField, faults: float) -> Any:
    def plain(row: Row | None, info: Any, **arguments: Any) -> Any:
        found = value_of(row or Row(info.context), owner, name, field.type, arguments, faults)
        if isinstance(found, Exception) and zlib.crc32(repr(row).encode()) % 2:
            raise found
        return found

    async def late(row: Row | None, info: Any, **arguments: Any) -> Any:
        await asyncio.sleep(0)
        return plain(row, info, **arguments)

    return late if full in BATCHED | SLOW else plain


class Readings:
    """Shapes for some of the types, batch functions for some of the fields."""

    def __init__(self, faults: float = FAULTS) -> None:
        self.faults = faults
        self.batches = 0

    def shape(self, parent: GraphQLObjectType) -> Shape | None:
        """Every type but Query, Mutation and Box of some seeds; reads that refuse what they cannot vouch for."""
        kind = CLASSES.get(parent.name)
        if kind is None:
            return None
        reads = {name: self._read(parent.name, name, field) for name, field in parent.fields.items() if f"{parent.name}.{name}" not in SLOW}
        return Shape(kind, reads)

    def _read(self, owner: str, name: str, field: GraphQLField) -> Read:
        def value(row: Row) -> Any:
            return _certain(value_of(row, owner, name, field.type, {}, self.faults), field.type)

        return Read("{value}({row})", {"value": value})

    def batch(self, parent: GraphQLObjectType, name: str, definition: GraphQLField) -> Batch | None:
        """One call for all parents."""
        if f"{parent.name}.{name}" not in BATCHED:
            return None

        async def batch(rows: Sequence[Row | None], info: Any, arguments: dict[str, Any]) -> list[Any]:
            self.batches += 1
            await asyncio.sleep(0)
            return [value_of(row or Row(info.context), parent.name, name, definition.type, arguments, self.faults) for row in rows]

        return batch


class Unsure(Exception):
    """A read that cannot vouch for its value."""


def _certain(value: Any, type_: Any) -> Any:
    """The value as it goes into the answer; objects as they are."""
    needed = str(type_).endswith("!")
    inner = type_.of_type if needed else type_
    if value is None:
        if needed:
            raise Unsure
        return None
    if str(inner).startswith("["):
        if type(value) is not list:
            raise Unsure
        return [_certain(item, inner.of_type) for item in value]
    if inner.name in CLASSES or inner.name in INTERFACES:
        if isinstance(value, Exception):
            raise Unsure
        return value
    plain = {"Int": int, "String": str, "ID": str, "Boolean": bool, "Float": float}
    if inner.name == "Color" and isinstance(value, Color):
        return value.name
    if inner.name == "Moment" and type(value) is int:
        return f"t{value}"
    if type(value) is not plain.get(inner.name) or (inner.name == "Int" and abs(value) > 2**31 - 1) or value != value:
        raise Unsure
    return value
