"""How imports are done: rows go through the noun's own BatchUpsert as if who started the job had sent them, and the job's place, counts and
outcomes are written in the commit of the records."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bson.errors import BSONError
from crm.common.v1 import outcome_pb2
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError
from pymongo import UpdateOne
from pymongo.errors import OperationFailure, PyMongoError

from chassis.access.caller import ALL, Caller, lacking
from chassis.access.directory import Directory
from chassis.access.fields import refuse_writes
from chassis.jobs import model, rows, store
from chassis.jobs.offers import Offer, Offers
from chassis.jobs.store import JOBS, ROWS
from chassis.jobs.subjects import customers_of
from chassis.jobs.worker import Jobs, Pace, Stopped
from chassis.kernel.errors import Conflict, CrmError, Invalid, NotAllowed, NotFound
from chassis.rpc.call import Call
from chassis.rpc.contract import contract_of, nouns
from chassis.rpc.documents import message_class
from chassis.rpc.service import Service, request_class, response_class, run
from chassis.storage.records import Document

log = logging.getLogger("crm.jobs")
REFUSED = outcome_pb2.UPSERT_RESULT_REFUSED
_COUNTS = {"CREATED": "created", "UPDATED": "updated", "UNCHANGED": "unchanged"}
# Codes with which MongoDB refuses what is written, whenever it is written again: a value, a key or a size that cannot be.
_UNFIT = frozenset((2, 9, 14, 16, 22, 28, 40, 52, 54, 55, 56, 57, 66, 121, 257, 10334, 17280, 17419, 17420))
# A job asks no department in somebody's name; people and units are in the directory.
_KNOWN = ("Person", "Department")


@dataclass(frozen=True)
class Target:
    """Where the rows of a resource go."""

    service: Service
    method: MethodDescriptor
    field: str

    @property
    def record(self) -> Any:
        """The class of a row."""
        return message_class(self.method.input_type.fields_by_name[self.field].message_type)


def targets(services: Sequence[Service]) -> dict[str, Target]:
    """Resource → target, for everything that these services import."""
    found: dict[str, Target] = {}
    for service in services:
        for method in service.descriptor.methods:
            if method.name.startswith("BatchUpsert") and service.records:
                field = next(one for one in method.input_type.fields if one.message_type is service.records.descriptor)
                found[service.records.resource] = Target(service, method, field.name)
    return found


@dataclass
class Slice:
    """The rows of one commit: a batch, the places in it, what stands there, and of which customers it tells. `again` says that they were refused
    before; `offer` that they are not stored yet. `results` are what became of them."""

    batch: Document
    indexes: list[int]
    rows: list[bytes]
    customers: list[str]
    again: bool
    offer: Offer | None = None
    results: list[Document] = field(default_factory=list)

    @property
    def mark(self) -> str:
        """What names the commit."""
        batch = self.batch
        return f"{batch['first'] + self.indexes[0]}" + ("-offered" if self.offer else f"-again{batch['tries']}" if self.again else "")

    @property
    def stands(self) -> Document:
        """How the job must stand beside its place."""
        return {"appended": self.offer.first, "closed": False} if self.offer else {}


class Imports:
    """The kind IMPORT."""

    def __init__(self, department: str, services: Sequence[Service]) -> None:
        self.department, self.targets, self.offers = department, targets(services), Offers()
        self._open: dict[str, tuple[tuple[str, Any], list[bytes], list[str]]] = {}  # the batch that a job is at
        self._most: dict[str, int] = {}  # how many rows a job may try at once, after a failure

    def target(self, resource: str) -> Target:
        """Where rows of a resource go. Raises NotFound."""
        found = self.targets.get(resource)
        if found is None:
            known = ", ".join(sorted(self.targets))
            raise NotFound(f"{self.department} imports no {resource[:50]}; it imports {known}", field="resource")
        return found

    def permit(self, caller: Caller, directory: Directory, resource: str) -> None:
        """Refuse who may not import, and whose rows would have to be judged by another department in their name: a job has no token."""
        record = self.target(resource).record.DESCRIPTOR
        if not directory.allows(caller, resource, "import"):
            raise lacking(resource, "import")
        for name in contract_of(record).references.values():
            other = next((noun for noun in nouns() if noun.name == name), None)
            if other is None or name in _KNOWN or other.department == self.department or caller.is_service:
                continue
            if directory.scope(caller.roles, other.resource, "read") != ALL:
                words = (
                    f"your roles show you only a part of {other.resource}, to which these rows refer; import them by BatchUpsert instead"
                )
                raise NotAllowed(words)

    async def over(self, job: Document) -> list[str] | None:
        """When every row has its outcome and no more will come."""
        return [] if model.stands(job) else None

    def left(self, job_id: str) -> None:
        """Remember its rows no longer."""
        self._open.pop(job_id, None)
        self._most.pop(job_id, None)
        self.offers.left(job_id)

    async def step(self, jobs: Jobs, job: Document, pace: Pace) -> bool:
        """The next rows."""
        most = pace.rows()
        key = (await jobs.vault.keys([job["_id"]])).get(job["_id"])
        found = await self._next(jobs, job, min(most, self._most.get(job["_id"], most)), key) if key else None
        if found is None or key is None:
            return False
        try:
            return await self._step(jobs, job, found, key, pace)
        finally:
            if found.offer:
                found.offer.end()

    async def _step(self, jobs: Jobs, job: Document, found: Slice, key: AESGCM, pace: Pace) -> bool:
        call = await jobs.call_for(job, self.target(job["resource"]).method.name)
        self.permit(call.caller, call.directory, job["resource"])
        began = time.monotonic()
        try:
            await self._send(jobs, job, call, found, key, began)
        except Exception as error:
            if found.offer:  # they are stored then, and what is at fault is found there
                self.offers.shut(job["_id"])
                log.info(
                    "rows are not done as they come", extra={"job": job["_id"], "reason": getattr(error, "code", type(error).__name__)}
                )
                return False
            if not _of_rows(error):
                raise
            if not isinstance(error, CrmError):
                log.error("rows failed", extra={"job": job["_id"], "first": found.batch["first"], "count": len(found.rows)}, exc_info=error)
            await self._halve(jobs, job, call, found, key, error)
        else:
            if found.offer and found.results:
                batch = found.batch | {"results": found.results}
                found.offer.end([rows.message_of(batch, index, key) for index in found.indexes])
            pace.did(len(found.rows))
            self._most[job["_id"]] = min(500, self._most.get(job["_id"], 500) * 2)
        return True

    async def _next(self, jobs: Jobs, job: Document, most: int, key: AESGCM) -> Slice | None:
        part = await (self._fresh(jobs, job, most, key) if job["cursor"] < job["appended"] else self._again(jobs, job, most, key))
        if (offer := self.offers.taken(job["_id"])) and (part or not model.takes_offers(job, offer.first) or len(offer.rows) > most):
            offer.end()
        elif offer:
            part = _offered(job["_id"], offer)
        if part is not None:
            try:
                await self._without_erased(jobs, job, part)
            except BaseException:
                if part.offer:
                    part.offer.end()
                raise
        return part

    async def _fresh(self, jobs: Jobs, job: Document, most: int, key: AESGCM) -> Slice | None:
        batch = await rows.batch_at(jobs.database, job["_id"], job["cursor"])
        if batch is None or batch["filled"] != job["cursor"] - batch["first"]:
            return None
        mark = (batch["_id"], batch.get("forgotten"))
        known, sent, customers = self._open.get(job["_id"], (None, [], []))
        if known != mark:
            sent, customers = await rows.waiting_of(jobs.database, batch, key)
            if not sent:
                return None
            self._open[job["_id"]] = (mark, sent, customers)
        indexes = list(range(batch["filled"], min(batch["filled"] + most, batch["count"])))
        return Slice(batch, indexes, [sent[index] for index in indexes], [customers[index] for index in indexes], again=False)

    async def _again(self, jobs: Jobs, job: Document, most: int, key: AESGCM) -> Slice | None:
        found = await rows.next_again(jobs.database, job["_id"], most, key) if job["retrying"] else None
        return Slice(*found, again=True) if found else None

    async def _without_erased(self, jobs: Jobs, job: Document, part: Slice) -> None:
        """Take out what rows say of customers who were erased: no record comes of it, and nothing of it is kept."""
        unknown = [place for place, (row, customer) in enumerate(zip(part.rows, part.customers, strict=True)) if row and not customer]
        if unknown and not part.offer:  # what such a row refers to may have come meanwhile
            record = self.target(job["resource"]).record.DESCRIPTOR
            for place, customer in zip(unknown, await customers_of(jobs.database, record, [part.rows[at] for at in unknown]), strict=True):
                part.customers[place] = customer
        gone = await jobs.vault.destroyed(part.customers)
        for place, customer in enumerate(part.customers):
            if customer in gone:
                part.rows[place], part.customers[place] = b"", ""

    async def _send(self, jobs: Jobs, job: Document, call: Call, part: Slice, key: AESGCM, began: float) -> None:
        """Through the noun's own handler, with everything that holds for a call."""
        target = self.target(job["resource"])
        handler = target.service.handlers[target.method.name]
        messages, broken = _read(part.rows, target, call.limits(job["resource"]))

        async def handle(call: Call, request: Any) -> Any:
            await jobs.still(job, **part.stands)
            outcomes = iter((await handler(call, request)).outcomes)
            whole = [broken.get(place) or next(outcomes) for place in range(len(part.rows))]
            self._note(jobs, job, call, part, whole, key, began)
            return response_class(
                target.method
            )()  # the answer is kept under the mark, and refusals quote rows: they lie with the rows alone

        if not messages:
            call.changes = jobs.changes_for(job, target.method.name)
            self._note(jobs, job, call, part, [broken[place] for place in range(len(part.rows))], key, began)
            await call.changes.commit()
            return
        own = replace(target.service, handlers={**target.service.handlers, target.method.name: handle})
        request = request_class(target.method)(**{"request_id": f"{job['_id']}-{part.mark}", target.field: messages})
        try:
            await run(target.method, own, call, request, lambda: jobs.changes_for(job, target.method.name))
        except Conflict as met:
            if met.code != "REQUEST_REFUSED":
                raise
            # A twin of this batch was refused meanwhile, as one of a replica that has the job no more: that says nothing about the rows.
            raise Conflict("another replica was at these rows; they are tried again", code="BUSY") from met

    async def _halve(self, jobs: Jobs, job: Document, call: Call, part: Slice, key: AESGCM, error: Exception) -> None:
        """A batch on which the department fails as a whole is tried in halves, down to the row on which it fails: that one is refused."""
        if len(part.rows) > 1:
            self._most[job["_id"]] = len(part.rows) // 2
            return
        code, text, field = "INTERNAL", "the department failed on this row; its log has a line with the id of the job", ""
        if isinstance(error, CrmError):
            code, text, field = error.code, error.message, error.field
        elif isinstance(error, BSONError | PyMongoError):
            code, text = "INVALID_ARGUMENT", "the database does not take what this row says, or so much of it; correct or shorten the row"
        call.changes = jobs.changes_for(job, call.method)
        outcome = outcome_pb2.UpsertOutcome(result=REFUSED, error_code=code, error_message=text, error_field=field)
        self._note(jobs, job, call, part, [outcome], key, time.monotonic())
        await call.changes.commit()

    def _note(self, jobs: Jobs, job: Document, call: Call, part: Slice, outcomes: list[Any], key: AESGCM, began: float) -> None:
        """What became of the rows, with the commit that makes it so."""
        batch = part.batch
        results = [
            rows.result_of(one, batch["_id"], index, row, customer, key)
            for one, index, row, customer in zip(outcomes, part.indexes, part.rows, part.customers, strict=True)
        ]
        part.results = results
        counts = {name: sum(one["r"] == result for one in results) for result, name in _COUNTS.items()}
        refused = sum(one["r"] == rows.REFUSED for one in results) - (len(results) if part.again else 0)
        if part.offer:
            call.changes.insert(ROWS, _done(job, part, results, refused, call))
        else:
            call.changes.must_match(ROWS, UpdateOne(*_batch_change(part, results, refused)))
        seconds = job["busy_seconds"] + time.monotonic() - began
        ahead = 0 if part.again else len(results)
        done = job["cursor"] + ahead
        values: Document = {
            "update_time": call.now, "cursor": done, "busy_seconds": seconds, "due": True,
            "rate": round(job["rate"] * 0.7 + 0.3 * len(results) / max(time.monotonic() - began, 0.001), 1) if job["rate"]
            else round(len(results) / max(time.monotonic() - began, 0.001), 1),
        }  # fmt: skip
        held = sum(len(row) for row, one in zip(part.rows, results, strict=True) if (one["r"] == rows.REFUSED) == bool(part.offer))
        more = {"refused": refused, "done": sum(counts.values()), "held": held if part.offer else -held, **counts}
        if part.offer:
            values |= store.appended(job, done)
        if part.again:
            more["retrying"] = -len(results)
        call.changes.must_match(
            JOBS,
            UpdateOne(
                jobs.mine(job) | part.stands,
                {"$set": values, "$inc": {key: n for key, n in more.items() if n}} if any(more.values()) else {"$set": values},
            ),
        )


