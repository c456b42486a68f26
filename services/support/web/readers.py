"""Who reads the public pages: one of an address and a day, by a cookie that only we can make; and how often an address may search and vote."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict
from threading import Lock

from chassis.kernel.addresses import holder_of

_COUNTED = 10_000


class Readers:
    """Names of readers. Without a cookie of ours everybody who comes from an address on one day is the same reader: a vote a day."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def of(self, cookie: str, address: str, now: float | None = None) -> str:
        """The reader that a cookie names, where we made it; else that of the address today."""
        name, _, mark = cookie.partition(".")
        if name and hmac.compare_digest(mark.encode(), self._mark("reader", name).encode()):
            return name
        day = int((time.time() if now is None else now) // 86400)
        return self._mark("address", f"{holder_of(address)} {day}")

    def cookie(self, reader: str) -> str:
        """The cookie that names a reader."""
        return f"{reader}.{self._mark('reader', reader)}"

    def _mark(self, what: str, text: str) -> str:
        return hmac.new(self._secret.encode(), f"{what}:{text}".encode(), hashlib.sha256).hexdigest()[:32]


class Pace:
    """How often an address may do something in a minute of the clock, in this process; those seen last are remembered."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._done: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._lock = Lock()

    def allows(self, address: str, now: float | None = None) -> bool:
        """Whether once more is within the limit; counts it where it is."""
        minute, holder = int((time.time() if now is None else now) // 60), holder_of(address)
        with self._lock:
            begun, count = self._done.pop(holder, (minute, 0))
            count = count if begun == minute else 0
            self._done[holder] = (minute, min(count + 1, self.most))
            while len(self._done) > _COUNTED:
                self._done.popitem(last=False)
        return count < self.most
