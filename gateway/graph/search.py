"""Records of every kind: found by what stands in them, and described by cards; one call a department, all departments side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any

import strawberry
from crm.common.v1 import record_service_pb2 as contract
from strawberry.types import Info

from chassis.kernel.errors import CrmError, Invalid
from chassis.rpc.documents import enum_names, from_timestamp, snake
from chassis.rpc.errors import Unavailable
from gateway.departments.context import Context
from gateway.departments.errors import field_error
from gateway.departments.loaders import load_records
from gateway.departments.spelling import graph_name
from gateway.graph.arguments import signed
from gateway.graph.contract import Node, enum_member, enum_type, finish, from_global, output_class, to_global
from gateway.graph.edges import edge, to_one
from gateway.graph.judged import by
from gateway.graph.noun import MOST_HITS, NOUNS, Noun
from gateway.graph.sizes import ROWS

_SERVICE = contract.DESCRIPTOR.services_by_name["RecordService"]
SEARCH, DESCRIBE = _SERVICE.methods_by_name["Search"], _SERVICE.methods_by_name["BatchDescribeRecords"]
_RANK = contract.SearchRank.DESCRIPTOR
MOST_CARDS = 100


@cache
def _nouns() -> dict[str, Noun]:
    """Resource → noun, of all that have cards."""
    return {noun.contract.resource: noun for noun in NOUNS.values() if noun.contract.traits.HasField("card")}


@cache
def _kinds() -> Any:
    """The enum of these nouns: TICKET for Ticket."""
    values = {
        snake(noun.name).upper(): strawberry.enum_value(noun.contract.resource, description=f"Records of the type {noun.name}.")
        for noun in _nouns().values()
    }
    make: Any = Enum  # of names that the contracts give
    made = make("RecordKind", values)
    return strawberry.enum(made, name="RecordKind", description="A kind of record that can be searched for and has cards.")


@dataclass
class Card:
    """A card as the graph shows it; `owner_id` and `customer_id` are those of the department."""

    kind: Any
    record_id: str
    title: str
    subtitle: str
    state: str | None
    owner_id: str
    customer_id: str
    update_time: datetime | None
    archive_time: datetime | None
    resource: str
    identity: str

    @classmethod
    def of(cls, card: Any) -> Card:
        """From the department's."""
        noun = _nouns()[card.resource]
        changed, archived = (
            from_timestamp(getattr(card, name)) if card.HasField(name) else None for name in ("update_time", "archive_time")
        )
        state = card.state if card.HasField("state") else None
        return cls(
            _kinds()[snake(noun.name).upper()], to_global(noun.name, card.record_id), card.title, card.subtitle, state, card.owner_id,
            card.customer_id, changed, archived, card.resource, card.record_id,
        )  # fmt: skip


@dataclass
class Hit:
    """A hit as the graph shows it."""

    card: Card
    rank: Any
    matched: Sequence[Any]

    @classmethod
    def of(cls, hit: Any) -> Hit:
        """From the department's: fields by the graph's names."""
        for match in hit.matched:
            match.field = graph_name(match.field)
        return cls(Card.of(hit.card), enum_member(_RANK, enum_names(_RANK)[hit.rank]), hit.matched)


async def _records(roots: Sequence[Any], info: Info) -> Sequence[Any]:
    """The record of each card; one call for each kind among them."""
    ids: dict[str, list[str]] = {}
    cards = [getattr(root, "card", root) for root in roots]
    for card in cards:
        ids.setdefault(card.resource, []).append(card.identity)
    loaded = await asyncio.gather(*[load_records(info.context, _nouns()[resource], wanted, ()) for resource, wanted in ids.items()])
    found = {resource: iter(records) for resource, records in zip(ids, loaded, strict=True)}
    return [next(found[card.resource]) for card in cards]


def _type(name: str, words: str, shown: Mapping[str, tuple[Any, str]], edges: Mapping[str, Any]) -> Any:
    # Of hits there are as many as the page size of their field.
    fields = {key: strawberry.field(description=said, metadata={ROWS: 1} if key == "hits" else {}) for key, (_, said) in shown.items()}
    made = type(name, (), {"__annotations__": {key: shape for key, (shape, _) in shown.items()}, **fields, **edges})
    return strawberry.type(made, name=name, description=words)


@cache
def _card() -> Any:
    """The type of a card."""
    shown = {
        "kind": (_kinds(), "Its kind."),
        "record_id": (strawberry.ID, "Id of the record, for `node(id)` and wherever it is named."),
        "title": (str, "By what people call it; empty where you do not get that."),
        "subtitle": (str, "What tells it from others of its name; empty for nothing."),
        "state": (str | None, "Its state, e.g. OPEN; null for records without states."),
        "update_time": (datetime | None, "When it changed last, UTC."),
        "archive_time": (datetime | None, "Since when it is out of use, UTC; null for what is in use."),
    }
    beside = {
        "owner": to_one("Person", "owner_id", "Whose it is."),
        "customer": to_one("Customer", "customer_id", "The customer on whom it hangs."),
        "record": _record(),
    }
    return _type("RecordCard", "A record in a few words, with what you get of it.", shown, beside)


