"""The services that every department serves alike for the records that it owns: why somebody may, and what happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from crm.common.v1 import explanation_service_pb2, history_pb2, history_service_pb2

from chassis.access.caller import ALL, HIDDEN, Caller
from chassis.access.explanation import Reason, explain
from chassis.access.fields import kept_of, told
from chassis.kernel.errors import Invalid, NotFound
from chassis.rpc import audits, cards, disclosure, facts, rights, work
from chassis.rpc.call import Call
from chassis.rpc.collaboration import Collaborations
from chassis.rpc.documents import to_message
from chassis.rpc.service import Service
from chassis.storage.personal import open_entries
from chassis.storage.records import Document, Records

EXPLANATIONS = explanation_service_pb2.DESCRIPTOR.services_by_name["ExplanationService"]
HISTORIES = history_service_pb2.DESCRIPTOR.services_by_name["HistoryService"]
_WRITE = 4


def services(
    department: str, stores: Sequence[Records], collaborations: Collaborations, served: Sequence[Service], beside: Sequence[Records] = ()
) -> list[Service]:
    """Rights, explanations, histories, disclosures, open work, cards and search of the records of these stores, which `served` serve; what is
    kept `beside` records is disclosed too."""
    told = [explanations(stores, collaborations), histories(stores), rights.service(served, stores)]
    return [*told, disclosure.service(department, [*stores, *beside]), work.service(stores), cards.service(stores)]


def explanations(stores: Sequence[Records], collaborations: Collaborations) -> Service:
    """The handler of ExplainAccess."""

    async def explain_access(call: Call, request: Any) -> Any:
        store = disclosure.store_of(stores, request.resource)
        if request.field and request.field not in store.descriptor.fields_by_name:
            raise Invalid(f"«{request.field}» is no field of {store.label}; check the name", field="field")
        person = _person(call, request.person_id)
        customers, owned = await collaborations.known(call.directory, person)
        found = explain(
            call.directory, person, store.resource, request.action, await store.whatever(call, request.record_id),
            customer_key=store.opened_by, customers=customers, owned=owned, field=request.field, kept=kept_of(store.descriptor),
        )  # fmt: skip
        return explanation_service_pb2.ExplainAccessResponse(
            allowed=found.allowed, field_access=found.field_access or None, reasons=[_reason(one) for one in found.reasons]
        )

    return Service(EXPLANATIONS, {"ExplainAccess": explain_access}, {})


def _person(call: Call, person_id: str) -> Caller:
    """Whom an explanation is about. Only who may explain everything asks about others."""
    if person_id in ("", call.caller.person_id):
        return call.caller
    reach = call.reach("explanations", "read")
    member = call.directory.members.get(person_id) if any(ground.scope == ALL for ground in reach.grounds) else None
    if member is None:
        raise NotFound(f"there is no person «{person_id}» about whom you may ask; leave it out to ask for yourself", field="person_id")
    return Caller(person_id, member.roles if member.active else frozenset(), member.department_id, member.team_id)


def _reason(reason: Reason) -> explanation_service_pb2.AccessReason:
    rule = explanation_service_pb2.AccessRule.Value(f"ACCESS_RULE_{reason.rule}")
    return explanation_service_pb2.AccessReason(
        rule=rule, role=reason.role, scope=reason.scope or None, absent_person_id=reason.absent_person_id, text=reason.text,
        sharing_contract_id=reason.contract_id,
    )  # fmt: skip


def histories(stores: Sequence[Records]) -> Service:
    """ListRecordHistory and ListFacts: who may read a record now may read what happened to it."""

    async def list_history(call: Call, request: Any) -> Any:
        store = disclosure.store_of(stores, request.resource)
        await store.get(call, request.record_id)
        rows, tokens = await audits.page_of(call, request, "history", {"record_id": request.record_id, "resource": store.resource})
        await open_entries(call.vault, rows)
        for row in rows:
            row["changed"] = {
                name: pair for name, pair in row["changed"].items() if not any(store.hides(call, name, value) for value in pair)
            }
        limits = call.limits(store.resource)
        entries = [to_message(_entry(row, limits, store), history_pb2.HistoryEntry.DESCRIPTOR) for row in rows]
        return history_service_pb2.ListRecordHistoryResponse(entries=entries, **tokens)

    return Service(HISTORIES, {"ListRecordHistory": list_history, "ListFacts": facts.handler(stores)}, {})


def _entry(row: Document, limits: Any, store: Records) -> Document:
    changes, fields = [], store.descriptor.fields_by_name
    for name, values in row["changed"].items():
        level = limits.get(name, _WRITE)
        if level > HIDDEN:  # that a hidden field changed at all is nobody's business either
            before, after = (_json(told(value, level, fields.get(name))) for value in values)
            changes.append({"field": name, "before": before, "after": after, "kind": store.noun})
    return {
        **row,
        "entry_id": row["_id"],
        "changes": changes,
        "deputy_for_id": row.get("deputy_for") or None,
        "reason": row["reason"] or None,
    }


def _json(value: Any) -> str:
    return "" if value is None else orjson.dumps(value, default=str).decode()
