"""BatchUpsert: up to 500 records by natural key, each judged alone, the good ones written in one transaction with their events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from crm.common.v1 import outcome_pb2
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from chassis.kernel.errors import AlreadyExists, CrmError, Invalid, NotFound
from chassis.kernel.ids import from_source
from chassis.kernel.pages import value_at
from chassis.rpc import survivors
from chassis.rpc.call import Call
from chassis.rpc.documents import to_document
from chassis.rpc.service import Handler, response_class
from chassis.rpc.validation import MOST_ROWS, validate
from chassis.storage.aliases import CUSTOMER_ID, origin_of
from chassis.storage.ownership import OWNER_FIELDS
from chassis.storage.records import KEPT_FIELDS, Document, Records

Check = Callable[[Document], None]
Prepare = Callable[[Call, list[Document]], Awaitable[list[CrmError | None]]]
BREATH_SECONDS = 0.002


def upserts(
    records: Records, service: ServiceDescriptor, name: str, *, created: type[Message], updated: type[Message],
    required: tuple[str, ...], check: Check | None = None, prepare: Prepare | None = None, moves: tuple[str, ...] = (),
) -> Handler:  # fmt: skip
    """The handler of a BatchUpsert.

    What the contract calls immutable is refused where a row differs from what is stored, but for `moves`, which a command of its own moves too.
    `check` completes or refuses one document by the model's rules; `prepare` does the same for the batch where other
    records must be looked at, and returns a refusal or None for each.
    """
    method = service.methods_by_name[name]
    rows = next(field.name for field in method.input_type.fields if field.message_type is records.descriptor)
    kept = tuple(name for name in records.contract.immutable if name not in moves)

    async def handle(call: Call, request: Any) -> Message:
        messages = list(getattr(request, rows))
        if not 1 <= len(messages) <= MOST_ROWS:
            raise Invalid(f"{len(messages)} records; send 1 to {MOST_ROWS} at a time", field=rows)
        stored, strangers = await _known(call, records, [message.source_key for message in messages if message.source_key])
        breath = Breath()
        judged = []
        for message in messages:
            before = stored.get(message.source_key)
            document, refusal = _read(message, before, required, check)
            judged.append((document, refusal or _moved(call, document, before, kept)))
            await breath.taken()
        _refuse_strangers(records, judged, strangers)
        await _judge_batch(call, records, judged, prepare)
        outcomes, sent = [], list(getattr(call.asked or request, rows))
        for (document, refusal), asked, message in zip(judged, sent, messages, strict=True):
            call.meant = survivors.row_meant(asked, message)
            outcomes.append(_one(call, records, document, refusal, stored, created, updated))
            await breath.taken()
        if request.validate_only:
            call.changes = type(call.changes)(call.database, aliases=call.aliases)
        return response_class(method)(outcomes=outcomes)

    return handle


class Breath:
    """Lets whoever else asks the department have a turn, again and again while a batch is judged and written."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    async def taken(self) -> None:
        """Give others a turn where that is due."""
        if time.perf_counter() - self._began > BREATH_SECONDS:
            await asyncio.sleep(0)
            self._began = time.perf_counter()


def _read(message: Any, before: Document | None, required: tuple[str, ...], check: Check | None) -> tuple[Document, CrmError | None]:
    """The record as it would be: what is stored, with what was sent, completed by the model."""
    document: Document = {"source_key": message.source_key}
    try:
        validate(message, whole=False)
        sent = {name: value for name, value in to_document(message).items() if name not in KEPT_FIELDS or name == "create_time"}
        for name in ("source_key", *required):
            if sent.get(name) in (None, "", []):
                raise Invalid(f"{name} is missing; every record needs it", field=name)
        document = {**(before or {}), **sent}
        if check:
            check(document)
    except CrmError as refusal:
        return document, refusal
    return document, None


def _moved(call: Call, document: Document, before: Document | None, kept: tuple[str, ...]) -> CrmError | None:
    """The refusal of a row that would change what is given once and kept. A customer who was merged is the same by each of its ids."""
    if before is None:
        return None
    for name in kept:
        if document.get(name) != before.get(name) and not _same_customer(call, document, before, name):
            words = f"«{name}» cannot be changed here; send it as it is stored or leave it out, or make another record"
            return Invalid(words, field=name)
    return None


def _same_customer(call: Call, document: Document, before: Document, name: str) -> bool:
    given = document.get(name)
    if name != CUSTOMER_ID or not given:
        return False
    stored = {before.get(CUSTOMER_ID, ""), origin_of(before)}
    return bool({given, call.meant.get(given, given)} & {*stored, *map(call.aliases.resolve, stored)})


async def _known(call: Call, records: Records, keys: list[str]) -> tuple[dict[str, Document], set[str]]:
    """The stored records of natural keys, and those of the keys that records have which are out of the caller's reach."""
    stored = await records.by_source_keys(call, keys)
    fresh = set(keys) - stored.keys()
    taken = await records.taken_ids(call, {key: from_source(records.resource, key) for key in fresh}) if fresh else set()
    if taken:  # or somebody made it between the two looks
        stored |= await records.by_source_keys(call, sorted(taken))
    return stored, taken - stored.keys()


