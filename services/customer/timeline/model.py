"""A timeline entry made from a fact of any department. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from chassis.messaging.envelope import Event
from chassis.rpc.contract import nouns

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
def resources() -> tuple[str, ...]:
    """Every resource that entries tell of."""
    return tuple(dict.fromkeys(resource for told in sources().values() for resource in told.values()))


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
    }


def _occurred(event: Event) -> Any:
    """When it happened to the customer: an imported record tells its own time, everything else happened when it was announced."""
    record = event.record
    imported = event.version == 1 and record.get("source_key")
    return (record.get("order_time") or record.get("sent_time") or record.get("create_time") or event.time) if imported else event.time
