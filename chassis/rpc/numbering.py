"""NumberingRuleService: how a department numbers its records, and the change of a rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crm.common.v1 import numbering_pb2, numbering_service_pb2

from chassis.kernel.errors import NotFound, stale
from chassis.kernel.numbering import pattern_of
from chassis.rpc.call import Call
from chassis.rpc.documents import enum_names, to_message
from chassis.rpc.service import Service
from chassis.storage.numbers import COUNTERS, RULES, Document, Numbered, rule_of
from chassis.storage.records import Records

DESCRIPTOR = numbering_service_pb2.DESCRIPTOR.services_by_name["NumberingRuleService"]
_RESETS = enum_names(numbering_pb2.NumberingRule.DESCRIPTOR.fields_by_name["reset"].enum_type)


def services(stores: Sequence[Records]) -> list[Service]:
    """The service, where a store has numbered records."""
    known = {store.numbered.resource: store.numbered for store in stores if store.numbered}
    if not known:
        return []

    async def list_rules(call: Call, request: Any) -> Any:
        rows = [await _told(call, known[resource], await rule_of(call.database, known[resource])) for resource in sorted(known)]
        return numbering_service_pb2.ListNumberingRulesResponse(numbering_rules=rows)

    async def update_rule(call: Call, request: Any) -> Any:
        numbered = known.get(request.resource)
        if numbered is None:
            words = f"there is no numbering rule of «{request.resource}»; there are rules of {', '.join(sorted(known))}"
            raise NotFound(words, field="resource")
        before = await rule_of(call.database, numbered)
        if request.version != before["version"]:
            raise stale("numbering rule", RULES, numbered.resource, request.version, before["version"])
        reset = _RESETS[request.reset]
        pattern_of(request.pattern, reset)
        after = _changed(call, before, request.pattern, reset)
        return numbering_service_pb2.UpdateNumberingRuleResponse(numbering_rule=await _told(call, numbered, after))

    return [Service(DESCRIPTOR, {"ListNumberingRules": list_rules, "UpdateNumberingRule": update_rule}, {})]


def _changed(call: Call, before: Document, pattern: str, reset: str) -> Document:
    """The rule after the change, which this commit writes."""
    after = {
        "_id": before["_id"], "version": before["version"] + 1, "pattern": pattern, "reset": reset,
        "update_time": call.now, "updater_id": call.caller.person_id,
    }  # fmt: skip
    if before["version"]:
        call.changes.update(RULES, before, after)
    else:
        call.changes.insert(RULES, after)
    changed = {name: [before[name], after[name]] for name in ("pattern", "reset") if before[name] != after[name]}
    call.changes.audit(RULES, before["_id"], after["version"], "NumberingRuleUpdated", changed, call.now)
    return after


async def _told(call: Call, numbered: Numbered, rule: Document) -> Any:
    pattern = pattern_of(rule["pattern"], rule["reset"])
    counter = await call.database[COUNTERS].find_one({"_id": f"{numbered.resource}:{pattern.period(call.today)}"})
    example = pattern.number(call.today, (counter["count"] if counter else 0) + 1)
    row = {**rule, "resource": numbered.resource, "field": numbered.field, "example": example}
    return to_message(row, numbering_pb2.NumberingRule.DESCRIPTOR)