def _offered(job_id: str, offer: Offer) -> Slice:
    batch: Document = {"_id": store.place(job_id, offer.first), "first": offer.first, "count": len(offer.rows), "digest": offer.digest}
    return Slice(batch, list(range(len(offer.rows))), list(offer.rows), list(offer.customers), again=False, offer=offer)


def _done(job: Document, part: Slice, results: list[Document], refused: int, call: Call) -> Document:
    """The document of a batch that is stored with its outcomes. Raises Stopped where it would keep what a row says of somebody: who is erased
    beside this commit must find that, so it is stored first."""
    if any("customer_id" in one for one in results):
        raise Stopped("a row about somebody was refused")
    more = {"job_id": job["_id"], "filled": len(results), "refused": refused, "tries": 0, "results": results, "create_time": call.now}
    return {**part.batch, **more}


def _of_rows(error: Exception) -> bool:
    """Whether a failure may come from what rows say. If not, it says nothing about them: the job waits, or has failed."""
    if isinstance(error, CrmError):
        return not error.retryable and not isinstance(error, NotAllowed)
    if isinstance(error, OperationFailure):
        found = (error.details or {}).get("writeErrors") or [{"code": error.code}]
        return any(one.get("code") in _UNFIT for one in found)
    return not isinstance(error, PyMongoError | OSError | TimeoutError)


