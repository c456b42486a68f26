"""Commands that need no token: signing in and what belongs to it. One an operation, and counted by themselves, so that nothing else that comes
from an address keeps its people from signing in."""

from __future__ import annotations

from collections.abc import Sequence

from graphql import GraphQLSchema

from chassis.rpc.service import PUBLIC, policy_of
from gateway.graph.judged import methods_of
from gateway.operations.limits import refused

MOST_COST = 300  # of an operation that is a sign-in and nothing else: the person with some of what hangs on it


class Knocks:
    """The public commands of a schema."""

    def __init__(self, schema: GraphQLSchema) -> None:
        root = schema.mutation_type
        self.names = frozenset(
            name for name, field in (root.fields.items() if root else ()) if any(policy_of(one)[1] == PUBLIC for one in methods_of(field))
        )

    def among(self, roots: Sequence[str]) -> str:
        """The one that an operation has; "" for none. Raises GraphQLError where there are several."""
        found = [name for name in roots if name in self.names]
        if len(found) > 1:
            raise refused("sign-ins", len(found), 1, f"send each in an operation of its own ({', '.join(sorted(set(found)))})")
        return found[0] if found else ""

    def alone(self, roots: Sequence[str], cost: int) -> bool:
        """Whether an operation is a sign-in and nothing else."""
        return cost <= MOST_COST and all(name in self.names or name == "__typename" for name in roots)
