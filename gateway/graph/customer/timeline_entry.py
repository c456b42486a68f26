"""Timeline entries in the graph, each with the record it tells of."""

from __future__ import annotations

from typing import Any

import strawberry
from crm.customer.v1 import timeline_entry_pb2, timeline_entry_service_pb2
from strawberry.types import Info

from gateway.graph.contract import Node
from gateway.graph.edges import rooted, to_one
from gateway.graph.noun import NOUNS, Noun
from gateway.loaders import load_one

TIMELINE_ENTRY = Noun("customer", timeline_entry_service_pb2, timeline_entry_pb2.TimelineEntry)
_NOUN_OF = {
    "customers": "Customer", "contacts": "Contact", "notes": "Note", "opportunities": "Opportunity", "orders": "Order",
    "campaign_messages": "CampaignMessage", "tickets": "Ticket", "ticket_replies": "TicketReply",
}  # fmt: skip


async def _record(root: Any, info: Info) -> Any:
    noun = NOUNS.get(_NOUN_OF.get(root.resource, ""))
    return await load_one(info.context, noun, root.record_id, ()) if noun else None


def edges() -> None:
    """What hangs on it; called when every noun is known."""
    TIMELINE_ENTRY.edge("actor", to_one("Person", "actor_id", "Who did it; null for a department acting by itself."))
    TIMELINE_ENTRY.edge("customer", to_one("Customer", "customer_id", "The customer."))
    description = "The record as it is now; null when you may not see it."
    TIMELINE_ENTRY.edge("record", strawberry.field(resolver=rooted(_record, {}, Node | None), description=description))
