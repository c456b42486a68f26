"""Why a socket was closed, in the client's language and within what a close frame holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.doors.websocket import _CHINESE, MOST_SUBSCRIPTIONS, Closed, _short, reason_of

MOST_BYTES = 123  # of a reason: RFC 6455


@pytest.mark.parametrize("words", _CHINESE)
@given(identity=st.text(min_size=1))
def test_every_reason_fits_in_both_languages(words: str, identity: str) -> None:
    closed = Closed(4400, words, id=_short(identity), most=MOST_SUBSCRIPTIONS)
    english, chinese = (reason_of(closed, accepts) for accepts in ("en", "zh-CN,zh;q=0.9"))
    assert english != chinese
    for told in (english, chinese):
        assert len(told.encode()) <= MOST_BYTES


def test_who_asks_for_no_language_that_is_spoken_is_told_in_the_words_of_the_protocol() -> None:
    assert reason_of(Closed(4401, "Unauthorized"), "fr") == reason_of(Closed(4401, "Unauthorized"), "") == "Unauthorized"
