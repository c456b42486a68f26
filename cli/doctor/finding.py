"""What the doctor found of one thing, and how it is mended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

MOST_APART = 5.0  # seconds; the time in an HTTP answer may be two seconds old


@dataclass(frozen=True)
class Finding:
    """`mend` says what to do; it is empty where nothing is wrong."""

    part: str
    text: str
    mend: str = ""

    @property
    def wrong(self) -> bool:
        """Whether something is to be mended."""
        return bool(self.mend)

    @property
    def line(self) -> str:
        """The line for the terminal."""
        return f"{'✗' if self.wrong else ' '} {self.part:13} {self.text}{f'; {self.mend}' if self.mend else ''}"


def clock(part: str, theirs: datetime, before: datetime, after: datetime) -> Finding:
    """How far another clock is from this machine's: it was read between `before` and `after`, so what lies between them is no difference."""
    apart = max((before - theirs).total_seconds(), (theirs - after).total_seconds(), 0.0)
    behind = "behind" if theirs < before else "ahead of"
    if apart <= MOST_APART:
        return Finding(part, "clock agrees with this machine's")
    return Finding(
        part, f"clock is {apart:.0f} s {behind} this machine's", "synchronise both (chrony, systemd-timesyncd): tokens live 5 minutes"
    )
