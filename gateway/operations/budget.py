"""What a caller may ask for in a minute: counted in the cost of operations, sign-ins by themselves."""

from __future__ import annotations

import time
from collections import OrderedDict

from graphql import GraphQLError

MINUTE = 60.0
COUNTED = 10_000


class Budget:
    """Costs by caller in minutes of the clock; the callers seen last are remembered. `most` 0 counts nothing. `limit` names it in refusals."""

    def __init__(self, most: int, limit: str = "budget") -> None:
        self.most, self.limit = most, limit
        self._spent: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def spend(self, caller: str, cost: int, now: float | None = None) -> int:
        """What is left of the minute after this cost. Raises GraphQLError, with the seconds to wait, when it is not enough."""
        if not self.most:
            return 0
        moment = time.time() if now is None else now
        minute = int(moment // MINUTE)
        begun, spent = self._spent.get(caller, (minute, 0))
        spent = (spent if begun == minute else 0) + cost
        if spent > self.most:
            wait = int((minute + 1) * MINUTE - moment) + 1
            raise GraphQLError(
                f"cost {spent} in this minute exceeds the limit of {self.most} (limit: {self.limit}); ask again in {wait} s or for less",
                extensions={
                    "code": "LIMIT_EXCEEDED",
                    "limit": self.limit,
                    "found": spent,
                    "most": self.most,
                    "retryAfter": wait,
                    "retryable": True,
                },
            )
        self._spent[caller] = (minute, spent)
        self._spent.move_to_end(caller)
        while len(self._spent) > COUNTED:
            self._spent.popitem(last=False)
        return self.most - spent
