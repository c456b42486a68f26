"""A noun's service from its parts: the reads, the verbs that every noun has alike, and the upsert; the rest is added in its `api.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from crm.common.v1 import annotations_pb2
from google.protobuf.descriptor import ServiceDescriptor

from chassis.kernel import tags
from chassis.kernel.errors import CrmError, NotFound
from chassis.rpc import bulk
from chassis.rpc.aggregates import aggregates
from chassis.rpc.call import Call
from chassis.rpc.documents import traits
from chassis.rpc.handlers import is_required, reads, writes
from chassis.rpc.remote import RemoteRecords, absent, elsewhere, first_of, named, out_of_use
from chassis.rpc.service import Handler, Rule, Service
from chassis.rpc.tags import suggestions
from chassis.rpc.upserts import Check, Prepare, upserts
from chassis.storage import numbers
from chassis.storage.ownership import OWNER_FIELDS
from chassis.storage.records import KEPT_FIELDS, Document, Records

Permitted = Callable[[Call, Document, Document], None]


@dataclass(frozen=True)
class Noun:
    """What the standard verbs need to know of a noun.

    `check` is the model's rule for one document, pure: completes or refuses; run before every create, update and import.
    `refers` are the nouns to which its references must point: records that the caller may see, in use.
    `prepare` looks at other records for a batch beyond that (owners to inherit …) and returns a refusal or None for each.
    `changeable` refuses an update of a record in a state that forbids it; imports are not asked.
    `moves` are immutable fields that an import may still tell anew, for a command of their own moves them too.
    `states` has, by special method, the rules of the model that refuse it for the state in which a record is: those by which it is refused when
    it is sent, so that it can be told beforehand whether it would be.
    `permitted` refuses what a caller who may update the record may still not change of it.
    """

    records: Records
    check: Check | None = None
    prepare: Prepare | None = None
    required: tuple[str, ...] = ()
    changeable: Check | None = None
    permitted: Permitted | None = None
    refers: tuple[Records | RemoteRecords, ...] = ()
    moves: tuple[str, ...] = ()
    states: Mapping[str, tuple[Rule, ...]] | None = None

    def event(self, participle: str) -> Any:
        """The event class of a participle, e.g. "Created"."""
        return getattr(self.records.contract.events, f"{self.records.noun}{participle}")

    @property
    def service(self) -> ServiceDescriptor:
        """The service of the contract. Raises RuntimeError where it has none."""
        found = self.records.contract.service
        if found is None:
            raise RuntimeError(f"{self.records.descriptor.full_name} has no service in its contract")
        return found

    async def create(self, call: Call, **values: Any) -> Document:
        """Make a record by the model's rules."""
        await self.judge(call, values)
        return self.records.create(call, values, self.event("Created"))

    async def load(self, call: Call, action: str, key: Mapping[str, str], version: int | None) -> Document:
        """The record for a change: within reach, of the version seen, in use."""
        before = await self.records.get(call, next(iter(key.values())), action)
        self.records.checked_version(before, version)
        self.records.in_use(before)
        return before

    async def update(self, call: Call, *, version: int, values: Document, **key: str) -> Document:
        """Change the values named; the record as a whole must still obey the model."""
        before = await self.load(call, "update", key, version)
        if self.changeable:
            self.changeable(before)
        if self.permitted:
            self.permitted(call, before, values)
        after = {name: value for name, value in {**before, **values}.items() if value is not None}
        await self.judge(call, after, before)
        if "owner_id" in self.records.descriptor.fields_by_name:
            self.records.may_move(call, before, after)
        changed = {name: after.get(name) for name in {*before, *after, *values} if after.get(name) != before.get(name)}
        return self.records.change(call, before, changed, self.event("Updated"))

    async def archive(self, call: Call, *, version: int | None = None, **key: str) -> Document:
        """Take out of use; archiving twice is refused."""
        before = await self.load(call, "archive", key, version)
        return self.records.change(call, before, {"archive_time": call.now}, self.event("Archived"))

    async def restore(self, call: Call, *, version: int | None = None, **key: str) -> Document:
        """Take back into use; nothing happens to what is in use."""
        before = await self.records.get(call, next(iter(key.values())), "archive")
        self.records.checked_version(before, version)
        if not before.get("archive_time"):
            return before  # what was erased is refused by the change itself
        return self.records.change(call, before, {"archive_time": None}, self.event("Restored"))

    async def assign(self, call: Call, *, owner_id: str, version: int | None = None, **key: str) -> Document:
        """Give to another active person, with team and department."""
        before = await self.load(call, "assign", key, version)
        owner: Document = {}
        self.records.set_owner(call, owner, owner_id)
        return self.records.change(call, before, owner, self.event("Assigned"))

    async def tag(
        self, call: Call, *, version: int | None = None, add_tags: Sequence[str] = (), remove_tags: Sequence[str] = (), **key: str
    ) -> Document:
        """Take tags away and add others. Without a version it holds for whatever tags there are by then: two who tag at once both count."""
        before = await self.load(call, "update", key, version)
        after = tags.changed(before.get("tags") or (), add_tags, remove_tags)
        if after == (before.get("tags") or []):
            return before
        return self.records.change(call, before, {"tags": after or None}, self.event("Updated"))

    async def judge(self, call: Call, document: Document, before: Document | None = None) -> None:
        """By the model and by what it refers to. A reference that stays as it is need not be visible to the one who changes something else."""
        if self.check:
            self.check(document)
        for refusal in await self._referred(call, [document], before or {}):
            if refusal:
                raise refusal
        for refusal in await self.prepare(call, [document]) if self.prepare else ():
            kept = refusal and before and refusal.field in document and before.get(refusal.field) == document[refusal.field]
            if refusal and not kept:
                raise refusal
        await numbers.give(call, self.records.numbered, [document])

    async def _referred(self, call: Call, batch: list[Document], before: Document | None = None) -> list[CrmError | None]:
        """For a batch: whether what is referred to is there, and of the same customer. Of what a record referred to `before` nothing is asked,
        but where it went to another customer."""
        found: list[list[CrmError | None]] = [[None] * len(batch), [self._unknown_person(call, each, before or {}) for each in batch]]
        for store in self.refers:
            for field in [name for name, target in self.records.contract.references.items() if target == store.noun]:
                fresh = [_fresh(document, field, before or {}) for document in batch]
                found.append(
                    await store.refusals(call, fresh, field)
                    if isinstance(store, RemoteRecords)
                    else (await references(call, fresh, store, field))[1]
                )
        return first_of(*found)

    def _unknown_person(self, call: Call, document: Document, before: Document) -> CrmError | None:
        """The refusal of somebody who is not there, or has left. Owners are set by the store, the organization judges its own people."""
        if self.records.contract.department == "organization":
            return None
        for field in self.people:
            for identity in _fresh(document, field, before)[field]:
                member = call.directory.members.get(identity)
                if member is None or not member.active:
                    words = f"there is no active person «{identity}»; choose another one"
                    return NotFound(words, code="REFERENCE_NOT_FOUND", field=field, params={"rule": "person.inactive", "id": identity})
        return None

    @cached_property
    def people(self) -> list[str]:
        """The fields by which commands name people beside the owner."""
        told = (*KEPT_FIELDS, *OWNER_FIELDS)
        found = (self.records.contract.field(name) for name, target in self.records.contract.references.items() if target == "Person")
        return [one.name for one in found if one.name not in told and annotations_pb2.BEHAVIOR_OUTPUT_ONLY not in traits(one).behaviors]

    async def _prepared(self, call: Call, batch: list[Document]) -> list[CrmError | None]:
        """For a batch of whole records: references, then whatever else is looked at of those that are good so far."""
        refusals = await self._referred(call, batch)
        good = [document for document, refusal in zip(batch, refusals, strict=True) if not refusal]
        rest = iter(await self.prepare(call, good) if self.prepare and good else [None] * len(good))
        found = [refusal or next(rest) for refusal in refusals]
        await numbers.give(call, self.records.numbered, [one for one, refusal in zip(batch, found, strict=True) if not refusal])
        return found

    def serve(self, **special: Callable[..., Awaitable[Document]] | Handler) -> Service:
        """The service: standard handlers for the methods of the contract, and `special` ones by method name.

        A special one whose name is a write of this noun gets the request's fields by name (an action).
        """
        handlers: dict[str, Handler] = (
            reads(self.records, self.service) | aggregates(self.records, self.service) | suggestions(self.records)
        )
        noun = self.records.noun
        for verb in ("create", "update", "archive", "restore", "assign", "tag"):
            name = f"{verb.capitalize()}{noun}"
            if name in self.service.methods_by_name:
                handlers[name] = writes(self.service, name, getattr(self, verb))
        for name in self.service.methods_by_name:
            if name.startswith("BatchUpsert"):
                handlers[name] = self._upsert(name)
        for name, function in special.items():
            raw = getattr(function, "is_handler", False)
            handlers[name] = function if raw else writes(self.service, name, function)
        handlers |= bulk.handlers(self.records.contract, lambda: made)
        made = Service(self.service, handlers, self.records.duplicate_codes, self.records, self.rules)
        return made

    @cached_property
    def rules(self) -> dict[str, tuple[Rule, ...]]:
        """By method, what refuses a command for the state in which a record is."""
        noun = self.records.noun
        used: tuple[Rule, ...] = (self.records.in_use,)
        changed: tuple[Rule, ...] = (*used, self.changeable) if self.changeable else used
        return {f"Update{noun}": changed, f"Archive{noun}": used, f"Assign{noun}": used, f"Tag{noun}": used, **(self.states or {})}

    def _upsert(self, name: str) -> Handler:
        create = self.service.methods_by_name.get(f"Create{self.records.noun}")
        required = self.required or tuple(
            field.name for field in create.input_type.fields if is_required(field) and field.name != "request_id"
        )
        return upserts(
            self.records, self.service, name, created=self.event("Created"), updated=self.event("Updated"),
            required=required, check=self.check, prepare=self._prepared, moves=self.moves,
        )  # fmt: skip


