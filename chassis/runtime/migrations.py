"""Brings what is stored to what this build means: each step once an installation, safe to repeat, beside the work of both builds.

A department runs its steps in `--migrate`, and beside its work when it starts; only one replica does. What a step has brought is noted
when it is through; killed in between, it begins again and finds most of it done.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from pymongo import UpdateOne

from chassis.kernel import parts
from chassis.kernel.clock import now
from chassis.kernel.errors import Conflict
from chassis.kernel.terms import EDITION
from chassis.rpc.call import Call
from chassis.storage.client import Database
from chassis.storage.records import Document, Records

log = logging.getLogger("crm.migrations")
COLLECTION = "migrations"
PAGE = 100
OwnCall = Callable[[str], Call]


@dataclass(frozen=True)
class Migration:
    """A step. `run` does it and tells how many documents it changed; its name is never given again."""

    name: str
    run: Callable[[OwnCall], Awaitable[int]]


def rederiving(stores: Iterable[Records]) -> list[Migration]:
    """A step for each store that keeps derived fields of an edition, parts of texts, or terms by which its records are found: they are
    reckoned anew where they were reckoned by an earlier one."""

    def step(store: Records) -> Migration:
        async def run(own_call: OwnCall) -> int:
            return await page_by_page(store, own_call, partial(_rederive, store))

        by_parts = f"-{parts.EDITION}" if store.marks else ""
        by_terms = f"-terms-{EDITION}" if store.searched else ""
        return Migration(f"{store.resource}.derived-{store.edition}{by_parts}{by_terms}", run)

    return [step(store) for store in stores if store.edition or store.marks or store.searched]


async def migrate(database: Database, steps: Sequence[Migration], own_call: OwnCall, *, again: bool = False) -> None:
    """Run the steps that are not noted yet, or all of them `again`: after a release, for what replicas of the last build still wrote."""
    done = {row["_id"] async for row in database[COLLECTION].find({}, {"_id": 1})}
    for step in steps:
        if step.name in done and not again:
            continue
        changed = await step.run(own_call)
        await database[COLLECTION].update_one({"_id": step.name}, {"$set": {"time": now(), "changed": changed}}, upsert=True)
        if changed:
            log.info("migrated", extra={"step": step.name, "changed": changed})


async def page_by_page(store: Records, own_call: OwnCall, mend: Callable[[Call, Document], bool]) -> int:
    """Give every record of a store to `mend`, which adds to the call's changes and tells whether it did; how many it mended.

    Each page is one commit guarded by the versions read; a page that somebody changed meanwhile is read again.
    """
    after, changed = "", 0
    while True:
        call = own_call("migrate")
        cursor = call.database[store.resource].find({"_id": {"$gt": after}}).sort("_id", 1).limit(PAGE)
        rows = await store.opened(call, await cursor.to_list())
        if not rows:
            return changed
        mended = sum([mend(call, row) for row in rows])
        try:
            await call.changes.commit()
        except Conflict:
            continue
        after, changed = rows[-1]["_id"], changed + mended


def _rederive(store: Records, call: Call, before: Document) -> bool:
    document = dict(before)
    store.complete(call, document)
    values = {name: value for name, value in document.items() if before.get(name) != value and name not in store.descriptor.fields_by_name}
    if not values:
        return False
    call.changes.must_match(store.resource, UpdateOne({"_id": before["_id"], "version": before["version"]}, {"$set": values}))
    store.project(call, before, document)
    return True
