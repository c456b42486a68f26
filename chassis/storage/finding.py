"""Finds records of several kinds by what stands in them: indexed, within the caller's reach, by the fields that the caller gets, the best first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from chassis.access.caller import READ
from chassis.access.contracts import Opening
from chassis.kernel import matching
from chassis.kernel.errors import NotAllowed
from chassis.kernel.matching import Match
from chassis.kernel.terms import NAME, Way, exact, of_question
from chassis.rpc.call import Call
from chassis.rpc.contract import Searched
from chassis.storage.records import Document, Records
from chassis.storage.terms import TERMS, begins, sought, stored, texts_of

# So many records of a kind are looked at for the best: whole names first, then those that begin with the question, then all others.
CANDIDATES = 200
DEFAULT = 20
_OLDEST = datetime(1970, 1, 1, tzinfo=UTC)
FilterOf = Callable[[Sequence[Searched]], Document | None]


@dataclass(frozen=True)
class Hit:
    """A record that was found, how well, and by which texts of which record: it may be one that hangs on it or is part of it."""

    store: Records
    document: Document
    rank: int
    matched: Sequence[Match] = ()
    by: tuple[Records, str] | None = None

    @property
    def order(self) -> tuple[int, float, str]:
        """The best first; of equals what changed last."""
        return self.rank, -(self.document.get("update_time") or _OLDEST).timestamp(), str(self.document["_id"])


@dataclass(frozen=True)
class Question:
    """What is asked for."""

    text: str
    ways: Sequence[Way]
    size: int
    archived: bool = False

    def takes(self, document: Document) -> bool:
        """Whether a record is looked for: one in use, or any."""
        return self.archived or not document.get("archive_time")


class Finder:
    """Searches the records of these stores. Those that name others by a field that `finds` lead to them too."""

    def __init__(self, stores: Iterable[Records]) -> None:
        self.stores = {store.resource: store for store in stores if store.searched}
        nouns = {store.noun: store.resource for store in self.stores.values()}
        self._leading: dict[str, list[tuple[str, str]]] = {}
        for store in self.stores.values():
            for name in store.contract.leads:
                self._leading.setdefault(nouns[store.contract.references[name]], []).append((store.resource, name))

    async def find(self, call: Call, text: str, *, resources: Sequence[str] = (), size: int = 0, archived: bool = False) -> list[Hit]:
        """The hits, the best first. Of resources on which the caller has no right nothing is found."""
        ways = of_question(text)
        if not ways:
            return []
        question = Question(text, ways, size or DEFAULT, archived)
        wanted = [name for name in self.stores if not resources or name in resources]
        asked = list(dict.fromkeys([*wanted, *(name for one in wanted for name, _ in self._leading.get(one, ()))]))
        found = dict(zip(asked, await asyncio.gather(*[_of_kind(call, self.stores[name], question) for name in asked]), strict=True))
        beside = await asyncio.gather(*[self._beside(call, question, name, found) for name in wanted])
        hits = [hit for name, more in zip(wanted, beside, strict=True) for hit in [*found[name], *more]]
        return sorted(hits, key=lambda hit: hit.order)[: question.size]

    async def _beside(self, call: Call, question: Question, resource: str, found: dict[str, list[Hit]]) -> list[Hit]:
        """Records found by what hangs on them, but those that were found by themselves."""
        known = {hit.document["_id"] for hit in found[resource]}
        leading = {
            identity: hit
            for name, key in self._leading.get(resource, ())
            for hit in reversed(found[name]) if (identity := hit.document.get(key)) and identity not in known
        }  # fmt: skip
        if not leading:
            return []
        store = self.stores[resource]
        records = await store.found_as(call, leading)
        return [
            replace(leading[asked], store=store, document=record, rank=matching.PART)
            for asked, record in records.items() if record["_id"] not in known and question.takes(record)
        ]  # fmt: skip


async def _of_kind(call: Call, store: Records, question: Question) -> list[Hit]:
    """The best hits of one kind."""
    try:
        opening = store.opening(call)
    except NotAllowed:
        return []
    limits = call.limits(store.resource)
    fields = [field for field in store.searched if limits.get(field.name, READ) >= READ]
    rows = await _candidates(call, store, opening, fields, question)
    hits = sorted((Hit(store, row, _rank(fields, opening.shown(row), question)) for row in rows), key=lambda hit: hit.order)
    best = {hit.document["_id"]: hit for hit in hits[: question.size]}
    shown = await store.shown(call, opening, [hit.document for hit in best.values()])
    told = [(document, matching.matches(texts_of(fields, document), question.ways)) for document in shown]
    found = [replace(best[one["_id"]], document=one, matched=matched, by=(store, one["_id"])) for one, matched in told]
    return await _counting(call, question, found)


def _rank(fields: Sequence[Searched], row: Document, question: Question) -> int:
    """How well a row, as it was read, is what was asked for: by what of it is not sealed."""
    clear = texts_of(fields, row)
    if any(matching.locate(text, need) for text in clear for way in question.ways for need in way):
        return matching.rank(clear, question.text, question.ways)
    return matching.rank_unseen(question.text)


async def _candidates(call: Call, store: Records, opening: Opening, fields: Sequence[Searched], question: Question) -> list[Document]:
    async def rows(names: Sequence[Searched], filter_of: FilterOf, *, newest: bool = False) -> list[Document]:
        """Stored rows within reach. What a contract shows is found by the fields that it shows."""
        found = []
        for part in opening.parts():
            query = filter_of([field for field in names if part.all_show(field.name)])
            if query:
                found.append({"$and": [query, reach]} if (reach := part.filter()) else query)
        if not found:
            return []
        query = {"$and": [found[0] if len(found) == 1 else {"$or": found}, {} if question.archived else store.in_search()]}
        cursor = call.database[store.resource].find(query, {TERMS: 0}, max_time_ms=call.milliseconds_left)
        return await (cursor.sort("update_time", -1) if newest else cursor).limit(CANDIDATES).to_list()

    found = await rows(fields, lambda part: sought(call, part, question.ways))
    if len(found) < CANDIDATES:
        return found
    # There are more than are looked at: what is the whole of a name, or begins it, is not to be lost among them.
    names = [field for field in fields if field.kind == NAME]
    whole = await rows(names, lambda part: _named(call, part, question.text, whole=True), newest=True)
    first = await rows(names, lambda part: _named(call, part, question.text, whole=False))
    return list({row["_id"]: row for row in (*whole, *first, *found)}.values())


def _named(call: Call, fields: Sequence[Searched], text: str, *, whole: bool) -> Document | None:
    terms = [stored(call, field, exact(text)) for field in fields]
    found: list[Document] = [{TERMS: term if whole else begins(term)} for term in terms]
    return {"$or": found} if found else None


async def _counting(call: Call, question: Question, hits: Sequence[Hit]) -> list[Hit]:
    """The hits, each by the record that counts in its place; the best of each."""
    moved = [hit for hit in hits if hit.store.leads_on(hit.document)]
    records = await moved[0].store.found_as(call, [hit.document["_id"] for hit in moved]) if moved else {}
    found: dict[str, Hit] = {}
    for hit in hits:
        document = records.get(hit.document["_id"]) if hit in moved else hit.document
        if document is not None and question.takes(document) and document["_id"] not in found:
            found[document["_id"]] = replace(hit, document=document)
    return list(found.values())
