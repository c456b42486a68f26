"""The unit of work: everything that one use case writes, committed in one transaction with its events, request and audit.

It only collects until `commit`, so that the transaction's callback is pure and may run twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pymongo import DeleteMany, DeleteOne, InsertOne, UpdateMany, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import BulkWriteError, ConnectionFailure, ExecutionTimeout, OperationFailure

from chassis.kernel.errors import AlreadyExists, Conflict, CrmError
from chassis.kernel.ids import new_id
from chassis.messaging.envelope import Event, to_row
from chassis.storage.aliases import NAMING, Aliases, alias_of
from chassis.storage.client import Database
from chassis.storage.encryption import Vault
from chassis.storage.personal import seal_entry, seal_values, subject_of

Write = InsertOne[dict[str, Any]] | UpdateOne | UpdateMany | DeleteOne | DeleteMany
Check = Callable[[AsyncClientSession], Awaitable[None]]
OUTBOX, REQUESTS, AUDIT = "outbox", "request_records", "audit_entries"
COMMIT_SECONDS = 10
_DUPLICATE = 11000


class Duplicate(Exception):
    """A unique index refused the commit; `index` is its name."""

    def __init__(self, index: str, collection: str) -> None:
        super().__init__(f"{collection}.{index}")
        self.index = index
        self.collection = collection


class _Undone(Exception):
    """A trial was good."""


@dataclass
class Changes:
    """What is to be written. Not shared between tasks.

    `reason` is what the caller gave as one; it stands in the audit. `vault` holds the keys of personal fields.
    `only` names the collections that may be written, where not all may. `aliases` say which customer an id leads to.
    A `trial` is judged by the database as a commit is, and then undone: nothing of it is kept or announced.
    `by` commits this in its place, once: together with others (chassis/storage/together.py).
    `on_commit` is called after a commit of events or lines of the audit with the number of events, to wake relay and chain.
    """

    database: Database
    actor_id: str = ""
    correlation_id: str = ""
    method: str = ""
    on_commit: Callable[[int], None] | None = None
    reason: str = ""
    vault: Vault | None = None
    only: frozenset[str] | None = None
    aliases: Aliases = field(default_factory=Aliases)
    trial: bool = False
    by: Callable[[Changes], Awaitable[None]] | None = None
    events: list[Event] = field(default_factory=list)
    _writes: dict[str, list[Write]] = field(default_factory=dict)
    _guarded: dict[str, list[Write]] = field(default_factory=dict)
    _audit: list[dict[str, Any]] = field(default_factory=list)
    _keys: dict[str, AESGCM] = field(default_factory=dict)
    _told: list[tuple[dict[str, Any], Sequence[str]]] = field(default_factory=list)
    _checks: dict[str, Check] = field(default_factory=dict)
    _personal: list[tuple[dict[str, Any], str, str, str, Sequence[str]]] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self._writes or self._guarded)

    def anew(self) -> Changes:
        """An empty unit of work in the name of the same call: for who commits in steps, or tries again."""
        same = (self.database, self.actor_id, self.correlation_id, self.method, self.on_commit, self.reason, self.vault, self.only)
        return Changes(*same, aliases=self.aliases, trial=self.trial)

    def insert(self, collection: str, document: dict[str, Any], personal: Sequence[str] = ()) -> None:
        """A new document; its id must be free. Its `personal` fields are sealed before they are written."""
        stored = dict(document)
        self._add(collection, InsertOne(stored))
        if personal:
            self._personal.append((stored, subject_of(stored), stored["_id"], collection, personal))

    def update(self, collection: str, before: Mapping[str, Any], after: Mapping[str, Any], personal: Sequence[str] = ()) -> None:
        """A document from one version to another; the commit fails as a conflict when it is no longer at `before`.

        Only what differs is written, so counters that move without a version (`$inc`) are not put back. What is personal is written
        anew too when the record now belongs to another subject.
        """
        moved = personal if personal and subject_of(before) != subject_of(after) else ()
        values = {key: value for key, value in after.items() if key not in before or before[key] != value or key in moved}
        if personal:
            self._personal.append((values, subject_of(after), before["_id"], collection, personal))
        gone = {key: "" for key in before if key not in after}
        for name in (name for name in NAMING if name in values and alias_of(name) not in after):
            gone[alias_of(name)] = ""  # a merge may have been swept since the document was read
        operation = {"$set": values} | ({"$unset": gone} if gone else {})
        self._guard(collection, UpdateOne({"_id": before["_id"], "version": before["version"]}, operation))

    def guard(self, collection: str, query: Mapping[str, Any]) -> None:
        """A document that must still be as the query says when this commits; a conflict when it is not. It is touched, so that two
        commits that guard what the other one changes cannot both succeed."""
        self._guard(collection, UpdateOne(dict(query), {"$set": {"touch": self.correlation_id}}))

    def must_match(self, collection: str, operation: UpdateOne) -> None:
        """An update whose query must still find its document when this commits; a conflict when it does not."""
        self._guard(collection, operation)

    def write(self, collection: str, operation: Write) -> None:
        """Any other write: counters, projections, children."""
        self._add(collection, operation)

    def ensure(self, name: str, check: Check) -> None:
        """What must hold once everything is written: read within the transaction, it raises the refusal that undoes all of it. Whoever breaks
        the rule together with this commit must write a document that this one writes too, so that the second one reads what the first did."""
        self._checks[name] = check

    def emit(self, event: Event) -> None:
        """An event to be announced when, and only when, the rest is committed."""
        self.events.append(event)

    def join(self, other: Changes) -> None:
        """Take over what `other` would write, under its own request id, so that both are one commit; `other` is not committed itself."""
        for mine, theirs in ((self._writes, other._writes), (self._guarded, other._guarded)):
            for name, writes in theirs.items():
                self._may(name)
                mine.setdefault(name, []).extend(writes)
        self.events += other.events
        self._audit += other._audit
        self._told += other._told
        self._personal += other._personal
        self._keys |= other._keys
        place = len(self._checks)  # of others with the same request id the checks stand beside each other
        self._checks |= {f"{place}:{other.correlation_id}:{name}": check for name, check in other._checks.items()}

    def audit(
        self, resource: str, record_id: str, version: int, action: str, changed: Mapping[str, Any], now: datetime, deputy_for: str = "",
        *, subject: str = "", naming: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """A line of the audit: who did what to which record, in whose stead, and the fields before and after. Of a record about somebody, the
        `subject`, the reason and what `naming` fields held are sealed under that one's key: the line stays, and can forget."""
        self._audit.append({
            "_id": new_id(), "time": now, "actor_id": self.actor_id, "request_id": self.correlation_id, "method": self.method,
            "reason": self.reason, "resource": resource, "record_id": record_id, "version": version, "action": action, "changed": dict(changed),
            "deputy_for": deputy_for, "pending": True,
        })  # fmt: skip
        if subject and (self.reason or not frozenset(naming).isdisjoint(changed)):
            self._audit[-1]["subject"] = subject
            self._told.append((self._audit[-1], naming))

    def _add(self, collection: str, operation: Write) -> None:
        self._may(collection)
        self._writes.setdefault(collection, []).append(operation)

    def _guard(self, collection: str, operation: UpdateOne) -> None:
        self._may(collection)
        self._guarded.setdefault(collection, []).append(operation)

    def _may(self, collection: str) -> None:
        """A fault of ours: whoever writes here did not declare it."""
        if self.only is not None and collection not in self.only:
            raise RuntimeError(f"{self.method} writes {collection} and declares only {', '.join(sorted(self.only))}")

    async def commit(self) -> None:
        """Write everything or nothing; of a trial nothing. Raises Conflict, Duplicate, or Busy as Conflict with code BUSY."""
        if self.by is not None:
            by, self.by = self.by, None
            return await by(self)
        if self.events:
            self._writes.setdefault(OUTBOX, []).extend(InsertOne(to_row(event)) for event in self.events)
        if self._audit:
            self._writes[AUDIT] = [InsertOne(entry) for entry in self._audit]
        if self.empty:
            return
        await self.seal()
        try:
            async with asyncio.timeout(COMMIT_SECONDS), self.database.client.start_session() as session:
                written = self._undone if self.trial else self._write_all
                await session.with_transaction(written, max_commit_time_ms=COMMIT_SECONDS * 1000)
        except _Undone:
            return
        except (ExecutionTimeout, TimeoutError) as error:
            raise Conflict("the database was too busy to commit; send the same request again", code="BUSY") from error
        except (OperationFailure, ConnectionFailure) as error:
            if _transient(error):
                raise Conflict("too many writes touched the same records; send the same request again", code="BUSY") from error
            raise
        if self.on_commit and (self.events or self._audit):
            self.on_commit(len(self.events))

    async def keys_of(self, subjects: Iterable[str]) -> Mapping[str, AESGCM]:
        """The keys to seal under; those of new subjects are stored with this commit."""
        if self.vault is None:
            raise RuntimeError("personal data cannot be written without a vault; give the changes one")
        missing = [subject for subject in dict.fromkeys(subjects) if subject not in self._keys]
        if missing:
            self._keys |= await self.vault.keys_for(self, missing)
        return self._keys

    async def seal(self) -> None:
        """Seal what is personal, under the keys of its subjects; what is sealed stays so."""
        due = [line for line in self._personal if any(isinstance(line[0].get(name), str) for name in line[4])]
        self._personal = []
        await self._seal_audit()
        keys = await self.keys_of(subject for _, subject, _, _, _ in due) if due else {}
        for values, subject, identity, collection, fields in due:
            seal_values(values, collection, fields, identity, keys[subject])

    async def _seal_audit(self) -> None:
        """Seal what lines of the audit tell of a person. What a department does by itself names nobody."""
        told, self._told = self._told, []
        if not told or self.vault is None or self.actor_id.startswith("service-"):
            return
        keys = await self.keys_of(entry["subject"] for entry, _ in told)
        for entry, naming in told:
            seal_entry(entry, naming, keys[entry["subject"]])

    async def _write_all(self, session: AsyncClientSession) -> None:
        # Requests first: a repeat must fail on its request record before it fails on anything that the first run changed.
        for name in sorted(self._writes, key=lambda name: name != REQUESTS):
            await self._bulk(session, name, self._writes[name])
        for name, updates in self._guarded.items():
            if await self._bulk(session, name, updates) < len(updates):
                raise Conflict("somebody else changed the record since you read it; read it again and repeat your change")
        for check in self._checks.values():
            await check(session)

    async def _undone(self, session: AsyncClientSession) -> None:
        """A trial: whatever the database refuses of it is refused, and all else is taken back."""
        await self._write_all(session)
        raise _Undone

    async def _bulk(self, session: AsyncClientSession, name: str, writes: list[Write]) -> int:
        try:
            result = await self.database[name].bulk_write(list(writes), ordered=True, session=session)
        except BulkWriteError as error:
            raise _explain(error, name) from error
        return int(result.matched_count)


def _transient(error: Exception) -> bool:
    has = getattr(error, "has_error_label", None)
    return bool(has and (has("TransientTransactionError") or has("UnknownTransactionCommitResult")))


def _explain(error: BulkWriteError, collection: str) -> Exception:
    for failure in error.details.get("writeErrors", []):
        if failure.get("code") == _DUPLICATE:
            return Duplicate(str(failure.get("errmsg", "")).split(" index: ", 1)[-1].split(" ")[0], collection)
    return error


def as_refusal(duplicate: Duplicate, codes: Mapping[str, tuple[str, str]]) -> CrmError:
    """The refusal for a broken unique index; `codes` maps the index' name to (code, field)."""
    code, fieldname = codes.get(duplicate.index, ("ALREADY_EXISTS", ""))
    if duplicate.index == "_id_" or code == "BUSY":
        return Conflict("the same record is being made by another request; send the request again", code="BUSY")
    return AlreadyExists(
        f"another record already has this {fieldname.replace('_', ' ') or 'value'}; use that record or another value",
        code=code,
        field=fieldname,
    )
