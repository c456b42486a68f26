"""What a caller may ask for in a minute: counted in the cost of operations, sign-ins by themselves."""

from __future__ import annotations

import math
import time
from collections import OrderedDict

from graphql import GraphQLError

MINUTE = 60.0
COUNTED = 10_000


class Budget:
    """Costs by caller in the last sixty seconds; the callers seen last are remembered. `most` 0 counts nothing. `limit` names it in refusals.

    Counted by minutes of the clock: the one before counts by the share of it that is still within sixty seconds, as if it had been spent
    evenly, so that the border of two minutes lets nobody have twice the most.
    """

    def __init__(self, most: int, limit: str = "budget") -> None:
        self.most, self.limit = most, limit
        # Of each caller the minute, and what was spent in the one before and in it.
        self._spent: OrderedDict[str, tuple[int, int, int]] = OrderedDict()

    def spend(self, caller: str, cost: int, now: float | None = None) -> int:
        """What is left after this cost. Raises GraphQLError, with the seconds to wait, when it is not enough; then nothing is counted."""
        if not self.most:
            return 0
        number, second = divmod(time.time() if now is None else now, MINUTE)
        minute = int(number)
        begun, before, spent = self._spent.get(caller, (minute, 0, 0))
        if begun != minute:
            before, spent = (spent if begun == minute - 1 else 0), 0
        whole = math.ceil(before * (1 - second / MINUTE)) + spent + cost
        if whole > self.most:
            self._refuse(whole, _wait(self.most - cost, before, spent, second))
        self._spent[caller] = (minute, before, spent + cost)
        self._spent.move_to_end(caller)
        while len(self._spent) > COUNTED:
            self._spent.popitem(last=False)
        return self.most - whole

    def _refuse(self, whole: int, wait: int) -> None:
        words = f"cost {whole} within a minute exceeds the limit of {self.most} (limit: {self.limit}); ask again in {wait} s or for less"
        more = {"limit": self.limit, "found": whole, "most": self.most, "retryAfter": wait, "retryable": True}
        raise GraphQLError(words, extensions={"code": "LIMIT_EXCEEDED", **more})


def _wait(room: int, before: int, spent: int, second: float) -> int:
    """Whole seconds until what counts by then is at most `room`."""
    if spent <= room and before:  # still in this minute
        return math.ceil(MINUTE * (1 - (room - spent) / before) - second) + 1
    share = MINUTE * (1 - max(room, 0) / spent) if spent else 0.0
    return math.ceil(MINUTE - second + max(share, 0.0)) + 1
