"""Access tokens: one shape, one algorithm, one lifetime; everything else is refused as UNAUTHENTICATED, never as a fault."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import OKPKey

from chassis.access.caller import Caller
from chassis.access.tokens import Signer, claims_of, expiry, verify
from chassis.kernel.errors import NotAllowed

NOW = 1_800_000_000
KEY = OKPKey.generate_key("Ed25519")
OTHER = OKPKey.generate_key("Ed25519")
SIGNER = Signer("k1", KEY)
KEYS = {"k1": KEY}
CALLER = Caller("p1", frozenset(["SALES_REP", "MARKETER"]), "d1", "t1", "s1")
HEADER = {"alg": "Ed25519", "typ": "at+jwt", "kid": "k1"}
CLAIMS = {
    "iss": "crm.organization", "aud": "crm", "sub": "p1", "iat": NOW, "exp": NOW + 300, "sid": "s1", "rol": ["X"], "dep": "d1", "tea": "t1",
}  # fmt: skip


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _json(value: Any) -> bytes:
    return value if isinstance(value, bytes) else orjson.dumps(value)


def _token(header: Any = HEADER, claims: Any = CLAIMS, key: OKPKey = KEY) -> str:
    body = f"{_b64(_json(header))}.{_b64(_json(claims))}"
    return f"{body}.{_b64(key.private_key.sign(body.encode()))}"


def _refused(token: str, now: float = NOW) -> None:
    with pytest.raises(NotAllowed) as refusal:
        verify(token, KEYS, now)
    assert refusal.value.code == "UNAUTHENTICATED"


def test_signed_caller_comes_back() -> None:
    token, ends = SIGNER.sign(CALLER, NOW)
    assert ends == NOW + 300
    assert verify(token, KEYS, NOW) == Caller("p1", CALLER.roles, "d1", "t1", "s1", token)
    assert expiry(token) == NOW + 300
    assert verify(_token(), KEYS, NOW).person_id == "p1"


@pytest.mark.parametrize("moment", [NOW - 5, NOW, NOW + 299.9])
def test_token_is_good_in_its_time(moment: float) -> None:
    assert verify(_token(), KEYS, moment).person_id == "p1"


@pytest.mark.parametrize("moment", [NOW - 6, NOW + 300, NOW + 10**6])
def test_token_is_refused_out_of_its_time(moment: float) -> None:
    _refused(_token(), moment)


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "typ": "at+jwt", "kid": "k1"}, {"alg": "EdDSA", "typ": "at+jwt", "kid": "k1"}, {**HEADER, "alg": "HS256"},
        {**HEADER, "alg": "ed25519"}, {**HEADER, "kid": "k2"}, {**HEADER, "kid": ""}, {**HEADER, "kid": None}, {**HEADER, "kid": ["k1"]},
        {**HEADER, "kid": {"a": 1}}, {**HEADER, "typ": "JWT"}, {"alg": "Ed25519", "kid": "k1"}, {"alg": "Ed25519", "typ": "at+jwt"},
        {**HEADER, "crit": ["exp"]}, {**HEADER, "crit": ["b64"], "b64": False}, {**HEADER, "b64": False}, {**HEADER, "b64": True},
        {**HEADER, "jku": "https://evil.example/keys"}, {**HEADER, "x5u": "https://evil.example"}, {**HEADER, "zip": "DEF"}, {},
        {**HEADER, "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}, {**HEADER, "alg": 5},
        {**HEADER, "alg": None}, {**HEADER, "alg": ["Ed25519"]}, [], [1], 1, None, True, "text", b"", b"{", b"\xff\xfe", b"[" * 290, b"NaN",
        b'{"alg":"none","alg":"Ed25519","typ":"at+jwt","kid":"k1"}', b'{"alg":"Ed25519","typ":"at+jwt","kid":"k2","kid":"k1"}',
    ],
)  # fmt: skip
def test_any_other_header_is_refused(header: Any) -> None:
    _refused(_token(header))


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "crm"}, {"iss": ["crm.organization"]}, {"aud": "other"}, {"aud": ["crm"]}, {"aud": None}, {"exp": float(NOW + 300)},
        {"exp": NOW + 299.5}, {"exp": str(NOW + 300)}, {"exp": True}, {"exp": None}, {"iat": float(NOW)}, {"iat": NOW - 0.5}, {"iat": True},
        {"iat": NOW + 6, "exp": NOW + 200}, {"exp": NOW + 301}, {"exp": 2**62}, {"iat": NOW - 100}, {"iat": -(2**62)},
        {"nbf": NOW + 100}, {"nbf": "soon"},
    ],
)  # fmt: skip
def test_any_other_claim_is_refused(change: dict[str, Any]) -> None:
    _refused(_token(claims={**CLAIMS, **change}))


@pytest.mark.parametrize("missing", sorted(CLAIMS))
def test_token_without_one_of_its_claims_is_refused(missing: str) -> None:
    _refused(_token(claims={name: value for name, value in CLAIMS.items() if name != missing}))


@pytest.mark.parametrize("claims", [b"[]", b"1", b"null", b'"a"', b"{", b"\xff", b"[" * 2900, b"not json"])
def test_claims_that_are_no_object_are_refused(claims: bytes) -> None:
    _refused(_token(claims=claims))


def test_twice_told_claim_is_refused() -> None:
    _refused(_token(claims=_json(CLAIMS)[:-1] + b',"sub":"service-cli"}'))


@pytest.mark.parametrize("roles", ["ADMINISTRATOR", None, {"A": 1}, 5])
def test_roles_that_are_no_list_are_refused(roles: Any) -> None:
    _refused(_token(claims={**CLAIMS, "rol": roles}))


def test_public_key_is_no_secret_of_an_hmac() -> None:
    public = KEY.public_key.public_bytes_raw()
    for secret in (public, _b64(public).encode(), KEY.as_pem(private=False)):
        body = f"{_b64(_json({**HEADER, 'alg': 'HS256'}))}.{_b64(_json(CLAIMS))}"
        _refused(f"{body}.{_b64(hmac.digest(secret, body.encode(), 'sha256'))}")
        _refused(f"{body}.{_b64(hmac.digest(secret, body.encode(), hashlib.sha512))}")


def test_signature_of_another_key_is_refused() -> None:
    _refused(_token(key=OTHER))


def test_alg_none_without_signature_is_refused() -> None:
    header, claims, _ = _token({"alg": "none", "typ": "at+jwt", "kid": "k1"}).split(".")
    for token in (f"{header}.{claims}.", f"{header}.{claims}", f"{header}.{claims}.{'A' * 86}"):
        _refused(token)


def test_every_second_spelling_of_a_token_is_refused() -> None:
    token = _token()
    header, claims, signature = token.split(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(signature[-1])
    twins = [signature[:-1] + alphabet[last ^ bit] for bit in range(1, 16)]  # the last 4 bits do not belong to the signature
    spellings = [f"{header}.{claims}.{twin}" for twin in twins]
    spellings += [f"{token}=", f"{token}==", f"{header}=.{claims}.{signature}", f"{token}\n", f"{token} ", f" {token}", f"\n{token}"]
    spellings += [f"{header}.{claims}.{signature[:-1]}", f"{header}.{claims}.{signature[:-2]}", f"{token}A", f"{token}.", f".{token}"]
    spellings += [f"{header}.{claims}.{signature}.{signature}", f"{header}..{signature}", "", ".", "..", "Bearer", "你.好.吗", "\x00"]
    spellings += [token.replace("-", "+").replace("_", "/")] if set("-_") & set(token) else []
    for spelling in spellings:
        _refused(spelling)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_token_with_one_character_changed_is_refused(data: st.DataObject) -> None:
    token = _token()
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("ABCdef0189-_.=").filter(lambda found: found != token[place]))
    _refused(token[:place] + letter + token[place + 1 :])


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=300))
def test_any_text_is_refused_and_has_no_claims(text: str) -> None:
    _refused(text)
    assert claims_of(text) == {}


@pytest.mark.parametrize("header", [[], 1, None, "text", b"{", b"\xff"])
def test_claims_of_a_forged_token_are_read_without_a_fault(header: Any) -> None:
    assert claims_of(_token(header)) in ({}, CLAIMS)
    assert expiry(_token(header)) in (0.0, float(NOW + 300))


def test_end_of_a_token_whose_end_is_no_number_is_no_end() -> None:
    assert expiry(_token(claims={**CLAIMS, "exp": "never"})) == 0.0
    assert expiry(_token(claims={**CLAIMS, "exp": None})) == 0.0
