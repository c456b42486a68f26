"""RightsService: whether commands would be refused, told beforehand by the same reach, and the same rules of the model, that judge them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm.common.v1 import rights_service_pb2 as contract
from google.protobuf.descriptor import MethodDescriptor

from chassis.access.caller import HIDDEN, WRITE, Reach, lacking, refused
from chassis.access.contracts import Opening
from chassis.access.fields import kept_of
from chassis.kernel.errors import CrmError, Invalid, NotAllowed
from chassis.rpc import disclosure
from chassis.rpc.call import Call
from chassis.rpc.service import Rule, Service, policy_of
from chassis.storage.encryption import erased
from chassis.storage.personal import SUBJECT_ERASED, subject_of
from chassis.storage.records import Document, Records

DESCRIPTOR = contract.DESCRIPTOR.services_by_name["RightsService"]


def service(services: Sequence[Service], stores: Sequence[Records]) -> Service:
    """The handler of CheckRights for the records of these stores, whose commands these services serve."""
    serving = {each.records.resource: each for each in services if each.records}

    async def check_rights(call: Call, request: Any) -> Any:
        store = disclosure.store_of(stores, request.resource)
        judge = _Judge(call, store, serving.get(store.resource), list(request.methods))
        if not request.record_ids:
            return contract.CheckRightsResponse(records=[judge.any()])
        rows = await judge.rows(list(dict.fromkeys(request.record_ids)))
        told = [judge.of(identity, rows.get(identity), fields=request.fields) for identity in request.record_ids]
        return contract.CheckRightsResponse(records=told)

    return Service(DESCRIPTOR, {"CheckRights": check_rights}, {})


class _Judge:
    """The commands of one call: what does not depend on the record is worked out once."""

    def __init__(self, call: Call, store: Records, served: Service | None, names: list[str]) -> None:
        self.call, self.store = call, store
        self.rules: Mapping[str, tuple[Rule, ...]] = served.rules if served else {}
        self.methods = [_method(served, store, name) for name in names]
        if not call.by_roles:
            call.contracts = call.directory.contracts_for(call.caller, store.resource)
        self.reading = self._reach("read")
        self.reaches = {action: self._reach(action) for action in {policy_of(method)[1] for method in self.methods}}
        self.limits = call.limits(store.resource)

    def _reach(self, action: str) -> Reach | None:
        try:
            return self.store.reach(self.call, action)
        except NotAllowed:
            return None

    async def rows(self, ids: list[str]) -> dict[str, Document]:
        """The records that the caller may see, as they are stored, without what is personal."""
        try:
            self.opening: Opening | None = self.store.opening(self.call)
        except NotAllowed:
            return {}
        query = {"$and": [{"_id": {"$in": ids}}, self.opening.filter()]}
        hidden = dict.fromkeys(self.store.personal, 0) or None
        cursor = self.call.database[self.store.resource].find(query, hidden, max_time_ms=self.call.milliseconds_left)
        return {row["_id"]: row for row in await cursor.to_list()}

    def any(self) -> Any:
        """What the caller may do on any record at all."""
        found = [self._told(method, self._lacking(method)) for method in self.methods]
        limits = [_limit(name, level) for name, level in sorted(self.limits.items()) if level < WRITE]
        return contract.RecordRights(rights=found, limits=limits)

    def of(self, identity: str, row: Document | None, *, fields: bool) -> Any:
        """What the caller may do with a record; None is none that they may see."""
        rights = [self._told(method, self._refusal(method, identity, row)) for method in self.methods]
        return contract.RecordRights(record_id=identity, rights=rights, limits=self._limits(row) if fields and row else ())

    def _lacking(self, method: MethodDescriptor) -> CrmError | None:
        resource, action = policy_of(method)
        return None if self.call.directory.allows(self.call.caller, resource, action) else lacking(resource, action)

    def _refusal(self, method: MethodDescriptor, identity: str, row: Document | None) -> CrmError | None:
        resource, action = policy_of(method)
        if row is None:
            return self._lacking(method) or self.store.absent(identity)
        if action == "read":
            return None
        if missing := self._lacking(method):
            return missing
        if not self._reaches(resource, action, row):
            return refused(resource, action)
        if row.get("erase_time") or (row.get(SUBJECT_ERASED) and not self.call.caller.is_service):
            return erased(subject_of(row))
        try:
            for rule in self.rules.get(method.name, ()):
                rule(row)
        except CrmError as refusal:
            return refusal
        return None

    def _reaches(self, resource: str, action: str, row: Document) -> bool:
        """Whether a record that is seen is within reach of an action too. A contract shows it alone, to nobody for more; a right to records of
        another kind is judged with those, when the command is sent."""
        seen = self.reading is not None and self.reading.admits(row)
        reach = self.reaches[action]
        return seen and (resource != self.store.resource or (reach is not None and reach.admits(row)))

    def _told(self, method: MethodDescriptor, refusal: CrmError | None) -> Any:
        if refusal is None:
            return contract.Right(method=method.name, allowed=True)
        return contract.Right(method=method.name, code=refusal.code, message=refusal.message, params=refusal.params)

    def _limits(self, row: Document) -> list[Any]:
        """The fields of a record of which the caller gets less than all: by roles, and by the contracts where it is seen by these alone."""
        levels = dict(self.limits)
        if self.opening and (showing := self.opening.showing(row)):
            shown = kept_of(self.store.descriptor).union(*(one.fields for one in showing))
            levels |= {field.name: HIDDEN for field in self.store.descriptor.fields if field.name not in shown}
        return [_limit(name, level) for name, level in sorted(levels.items()) if level < WRITE]


def _limit(name: str, level: int) -> Any:
    return contract.FieldLimit(field=name, access=level)


def _method(served: Service | None, store: Records, name: str) -> MethodDescriptor:
    found = served.descriptor.methods_by_name.get(name) if served else None
    if found is None:
        raise Invalid(f"{store.label} have no method «{name}»; check its name in the contract", field="methods")
    return found
