"""Which departments answer, for a client that wants to say so before a question fails."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import Any

import strawberry
from strawberry.types import Info

from gateway.graph.arguments import signed
from gateway.graph.judged import OPEN
from gateway.graph.sizes import ROWS


@strawberry.enum(description="How a department stands.")
class DepartmentState(Enum):
    """As the gateway sees it."""

    UP = strawberry.enum_value("UP", description="It answers.")
    SLOW = strawberry.enum_value("SLOW", description="The last questions had no answer in time; ask again, or for less.")
    AWAY = strawberry.enum_value("AWAY", description="It cannot be reached; its fields are null with an error, everything else answers.")


@strawberry.type(description="A department of the suite, and how it stands.")
class DepartmentStanding:
    """One of them."""

    department: str = strawberry.field(
        description='Its name, as errors have it: "organization", "customer", "sales", "marketing", "support".'
    )
    state: DepartmentState = strawberry.field(description="How it stands.")
    since: datetime = strawberry.field(description="Since when, as far as this gateway knows, UTC.")


def queries() -> dict[str, Any]:
    """The top-level field."""

    async def resolve(info: Info) -> Any:
        found = []
        for name, standing in info.context.clients.standing.items():
            state, since = standing.look()
            found.append(DepartmentStanding(department=name, state=DepartmentState[state], since=datetime.fromtimestamp(since, UTC)))
        return found

    words = (
        "Which departments answer, as this gateway knows from its connections and from the calls of everybody: asking sends no call, so a client "
        "may ask every few seconds. Nobody needs to be signed in."
    )
    field = strawberry.field(resolver=signed(resolve, {}, list[DepartmentStanding]), description=words, metadata={**OPEN, ROWS: 5})
    return {"suite": field}
