"""Articles in MongoDB, with the terms by which they are found, and readers' votes."""

from __future__ import annotations

import hashlib
from typing import Any

from crm.support.v1 import article_pb2
from pymongo import ASCENDING, IndexModel, UpdateOne

from chassis.access.caller import READ
from chassis.kernel.criteria import Criteria, to_query
from chassis.rpc.call import Call
from chassis.storage.records import Records
from services.support.articles import terms

Document = dict[str, Any]
VOTES, STATISTICS = "article_votes", "article_statistics"
_CANDIDATES = 2000


class Articles(Records):
    """Answers worth keeping."""

    def __init__(self) -> None:
        super().__init__(
            article_pb2.Article,
            indexes=[
                IndexModel([("search_terms", ASCENDING)], name="by_search_terms"),
                IndexModel([("state", ASCENDING), ("language", ASCENDING), ("category", ASCENDING)], name="by_category"),
            ],
        )

    def derive(self, call: Call, document: Document) -> None:
        """Keep the terms and how often each stands in the text."""
        counted = terms.frequencies(document["title"], document["body"])
        document["search_terms"] = sorted(counted)
        document["search_counts"] = [counted[term] for term in document["search_terms"]]
        document["search_length"] = sum(counted.values())

    def project(self, call: Call, before: Document | None, after: Document) -> None:
        """Keep number and total length of the articles, for BM25."""
        step = {"count": 0 if before else 1, "length": after["search_length"] - (before or {}).get("search_length", 0)}
        if any(step.values()):
            call.changes.write(STATISTICS, UpdateOne({"_id": "all"}, {"$inc": step}, upsert=True))

    async def search(self, call: Call, question: str, criteria: Criteria | None, size: int) -> list[Document]:
        """Articles by BM25, the best first."""
        asked = list(dict.fromkeys(terms.words(question)))[:40]
        statistics = await call.database[STATISTICS].find_one({"_id": "all"})
        limits = call.limits(self.resource)
        if not asked or not statistics or any(limits.get(name, READ) < READ for name in ("title", "body")):
            return []  # what is found tells what stands in it
        parts = [
            {"search_terms": {"$in": asked}},
            self.reach(call, "read").filter(),
            to_query(criteria, self.filterable(call)),
            {"archive_time": None},
        ]
        cursor = call.database[self.resource].find({"$and": [part for part in parts if part]}, max_time_ms=call.milliseconds_left)
        found = await cursor.limit(_CANDIDATES).to_list()
        counts = {row["_id"]: dict(zip(row["search_terms"], row["search_counts"], strict=True)) for row in found}
        holders = {term: sum(term in counted for counted in counts.values()) for term in asked}
        average = statistics["length"] / max(statistics["count"], 1)

        def rank(row: Document) -> tuple[float, str]:
            value = terms.score(asked, counts[row["_id"]], row["search_length"], statistics["count"], average, holders)
            return -value, row["_id"]

        return sorted(found, key=rank)[: size or 20]

    async def vote_of(self, call: Call, article_id: str, reader_key: str) -> bool | None:
        """How a reader voted; None for not at all."""
        row = await call.database[VOTES].find_one({"_id": _vote_id(article_id, reader_key)})
        return bool(row["helpful"]) if row else None

    def keep_vote(self, call: Call, article_id: str, reader_key: str, helpful: bool) -> None:
        """Remember how a reader voted, with this commit."""
        values = {"$set": {"helpful": helpful, "time": call.now}}
        call.changes.write(VOTES, UpdateOne({"_id": _vote_id(article_id, reader_key)}, values, upsert=True))


def _vote_id(article_id: str, reader_key: str) -> str:
    return f"{article_id}:{hashlib.sha256(reader_key.encode()).hexdigest()[:32]}"
