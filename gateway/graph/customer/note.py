"""Note in the graph."""

from __future__ import annotations

from crm.customer.v1 import note_pb2, note_service_pb2

from gateway.graph.edges import to_one
from gateway.graph.noun import Noun

NOTE = Noun("customer", note_service_pb2, note_pb2.Note)


def edges() -> None:
    """What hangs on it; called when every noun is known."""
    NOTE.edge("customer", to_one("Customer", "customer_id", "The customer."))
    NOTE.edge("creator", to_one("Person", "creator_id", "Who wrote it."))
