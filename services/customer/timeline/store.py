"""The timeline in MongoDB: a projection, written only by its reaction, read within the reach of the customer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from crm.customer.v1 import timeline_entry_pb2
from pymongo import InsertOne, UpdateMany

from chassis.access.caller import READ
from chassis.kernel.pages import Sort
from chassis.messaging.envelope import LABELS, LONGEST_LABEL
from chassis.rpc.call import Call
from chassis.storage.pages import Page
from chassis.storage.records import OWNER_FIELDS, Records
from services.customer.notes.store import Notes
from services.customer.timeline.model import resources

Document = dict[str, Any]


class Timeline(Records):
    """What any department did with a customer. Entries carry the customer's owner, so that scope is one filter."""

    def __init__(self, notes: Notes) -> None:
        self.notes = notes
        super().__init__(
            timeline_entry_pb2.TimelineEntry,
            sorts={"OCCUR_TIME_DESC": Sort("occur_time", -1)},
        )

    async def readable(self, call: Call, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Document]:
        """Entries by id, of records that the caller may read."""
        found = await self.batch_get(call, ids, [*fields, "resource", "record_id"] if fields else ())
        allowed = {identity: entry for identity, entry in found.items() if call.directory.allows(call.caller, entry["resource"], "read")}
        await self._tell(call, list(allowed.values()), fields)
        return allowed

    async def of_customers(self, call: Call, ids: Sequence[str], asked: dict[str, Any]) -> dict[str, Page]:
        """The newest entries of each customer whose kind of record the caller may read."""
        allowed = [name for name in resources() if call.directory.allows(call.caller, name, "read")]
        kinds = {"condition": {"field": "resource", "operator": "IN", "values": [{"text": name} for name in allowed]}}
        criteria = {"all": {"items": [kinds, asked.pop("criteria")]}} if asked.get("criteria") else kinds
        if asked.get("fields"):
            asked["fields"] = [*asked["fields"], "resource", "record_id"]
        wanted = list(asked.get("fields") or ())
        pages = await self.batch_page(call, "customer_id", ids, criteria=criteria, **asked)
        await self._tell(call, [entry for page in pages.values() for entry in page.rows], wanted)
        return pages

    async def _tell(self, call: Call, entries: list[Document], fields: Sequence[str]) -> None:
        """Give notes their beginning, which no fact carries, and take away what the caller does not get."""
        if not fields or "subject" in fields:
            written = {entry["record_id"] for entry in entries if entry["resource"] == "notes" and "record_id" in entry}
            notes = await self.notes.batch_get(call, written, ["text"]) if written else {}
            for entry in entries:
                if entry["resource"] == "notes" and (text := notes.get(entry.get("record_id", ""), {}).get("text")):
                    entry["subject"] = text[:LONGEST_LABEL]
        _quiet(call, entries)
        call.seen += [
            ("notes", entry["record_id"], ("text",)) for entry in entries if entry["resource"] == "notes" and entry.get("subject")
        ]

    async def customers(self, call: Call, ids: set[str]) -> dict[str, Document]:
        """What of customers their entries carry: the owner, and whether nothing may tell of them any more."""
        rows = call.database["customers"].find({"_id": {"$in": list(ids)}}, dict.fromkeys((*OWNER_FIELDS, "erase_time"), 1))
        return {row["_id"]: row async for row in rows}

    def add(self, call: Call, entry: Document, customer: Document) -> None:
        """One more entry."""
        owner = {name: customer[name] for name in OWNER_FIELDS if customer.get(name)}
        shown = {name: value for name, value in entry.items() if name != "subject"} if customer.get("erase_time") else entry
        call.changes.write(self.resource, InsertOne({**shown, **owner}))

    def follow(self, call: Call, customer_id: str, customer: Document) -> None:
        """All entries of a customer follow its owner; they forget the names of things when it is erased."""
        values = {name: customer.get(name) for name in OWNER_FIELDS}
        gone = {"$unset": {"subject": ""}} if customer.get("erase_time") else {}
        call.changes.write(self.resource, UpdateMany({"customer_id": customer_id}, {"$set": values, **gone}))


def _quiet(call: Call, entries: Iterable[Document]) -> None:
    """Take the subject away where it is a text that the caller does not get from the record itself."""
    for entry in entries:
        limits = call.limits(entry["resource"])
        if limits and any(limits.get(name, READ) < READ for name in LABELS):
            entry.pop("subject", None)
