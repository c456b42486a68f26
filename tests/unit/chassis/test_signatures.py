"""Signatures of Standard Webhooks as they are verified: what was signed passes, whatever is changed in it does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from chassis.kernel.signatures import TOLERANCE_SECONDS, flaw, is_secret, new_secret, signatures

T0 = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
AT = int(T0.timestamp())
KEY = new_secret()
IDS = st.text("abcdefghjkmnpqrstvwxyz0123456789-_.", min_size=1, max_size=60)
UNSIGNED = "no secret in use signed it"


@given(st.binary(max_size=400), IDS, st.integers(-TOLERANCE_SECONDS, TOLERANCE_SECONDS))
def test_what_was_signed_is_verified(body: bytes, identity: str, off: int) -> None:
    signed = signatures([KEY], identity, AT + off, body)
    assert flaw([new_secret(), KEY], (identity, str(AT + off), signed), body, T0) == ""


@given(st.text(max_size=200), IDS)
def test_what_the_reference_library_signs_is_verified(text: str, identity: str) -> None:
    signed = Webhook(KEY).sign(identity, T0, text)
    assert flaw([KEY], (identity, str(AT), signed), text.encode(), T0) == ""


@given(st.binary(min_size=1, max_size=200), IDS, st.data())
def test_one_bit_changed_anywhere_is_refused(body: bytes, identity: str, data: st.DataObject) -> None:
    signed = signatures([KEY], identity, AT, body)
    parts = [identity.encode(), str(AT).encode(), signed.encode(), body]
    which = data.draw(st.integers(0, 3))
    bit = data.draw(st.integers(0, len(parts[which]) * 7 - 1))
    changed = bytearray(parts[which])
    changed[bit // 7] ^= 1 << bit % 7  # the eighth bit is no ASCII, which no header has
    parts[which] = bytes(changed)
    given_id, given_time, given_signature, given_body = parts
    headers = (given_id.decode("latin-1"), given_time.decode("latin-1"), given_signature.decode("latin-1"))
    assert flaw([KEY], headers, given_body, T0) == UNSIGNED


@pytest.mark.parametrize("seconds", [-TOLERANCE_SECONDS - 1, TOLERANCE_SECONDS + 1, -86_400, 10**9])
def test_what_is_not_of_these_minutes_is_refused(seconds: int) -> None:
    signed = signatures([KEY], "m", AT + seconds, b"{}")
    assert flaw([KEY], ("m", str(AT + seconds), signed), b"{}", T0) == "its timestamp is more than five minutes off; check both clocks"
    late = timedelta(seconds=TOLERANCE_SECONDS)
    assert flaw([KEY], ("m", str(AT), signatures([KEY], "m", AT, b"{}")), b"{}", T0 + late) == ""


@pytest.mark.parametrize("signed", ["", "v1,", "v1", "v1a,x", " ", "v1,é", ",".join(["v1"] * 99)])
def test_what_is_no_signature_is_refused(signed: str) -> None:
    assert flaw([KEY], ("m", str(AT), signed), b"{}", T0) == UNSIGNED
    assert flaw([], ("m", str(AT), signed), b"{}", T0) == UNSIGNED


def test_one_good_signature_among_others_is_enough_and_the_eleventh_is_not_looked_at() -> None:
    good, other = (signatures([key], "m", AT, b"{}") for key in (KEY, new_secret()))
    assert flaw([KEY], ("m", str(AT), " ".join([other] * 9 + [good])), b"{}", T0) == ""
    assert flaw([KEY], ("m", str(AT), " ".join([other] * 10 + [good])), b"{}", T0) == UNSIGNED


@pytest.mark.parametrize(
    "text", ["", "whsec_", "whsec_x", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_é", f"whsec_{'A' * 88}"]
)
def test_what_no_library_takes_is_no_secret(text: str) -> None:
    assert not is_secret(text)
    assert is_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
