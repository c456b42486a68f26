"""Access tokens: EdDSA JWTs, signed in one place, verified everywhere with published keys. Strict where the library is lenient."""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from chassis.access.caller import Caller
from chassis.kernel.errors import unauthenticated

LIFETIME_SECONDS = 300
ISSUER = "crm.organization"
AUDIENCE = "crm"
_LEEWAY_SECONDS = 5
_FORM = re.compile(r"^[A-Za-z0-9_-]{1,400}\.[A-Za-z0-9_-]{1,4000}\.[A-Za-z0-9_-]{86}$")
_ALGORITHM = "Ed25519"  # the fully specified name of EdDSA on this curve (RFC 9864)
_HEADER = {"alg": _ALGORITHM, "typ": "at+jwt"}


@dataclass
class Signer:
    """The private key of the organization; filled when the department starts. `kid` names it in headers and in the published list."""

    kid: str = ""
    key: OKPKey | None = None

    @property
    def public_key(self) -> bytes:
        """The 32 bytes by which others verify."""
        if self.key is None:
            raise RuntimeError("the signing key is loaded when the department starts")
        return bytes(self.key.public_key.public_bytes_raw())

    def sign(self, caller: Caller, now: float | None = None, ends: float | None = None) -> tuple[str, int]:
        """A token for the caller and its end (seconds since 1970), which is not after `ends`."""
        issued = int(now if now is not None else time.time())
        last = issued + LIFETIME_SECONDS if ends is None else min(issued + LIFETIME_SECONDS, int(ends))
        claims = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": caller.person_id, "iat": issued, "exp": last,
            "sid": caller.session_id, "rol": sorted(caller.roles), "dep": caller.department_id, "tea": caller.team_id,
        }  # fmt: skip
        if self.key is None:
            raise RuntimeError("the signing key is loaded when the department starts")
        header = {**_HEADER, "kid": self.kid}
        return jws.serialize_compact(header, orjson.dumps(claims), self.key, algorithms=[_ALGORITHM]), last


def verify(token: str, keys: Mapping[str, OKPKey], now: float | None = None) -> Caller:
    """The caller that a token names. Raises NotAllowed (UNAUTHENTICATED) for anything but a token of ours in its time."""
    if not _FORM.match(token) or not all(map(_canonical, token.split("."))):
        raise unauthenticated("The token has not the form of one of ours.")
    try:
        unsafe = jws.extract_compact(token.encode())
        header = unsafe.headers()
        key = keys.get(header.get("kid", ""))
        if key is None or header != {**_HEADER, "kid": header["kid"]}:
            raise unauthenticated("The token was not signed by a key in use.")
        payload = jws.deserialize_compact(token.encode(), key, algorithms=[_ALGORITHM]).payload
        if payload is None:
            raise unauthenticated("The token's signature is wrong.")
        json.loads(_decode(token.split(".", maxsplit=1)[0]), object_pairs_hook=_once)
        claims = json.loads(payload, object_pairs_hook=_once)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise unauthenticated("The token's signature is wrong.") from error
    return _caller(claims, token, now if now is not None else time.time())


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _canonical(part: str) -> bool:
    """Whether base64url decodes and encodes to itself: two spellings of one signature would be two tokens."""
    try:
        raw = _decode(part)
    except (ValueError, binascii.Error):
        return False
    return base64.urlsafe_b64encode(raw).decode().rstrip("=") == part


_CLAIMS = {"iss": str, "aud": str, "sub": str, "iat": int, "exp": int, "sid": str, "rol": list, "dep": str, "tea": str}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The members of a JSON object; refuses a name that stands twice, for two readers may take different ones."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _caller(claims: object, token: str, now: float) -> Caller:
    if not isinstance(claims, dict) or {name: type(value) for name, value in claims.items()} != _CLAIMS:
        raise unauthenticated("The token's claims are not those of one of ours.")
    if claims["iss"] != ISSUER or claims["aud"] != AUDIENCE:
        raise unauthenticated("The token was made for somebody else.")
    issued, ends = claims["iat"], claims["exp"]
    if issued > now + _LEEWAY_SECONDS:
        raise unauthenticated("The token is not valid yet.")
    if now >= ends or ends - issued > LIFETIME_SECONDS:
        raise unauthenticated("The token has expired.")
    if not claims["sub"] or not all(isinstance(role, str) for role in claims["rol"]):
        raise unauthenticated("The token's claims are not those of one of ours.")
    return Caller(
        person_id=claims["sub"], roles=frozenset(claims["rol"]), department_id=claims["dep"], team_id=claims["tea"],
        session_id=claims["sid"], token=token,
    )  # fmt: skip


def claims_of(token: str) -> dict[str, Any]:
    """The claims of a token without verification: to know whom to ask about and when to stop, never to allow anything."""
    if not _FORM.match(token):
        return {}
    try:
        claims = orjson.loads(jws.extract_compact(token.encode()).payload or b"{}")
    except (JoseError, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


def expiry(token: str) -> float:
    """When a token (already verified elsewhere) ends, seconds since 1970."""
    ends = claims_of(token).get("exp", 0)
    return float(ends) if type(ends) is int else 0.0
