"""Second factors: time-based codes (RFC 6238) and recovery codes. Pure but for randomness."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime

import pyotp

ISSUER = "协同CRM"
RECOVERY_CODES = 10
_DRIFT = 1  # steps of thirty seconds that a clock may be off


def new_secret() -> str:
    """A secret for an authenticator, base32, 160 bits."""
    return pyotp.random_base32()


def uri(secret: str, account: str) -> str:
    """What an authenticator reads from a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=ISSUER)


def step_of(secret: str, code: str, now: datetime) -> int | None:
    """The step of thirty seconds whose code this is, the present one or a neighbour; None for a wrong code."""
    totp, present = pyotp.TOTP(secret), int(now.timestamp()) // 30
    for step in range(present - _DRIFT, present + _DRIFT + 1):
        if secrets.compare_digest(totp.generate_otp(step), code):
            return step
    return None


def new_recovery_codes() -> list[str]:
    """Codes that work once each, 80 bits: xxxxx-xxxxx-xxxxx-x."""
    codes = [secrets.token_hex(10) for _ in range(RECOVERY_CODES)]
    return ["-".join(code[start : start + 5] for start in range(0, 20, 5)) for code in codes]


def fingerprint(code: str) -> str:
    """What is stored of a recovery code."""
    return hashlib.sha256(code.strip().lower().encode()).hexdigest()
