"""Asks every RPC of every department as every shipped role about records near and far, and compares with the second opinion."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from google.protobuf.descriptor import MethodDescriptor

from chassis.rpc.contract import nouns
from chassis.rpc.measures import groupable
from chassis.rpc.service import policy_of
from tests.support.checks import equals
from tests.support.installation import ROLES
from tests.support.matrix import OTHERS, about, holder
from tests.support.prober_beside import DENIED, SOUGHT, Ask, Asking, Beside, Case, Cases
from tests.support.requests import FUTURE, filled, rows_of
from tests.support.samples import sample

WAVE = 20
UNSEEN = DENIED | {"REFERENCE_NOT_FOUND"}  # of a command that names a record which the new one would hang on
# What no person asks for a record: who asks without a right is refused, whoever has one gets on.
OPEN: dict[str, dict[str, Any]] = {
    "ListSigningKeys": {}, "IssueServiceToken": {"service": "nobody", "secret": "x" * 20}, "GetDirectory": {}, "ListGrants": {},
    "CreateSession": {"email": "nobody@example.com", "password": "x"}, "RefreshSession": {"refresh_token": "x" * 43},
    "ExchangeApiKey": {"secret": "x" * 43}, "RotateSigningKey": {}, "ListAuditBlocks": {}, "ListCheckpoints": {"department": "sales"},
    "ListPublishedEvents": {}, "RepublishEvents": {"event_ids": ["none"]}, "ListParkedEvents": {}, "RetryParkedEvents": {"parked_ids": ["none"]},
    "DropParkedEvents": {"parked_ids": ["none"], "reason": "matrix"}, "ReconcileEvents": {},
    "RecordCheckpoint": {"checkpoint": "x" * 30, "public_key": b"x" * 32},
    "ListFacts": {"after_id": "@0"}, "ListSignInChoices": {}, "BeginProviderSignIn": {"identity_provider_id": "nobody", "redirect_uri": "https://crm.example.com/back"},
    "CompleteProviderSignIn": {"state": "x" * 43, "code": "x"},
    "ReceiveWebhook": {"webhook_id": "x", "timestamp": "1", "signature": "v1,x"},
    "BatchGetRates": {"pairs": [{"from_currency": "EUR", "to_currency": "GBP"}]}, "GetFiscalDay": {}, "GetFiscalYear": {},
    "ConvertAmount": {"amount": {"currency_code": "EUR", "amount_micros": 1}, "to_currency": "GBP"},
    "GetWorkingTime": {"start_time": {"seconds": int(time.time())}}, "BatchGetEffectiveCalendars": {"person_ids": ["nobody"]},
    # Whose job it is decides the rest: tests/component/chassis/test_jobs.py.
    **{key: {"job_id": "none"} for key in ("GetJob", "ListJobRows", "CloseJob", "PauseJob", "ResumeJob", "CancelJob", "RetryJobRows")}, "ListJobs": {},
    "ListNumberingRules": {}, "UpdateNumberingRule": {"resource": "none", "pattern": "{SEQ:4}", "reset": 1},
    "AppendJobRows": {"job_id": "none", "rows": [b"x"]}, "StartImport": {"resource": "none"}, "StartRebuild": {"model": "none"},
    # The right to the record decides the rest: tests/component/chassis/test_attachments.py, and `attached` below.
    **{f"{verb}Attachment": {"attachment_id": "none"} for verb in ("Complete", "Archive", "Restore", "Get")}, "CreateDownload": {"attachment_id": "none"},
    "ReplaceAttachment": {"attachment_id": "none", "size": 1, "sha256": "0" * 64}, "AppendPart": {"attachment_id": "none", "data": b"x"},
    **{name: {"resource": "none", "record_id": "none"} for name in ("StarRecord", "UnstarRecord")},
    "BatchGetStars": {"resource": "none", "record_ids": ["none"]}, "ListPreferences": {}, "SetPreference": {"key": "matrix", "value": "1"},
    "ReadPart": {"token": "x" * 30},
    "CreateApiKey": {"name": "x", "roles": [1], "expire_time": {"seconds": int(time.time()) + 86_400}},
}  # fmt: skip


class Prober(Beside):
    """Asks the departments and compares."""

    # ---- one record

    async def one(self, department: str, method: MethodDescriptor, role: str, slot: str) -> Cases:
        """Get, and every command on a record: what may not be read does not exist, what may be read is refused by name."""
        matrix, (resource, action) = self.matrix, policy_of(method)
        named = {"CreateTicketReply": "tickets", "UnmergeCustomer": "customer_merges"}.get(method.name, resource)
        identity = next(field.name for field in method.input_type.fields if field.name.endswith("_id") and field.name != "request_id")
        fields = filled(method, self.crm, {identity}) | {identity: matrix.records[named][slot]["id"]}
        if method.name == "MergeCustomers":  # with a version that nothing has: who has access is told of the conflict
            fields |= {"loser_id": matrix.spares[slot], "survivor_version": FUTURE}
        code, _ = await self.ask(department, method, role, fields)
        seen = matrix.may(role, named, "read", slot)
        right = seen and matrix.may(role, resource, action, slot)
        if right:
            exact = code == ("VERSION_CONFLICT" if "version" in fields else "" if action == "read" else code)
        else:
            hidden = matrix.granted(role, resource, action) and matrix.granted(role, named, "read") and not seen
            exact = code == ("NOT_FOUND" if hidden else "NOT_ALLOWED")
        return [Case(method.name, role, slot, right, code not in DENIED, code, exact)]

    async def many(self, department: str, method: MethodDescriptor, role: str, slot: str) -> Cases:
        """A command on many: each record is judged as by the command on one, whatever else is among them."""
        matrix, (resource, action) = self.matrix, policy_of(method)
        fields = filled(method, self.crm, {"ids", "versions"}) | {
            "ids": [matrix.records[resource][slot]["id"], "nobody"],
            "versions": [FUTURE, 0],
        }
        code, answer = await self.ask(department, method, role, fields)
        told = [one.refusals[0].code if one.refusals else "" for one in answer.outcomes] if answer else [code, "NOT_FOUND"]
        seen = matrix.may(role, resource, "read", slot)
        right = seen and matrix.may(role, resource, action, slot)
        hidden = matrix.granted(role, resource, action) and matrix.granted(role, resource, "read") and not seen
        exact = told == ["VERSION_CONFLICT" if right else "NOT_FOUND" if hidden else "NOT_ALLOWED", "NOT_FOUND"]
        exact = exact or (not right and told[0] == "NOT_ALLOWED" and not matrix.granted(role, resource, "read"))
        return [Case(method.name, role, slot, right, told[0] not in DENIED, told[0], exact)]

    # ---- many records

    async def rows(self, department: str, method: MethodDescriptor, role: str) -> Cases:
        """BatchGet, List, BatchList, Search: the record is in the answer or is not; a BatchList by owner too where it can be asked so."""
        kinds = [field.name for field in method.input_type.fields if field.is_repeated and field.name.endswith("ids")]
        found = await self._rows(department, method, role, next(iter(kinds), ""))
        return found + (await self._rows(department, method, role, "owner_ids") if "owner_ids" in kinds[1:] else [])

    async def _rows(self, department: str, method: MethodDescriptor, role: str, parents: str) -> Cases:
        resource, _ = policy_of(method)
        slots = self.matrix.relations(role, resource)
        fields: dict[str, Any] = {name: 50 for name in method.input_type.fields_by_name if name == "page_size"}
        fields |= {"query": "矩阵"} if "query" in method.input_type.fields_by_name else {}
        if parents:
            fields[parents] = self._parents(parents, resource, slots)
        code, found = "", set[str]()
        while not code:
            code, answer = await self.ask(department, method, role, fields)
            found |= {row.id for row in rows_of(answer)} if answer else set()
            if not getattr(answer, "next_page_token", ""):
                break
            fields["page_token"] = answer.next_page_token
        records = self.matrix.records[resource]
        held = {slot for slot in slots if parents != "owner_ids" or records[slot].get(parents.removesuffix("s"))}
        return [
            Case(method.name, role, slot, slot in held and self._readable(role, resource, slot), records[slot]["id"] in found, code)
            for slot in slots
        ]

    def _parents(self, name: str, resource: str, slots: list[str]) -> list[str]:
        if name == "ids":
            return [self.matrix.records[resource][slot]["id"] for slot in slots]
        if name in ("home_department_ids", "parent_ids"):
            return [self.matrix.top, *self.crm.units.values()]
        if name in ("person_ids", "owner_ids"):
            return [record["id"] for record in self.matrix.records["people"].values()]
        parents = self.matrix.records[f"{name.removesuffix('_ids')}s"]
        whose = about if name == "customer_ids" else holder
        return list(dict.fromkeys(parents[slot if slot in parents else whose(slot)]["id"] for slot in slots))

    def _readable(self, role: str, resource: str, slot: str) -> bool:
        about = self.matrix.about.get(self.matrix.records[resource][slot]["id"], resource)
        return self.matrix.may(role, resource, "read", slot) and self.matrix.granted(role, about, "read")

    async def groups(self, department: str, method: MethodDescriptor, role: str) -> Cases:
        """Aggregate by the records' natural keys, and Drill by each: the record is counted, and listed, or is not."""
        resource, _ = policy_of(method)
        keys, slots = self.matrix.keys(resource), self.matrix.relations(role, resource)
        records, found = self.matrix.records[resource], set[str]()
        if method.name.startswith("Drill"):
            fields = {"filters": [equals("source_key", keys[slot]) for slot in slots]}
            code, answer = await self.ask(department, method, role, fields)
            found = {row.id for drill in (answer.drills if answer else ()) for row in rows_of(drill)}
        else:
            code, answer = await self.ask(department, method, role, {"groupings": [{"field": "source_key"}], "limit": 1000})
            told = {row.keys[0].value for row in (answer.aggregate.rows if answer else ())}
            found = {records[slot]["id"] for slot in slots if keys[slot] in told}
        return [Case(method.name, role, slot, self._readable(role, resource, slot), records[slot]["id"] in found, code) for slot in slots]

    async def members(self, department: str, method: MethodDescriptor, role: str) -> Cases:
        """Who is in which segment: shown to who may read both; on a customer, to who may read that and segments at all."""
        customers, segments = (
            {self.matrix.records[name][slot]["id"]: slot for slot in self.matrix.relations(role, name)}
            for name in ("customers", "segments")
        )
        from_segments = method.name == "BatchListSegmentMembers"
        key, ids = ("segment_ids", segments) if from_segments else ("customer_ids", customers)
        _, answer = await self.ask(department, method, role, {key: list(ids), "page_size": 100})
        found = {(row.segment_id, row.customer_id) for row in rows_of(answer)} if answer else set()
        any_segment = self.matrix.granted(role, "segments", "read")

        def right(segment: str, customer: str) -> bool:
            may = self.matrix.may(role, "segments", "read", segment) if from_segments else any_segment
            return may and self.matrix.may(role, "customers", "read", customer)

        return [
            Case(method.name, role, f"{there} of {here}", right(there, here), (segment, customer) in found)
            for segment, there in segments.items() for customer, here in customers.items()
        ]  # fmt: skip

    async def columns(self, department: str, method: MethodDescriptor, role: str) -> Cases:
        """The board of the matrix' pipeline: the record stands in it or does not."""
        records = self.matrix.records["opportunities"]
        state = {"condition": {"field": "state", "operator": 7, "values": [{"flag": True}]}}
        fields = {"pipeline_id": self.matrix.records["pipelines"]["NONE"]["id"], "filter": state, "page_size": 100}
        code, answer = await self.ask(department, method, role, fields)
        found = {row.id for column in (answer.columns if answer else ()) for row in rows_of(column)}
        may = self.matrix.granted(role, "pipelines", "read")
        return [
            Case(method.name, role, slot, may and self._readable(role, "opportunities", slot), records[slot]["id"] in found, code)
            for slot in self.matrix.relations(role, "opportunities")
        ]  # fmt: skip

    async def totals(self, department: str, method: MethodDescriptor, role: str) -> Cases:
        """Sums over orders within reach."""
        slots = [slot for slot in self.matrix.relations(role, "orders") if slot in self.matrix.records["customers"]]
        ids = [self.matrix.records["customers"][slot]["id"] for slot in slots]
        _, answer = await self.ask(department, method, role, {"customer_ids": ids})
        found = {row.customer_id for row in answer.order_totals if row.ListFields()[1:]} if answer else set()
        return [
            Case(method.name, role, slot, self.matrix.may(role, "orders", "read", slot), own in found)
            for slot, own in zip(slots, ids, strict=True)
        ]

    async def walk(self, reader: str) -> None:
        """Every list, search and history, asked by a reader for the words that are told alone."""
        asking: list[tuple[str, MethodDescriptor, dict[str, Any]]] = []
        for department, methods in self.methods.items():
            for method in (one for one in methods if policy_of(one)[1] == "read" and policy_of(one)[0] in self.matrix.records):
                fields: dict[str, Any] = {name: 50 for name in method.input_type.fields_by_name if name == "page_size"}
                fields |= {"query": "矩阵"} if "query" in method.input_type.fields_by_name else {}
                parents = next((one.name for one in method.input_type.fields if one.is_repeated and one.name.endswith("ids")), "")
                if parents:
                    known = self.matrix.records[policy_of(method)[0]]
                    fields[parents] = self._parents(parents, policy_of(method)[0], list(known))
                if method.name == "BatchListAttachments":
                    continue  # it names their resource: asked by `attached`
                fields |= _telling(method)
                if parents or not (method.name.startswith("Get") or method.name in OPEN):
                    asking.append((department, method, fields))
            history, search = (next(one for one in methods if one.name == name) for name in ("ListRecordHistory", "Search"))
            asking.append((department, search, {"query": "canary", "page_size": 50, "archived": True}))
            for resource in {store.resource for store in self.crm.suite[department].stores} & set(self.matrix.records):
                for record in self.matrix.records[resource].values():
                    asking.append((department, history, {"resource": resource, "record_id": record["id"], "page_size": 50}))
        for start in range(0, len(asking), WAVE):
            await asyncio.gather(*(self.ask(name, method, reader, fields) for name, method, fields in asking[start : start + WAVE]))

    # ---- commands that make something

    async def create(self, department: str, method: MethodDescriptor, role: str, slot: str) -> Cases:
        """Create: for oneself and for others, on a customer where the contract wants one."""
        matrix, (resource, action), known = self.matrix, policy_of(method), method.input_type.fields_by_name
        fields = filled(method, self.crm, {"owner_id", "customer_id"})
        fields |= {"pipeline_id": matrix.records["pipelines"]["NONE"]["id"]} if "pipeline_id" in known else {}
        record: dict[str, Any] = {}
        right = True
        if "owner_id" in known:
            record = matrix.place(slot)
            fields |= {"owner_id": record["owner_id"]}
        if "customer_id" in known:
            at = role if "owner_id" in known else slot  # what hangs on a customer follows its owner
            fields["customer_id"] = record["customer_id"] = matrix.records["customers"][at]["id"]
            record |= {} if "owner_id" in known else matrix.place(slot)
            right = matrix.may(role, "customers", "read", at)
        right = right and matrix.decide([(self.crm.people[role], resource, action, record)])[0]
        code, _ = await self.ask(department, method, role, fields)
        return [Case(method.name, role, slot, right, code not in UNSEEN, code, code == "" if right else code in UNSEEN)]

    async def gate(self, department: str, method: MethodDescriptor, role: str) -> Cases:
        """What has no record: the right to any counts."""
        resource, action = policy_of(method)
        fields = {} if method.name.startswith("Suggest") else OPEN.get(method.name)
        if fields is None:
            field = next(field for field in method.input_type.fields if field.message_type and field.is_repeated)
            fields = {"validate_only": True, field.name: [{"source_key": "matrix:gate"}]}
        code, _ = await self.ask(department, method, role, fields)
        right = action == "public" or self.matrix.granted(role, resource, action)
        return [Case(method.name, role, "", right, code != "NOT_ALLOWED", code)]

    # ---- all of it

    def plan(self, department: str, method: MethodDescriptor, role: str) -> list[tuple[int, Ask]]:
        """What to ask, with its turn: reads, then commands that write nothing, then those that may."""
        resource, action = policy_of(method)
        name = method.name
        # Which tags are told is tested by tests/component/chassis/test_tags.py.
        if name in OPEN or name.startswith(("BatchUpsert", "Suggest")):
            return [(0, partial(self.gate, department, method, role))]
        if name in ("DiscloseSubject", "ListPersonalDataReads"):
            return [(0, partial(self.disclosed, department, method, role))]
        if name in ("BatchListAttachments", "BeginAttachment"):
            kept = [noun.resource for noun in nouns(department) if noun.traits.attachable]
            if not kept:
                return []
            return [
                (0, partial(self.attached, department, method, role, one, slot))
                for one in kept
                for slot in self.matrix.relations(role, one)
            ]
        if method.containing_service.name == "RecordService":
            own = [
                store.resource for store in self.crm.suite[department].stores if store.resource in self.matrix.records and store.searched
            ]
            kinds = [one for one in own if one in SOUGHT or name != "Search"]
            return [(0, partial(self.among, department, method, role, one)) for one in kinds]
        if name in ("ListRecordHistory", "ExplainAccess", "CheckRights"):
            own = [store.resource for store in self.crm.suite[department].stores if store.resource in self.matrix.records]
            return [
                (0, partial(self.about, department, method, role, one, slot)) for one in own for slot in self.matrix.relations(role, one)
            ]
        if name.startswith("Bulk"):
            return [(1, partial(self.many, department, method, role, slot)) for slot in self.matrix.relations(role, resource)]
        special: dict[str, Callable[..., Asking]] = {
            "BatchListSegmentMembers": self.members, "BatchListCustomerSegments": self.members, "BatchGetOrderTotals": self.totals,
        }  # fmt: skip
        if name.startswith(("Aggregate", "Drill")):
            return [(0, partial(self.groups, department, method, role))]
        if name == "BoardOpportunities":
            return [(0, partial(self.columns, department, method, role))]
        if name in special or name.startswith(("Batch", "List", "Search")):
            return [(0, partial(special.get(name, self.rows), department, method, role))]
        if name.startswith("Create") and name != "CreateTicketReply":
            fields = method.input_type.fields_by_name
            slots = (role, *OTHERS[:4]) if "owner_id" in fields else (role, *OTHERS) if "customer_id" in fields else ("NONE",)
            return [
                (2 + (slot == role), partial(self.create, department, method, role, slot)) for slot in slots
            ]  # own work opens its customer: last
        turn = 0 if action == "read" else {"CreateTicketReply": 2, "RevokeSession": 4}.get(name, 1)
        slots = self.matrix.relations(role, resource)
        return [(turn + (name == "RevokeSession" and slot == role), partial(self.one, department, method, role, slot)) for slot in slots]

    async def run(self) -> Cases:
        """Every case, in waves; in a short run of each method and role the first case, which is about one's own, and another."""
        planned: list[tuple[int, Ask]] = []
        for department, methods in self.methods.items():
            for method in methods:
                for role in ROLES:
                    first, *rest = self.plan(department, method, role) or [None]
                    planned += [first, *sample(rest, 1, f"{method.name} {role}")] if first else []
        found: Cases = []
        for turn in range(6):
            asking = [ask() for number, ask in planned if number == turn]
            for start in range(0, len(asking), WAVE):
                found += [case for cases in await asyncio.gather(*asking[start : start + WAVE]) for case in cases]
        return found


def _telling(method: MethodDescriptor) -> dict[str, Any]:
    """What makes an Aggregate and a Drill tell the most words."""
    if method.name.startswith("Drill"):
        return {"filters": [{"condition": {"field": "create_time", "operator": 7, "values": [{"flag": True}]}}]}
    if not method.name.startswith("Aggregate"):
        return {}
    record = next(noun.record for noun in nouns() if noun.resource == policy_of(method)[0])
    return {"groupings": [{"field": "name" if "name" in groupable(record) else "source_key"}], "limit": 1000}
