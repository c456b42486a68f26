"""The timeline in MongoDB: a projection, written only by its reaction, read within the reach of the customer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crm.customer.v1 import timeline_entry_pb2
from pymongo import ASCENDING, IndexModel, InsertOne, UpdateMany

from chassis.access.caller import READ
from chassis.access.contracts import Opening
from chassis.kernel.errors import Conflict, NotAllowed
from chassis.kernel.pages import Sort
from chassis.messaging.envelope import LABELS, LONGEST_LABEL
from chassis.rpc.call import Call
from chassis.storage.aliases import origin_of
from chassis.storage.ownership import OWNER_FIELDS
from chassis.storage.pages import Page
from chassis.storage.records import Records
from services.customer.notes.store import Notes
from services.customer.segments.store import Segments
from services.customer.timeline import model

Document = dict[str, Any]
ROUNDS = 10
_TELLING = ("resource", "record_id", "customer_id")  # without these nobody can say who may see an entry


@dataclass(frozen=True)
class Entries(Opening):
    """The entries of customers within reach that tell of records within reach: `told` admits those."""

    told: Mapping[str, Any] = field(default_factory=dict)

    def filter(self, asked: Iterable[str] = ()) -> dict[str, Any]:
        """The MongoDB filter of a read."""
        return {"$and": [super().filter(asked), dict(self.told)]}


class Timeline(Records):
    """What any department did with a customer. Entries carry the customer's owner, so that scope is one filter."""

    def __init__(self, notes: Notes, segments: Segments) -> None:
        self.notes, self.segments = notes, segments
        super().__init__(
            timeline_entry_pb2.TimelineEntry,
            sorts={"OCCUR_TIME_DESC": Sort("occur_time", -1)},
            indexes=[IndexModel([("record_id", ASCENDING)], name="by_record_id")],
        )

    def opening(self, call: Call) -> Opening:
        """What the caller may read of the customer, as far as they may read the record that an entry tells of."""
        found = super().opening(call)
        whole, parts = [], list[Document]()
        for name in model.resources():
            try:
                reach = call.reach(name, "read", "customer_id")
            except NotAllowed:
                continue
            if reach.everything or name == "segments":  # in which segments a customer is, who sees the customer may see
                whole.append(name)
            else:
                any_of = model.told_by(reach, name, owner_sees_all=call.directory.owner_sees_all)
                parts.append({"resource": name, "$or": any_of})
        return Entries(found.reach, found.contracts, found.kept, {"$or": [{"resource": {"$in": whole}}, *parts]})

    async def readable(self, call: Call, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Document]:
        """Entries by id, of records that the caller may read."""
        found = await self.batch_get(call, ids, [*fields, *_TELLING] if fields else ())
        secret = await self._secret(call, found.values())
        allowed = {identity: entry for identity, entry in found.items() if identity not in secret}
        await self._tell(call, list(allowed.values()), fields)
        return allowed

    async def of_customers(self, call: Call, ids: Sequence[str], asked: dict[str, Any]) -> dict[str, Page]:
        """The newest entries of each customer whose record the caller may read."""
        if asked.get("fields"):
            asked["fields"] = [*asked["fields"], *_TELLING]
        wanted = list(asked.get("fields") or ())
        pages = await self.batch_page(call, "customer_id", ids, **asked)
        secret = await self._secret(call, [entry for page in pages.values() for entry in page.rows])
        pages = {key: page.without(lambda entry: entry["_id"] in secret) for key, page in pages.items()}
        await self._tell(call, [entry for page in pages.values() for entry in page.rows], wanted)
        return pages

    async def _secret(self, call: Call, entries: Iterable[Document]) -> frozenset[str]:
        """Ids of the entries that tell by a segment of a field which the caller does not get."""
        about = {
            entry["_id"]: entry["record_id"].removesuffix(f"-{origin_of(entry)}") for entry in entries if entry["resource"] == "segments"
        }
        telling = await self.segments.telling(call, set(about.values())) if about else frozenset()
        return frozenset(identity for identity, segment_id in about.items() if segment_id in telling)

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

    def move(self, call: Call, record_id: str, record: Document) -> None:
        """The entries of a record follow its owner."""
        owner = {f"of_{name}": record.get(name) for name in OWNER_FIELDS}
        query = {"record_id": record_id, "$or": [{name: {"$ne": value}} for name, value in owner.items()]}
        call.changes.write(self.resource, UpdateMany(query, {"$set": owner}))

    def claim(self, call: Call, customer_id: str, customer: Document) -> None:
        """What came before the customer itself, as where departments are filled side by side, is its owner's too."""
        if owner := {name: customer[name] for name in OWNER_FIELDS if customer.get(name)}:
            call.changes.write(self.resource, UpdateMany({"customer_id": customer_id, "owner_id": None}, {"$set": owner}))

    def follow(self, call: Call, customer_id: str, customer: Document) -> None:
        """All entries of a customer follow its owner; they forget the names of things when it is erased."""
        values = {name: customer.get(name) for name in OWNER_FIELDS}
        gone = {"$unset": {"subject": ""}} if customer.get("erase_time") else {}
        call.changes.write(self.resource, UpdateMany({"customer_id": customer_id}, {"$set": values, **gone}))

    async def settle(self, call: Call, ids: Sequence[str]) -> None:
        """Let entries that are committed follow a customer that was handed on, or erased, between their reading it and their commit: the reaction
        to that fact may not have seen them. Again until nothing differs, for it may be handed on meanwhile. Raises Conflict."""
        for _ in range(ROUNDS):
            strays = await self._strays(call, ids)
            if not strays:
                return
            call.changes = call.changes.anew()
            for customer_id, customer in strays.items():
                self.follow(call, customer_id, customer)
            await call.changes.commit()
        raise Conflict("the customer of these entries changes again and again; they are looked at later", code="BUSY")

    async def _strays(self, call: Call, ids: Sequence[str]) -> dict[str, Document]:
        """The customers, by id, whom some of these entries do not follow."""
        shown = dict.fromkeys(("customer_id", "subject", *OWNER_FIELDS), 1)
        rows = await call.database[self.resource].find({"_id": {"$in": list(ids)}}, shown).to_list()
        customers = await self.customers(call, {row["customer_id"] for row in rows if row.get("customer_id")})
        found: dict[str, Document] = {}
        for row in rows:
            customer = customers.get(row.get("customer_id", ""))
            if customer and (
                any(row.get(name) != customer.get(name) for name in OWNER_FIELDS) or (customer.get("erase_time") and row.get("subject"))
            ):
                found[row["customer_id"]] = customer
        return found


def _quiet(call: Call, entries: Iterable[Document]) -> None:
    """Take the subject away where it is a text that the caller does not get from the record itself."""
    for entry in entries:
        limits = call.limits(entry["resource"])
        if limits and any(limits.get(name, READ) < READ for name in LABELS):
            entry.pop("subject", None)
