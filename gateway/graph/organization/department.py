"""Department in the graph."""

from __future__ import annotations

from crm.organization.v1 import department_pb2, department_service_pb2

from gateway.graph.edges import to_one
from gateway.graph.noun import Noun

DEPARTMENT = Noun("organization", department_service_pb2, department_pb2.Department)


def edges() -> None:
    """What hangs on it; called when every noun is known."""
    DEPARTMENT.edge("parent", to_one("Department", "parent_id", "The unit above."))
    DEPARTMENT.edge("lead", to_one("Person", "lead_id", "Who leads it."))
