"""How a department stands, from when it answered last and when it did not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.rpc.channels import Channel
from gateway.departments.standing import SILENT_SECONDS, TELLING_SECONDS, judged

NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("heard", "silent", "last", "expected"),
    [
        (0, 0, 0, ("UP", 0)),
        (5, 0, 3, ("UP", 5)),
        (5, 1, 1, ("SLOW", 1)),
        (5, 2.9, 1, ("SLOW", 2.9)),
        (5, 3, 1, ("AWAY", 3)),
        (90, 80, 31, ("UP", 90)),
        (90, 80, 30, ("AWAY", 80)),
    ],
)
def test_a_department_that_was_asked_and_said_nothing_is_slow_then_away_then_unknown(
    heard: float, silent: float, last: float, expected: tuple[str, float]
) -> None:
    """Times are given as seconds ago; 0 for never."""
    ago = {name: NOW - value if value else 0.0 for name, value in (("heard", heard), ("silent", silent), ("last_silent", last))}
    state, since = judged(SimpleNamespace(**ago), NOW)
    assert (state, since) == (expected[0], NOW - expected[1] if expected[1] else 0.0)


@given(st.lists(st.tuples(st.booleans(), st.floats(0.01, 40)), max_size=20), st.floats(0, 40))
def test_whatever_was_answered_last_decides(calls: list[tuple[bool, float]], later: float) -> None:
    """Against the plain account of the same calls: the run of unanswered ones at the end."""
    channel = SimpleNamespace(heard=0.0, silent=0.0, last_silent=0.0)
    now, run = NOW, list[float]()
    for late, wait in calls:
        now += wait
        Channel._note(channel, late=late, now=now)  # type: ignore[arg-type]
        run = [*run, now] if late else []
    state, since = judged(channel, now + later)
    if not run or later > TELLING_SECONDS:
        assert state == "UP"
    else:
        assert state == ("AWAY" if run[-1] - run[0] >= SILENT_SECONDS else "SLOW")
        assert since == run[0]
