"""The records at which files are: whoever may read one reads its files, whoever may change it attaches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from chassis.access.caller import lacking, refused
from chassis.files import model
from chassis.files.store import Attachments
from chassis.kernel.errors import Invalid, NotAllowed, NotFound
from chassis.rpc.call import Call
from chassis.rpc.service import policy_of
from chassis.storage.aliases import CUSTOMER_ALIAS, CUSTOMER_ID
from chassis.storage.records import Document, Records

# What an attachment has of its record.
PLACE = ("resource", "record_id", CUSTOMER_ID, CUSTOMER_ALIAS)


class Holders:
    """The stores of a department whose records have files."""

    def __init__(self, stores: Iterable[Records]) -> None:
        self._stores = {store.resource: store for store in stores if store.contract.traits.attachable}

    def store(self, resource: str) -> Records:
        """The store of a resource. Raises Invalid where this department attaches nothing to it."""
        found = self._stores.get(resource)
        if found is None:
            known = ", ".join(sorted(self._stores)) or "none"
            raise Invalid(f"nothing can be attached to {resource} here; this department attaches to {known}", field="resource")
        return found

    def counts(self, call: Call, store: Records, record_id: str) -> str:
        """The id of the record that counts, where that is a customer who was merged."""
        return call.aliases.resolve(record_id) if store.customer_key == "_id" else record_id

    def place(self, store: Records, record: Document) -> Document:
        """What attachments have of their record: where they are, and whose they are."""
        found: Document = {"resource": store.resource, "record_id": record["_id"]}
        if store.customer_key == "_id":
            return found | {CUSTOMER_ID: record["_id"]}
        return found | {name: record[name] for name in (CUSTOMER_ID, CUSTOMER_ALIAS) if record.get(name)}

    def key(self, store: Records) -> str:
        """The field by which the attachments of a record are found: of a customer also those of all that are part of it."""
        return CUSTOMER_ID if store.customer_key == "_id" else "record_id"

    async def to_change(self, call: Call, resource: str, record_id: str) -> tuple[Records, Document]:
        """The record to which the caller may attach. What nobody can change, a reply that was sent, takes files from its author alone."""
        store = self.store(resource)
        action = "update" if _is_changed(store) else "create"
        if not call.directory.allows(call.caller, resource, action):
            raise lacking(resource, action)
        record = await store.get(call, self.counts(call, store, record_id), action)
        store.in_use(record)
        if action == "create" and record.get("creator_id") != call.caller.person_id:
            raise refused(resource, "update")
        return store, record

    async def readable(self, call: Call, resource: str, record_ids: Sequence[str]) -> dict[str, str]:
        """Of these ids those whose records the caller reads, by role or collaboration, with the ids that count."""
        store = self.store(resource)
        counts = {one: self.counts(call, store, one) for one in dict.fromkeys(record_ids)}
        try:
            found = await store.batch_get(call, counts.values(), ("id",))
        except NotAllowed:
            return {}
        return {one: counting for one, counting in counts.items() if counting in found}

    async def seen(self, call: Call, attachments: Attachments, attachment_id: str) -> Document:
        """An attachment at a record that the caller reads, or an upload of the caller's own. Raises NotFound."""
        found = await attachments.known(call, attachment_id)
        if found is None:
            raise attachments.absent(attachment_id)
        if found["state"] == model.UPLOADING and found["creator_id"] != call.caller.person_id:
            raise attachments.absent(attachment_id)
        if not await self.readable(call, found["resource"], [found["record_id"]]):
            raise attachments.absent(attachment_id)
        return found

    async def with_file(self, call: Call, attachments: Attachments, attachment_id: str) -> tuple[Records, Document, Document]:
        """An attachment with the record that the caller may change, and its store. Raises NotFound where it cannot even be seen."""
        found = await self.seen(call, attachments, attachment_id)
        try:
            store, record = await self.to_change(call, found["resource"], found["record_id"])
        except NotFound:
            raise attachments.absent(attachment_id) from None
        return store, record, found


def _is_changed(store: Records) -> bool:
    """Whether a command changes such records."""
    service: Any = store.contract.service
    return any(policy_of(method) == (store.resource, "update") for method in service.methods)
