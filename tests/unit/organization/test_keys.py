"""Which key signs and which verify, at every moment of a rotation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from services.organization.sessions.keys import ANNOUNCED, LINGERS, in_use, living

T0 = datetime(2026, 11, 24, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def _rows(*moments: datetime | None) -> list[dict[str, Any]]:
    return [{"kid": f"k{index}"} | ({"activate_time": moment} if moment else {}) for index, moment in enumerate(moments)]


def _state(rows: list[dict[str, Any]], moment: datetime) -> tuple[str, list[str]]:
    return in_use(rows, moment)["kid"], [row["kid"] for row in living(rows, moment)]


def test_a_new_key_is_published_before_it_signs_and_the_old_one_until_its_tokens_have_ended() -> None:
    begins = T0 + ANNOUNCED
    rows = _rows(None, begins)
    assert _state(rows, T0) == ("k0", ["k0", "k1"])
    assert _state(rows, begins - SECOND) == ("k0", ["k0", "k1"])
    assert _state(rows, begins) == ("k1", ["k0", "k1"])
    assert _state(rows, begins + LINGERS - SECOND) == ("k1", ["k0", "k1"])
    assert _state(rows, begins + LINGERS) == ("k1", ["k1"])


def test_the_only_key_signs_even_before_its_time() -> None:
    assert _state(_rows(T0 + SECOND), T0) == ("k0", ["k0"])
