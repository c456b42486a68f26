"""ID tokens of a provider, verified (OpenID Connect Core 3.1.3.7). Pure: keys and time are given. Strict where the library is lenient."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry

# Which kind of key goes with an algorithm. Nothing symmetric: a public key must never serve as a shared secret.
ALGORITHMS = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC", "EdDSA": "OKP", "Ed25519": "OKP"}
LEEWAY_SECONDS = 30  # that clocks may differ
OLDEST_SECONDS = 3600  # since it was issued
SMALLEST_RSA_BITS = 2048
_LONGEST, _LONGEST_SUBJECT = 64_000, 255
Claims = dict[str, Any]


class NotTrusted(Exception):
    """Something that a provider did not say, or did not say to us, or not now. The words are for the log, not for the caller."""


def header_of(token: object) -> Mapping[str, Any]:
    """The header of a token, not yet believed. Raises NotTrusted."""
    if not isinstance(token, str) or len(token) > _LONGEST or not token.isascii():
        raise NotTrusted("no ID token, or a very long one")
    try:
        header = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError, TypeError) as error:
        raise NotTrusted(f"no signed token: {type(error).__name__}") from error
    if header.get("alg") not in ALGORITHMS:
        raise NotTrusted(f"algorithm {str(header.get('alg'))[:20]!r}")
    return header


def fitting(header: Mapping[str, Any], keys: Sequence[Claims]) -> list[Claims]:
    """The published keys that may have signed a token: of its algorithm's kind, for signatures, with its key id where it names one."""
    kind, kid = ALGORITHMS[header["alg"]], header.get("kid")
    return [
        key for key in keys
        if key.get("kty") == kind and key.get("use", "sig") == "sig" and key.get("alg", header["alg"]) == header["alg"]
        and (kid is None or key.get("kid") == kid)
    ]  # fmt: skip


def signed_by(token: str, algorithm: str, keys: Sequence[Claims]) -> Claims:
    """The claims of a token that one of the keys signed. Raises NotTrusted."""
    for raw in keys:
        try:
            key: Any = JWKRegistry.import_key({name: value for name, value in raw.items() if name not in ("use", "key_ops", "alg", "x5c")})
            if raw["kty"] == "RSA" and key.raw_value.key_size < SMALLEST_RSA_BITS:
                continue
            found = json.loads(jws.deserialize_compact(token.encode(), key, algorithms=[algorithm]).payload or b"")
        except (JoseError, ValueError, TypeError, KeyError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    raise NotTrusted("signature")


def check_claims(claims: Claims, *, issuer: str, client_id: str, nonce: str, now: float) -> None:
    """Refuse claims of another issuer, for somebody else, out of their time, or for another sign-in. Raises NotTrusted."""
    if claims.get("iss") != issuer:
        raise NotTrusted("iss")
    audience = claims.get("aud")
    named = audience if isinstance(audience, list) else [audience]
    if client_id not in named or claims.get("azp", client_id) != client_id or (len(named) > 1 and "azp" not in claims):
        raise NotTrusted("aud")
    _check_times(claims, now)
    given = claims.get("nonce")
    if not isinstance(given, str) or not secrets.compare_digest(given.encode(), nonce.encode()):
        raise NotTrusted("nonce")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT:
        raise NotTrusted("sub")


def _check_times(claims: Claims, now: float) -> None:
    times = {name: claims.get(name) for name in ("exp", "iat", "nbf") if name in claims or name != "nbf"}
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in times.values()):
        raise NotTrusted("times")
    if now >= claims["exp"] + LEEWAY_SECONDS:
        raise NotTrusted("exp")
    if not now - OLDEST_SECONDS <= claims["iat"] <= now + LEEWAY_SECONDS:
        raise NotTrusted("iat")
    if claims.get("nbf", 0) > now + LEEWAY_SECONDS:
        raise NotTrusted("nbf")
