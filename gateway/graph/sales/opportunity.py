"""Opportunity in the graph."""

from __future__ import annotations

from crm.sales.v1 import opportunity_pb2, opportunity_service_pb2

from gateway.graph.edges import to_one
from gateway.graph.noun import Noun

OPPORTUNITY = Noun("sales", opportunity_service_pb2, opportunity_pb2.Opportunity)


def edges() -> None:
    """What hangs on it; called when every noun is known."""
    OPPORTUNITY.edge("customer", to_one("Customer", "customer_id", "The customer."))
    OPPORTUNITY.edge("owner", to_one("Person", "owner_id", "Who is responsible."))
    OPPORTUNITY.edge("pipeline", to_one("Pipeline", "pipeline_id", "The way it goes."))
    OPPORTUNITY.edge("product", to_one("Product", "product_id", "The product in the first place."))
    OPPORTUNITY.edge("contact", to_one("Contact", "contact_id", "The contact at the customer."))