def _refuse_strangers(records: Records, judged: list[tuple[Document, CrmError | None]], strangers: set[str]) -> None:
    """Refuse the rows whose key belongs to a record out of the caller's reach: for them there is none, and they can make none of it."""
    for index, (document, refusal) in enumerate(judged):
        if not refusal and document["source_key"] in strangers:
            text = f"there is no {records.words} of this source_key that you may change; leave the row to its owner or use another key"
            judged[index] = document, NotFound(text, field="source_key")


async def _judge_batch(call: Call, records: Records, judged: list[tuple[Document, CrmError | None]], prepare: Prepare | None) -> None:
    refusals: dict[int, CrmError] = {}
    seen: set[str] = set()
    for index, (document, refusal) in enumerate(judged):
        if not refusal and document["source_key"] in seen:
            refusals[index] = Invalid("the same source_key stands twice in the batch; merge the rows", field="source_key")
        seen.add(document["source_key"])
    good = {index: document for index, (document, refusal) in enumerate(judged) if not refusal and index not in refusals}
    for name, code in records.unique.items():
        refusals |= await _taken(call, records, good, name, code)
    if prepare:
        rest = {index: document for index, document in good.items() if index not in refusals}
        found = await prepare(call, list(rest.values()))
        refusals |= {index: refusal for index, refusal in zip(rest, found, strict=True) if refusal}
    for index, refusal in refusals.items():
        judged[index] = (judged[index][0], refusal)


async def _taken(call: Call, records: Records, documents: dict[int, Document], name: str, code: str) -> dict[int, CrmError]:
    """Refusals for values of a unique field that another record, stored or earlier in the batch, already has."""
    holders: dict[Any, str] = {}
    sealed = name in records.sealed
    stored = {index: records.blind(call, name, document[name]) if sealed else document[name]
              for index, document in documents.items() if document.get(name)}  # fmt: skip
    if stored:
        path = f"blind.{name}" if sealed else name
        cursor = call.database[records.resource].find({path: {"$in": list(stored.values())}}, {path: 1, "source_key": 1})
        holders = {value_at(row, path): row.get("source_key", "") async for row in cursor}
    found: dict[int, CrmError] = {}
    for index, value in stored.items():
        document = documents[index]
        if holders.setdefault(value, document["source_key"]) != document["source_key"]:
            shown = "this value" if sealed else f"«{value}»"
            found[index] = AlreadyExists(f"another record already has {shown} as {name}; correct one of them", code=code, field=name)
    return found


def _one(
    call: Call, records: Records, document: Document, refusal: CrmError | None, stored: Mapping[str, Document],
    created: type[Message], updated: type[Message],
) -> outcome_pb2.UpsertOutcome:  # fmt: skip
    key = document["source_key"]
    if refusal is None:
        try:
            return _write(call, records, document, stored.get(key), created, updated)
        except CrmError as late:
            refusal = late
    return outcome_pb2.UpsertOutcome(
        source_key=key,
        result=outcome_pb2.UPSERT_RESULT_REFUSED,
        error_code=refusal.code,
        error_message=refusal.message,
        error_field=refusal.field,
        error_params=refusal.params,
    )


def _write(
    call: Call, records: Records, document: Document, before: Document | None, created: type[Message], updated: type[Message]
) -> outcome_pb2.UpsertOutcome:
    key = document["source_key"]
    if before is None:
        identity = from_source(records.resource, key)
        records.create(call, document, created, action="import", record_id=identity)
        return outcome_pb2.UpsertOutcome(source_key=key, id=identity, result=outcome_pb2.UPSERT_RESULT_CREATED)
    _follow_owner(call, records, document, before)
    records.may_move(call, before, document)
    known = records.descriptor.fields_by_name
    changed = [name for name, value in document.items() if name in known and before.get(name) != value]
    if not changed:
        return outcome_pb2.UpsertOutcome(source_key=key, id=before["_id"], result=outcome_pb2.UPSERT_RESULT_UNCHANGED)
    records.change(call, before, document, updated, action="import")
    return outcome_pb2.UpsertOutcome(source_key=key, id=before["_id"], result=outcome_pb2.UPSERT_RESULT_UPDATED, changed_fields=changed)


def _follow_owner(call: Call, records: Records, document: Document, before: Document) -> None:
    """Team and department are those of the owner, whatever was sent; what has no owner of its own follows the record it hangs on."""
    if "owner_id" not in records.descriptor.fields_by_name or not document.get("owner_id"):
        return
    if document["owner_id"] != before.get("owner_id"):
        records.set_owner(call, document, document["owner_id"])
    else:
        document |= {name: before.get(name) for name in OWNER_FIELDS}
