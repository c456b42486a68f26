"""The worked example of gateway/engine/README.md: its readings, its answer, one call of its batch function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLField, GraphQLObjectType, build_schema, parse

from gateway.engine import Batch, Engine, Read, Shape

SDL = """type Query { author(id: ID!): Author, authors: [Author!] } type Author { name: String!, books(first: Int): [Book!] }
         type Book { title: String!, price: Price } type Price { amount: String! }"""
BOOKS = "{ name books(first: 5) { title price { amount } } }"


@dataclass
class Author:
    name: str


@dataclass
class Price:
    cents: int


@dataclass
class Book:
    title: str
    price: Price | None


class MyReadings:
    def __init__(self) -> None:
        self.calls: list[tuple[list[str], dict[str, Any]]] = []

    def shape(self, parent: GraphQLObjectType) -> Shape | None:
        return {
            "Author": Shape(Author, {"name": Read("{row}.name")}),
            "Book": Shape(Book, {"title": Read("{row}.title"), "price": Read("{row}.price")}),
            "Price": Shape(Price, {"amount": Read("{text}({row}.cents)", {"text": lambda cents: f"{cents / 100:.2f}"})}),
        }.get(parent.name)

    def batch(self, parent: GraphQLObjectType, name: str, definition: GraphQLField) -> Batch | None:
        return self.books_of_authors if (parent.name, name) == ("Author", "books") else None

    async def books_of_authors(self, authors: Sequence[Author], info: Any, arguments: dict[str, Any]) -> list[list[Book]]:
        self.calls.append(([author.name for author in authors], arguments))
        return [[Book("A", Price(150)), Book("B", None)] for _ in authors]


async def run(text: str, variables: dict[str, Any]) -> tuple[Any, MyReadings]:
    """The data of the answer, and what was called."""
    schema, readings = build_schema(SDL), MyReadings()
    assert schema.query_type
    schema.query_type.fields["author"].resolve = lambda _, info, id: Author(f"Lu {id}")
    schema.query_type.fields["authors"].resolve = lambda _, info: [Author(f"Lu {number}") for number in range(50)]
    document: Any = parse(text)
    result = await Engine(schema, readings).prepare(document, document.definitions[0]).execute(None, variables)
    assert result.errors is None
    return result.data, readings


async def test_the_example_gives_its_answer() -> None:
    data, readings = await run(f"query($id: ID!) {{ author(id: $id) {BOOKS} }}", {"id": "1"})
    assert data == {"author": {"name": "Lu 1", "books": [{"title": "A", "price": {"amount": "1.50"}}, {"title": "B", "price": None}]}}
    assert readings.calls == [(["Lu 1"], {"first": 5})]


async def test_fifty_authors_are_one_call() -> None:
    data, readings = await run(f"{{ authors {BOOKS} }}", {})
    assert [author["name"] for author in data["authors"]] == readings.calls[0][0]
    assert len(readings.calls) == 1


async def test_rows_that_are_not_as_their_shape_says_are_read_again_and_told() -> None:
    told: list[str] = []
    schema = build_schema(SDL)
    assert schema.query_type
    schema.query_type.fields["authors"].resolve = lambda _, info: [Author("Lu"), {"name": "Xun"}]
    document: Any = parse("{ authors { name } }")
    operation = Engine(schema, MyReadings(), on_deviation=told.append).prepare(document, document.definitions[0])
    result = await operation.execute(None, {})
    assert (result.data, result.errors) == ({"authors": [{"name": "Lu"}, {"name": "Xun"}]}, None)
    assert told == ["Author"]
