"""Session in the graph."""

from __future__ import annotations

from crm.organization.v1 import session_pb2, session_service_pb2

from gateway.graph.edges import to_one
from gateway.graph.noun import Noun

SESSION = Noun("organization", session_service_pb2, session_pb2.Session)


def edges() -> None:
    """What hangs on it; called when every noun is known."""
    SESSION.edge("person", to_one("Person", "person_id", "Who signed in."))
