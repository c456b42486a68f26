"""A timeline entry made from a fact of any department. No I/O."""

from __future__ import annotations

from typing import Any

from chassis.messaging.envelope import Event

# Facts that say nothing to a person who looks at a customer.
SILENT = frozenset(("SessionCreated", "SessionRefreshed", "SessionRevoked"))
RESOURCES = {
    "Customer": "customers", "Contact": "contacts", "Note": "notes", "SegmentMember": "segments", "Opportunity": "opportunities",
    "Order": "orders", "CampaignMessage": "campaign_messages", "Ticket": "tickets", "TicketReply": "ticket_replies",
}  # fmt: skip


def entry_of(event: Event) -> dict[str, Any] | None:
    """The entry that a fact leaves on its customer; None for facts without customer or of no interest.

    A record that has moved to another customer leaves its new facts there; what happened before stays where it happened.
    """
    noun = event.aggregate.rsplit(".", 1)[1]
    if not event.customer_id or event.name in SILENT or noun not in RESOURCES:
        return None
    return {
        "_id": event.id,
        "customer_id": event.customer_id,
        "occur_time": _occurred(event),
        "department": event.department,
        "event_type": event.type,
        "resource": RESOURCES[noun],
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
