"""Order in the graph."""

from __future__ import annotations

from crm.sales.v1 import order_pb2, order_service_pb2

from gateway.graph.edges import to_one
from gateway.graph.noun import Noun

ORDER = Noun("sales", order_service_pb2, order_pb2.Order)


def edges() -> None:
    """What hangs on it; called when every noun is known."""
    ORDER.edge("customer", to_one("Customer", "customer_id", "Who ordered."))
    ORDER.edge("owner", to_one("Person", "owner_id", "Who is responsible."))
    ORDER.edge("opportunity", to_one("Opportunity", "opportunity_id", "The opportunity it came from."))
    ORDER.edge("returned_order", to_one("Order", "returned_order_id", "The sale that is given back."))