def _batch_change(part: Slice, results: list[Document], refused: int) -> tuple[Document, Document]:
    """The filter and the change of a batch's document."""
    batch = part.batch
    customers = {one["customer_id"] for one in results if "customer_id" in one}
    named = sorted(customers | set(batch.get("customer_ids", ())))
    same = {"_id": batch["_id"], "forgotten": batch.get("forgotten")}
    if part.again:
        left = batch["again"][len(results) :]
        values: Document = {f"results.{index}": one for index, one in zip(part.indexes, results, strict=True)}
        values |= ({"again": left} if left else {}) | ({"customer_ids": named} if customers else {})
        change: Document = {"$set": values, "$inc": {"refused": refused, "tries": 1}} | ({} if left else {"$unset": {"again": ""}})
        return {**same, "again": batch["again"]}, change
    filled = batch["filled"] + len(results)
    change = {"$push": {"results": {"$each": results}}, "$set": {"filled": filled}, "$inc": {"refused": refused}}
    if filled < batch["count"]:
        change["$set"] |= {"customer_ids": named} if customers else {}
    else:  # from here on only refused rows say anything
        customers |= {one["customer_id"] for one in batch["results"] if "customer_id" in one}
        change["$set"] |= {"customer_ids": sorted(customers)} if customers else {}
        change["$unset"] = {"waiting": ""} | ({} if customers else {"customer_ids": ""})
    return {**same, "filled": batch["filled"]}, change


def _read(sent: Sequence[bytes], target: Target, limits: Mapping[str, int]) -> tuple[list[Any], dict[int, Any]]:
    """The records of rows, and a refusal for each row that is none, or sets a field that who started the job may not set: a call would be
    refused as a whole for that, and the job could never get beyond it."""
    messages, broken = [], {}
    for place, row in enumerate(sent):
        try:
            messages.append(_record(row, target, limits))
        except CrmError as refusal:
            broken[place] = outcome_pb2.UpsertOutcome(
                result=REFUSED,
                error_code=refusal.code,
                error_message=refusal.message,
                error_field=refusal.field,
                error_params=refusal.params,
            )
    return messages, broken


def _record(row: bytes, target: Target, limits: Mapping[str, int]) -> Any:
    if not row:
        raise Conflict("the customer of this row was erased; nothing personal can be kept about them any more", code="ERASED")
    try:
        message = target.record.FromString(row)
    except DecodeError:
        raise Invalid(f"the row is no {target.record.DESCRIPTOR.name}; send it anew in another import") from None
    refuse_writes(message, None, limits)
    return message
