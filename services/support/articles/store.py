"""Articles in MongoDB, with the terms by which they are found, and readers' votes."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

from crm.support.v1 import article_pb2
from pymongo import ASCENDING, IndexModel, UpdateOne

from chassis.access.caller import READ
from chassis.kernel import full_text
from chassis.kernel.criteria import Criteria, to_query
from chassis.kernel.full_text import words
from chassis.rpc.call import Call
from chassis.storage.records import Records
from chassis.storage.terms import TERMS
from services.support.articles import ranking

Document = dict[str, Any]
VOTES, STATISTICS = "article_votes", "article_statistics"
# A term in so many articles chooses none; a question has so many terms at most, and finds so many times the candidates.
_CANDIDATES, MOST_ASKED, _MOST = 2000, 40, 3
# With what the words of body and title begin among the terms.
_BODY, _TITLE = (f"{article_pb2.Article.DESCRIPTOR.fields_by_name[name].number}b" for name in ("body", "title"))


class Articles(Records):
    """Answers worth keeping."""

    edition = 3

    def __init__(self) -> None:
        super().__init__(
            article_pb2.Article,
            indexes=[
                IndexModel([("state", ASCENDING), ("language", ASCENDING), ("category", ASCENDING)], name="by_category"),
            ],
        )

    def derive(self, call: Call, document: Document) -> None:
        """Keep the words of the title too, and how often each word stands in the text."""
        counted = Counter(words(document["body"]))
        title = list(dict.fromkeys(words(document["title"])))
        for word in words(document["title"]):
            counted[word] += ranking.TITLE
        in_body = {term.removeprefix(_BODY) for term in document[TERMS] if term.startswith(_BODY)}
        document[TERMS] = [*document[TERMS], *(f"{_TITLE}{word}" for word in title if word not in in_body)]
        document["search_counts"] = [counted[word] for word in _words_of(document)]
        document["search_length"] = sum(document["search_counts"])

    def project(self, call: Call, before: Document | None, after: Document) -> None:
        """Keep number and total length of the articles, for BM25."""
        step = {"count": 0 if before else 1, "length": after["search_length"] - (before or {}).get("search_length", 0)}
        if any(step.values()):
            call.changes.write(STATISTICS, UpdateOne({"_id": "all"}, {"$inc": step}, upsert=True))

    async def search(self, call: Call, question: str, criteria: Criteria | None, size: int) -> list[Document]:
        """Articles by BM25, the best first; by single characters where nothing larger of the question is anywhere."""
        limits = call.limits(self.resource)
        if any(limits.get(name, READ) < READ for name in ("title", "body")):
            return []  # what is found tells what stands in it
        parts = [self.reach(call, "read").filter(), to_query(criteria, self.filterable(call), call.when), {"archive_time": None}]
        within = [part for part in parts if part]
        for terms_asked in full_text.asked(question):
            if found := await self._best(call, terms_asked[:MOST_ASKED], within):
                return found[: size or 20]
        return []

    async def _best(self, call: Call, asked: list[str], within: list[Document]) -> list[Document]:
        """All that may answer, the best first. Rare terms choose; one that stands in thousands of articles only ranks, or the best would be cut
        off by chance; where every term is so common, the two rarest together choose."""
        statistics = await call.database[STATISTICS].find_one({"_id": "all"})
        holders = dict(zip(asked, await asyncio.gather(*[self._holders(call, term, within) for term in asked]), strict=True))
        asked = sorted((term for term in asked if holders[term]), key=lambda term: holders[term])
        if not asked or not statistics:
            return []
        rare = [term for term in asked if holders[term] < _CANDIDATES]
        chosen = [_holding(rare)] if rare else [_holding([one]) for one in asked[:2]]
        query = {"$and": [*chosen, *within]}
        cursor = call.database[self.resource].find(query, max_time_ms=call.milliseconds_left).limit(_MOST * _CANDIDATES)
        average = statistics["length"] / max(statistics["count"], 1)

        def rank(row: Document) -> tuple[float, str]:
            counts = dict(zip(_words_of(row), row["search_counts"], strict=True))
            return -ranking.score(asked, counts, row["search_length"], statistics["count"], average, holders), row["_id"]

        return sorted(await cursor.to_list(), key=rank)

    async def _holders(self, call: Call, term: str, within: list[Document]) -> int:
        """In how many articles a term stands, of those that may be read; counts no further than it matters."""
        match = {"$match": {"$and": [_holding([term]), *within]}}
        steps: list[Document] = [match, {"$limit": _CANDIDATES}, {"$count": "found"}]
        cursor = await call.database[self.resource].aggregate(steps, maxTimeMS=call.milliseconds_left)
        return next((int(row["found"]) for row in await cursor.to_list()), 0)

    async def vote_of(self, call: Call, article_id: str, reader_key: str) -> bool | None:
        """How a reader voted; None for not at all."""
        row = await call.database[VOTES].find_one({"_id": _vote_id(article_id, reader_key)})
        return bool(row["helpful"]) if row else None

    def keep_vote(self, call: Call, article_id: str, reader_key: str, helpful: bool) -> None:
        """Remember how a reader voted, with this commit."""
        values = {"$set": {"helpful": helpful, "time": call.now}}
        call.changes.write(VOTES, UpdateOne({"_id": _vote_id(article_id, reader_key)}, values, upsert=True))


def _words_of(document: Document) -> list[str]:
    """The words under which an article is stored, in their order."""
    return [term.removeprefix(tag) for term in document[TERMS] for tag in (_BODY, _TITLE) if term.startswith(tag)]


def _holding(words: Sequence[str]) -> Document:
    """What has any of these words."""
    return {TERMS: {"$in": [f"{tag}{word}" for word in words for tag in (_BODY, _TITLE)]}}


def _vote_id(article_id: str, reader_key: str) -> str:
    return f"{article_id}:{hashlib.sha256(reader_key.encode()).hexdigest()[:32]}"
