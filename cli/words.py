"""What the command line says while it works: one line a step, with the time it took."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


def say(text: str = "") -> None:
    """A line for the person at the terminal."""
    print(text, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """A step that may take a while: said when it begins, and with its time when it is done."""
    started = time.monotonic()
    live = sys.stdout.isatty()
    print(f"  {text} …", end="" if live else "\n", flush=True)
    try:
        yield
    except BaseException:
        if live:
            print(flush=True)
        raise
    seconds = time.monotonic() - started
    if live:
        print(f"\r  {text} ✓ {seconds:.1f} s", flush=True)
    elif seconds > 2:
        print(f"  {text} ✓ {seconds:.1f} s", flush=True)


class Progress:
    """A long count: how many of how many, how fast, how long still. Twice a second on a terminal, every five seconds elsewhere."""

    def __init__(self, label: str, total: int = 0) -> None:
        self.label, self.total, self.done = label, total, 0
        self.started = self._shown = time.monotonic()
        self._every = 0.5 if sys.stdout.isatty() else 5.0

    def add(self, count: int) -> None:
        """So many more."""
        self.done += count
        moment = time.monotonic()
        if moment - self._shown >= self._every:
            self._shown = moment
            print(self._line(), end="\r" if sys.stdout.isatty() else "\n", flush=True)

    def _line(self) -> str:
        rate = self.rate
        left = f", {(self.total - self.done) / rate:,.0f} s left" if self.total > self.done and rate else ""
        of = f" of {self.total:,}" if self.total else ""
        return f"  {self.label}: {self.done:,}{of} at {rate:,.0f}/s{left}    "

    @property
    def rate(self) -> float:
        """So many a second since the beginning."""
        return self.done / max(time.monotonic() - self.started, 1e-6)

    def end(self) -> None:
        """The last word."""
        print(f"  {self.label}: {self.done:,} in {time.monotonic() - self.started:.1f} s ({self.rate:,.0f}/s)          ", flush=True)
