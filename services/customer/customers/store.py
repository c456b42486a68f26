"""Customers in MongoDB, and their search by stored terms."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from crm.customer.v1 import customer_pb2
from pymongo import ASCENDING, IndexModel, UpdateMany

from chassis.access.caller import READ
from chassis.access.contracts import Opening
from chassis.rpc.call import Call
from chassis.storage.ownership import OWNER_FIELDS
from chassis.storage.records import Records
from services.customer.customers import terms
from services.customer.customers.model import meanwhile

Document = dict[str, Any]
CONTACTS = "contacts"
_CANDIDATES = 200
LONGEST_LINE = 50


def stored(call: Call, term: str) -> str:
    """A term as it is kept: what is personal is blind."""
    return term[0] + call.vault.blind(f"term:{term}") if term[0] in terms.BLIND else term


def sought(call: Call, term: str) -> Any:
    """What finds a term: a personal one is found whole, every other one by its beginning."""
    return stored(call, term) if term[0] in terms.BLIND else {"$regex": f"^{re.escape(term)}"}


class Customers(Records):
    """Companies and persons."""

    edition = terms.EDITION

    def __init__(self) -> None:
        super().__init__(
            customer_pb2.Customer,
            indexes=[
                IndexModel([("search_terms", ASCENDING)], name="by_search_terms"),
                IndexModel([("merged_into_id", ASCENDING)], name="by_merged_into_id", sparse=True),
            ],
        )

    async def get(self, call: Call, record_id: str, action: str = "read") -> Document:
        """One customer within reach; what is part of another one is not changed."""
        found = await self.whole(call, record_id, action)
        if action != "read" and found.get("merged_into_id"):
            raise meanwhile(found, self.contract.key)
        return found

    async def whole(self, call: Call, record_id: str, action: str) -> Document:
        """One customer within reach of an action, whatever it is part of."""
        return await super().get(call, record_id, action)

    def change(self, call: Call, before: Document, *args: Any, action: str = "update", **given: Any) -> Document:
        """The customer with the values set; an import does not change what is part of another one."""
        if action == "import" and before.get("merged_into_id"):
            raise meanwhile(before, "source_key")
        return super().change(call, before, *args, action=action, **given)

    async def with_survivors(
        self, call: Call, ids: Iterable[str], fields: Sequence[str] = ()
    ) -> tuple[dict[str, Document], dict[str, str]]:
        """Those of the ids that exist within reach, by id, and in place of each that is part of another customer that one; and of these ids
        which it is. What was committed is seen: the records say themselves what they are part of."""
        asked = list(dict.fromkeys(ids))
        found = await self.batch_get(call, asked, [*fields, "merged_into_id"] if fields else ())
        leads: dict[str, str] = {}
        for identity in asked:
            into = found[identity].get("merged_into_id") if identity in found else call.aliases.resolve(identity)
            if into and into != identity:
                leads[identity] = into
        for _ in range(LONGEST_LINE):
            if fresh := set(leads.values()) - found.keys():
                found |= await self.batch_get(call, fresh, [*fields, "merged_into_id"] if fields else ())
            moved = {one: into for one, at in leads.items() if (into := found.get(at, {}).get("merged_into_id"))}
            if not moved:
                break
            leads |= moved
        wanted = [leads.get(identity, identity) for identity in asked]
        return {one: found[one] for one in wanted if one in found}, {one: at for one, at in leads.items() if at in found}

    async def parts_of(self, call: Call, customer_id: str) -> list[str]:
        """Ids of the customers that are part of one, at any depth."""
        found: list[str] = []
        level = [customer_id]
        while level:
            rows = call.database[self.resource].find({"merged_into_id": {"$in": level}}, {"_id": 1}, max_time_ms=call.milliseconds_left)
            level = [row["_id"] async for row in rows if row["_id"] not in found]
            found += level
        return found

    def derive(self, call: Call, document: Document) -> None:
        """Keep the search terms; those of personal fields are blind."""
        document["search_terms"] = [stored(call, term) for term in terms.of_customer(document)]

    def project(self, call: Call, before: Document | None, after: Document) -> None:
        """Contacts and notes follow their customer's owner."""
        if before and any(before.get(name) != after.get(name) for name in OWNER_FIELDS):
            owner = {name: after.get(name) for name in OWNER_FIELDS}
            for collection in ("contacts", "notes", "customer_merges"):
                call.changes.write(collection, UpdateMany({"customer_id": after["_id"]}, {"$set": owner}))

    async def search(self, call: Call, question: str, size: int) -> list[Document]:
        """Hits, the best first: equal names, then names that begin with the question, then the rest, shorter names first."""
        if call.limits(self.resource).get("name", READ) < READ:  # hits are ranked by their names
            return []
        secret = tuple(letter for name, letter in terms.LETTERS.items() if call.limits(self.resource).get(name, READ) < READ)
        needs = [[term for term in alternatives if not term.startswith(secret)] for alternatives in terms.of_question(question)]
        if not needs or not all(needs):  # by a field that the caller does not get, nothing is found
            return []
        opening = self.opening(call)
        whole = {"$and": [{"search_terms": terms.exact(question)}, opening.filter(("name",))]}
        found: dict[str, Document] = {}
        beside = {"$and": [{"_id": {"$in": await self._by_contacts(call, needs)}}, opening.filter(("name",))]}
        for wanted in (whole, self._ways(call, opening, needs), beside):  # a whole name is never lost among those that begin alike
            cursor = call.database[self.resource].find({**wanted, "archive_time": None}, {"search_terms": 0}).limit(_CANDIDATES)
            found |= {document["_id"]: document async for document in cursor.max_time_ms(call.milliseconds_left)}
        asked = terms.normalized(question).strip()

        def rank(document: Document) -> tuple[int, int, str]:
            name = terms.normalized(document["name"])
            return (0 if name == asked else 1 if name.startswith(asked) else 2 if asked in name else 3, len(name), document["_id"])

        return await self.shown(call, opening, sorted(found.values(), key=rank)[: size or 20])

    async def _by_contacts(self, call: Call, needs: list[list[str]]) -> list[str]:
        """The customers at whom somebody is found: what the telephone shows, or a letter is signed with. Only contacts that the caller may
        read, by fields that they get."""
        if not call.directory.allows(call.caller, CONTACTS, "read"):
            return []
        limits = call.limits(CONTACTS)
        letters = {**terms.LETTERS, "name": "cwx"}
        secret = tuple(letter for name, several in letters.items() for letter in several if limits.get(name, READ) < READ)
        asked = [[term for term in alternatives if not term.startswith(secret)] for alternatives in needs]
        if not all(asked):
            return []
        found = [{"$or": [{"search_terms": sought(call, term)} for term in alternatives]} for alternatives in asked]
        reach = call.reach(CONTACTS, "read", "customer_id").filter()
        query = {"$and": [*found, {"archive_time": None}, *([reach] if reach else [])]}
        rows = call.database[CONTACTS].find(query, {"customer_id": 1}).limit(_CANDIDATES).max_time_ms(call.milliseconds_left)
        return list(dict.fromkeys([row["customer_id"] async for row in rows]))

    def _ways(self, call: Call, opening: Opening, needs: list[list[str]]) -> Document:
        """The filter of a search. What a contract shows is found by the fields that it shows, and hits are ranked by their names."""
        ways: list[Document] = []
        for part in opening.parts():
            asked = [[term for term in alternatives if part.all_show(terms.FIELDS.get(term[0], "name"))] for alternatives in needs]
            if part.all_show("name") and all(asked):
                found = [{"$or": [{"search_terms": sought(call, term)} for term in alternatives]} for alternatives in asked]
                ways.append({"$and": [*found, part.filter()]})
        return {"$or": ways} if ways else {"_id": {"$in": []}}

    async def levels_below(self, call: Call, customer_id: str, deepest: int) -> int:
        """How many levels stand below a customer; counts no further than `deepest`."""
        level, found = [customer_id], 0
        while level and found <= deepest:
            rows = call.database[self.resource].find({"parent_id": {"$in": level}}, {"_id": 1}).limit(1000)
            level = [row["_id"] async for row in rows]
            found += bool(level)
        return found

    async def line_above(self, call: Call, customer_id: str, deepest: int) -> list[str]:
        """Ids from a customer upwards, itself first; stops after `deepest`, or where the line comes back.

        The line must still be so when this commits: two moves at once cannot make a circle.
        """
        line: list[str] = []
        following: str | None = customer_id
        while following and len(line) <= deepest and following not in line:
            line.append(following)
            row = await call.database[self.resource].find_one({"_id": following}, {"parent_id": 1})
            call.changes.guard(self.resource, {"_id": following, "parent_id": row.get("parent_id") if row else None})
            following = row.get("parent_id") if row else None
        return line

    async def has_below(self, call: Call, customer_id: str) -> bool:
        """Whether customers in use stand below."""
        return await call.database[self.resource].find_one({"parent_id": customer_id, "archive_time": None}, {"_id": 1}) is not None
