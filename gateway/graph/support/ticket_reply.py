"""TicketReply in the graph."""

from __future__ import annotations

from crm.support.v1 import ticket_reply_pb2, ticket_reply_service_pb2

from gateway.graph.edges import to_one
from gateway.graph.noun import Noun

TICKET_REPLY = Noun("support", ticket_reply_service_pb2, ticket_reply_pb2.TicketReply)


def edges() -> None:
    """What hangs on it; called when every noun is known."""
    TICKET_REPLY.edge("ticket", to_one("Ticket", "ticket_id", "The ticket."))
    TICKET_REPLY.edge("creator", to_one("Person", "creator_id", "Who wrote it."))
