"""Timeline entries in the graph, each with the record it tells of."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from crm.customer.v1 import timeline_entry_pb2, timeline_entry_service_pb2
from strawberry.types import Info

from gateway.departments.loaders import load_records
from gateway.graph.contract import Node
from gateway.graph.edges import edge, to_one
from gateway.graph.noun import NOUNS, Noun

TIMELINE_ENTRY = Noun("customer", timeline_entry_service_pb2, timeline_entry_pb2.TimelineEntry)
_NOUN_OF = {
    "customers": "Customer", "contacts": "Contact", "notes": "Note", "opportunities": "Opportunity", "orders": "Order",
    "campaign_messages": "CampaignMessage", "tickets": "Ticket", "ticket_replies": "TicketReply",
}  # fmt: skip


async def _records(roots: Sequence[Any], info: Info) -> Sequence[Any]:
    """The record of each entry; one call for each noun among them."""
    ids: dict[str, list[str]] = {}
    for root in roots:
        ids.setdefault(_NOUN_OF.get(root.resource, ""), []).append(root.record_id)
    nouns = [noun for noun in ids if noun in NOUNS]
    loaded = await asyncio.gather(*[load_records(info.context, NOUNS[noun], ids[noun], ()) for noun in nouns])
    found = {noun: iter(records) for noun, records in zip(nouns, loaded, strict=True)}
    return [next(found.get(_NOUN_OF.get(root.resource, ""), iter(())), None) for root in roots]


def edges() -> None:
    """What hangs on it; called when every noun is known."""
    TIMELINE_ENTRY.edge("actor", to_one("Person", "actor_id", "Who did it; null for a department acting by itself."))
    TIMELINE_ENTRY.edge("customer", to_one("Customer", "customer_id", "The customer."))
    description = "The record as it is now; null when you may not see it."
    TIMELINE_ENTRY.edge("record", edge(_records, {}, Node | None, description, *(NOUNS[name].by_id for name in _NOUN_OF.values())))
