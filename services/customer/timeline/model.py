"""A timeline entry made from a fact of any department. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from chassis.access.caller import Reach
from chassis.messaging.envelope import Event
from chassis.rpc.collaboration import OWNERS
from chassis.rpc.contract import nouns

Document = dict[str, Any]
# Facts that say nothing to a person who looks at a customer.
SILENT = frozenset(("SessionCreated", "SessionRefreshed", "SessionRevoked"))
# Who may read segments may read who is in them.
_MEMBERS = {"SegmentMember": "segments"}


@cache
def sources() -> Mapping[str, Mapping[str, str]]:
    """Department → its nouns whose facts are told, by their contracts → the resource whose readers are told of them."""
    found: dict[str, dict[str, str]] = {"customer": dict(_MEMBERS)}
    for noun in nouns():
        if noun.traits.timeline:
            found.setdefault(noun.department, {})[noun.name] = noun.resource
    return found


@cache
def resources() -> Mapping[str, str]:
    """Every resource that entries tell of → its department."""
    return {resource: department for department, told in sources().items() for resource in told.values()}


@cache
def closed() -> frozenset[str]:
    """The resources that are not open to who answers for a customer."""
    return frozenset(noun.resource for noun in nouns() if noun.traits.customer_reach)


def told_by(reach: Reach, resource: str, *, owner_sees_all: bool) -> list[Document]:
    """The MongoDB filters, any of which admits the entries of a resource: by who owns its record, or who owns the customer. What hangs on a
    customer in this department has the customer's owner for its own."""
    found: list[Document] = []
    for ground in reach.grounds:
        by_scope = replace(ground, customer_ids=(), owned_ids=()).clauses()
        at_home = resources()[resource] == "customer"
        if not at_home:
            found += [{f"of_{name}": value for name, value in clause.items()} for clause in by_scope]
        if at_home or (owner_sees_all and resource not in closed()):
            found += by_scope
        if ground.customer_ids and resource not in closed():
            found.append({"customer_id": {"$in": list(ground.customer_ids)}})
    return found


def entry_of(event: Event) -> dict[str, Any] | None:
    """The entry that a fact leaves on its customer; None for facts without customer or of no interest.

    A record that has moved to another customer leaves its new facts there; what happened before stays where it happened.
    """
    resource = sources().get(event.department, {}).get(event.aggregate.rsplit(".", 1)[1])
    if not event.customer_id or event.name in SILENT or resource is None:
        return None
    return {
        "_id": event.id,
        "customer_id": event.customer_id,
        "occur_time": _occurred(event),
        "department": event.department,
        "event_type": event.type,
        "resource": resource,
        "record_id": event.aggregate_id,
        "record_version": event.version,
        "subject": event.label,
        "actor_id": event.actor_id,
        **{f"of_{name}": event.record[name] for name in OWNERS if event.record.get(name)},
    }


def _occurred(event: Event) -> Any:
    """When it happened to the customer: an imported record tells its own time, everything else happened when it was announced."""
    record = event.record
    imported = event.version == 1 and record.get("source_key")
    return (record.get("order_time") or record.get("sent_time") or record.get("create_time") or event.time) if imported else event.time