def _record() -> Any:
    return edge(_records, {}, Node | None, "The record itself.", *(noun.by_id for noun in _nouns().values()))


@cache
def _answer() -> Any:
    """The type of an answer."""
    match = finish(output_class(contract.SearchMatch.DESCRIPTOR))
    words = "By what it was found, the text of each word of the question; empty where that cannot be shown."
    shown = {
        "card": (_card(), "The record in a few words."),
        "rank": (enum_type(_RANK), "How well it is what was asked for."),
        "matched": (list[match], words),  # type: ignore[valid-type]
    }
    hit = _type("SearchHit", "A record that was found.", shown, {"record": _record()})
    told = {
        "hits": (list[hit], "The hits, the best first; of equals those that changed last."),  # type: ignore[valid-type]
        "missing_departments": (list[str], "Departments that do not answer at the moment: what they have is not among the hits."),
    }
    return _type("SearchResult", "What was found in all departments.", told, {})


async def _ask(context: Context, department: str, method: Any, request: Any) -> Any:
    """The answer of a department; its failure where it is away. Raises the refusal."""
    try:
        return await context.clients.read(department, _SERVICE, method.name, request, context.token, context.request_id)
    except CrmError as error:
        if isinstance(error, Unavailable):
            return error
        raise field_error(error, department) from None


def queries() -> dict[str, Any]:
    """The top-level fields."""
    return {"search": _search(), "recordCards": _cards()}


def _search() -> Any:
    async def resolve(info: Info, query: str, kinds: Any = None, first: int | None = 20, archived: bool = False) -> Any:
        if not 1 <= (first or 0) <= MOST_HITS:
            raise field_error(Invalid(f"first is {first}; ask for 1 to {MOST_HITS} hits", field="first"), "gateway")
        wanted: dict[str, list[str]] = {}
        for resource in [kind.value for kind in kinds] if kinds else _nouns():
            wanted.setdefault(_nouns()[resource].department, []).append(resource)
        asked = [
            _ask(info.context, name, SEARCH, contract.SearchRequest(query=query, resources=names, page_size=first, archived=archived))
            for name, names in wanted.items()
        ]
        answers = dict(zip(wanted, await asyncio.gather(*asked), strict=True))
        away = [name for name, answer in answers.items() if isinstance(answer, Unavailable)]
        if len(away) == len(wanted):
            raise field_error(answers[away[0]], away[0])
        hits = [hit for name, answer in answers.items() if name not in away for hit in answer.hits]
        hits.sort(key=lambda hit: (hit.rank, -hit.card.update_time.ToMilliseconds(), hit.card.record_id))
        return {"hits": [Hit.of(hit) for hit in hits[:first]], "missing_departments": away}

    arguments = {
        "query": (str, ...), "kinds": (list[_kinds()] | None, None), "first": (int | None, 20), "archived": (bool, False),  # type: ignore[misc]
    }  # fmt: skip
    words = (
        "Records of every kind by what stands in them: parts of names in either script, their readings and initials, beginnings of words, "
        "numbers and telephone numbers in every spelling, whole mail addresses. What you may not see, and fields that you do not get, "
        "neither find anything nor are shown."
    )
    return strawberry.field(resolver=signed(resolve, arguments, _answer() | None), description=words, metadata=by(SEARCH))


def _cards() -> Any:
    async def resolve(info: Info, ids: list[strawberry.ID]) -> Any:
        wanted: dict[str, list[Any]] = {}
        try:
            if not 1 <= len(ids) <= MOST_CARDS:
                raise Invalid(f"there are {len(ids)} ids; give 1 to {MOST_CARDS}", field="ids")
            for one in ids:
                kind, identity = from_global(str(one), field="ids")
                if (noun := NOUNS.get(kind)) and noun.contract.resource in _nouns():
                    wanted.setdefault(noun.department, []).append(contract.RecordKey(resource=noun.contract.resource, record_id=identity))
        except CrmError as error:
            raise field_error(error, "gateway") from None
        asked = [_ask(info.context, name, DESCRIBE, contract.BatchDescribeRecordsRequest(keys=keys)) for name, keys in wanted.items()]
        answers = dict(zip(wanted, await asyncio.gather(*asked), strict=True))
        for name, answer in answers.items():
            if isinstance(answer, Unavailable):
                raise field_error(answer, name)
        found = {(one.key.resource, one.key.record_id): one.card for answer in answers.values() for one in answer.records}
        keys = [(noun.contract.resource, identity) for noun, identity in map(_named, ids) if noun]
        return [Card.of(found[key]) for key in keys if key in found]

    card = _card()
    shape = list[card] | None  # type: ignore[valid-type]
    words = "Records in a few words by their ids, up to 100, in that order; those that you may see and that have cards."
    return strawberry.field(
        resolver=signed(resolve, {"ids": (list[strawberry.ID], ...)}, shape), description=words, metadata={**by(DESCRIBE), ROWS: 20}
    )


def _named(one: strawberry.ID) -> tuple[Noun | None, str]:
    kind, identity = from_global(str(one), field="ids")
    return NOUNS.get(kind), identity
