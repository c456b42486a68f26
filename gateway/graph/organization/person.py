"""Person in the graph."""

from __future__ import annotations

from crm.organization.v1 import person_pb2, person_service_pb2

from gateway.graph.edges import to_one
from gateway.graph.noun import Noun

PERSON = Noun(
    "organization",
    person_service_pb2,
    person_pb2.Person,
    mutations={"SetPassword": "personSetPassword", "SetAbsence": "personSetAbsence", "HandOver": "personHandOver"},
)


def edges() -> None:
    """What hangs on it; called when every noun is known."""
    PERSON.edge("home_department", to_one("Department", "home_department_id", "Department of the person."))
    PERSON.edge("home_team", to_one("Department", "home_team_id", "Team of the person."))
    PERSON.edge("manager", to_one("Person", "manager_id", "Whom the person reports to."))
