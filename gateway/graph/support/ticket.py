"""Ticket in the graph."""

from __future__ import annotations

from crm.support.v1 import ticket_pb2, ticket_service_pb2

from gateway.graph.edges import to_many, to_one
from gateway.graph.noun import Noun

TICKET = Noun("support", ticket_service_pb2, ticket_pb2.Ticket)


def edges() -> None:
    """What hangs on it; called when every noun is known."""
    TICKET.edge("customer", to_one("Customer", "customer_id", "Who asks."))
    TICKET.edge("owner", to_one("Person", "owner_id", "Who works on it."))
    TICKET.edge("contact", to_one("Contact", "contact_id", "The contact who asks."))
    TICKET.edge("order", to_one("Order", "order_id", "The order it is about."))
    TICKET.edge("replies", to_many("TicketReply", "BatchListTicketReplies", "The conversation, newest first."))
