"""A noun's collection: bounded, indexed reads within the caller's reach; writes guarded by version, with event and audit.

A noun's `store.py` declares one of these, or subclasses it to keep derived fields (`derive`) and projections (`project`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crm.common.v1 import annotations_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from pymongo import ASCENDING, IndexModel

from chassis.access.caller import Reach, refused
from chassis.access.contracts import Opening
from chassis.access.fields import kept_of, stands
from chassis.kernel import parts, tags
from chassis.kernel.errors import Conflict, NotAllowed, NotFound, stale
from chassis.kernel.ids import new_id
from chassis.kernel.money import order_key
from chassis.kernel.pages import Sort
from chassis.messaging.envelope import encode
from chassis.rpc.call import Call
from chassis.rpc.contract import BY_CURRENCY, contract_of
from chassis.rpc.documents import marks_of, naming_fields, personal_fields, schema_of
from chassis.storage.aliases import CUSTOMER_ID, NAMING, index_of_alias
from chassis.storage.copies import Copies
from chassis.storage.encryption import erased
from chassis.storage.indexes import duplicate_codes, indexes_back, indexes_of
from chassis.storage.numbers import Numbered
from chassis.storage.ownership import OWNER_FIELDS
from chassis.storage.paged import Paged
from chassis.storage.personal import SUBJECT_ERASED, open_documents, quiet, subject_of
from chassis.storage.tags import INDEX as BY_TAGS
from chassis.storage.tags import Tagged
from chassis.storage.terms import INDEX as BY_TERMS
from chassis.storage.terms import TERMS, terms_of

Document = dict[str, Any]


_OWN = ("id", "version", "create_time", "update_time", "creator_id", "updater_id")  # what an entry of the history says itself
ANY_VERSION = -1  # of a command whose contract wants a version, and whose sender saw none: no contract takes it
KEPT_FIELDS = frozenset(("_id", "version", "create_time", "update_time", "creator_id", "updater_id"))


class Records(Paged, Tagged):
    """The records of one resource. `personal` are the fields that are stored encrypted, `sealed` those of them that can be asked for.

    `parents` are the fields by which edges ask (customer_id …), `unique` maps a field to the code of the refusal, `sorts` are the orders:
    what the contract says, and what is given beside it. `edition` is raised where what `derive` sets is to be reckoned anew.
    """

    edition = 0

    def __init__(
        self,
        message: type[Message],
        resource: str = "",
        *,
        parents: Sequence[str] = (),
        sorts: Mapping[str, Sort] | None = None,
        indexes: Sequence[IndexModel] = (),
    ) -> None:
        self.descriptor: Descriptor = message.DESCRIPTOR
        self.contract = contract_of(self.descriptor)
        self.resource = resource or self.contract.resource
        self.noun, self.words = self.contract.name, self.contract.words
        self.label = self.resource.replace("_", " ")
        self.parents = tuple(dict.fromkeys((*(one for one in self.contract.lists if one not in self.contract.backs), *parents)))
        self.unique = self.contract.unique
        self.numbered = Numbered.of(self.contract)
        self.sorts = {**self.contract.sorts, **(sorts or {})} if "create_time" in self.descriptor.fields_by_name else dict(sorts or {})
        self.standing = tuple(field.name for field in self.descriptor.fields if field.has_presence and stands(field))
        self.schema = schema_of(self.descriptor)
        self.marks = marks_of(self.descriptor)
        self.personal = personal_fields(self.descriptor)
        self.sealed = tuple(name for name in self.personal if name in self.schema or name in self.unique)
        self.extra_indexes = list(indexes)
        self._amounts = [sort.of for sort in self.sorts.values() if sort.field.startswith(f"{BY_CURRENCY}.")]
        self.customer_key = self._customer_key()
        # The fields that name customers and by which edges ask: they name the customer that counts, with the id of writing beside it.
        self.named_customers = tuple(name for name in NAMING if name in self.parents and self.contract.references.get(name) == "Customer")
        self.opened_by = "" if self.contract.traits.customer_reach == annotations_pb2.CUSTOMER_REACH_CLOSED else self.customer_key
        self.copies = Copies.of(self.contract, self.customer_key)
        self.archivable = "archive_time" in self.descriptor.fields_by_name
        self.work = frozenset(self.contract.traits.work)
        self.searched = self.contract.searched

    def _customer_key(self) -> str:
        """The field that names a record's customer; "" where there is none, or where no owner decides scope."""
        if self.descriptor.name == "Customer":
            return "_id"
        return "customer_id" if "customer_id" in self.parents else ""

    def reach(self, call: Call, action: str) -> Reach:
        """How far the caller's right to an action on these records reaches, collaboration included."""
        return call.reach(self.resource, action, self.opened_by)

    def opening(self, call: Call) -> Opening:
        """What the caller may read: by roles and collaboration, and in part by contracts. Only for reads that show rows as it says."""
        contracts = tuple(one for one in call.contracts if one.resource == self.resource)
        try:
            reach = self.reach(call, "read")
        except NotAllowed:
            if not contracts:
                raise
            reach = None
        return Opening(reach, contracts, kept_of(self.descriptor))

    # ---- what a subclass may keep beside the contract's fields

    def derive(self, call: Call, document: Document) -> None:
        """Set fields that only the store needs (search terms …). Called before each write."""

    def project(self, call: Call, before: Document | None, after: Document) -> None:
        """Add writes to `call.changes` that keep other collections of this department true."""

    def hides(self, call: Call, name: str, value: Any) -> bool:
        """Whether the caller does not get a value of a field for what is in it; asked of what a history tells."""
        return False

    # ---- reads

    async def read(self, call: Call, record_id: str, fields: Sequence[str] = ()) -> Document:
        """One record within reach, only the fields wanted. NotFound when there is none."""
        found = (await self.batch_get(call, [record_id], fields)).get(record_id)
        if found is None:
            raise self.absent(record_id)
        return found

    async def get(self, call: Call, record_id: str, action: str = "read") -> Document:
        """One record within reach. NotFound when there is none to be read, NotAllowed when it may be read but not `action`."""
        found = await self._find_one(call, {"_id": record_id}, self.reach(call, "read"))
        if found is None:
            raise self.absent(record_id)
        reach = self.reach(call, action)
        if action != "read" and not reach.admits(found):
            raise refused(self.resource, action)
        if action != "read" and found.get(SUBJECT_ERASED) and not call.caller.is_service:
            raise erased(subject_of(found))
        call.deputy_for[record_id] = reach.deputy_for(found)
        return found

    async def whatever(self, call: Call, record_id: str) -> Document | None:
        """What of a record decides access, out of everybody's reach too: to tell why it is. Never to be shown."""
        fields = dict.fromkeys((*OWNER_FIELDS, CUSTOMER_ID), 1)
        return await call.database[self.resource].find_one({"_id": record_id}, fields, max_time_ms=call.milliseconds_left)

    def absent(self, record_id: str) -> NotFound:
        """The refusal where there is none."""
        words = f"there is no {self.words} «{record_id}» that you may see; check the id"
        return NotFound(words, field=self.contract.key, params={"rule": "record.absent", "id": record_id})

    async def batch_get(self, call: Call, ids: Iterable[str], fields: Sequence[str] = ()) -> dict[str, Document]:
        """Those of the ids that exist within reach, by id."""
        opening = self.opening(call)
        query = {"$and": [{"_id": {"$in": list(dict.fromkeys(ids))}}, opening.filter()]}
        cursor = call.database[self.resource].find(query, self._projection(opening, fields), max_time_ms=call.milliseconds_left)
        return {document["_id"]: document for document in await self.shown(call, opening, await cursor.to_list())}

    async def found_as(self, call: Call, ids: Iterable[str]) -> dict[str, Document]:
        """Those of the ids that exist within reach, by the id asked for: the records that count in their place."""
        return await self.batch_get(call, ids)

    def in_search(self) -> Document:
        """The filter of what a search looks at: what is in use."""
        return {"archive_time": None} if self.archivable else {}

    def leads_on(self, document: Document) -> bool:
        """Whether another record counts in place of this one."""
        return False

    async def shown(self, call: Call, opening: Opening, rows: list[Document]) -> list[Document]:
        """Stored rows as the caller gets them; what is not shown is not even decrypted. Notes in the call which contracts showed what."""
        call.shown_by |= {row["_id"]: found for row in rows if (found := opening.showing(row))}
        told = [opening.shown(row) for row in rows]
        await self.copies.take_out(call, told)
        return await self.opened(call, told)

    async def opened(self, call: Call, rows: list[Document]) -> list[Document]:
        """Rows as they were stored, with what is personal readable: for whoever reads the collection directly."""
        if self.personal:
            await open_documents(call.vault, rows, self.resource, self.personal)
        return rows

    async def by_source_keys(self, call: Call, keys: Sequence[str]) -> dict[str, Document]:
        """Stored records by natural key, within the reach of import."""
        reach = self.reach(call, "import")
        query = {"$and": [{"source_key": {"$in": list(keys)}}, reach.filter()]}
        rows = await self.opened(call, await call.database[self.resource].find(query).to_list())
        found = {document["source_key"]: document for document in rows}
        call.deputy_for |= {document["_id"]: reach.deputy_for(document) for document in found.values()}
        return found

    async def taken_ids(self, call: Call, ids: Mapping[str, str]) -> set[str]:
        """Of natural keys (with the ids that they make) those that a record has whoever may reach it. Never to be shown beyond that."""
        query = {"$or": [{"_id": {"$in": list(ids.values())}}, {"source_key": {"$in": list(ids)}}]}
        cursor = call.database[self.resource].find(query, {"source_key": 1}, max_time_ms=call.milliseconds_left)
        rows = await cursor.to_list()
        held = {row["_id"] for row in rows} | {row.get("source_key") for row in rows}
        return {key for key, identity in ids.items() if identity in held or key in held}

    async def must_exist(self, call: Call, ids: Iterable[str | None], field: str) -> dict[str, Document]:
        """The records of these ids within reach; refuses the first that is missing, naming the field."""
        wanted = [identity for identity in ids if identity]
        found = await self.batch_get(call, wanted) if wanted else {}
        for identity in wanted:
            if identity not in found:
                words, params = (
                    f"there is no {self.words} «{identity}» that you may see; check {field}",
                    {"rule": "reference.absent", "id": identity},
                )
                raise NotFound(words, code="REFERENCE_NOT_FOUND", field=field, params=params)
        return found

    # ---- writes

    def create(
        self,
        call: Call,
        values: Mapping[str, Any],
        event: type[Message],
        *,
        action: str = "create",
        record_id: str = "",
        owner_of: Mapping[str, Any] | None = None,
        assign_to: str = "",
    ) -> Document:
        """A new record of the caller's, or of the `owner_id` given; must lie within reach.

        `owner_of` is a record whose owner it takes over, even one who has left; `assign_to` a person who gets it once it is admitted.
        """
        document: Document = {key: value for key, value in values.items() if value is not None}
        document |= {
            "_id": record_id or new_id(),
            "version": 1,
            "update_time": call.now,
            "creator_id": call.caller.person_id,
            "updater_id": call.caller.person_id,
        }
        document.setdefault("create_time", call.now)
        if owner_of is not None:
            document |= {name: owner_of[name] for name in OWNER_FIELDS if owner_of.get(name)}
        call.aliases.place(document, *self.named_customers, meant=call.meant)
        self._admit(call, action, document, inherited=owner_of is not None)
        if assign_to:
            self.set_owner(call, document, assign_to)
        self._hold(call, document)
        self.complete(call, document)
        call.changes.insert(self.resource, document, self.personal)
        self._announce(call, None, document, event)
        return document

    def change(
        self,
        call: Call,
        before: Document,
        values: Mapping[str, Any],
        event: type[Message],
        *,
        action: str = "update",
        quietly: bool = False,
    ) -> Document:
        """The record with the values set (None clears); refused as a conflict when it changed meanwhile.

        `quietly` keeps the values before and after out of the audit: for what must be forgotten.
        """
        if before.get("erase_time"):
            raise erased(before["_id"])
        after = {key: value for key, value in {**before, **values}.items() if value is not None}
        after |= {"version": before["version"] + 1, "update_time": call.now, "updater_id": call.caller.person_id}
        call.aliases.rename(before, after, *self.named_customers, meant=call.meant)
        self._hold(call, after)
        self.complete(call, after)
        call.changes.update(self.resource, before, after, self.personal)
        self._announce(call, before, after, event, quietly=quietly)
        return after

    def complete(self, call: Call, document: Document) -> None:
        """Set what is stored beside the contract's fields: what personal fields, parts of texts and the record are found by, what amounts
        sort by, what `derive` adds. Of tags that are one each has the first spelling."""
        if self.contract.traits.taggable and document.get("tags"):
            document["tags"] = tags.distinct(document["tags"])
        if self.sealed:
            document["blind"] = {name: self.blind(call, name, document[name]) for name in self.sealed if document.get(name)}
        if self._amounts:
            document[BY_CURRENCY] = {name: order_key(document.get(name)) for name in self._amounts}
        if self.marks:
            document.pop(parts.TERMS, None), document.pop(parts.PLAIN, None)
            document |= parts.stored(document, self.marks)
        if self.searched:
            document[TERMS] = terms_of(call, self.searched, document)
        self.derive(call, document)

    def blind(self, call: Call, name: str, value: str) -> str:
        """What a personal field is found by: the same for values that differ only in blanks and in small and capital letters."""
        return call.vault.blind(f"{self.resource}.{name}:{''.join(unicodedata.normalize('NFKC', value).casefold().split())}")

    def _announce(self, call: Call, before: Document | None, after: Document, event: type[Message], *, quietly: bool = False) -> None:
        if lacking := [name for name in self.standing if after.get(name) is None]:
            raise RuntimeError(
                f"{self.words} «{after['_id']}» would lack {', '.join(lacking)}, which its contract requires; set it in the model"
            )
        call.changes.emit(encode(
            event, after, id=new_id(), time=call.now, actor_id=call.caller.person_id, correlation_id=call.request_id,
        ))  # fmt: skip
        # With which values a record was made stands in its history too; of an imported one the source knows, and history would double it.
        told = not quietly and (before is not None or not call.method.startswith("BatchUpsert"))
        changed = quiet(_difference(before or {}, after, self.descriptor), self.personal) if told else {}
        call.changes.audit(
            self.resource, after["_id"], after["version"], event.DESCRIPTOR.name, changed, call.now, call.deputy_for.get(after["_id"], ""),
            subject=subject_of(after) if self.customer_key and not quietly else "", naming=naming_fields(self.descriptor),
        )  # fmt: skip
        self.project(call, before, after)

    def checked_version(self, before: Document, version: int | None) -> None:
        """Refuse a lost update: the caller saw another version than the stored one."""
        if version not in (None, ANY_VERSION, before["version"]):
            raise stale(self.words, self.resource, before["_id"], int(version or 0), before["version"])

    def in_use(self, document: Document) -> None:
        """Refuse to change what is archived."""
        if document.get("archive_time"):
            raise Conflict(f"this {self.words} is archived; restore it first", code="ARCHIVED", retryable=False)

    # ---- indexes

    def indexes(self) -> list[IndexModel]:
        """Every index that the reads above stand on."""
        unique = list(self._unique_paths().values())
        held = [IndexModel([("owner_id", ASCENDING), ("state", ASCENDING)], name="by_holder")] if self.work else []
        merged = [index_of_alias(name) for name in self.named_customers]
        by_parts = [IndexModel([(parts.TERMS, ASCENDING)], name=f"by_{parts.TERMS}")] if self.marks else []
        found = [*by_parts, *([BY_TERMS] if self.searched else []), *([BY_TAGS] if self.contract.traits.taggable else [])]
        # Whoever sees every record counts those in use by it alone.
        first = next(iter(self.sorts.values())).keys if self.sorts else []
        used = [IndexModel([("archive_time", ASCENDING), *first], name="by_archive_time_in_order")] if self.archivable else []
        standard = indexes_of(self.descriptor, self.sorts, self.parents, OWNER_FIELDS, unique)
        hung = indexes_back([one for one in self.contract.backs if one not in (*self.parents, *OWNER_FIELDS)], self.sorts)
        return [*standard, *hung, *merged, *held, *used, *found, *self.extra_indexes]

    @property
    def duplicate_codes(self) -> dict[str, tuple[str, str]]:
        """Name of each unique index → (code, field) of the refusal."""
        return duplicate_codes(self.unique, self._unique_paths())

    def _unique_paths(self) -> dict[str, str]:
        return {name: f"blind.{name}" if name in self.sealed else name for name in self.unique}

    # ---- inside

    async def _find_one(self, call: Call, query: Document, reach: Reach) -> Document | None:
        found = await call.database[self.resource].find_one({"$and": [query, reach.filter()]}, max_time_ms=call.milliseconds_left)
        return (await self.opened(call, [found]))[0] if found else None


def _difference(before: Document, after: Document, descriptor: Descriptor) -> Document:
    names = [field.name for field in descriptor.fields if field.name not in _OWN]
    return {name: [before.get(name), after.get(name)] for name in names if before.get(name) != after.get(name)}
