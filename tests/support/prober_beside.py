"""Asks the RPCs that every department has alike about records of any kind, near and far, and compares with the second opinion."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import MethodDescriptor

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from chassis.rpc.contract import nouns
from chassis.rpc.service import policy_of, request_class
from cli.plan import DEPARTMENTS
from tests.support.installation import PATIENCE
from tests.support.matrix import OTHERS, Matrix

FAULTS = frozenset(("INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED"))
DENIED = frozenset(("NOT_ALLOWED", "NOT_FOUND"))
# By what every record of a kind is found.
SOUGHT = {**dict.fromkeys(("customers", "contacts", "opportunities", "tickets", "campaigns"), "canary"), "people": "人"}


@dataclass(frozen=True)
class Case:
    """One answer and what it should have been."""

    method: str
    role: str
    slot: str
    right: bool
    done: bool
    code: str = ""
    exact: bool = True


Cases = list[Case]
Asking = Coroutine[Any, Any, Cases]
Ask = Callable[[], Asking]


class Beside:
    """The part of a prober that asks, and that knows what every department tells of any record."""

    def __init__(self, matrix: Matrix) -> None:
        self.matrix, self.crm = matrix, matrix.crm
        self.methods: dict[str, list[MethodDescriptor]] = {}
        self.invalid: set[str] = set()
        self.leaks: set[str] = set()
        self.seen = 0  # words that were told
        for name in DEPARTMENTS:
            department = self.crm.suite[name]
            self.methods[name] = [method for service in department.served for method in service.descriptor.methods]

    async def ask(self, department: str, method: MethodDescriptor, role: str, fields: dict[str, Any]) -> tuple[str, Any]:
        """The code of the refusal, "" for none, and the answer."""
        if "request_id" in method.input_type.fields_by_name:
            fields = {"request_id": new_id(), **fields}
        request = request_class(method)(**fields)
        try:
            token = self.crm.tokens[role]
            answer = await self.crm.channels[department].call(
                method.containing_service, method.name, request, token=token, seconds=PATIENCE
            )
            told = str(answer)
            self.seen += told.count("canary")
            self.leaks |= {f"{method.name} tells {role} {word}" for word in self.matrix.leaked(role, told)}
            return "", answer
        except CrmError as refusal:
            assert refusal.code not in FAULTS, f"{method.name}: {refusal.message}"
            if refusal.code == "INVALID_ARGUMENT":
                self.invalid.add(f"{method.name}: {refusal.message}")
            return refusal.code, None

    # ---- what every department tells of any record

    async def about(self, department: str, method: MethodDescriptor, role: str, resource: str, slot: str) -> Cases:
        """What happened to a record; and why somebody may do something to it, which says what the second opinion says."""
        named = {"resource": resource, "record_id": self.matrix.records[resource][slot]["id"]}
        if method.name == "ListRecordHistory":
            code, _ = await self.ask(department, method, role, named)
            right = self.matrix.may(role, resource, "read", slot) and self.matrix.granted(role, "histories", "read")
            return [Case(method.name, role, f"{resource} {slot}", right, code not in DENIED, code)]
        if method.name == "CheckRights":
            return await self._rights(department, method, role, resource, slot)
        found = []
        for action in ("read", "update", "assign") if slot in OTHERS else ("read", "create", "archive", "import"):
            code, answer = await self.ask(department, method, role, {**named, "action": action})
            right = self.matrix.may(role, resource, action, slot)
            found.append(Case(method.name, role, f"{action} {resource} {slot}", right, bool(answer and answer.allowed), code))
        return found

    async def attached(self, department: str, method: MethodDescriptor, role: str, resource: str, slot: str) -> Cases:
        """The files of a record: listed for who reads it, taken from who changes it."""
        identity = self.matrix.records[resource][slot]["id"]
        if method.name == "BatchListAttachments":
            code, answer = await self.ask(department, method, role, {"resource": resource, "record_ids": [identity]})
            right = self.matrix.may(role, resource, "read", slot)
            return [Case(method.name, role, f"{resource} {slot}", right, any(group.attachments for group in answer.groups), code)]
        # A name that is refused once the right was judged: nothing is written.
        code, _ = await self.ask(
            department, method, role, {"resource": resource, "record_id": identity, "name": "x.exe", "size": 1, "sha256": "0" * 64}
        )
        action = "create" if resource == "ticket_replies" else "update"
        right = self.matrix.may(role, resource, "read", slot) and self.matrix.may(role, resource, action, slot)
        if resource == "ticket_replies":  # made by a tool, and taken from their authors alone
            right = False
        return [
            Case(
                method.name,
                role,
                f"{resource} {slot}",
                right,
                code not in DENIED,
                code,
                code == "FILE_TYPE_REFUSED" if right else code in DENIED,
            )
        ]

    async def among(self, department: str, method: MethodDescriptor, role: str, resource: str) -> Cases:
        """A record among records of other kinds: found by a word that stands in it, or described."""
        slots, records = self.matrix.relations(role, resource), self.matrix.records[resource]
        if method.name == "Search":
            _, answer = await self.ask(department, method, role, {"query": SOUGHT[resource], "resources": [resource], "page_size": 50})
            found = {hit.card.record_id for hit in answer.hits} if answer else set()
        else:
            keys = [{"resource": resource, "record_id": records[slot]["id"]} for slot in slots]
            _, answer = await self.ask(department, method, role, {"keys": keys})
            found = {one.card.record_id for one in answer.records} if answer else set()
        everywhere = self.matrix.granted(role, "records", "read")
        return [
            Case(
                method.name,
                role,
                f"{resource} {slot}",
                everywhere and self.matrix.may(role, resource, "read", slot),
                records[slot]["id"] in found,
            )
            for slot in slots
        ]

    async def _rights(self, department: str, method: MethodDescriptor, role: str, resource: str, slot: str) -> Cases:
        """What is told of each command beforehand is what the second opinion says of it; a refusal for the record's state is none of access."""
        noun = next(one for one in nouns(department) if one.resource == resource)
        asked = {one.name: policy_of(one) for one in noun.service.methods if noun.key in one.input_type.fields_by_name}  # type: ignore[union-attr]
        own = {name: action for name, (about, action) in asked.items() if about == resource and action != "public"}
        named = {"resource": resource, "record_ids": [self.matrix.records[resource][slot]["id"]], "methods": list(own)}
        code, answer = await self.ask(department, method, role, named)
        seen = self.matrix.may(role, resource, "read", slot)
        rights = answer.records[0].rights if answer else ()
        return [
            Case(method.name, role, f"{right.method} {slot}", seen and self.matrix.may(role, resource, own[right.method], slot),
                 right.allowed or right.code not in DENIED, right.code or code) for right in rights
        ]  # fmt: skip

    async def disclosed(self, department: str, method: MethodDescriptor, role: str) -> Cases:
        """What is kept of a customer, and who read it: for whom the right reaches everything, however far they reach otherwise."""
        customer = self.matrix.records["customers"]["NONE"]["id"]
        own = next(store.resource for store in self.crm.suite[department].stores)
        named = {"customer_id": customer} if method.name == "DiscloseSubject" else {"resource": own, "record_id": customer}
        code, _ = await self.ask(department, method, role, named)
        return [Case(method.name, role, "", self.matrix.granted(role, "disclosures", "read"), code not in DENIED, code)]
