"""Contact in the graph."""

from __future__ import annotations

from crm.customer.v1 import contact_pb2, contact_service_pb2

from gateway.graph.edges import to_one
from gateway.graph.noun import Noun

CONTACT = Noun("customer", contact_service_pb2, contact_pb2.Contact)


def edges() -> None:
    """What hangs on it; called when every noun is known."""
    CONTACT.edge("customer", to_one("Customer", "customer_id", "The customer."))
