"""The order to erase a customer, as every department obeys it: the key of its personal data is destroyed, what names it in the clear is
replaced, kept answers are dropped, and the facts about it forget it too."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError
from pymongo import UpdateMany, UpdateOne
from pymongo.errors import PyMongoError

from chassis.files.store import ATTACHMENTS
from chassis.files.store import forget_customer as forget_files
from chassis.jobs.store import ROWS, forget_customer
from chassis.kernel.parts import without
from chassis.messaging.broker import stream_name
from chassis.messaging.envelope import Event, forgotten
from chassis.messaging.reactions import PARKED, Reaction
from chassis.messaging.relay import publish_again
from chassis.rpc.call import Call
from chassis.rpc.documents import naming_fields
from chassis.storage.aliases import CUSTOMER_ALIAS, CUSTOMER_ID
from chassis.storage.changes import OUTBOX, REQUESTS, Changes
from chassis.storage.client import Database
from chassis.storage.encryption import VAULT, Vault, seal
from chassis.storage.personal import ERASED_NAME, SUBJECT_ERASED, context_of, subject_of
from chassis.storage.records import Records
from chassis.storage.terms import TERMS

log = logging.getLogger("crm.erasure")
SOURCE = "customer"
BATCH = 200
PAUSE_SECONDS = 5.0
Document = dict[str, Any]


def reaction(stores: Sequence[Records]) -> Reaction:
    """What every department does but the customer department, which forgets with the order itself. Erasing twice is erasing once."""
    about = hanging(stores)

    async def obey(call: Call, events: Sequence[Event]) -> None:
        for event in events:
            call.vault.destroy(call.changes, event.aggregate_id)
            await forget(call.database, call.changes, about, event.aggregate_id)

    return Reaction(
        "erasure", SOURCE, ("CustomerErasure",), obey, (VAULT, REQUESTS, ROWS, ATTACHMENTS, *(store.resource for store in about))
    )


def hanging(stores: Iterable[Records]) -> list[Records]:
    """The stores whose records hang on a customer."""
    return [store for store in stores if store.customer_key == "customer_id"]


async def forget(database: Database, changes: Changes, stores: Sequence[Records], customer_id: str) -> None:
    """Add to a commit all that makes a department forget a customer, beside its key. What is sealed is gone with that."""
    query = written_for(customer_id)
    for store in stores:
        for name in naming_fields(store.descriptor):
            found = without(name, store.marks[name]) if name in store.marks else {}
            gone: Document = {"$unset": {name: ""}} if store.contract.field(name).is_repeated else {"$set": {name: ERASED_NAME}, **found}
            changes.write(store.resource, UpdateMany({**query, name: {"$exists": True}}, gone))
        changes.write(store.resource, UpdateMany(query, {"$set": {SUBJECT_ERASED: True}, "$unset": {"blind": "", TERMS: ""}}))
    answers = {"$set": {"erased": customer_id, "hash": ""}, "$unset": {"response": ""}}
    changes.write(REQUESTS, UpdateMany({"customer_ids": customer_id}, answers))
    forget_customer(changes, customer_id)
    forget_files(changes, query)
    for collection in (OUTBOX, PARKED):
        async for row in database[collection].find({"headers.ce-customer": customer_id}, {"headers": 1, "payload": 1}):
            if (less := forgotten(row["headers"], row["payload"])) is not None:
                label, payload = less
                values = {"headers.ce-label": label, "payload": payload} | ({"forget": True} if collection == OUTBOX else {})
                changes.write(collection, UpdateOne({"_id": row["_id"]}, {"$set": values}))


def written_for(customer_id: str) -> Document:
    """The filter of the records that were written for a customer, whatever it is part of now: by these it can be erased alone."""
    return {"$or": [{CUSTOMER_ID: customer_id, CUSTOMER_ALIAS: None}, {CUSTOMER_ALIAS: customer_id}]}


class Forgetting:
    """The worker that makes a department's stream forget: what was published about somebody who was erased is deleted there, and published
    once more without what names them. Every consumer has heard it and passes it over; who folds a model anew finds no gap."""

    def __init__(self, department: str, database: Database, context: Callable[[], JetStreamContext], wake: Callable[[int], None]) -> None:
        self.stream, self.database, self.context, self.wake = stream_name(department), database, context, wake

    async def run(self) -> None:
        """Until cancelled; failures of database or broker are waited out."""
        while True:
            try:
                while await self.turn() == BATCH:
                    continue
            except (PyMongoError, NatsError, TimeoutError, OSError) as error:
                log.warning("forgetting waits", extra={"reason": str(error)[:200]})
            await asyncio.sleep(PAUSE_SECONDS)

    async def turn(self) -> int:
        """The next facts; how many. Killed in between, it deletes again what is not there any more."""
        query = {"forget": True, "pending": None}
        rows = await self.database[OUTBOX].find(query, {"subject": 1, "headers": 1}).hint("forget").limit(BATCH).to_list()
        for subject in {row["subject"] for row in rows}:
            await self._delete(subject, {row["headers"]["ce-id"] for row in rows if row["subject"] == subject})
        ids = [row["_id"] for row in rows]
        if ids:
            await self.database[OUTBOX].update_many({"_id": {"$in": ids}}, {"$unset": {"forget": ""}})
            self.wake(await publish_again(self.database, {"_id": {"$in": ids}}))
        return len(rows)

    async def _delete(self, subject: str, ids: set[str]) -> None:
        sequence = 1
        while True:
            try:
                found = await self.context().get_msg(self.stream, sequence, subject=subject, next=True)
            except NotFoundError:
                return
            sequence = int(found.seq or sequence) + 1
            if (found.headers or {}).get("ce-id") in ids:
                await self.context().delete_msg(self.stream, sequence - 1)


# ---- what earlier builds left


async def mend(database: Database, vault: Vault, stores: Sequence[Records]) -> None:
    """Seal what is personal by this build and was not by the last one, and forget whoever was erased; safe to repeat."""
    if await database[VAULT].find_one({}, {"_id": 1}) is None:
        return
    await vault.begin()
    async for row in database[VAULT].find({"destroy_time": {"$exists": True}, "forgotten": None}, {"_id": 1}):
        changes = Changes(database, vault=vault)
        await forget(database, changes, hanging(stores), row["_id"])
        changes.write(VAULT, UpdateOne({"_id": row["_id"]}, {"$set": {"forgotten": True}}))
        await changes.commit()
    for store in stores:
        if store.personal:
            while await _seal(database, vault, store):
                continue


async def _seal(database: Database, vault: Vault, store: Records) -> int:
    """Seal the next plain values of a store; how many records. Those of whoever was erased are taken away."""
    plain = {"$or": [{name: {"$type": "string"}} for name in store.personal]}
    rows = await database[store.resource].find(plain).limit(BATCH).to_list()
    changes = Changes(database, vault=vault)
    subjects = {subject_of(row) for row in rows}
    gone = {
        row["_id"] async for row in database[VAULT].find({"_id": {"$in": list(subjects)}, "destroy_time": {"$exists": True}}, {"_id": 1})
    }
    keys = await changes.keys_of(subjects - gone) if subjects - gone else {}
    for row in rows:
        for name in store.personal:
            if isinstance(value := row.get(name), str):
                subject = subject_of(row)
                made: Document = {"$unset": {name: ""}}
                if subject not in gone:
                    made = {"$set": {name: seal(keys[subject], value, context_of(store.resource, name, row["_id"]))}}
                changes.write(store.resource, UpdateOne({"_id": row["_id"], name: value}, made))
    await changes.commit()
    return len(rows)