def _fresh(document: Document, field: str, before: Document) -> Document:
    """What a document names anew in a field, beside its customer; of another customer everything is new."""
    moved = field != "customer_id" and document.get("customer_id") != before.get("customer_id")
    known = frozenset() if moved else frozenset(named(before, field))
    return {"customer_id": document.get("customer_id"), field: [one for one in named(document, field) if one not in known]}


def handler(function: Callable[..., Awaitable[Any]]) -> Any:
    """Mark a function as a handler of its own: it gets (call, request) and returns the answer."""
    function.is_handler = True  # type: ignore[attr-defined]
    return function


async def references(
    call: Call, documents: list[Document], records: Records, field: str
) -> tuple[dict[str, Document], list[CrmError | None]]:
    """For a batch: the records that `field` points to, and a refusal for each document whose reference is not to be had or archived."""
    wanted = [identity for document in documents for identity in named(document, field)]
    found = await records.batch_get(call, wanted) if wanted else {}

    def refusal(identity: str, document: Document) -> CrmError | None:
        if identity not in found:
            return absent(records.words, identity, field)
        archived = found[identity].get("archive_time") and not call.method.startswith("BatchUpsert")
        return out_of_use(records.words, field) if archived else elsewhere(records.words, found[identity], document, field)

    return found, [next(filter(None, (refusal(one, each) for one in named(each, field))), None) for each in documents]
