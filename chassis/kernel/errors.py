"""The six kinds of refusal that a department can answer with. Pure; how each travels is `chassis.rpc.errors`' business."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class CrmError(Exception):
    """A refusal: what, where, why and how to mend it.

    `code` is a value of an `ErrorReason` enum without its prefix; `field` the path of the offending field in the
    request, in the contract's spelling; `retryable` whether the same call may succeed later. `params` are what a sentence in another
    language is made of, its `rule` first (`chassis.kernel.rules`); `details` what a program needs to go on, as JSON; `also` what else is
    wrong with the same request; `stale` the (resource, record, version seen) of a refusal by version.
    """

    code = "INTERNAL"
    stale: tuple[str, str, int] | None = None

    def __init__(
        self, message: str, *, code: str | None = None, field: str = "", retryable: bool = False,
        params: Mapping[str, str] | None = None, details: Mapping[str, Any] | None = None, also: Sequence[CrmError] = (),
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.field = field
        self.retryable = retryable
        self.params, self.details, self.also = dict(params or {}), dict(details or {}), tuple(also)


class Invalid(CrmError):
    """A value breaks a rule that can be judged from the request alone."""

    code = "INVALID_ARGUMENT"


class NotFound(CrmError):
    """There is no such record, or none that the caller may see: the two are never told apart."""

    code = "NOT_FOUND"


class AlreadyExists(CrmError):
    """Another record holds a value that must be unique."""

    code = "ALREADY_EXISTS"


class NotAllowed(CrmError):
    """The caller is unknown (code UNAUTHENTICATED) or lacks the right."""

    code = "NOT_ALLOWED"


class WrongState(CrmError):
    """The record's state does not allow this now."""

    code = "WRONG_STATE"


class Conflict(CrmError):
    """Somebody else was faster; read again and repeat."""

    code = "VERSION_CONFLICT"

    def __init__(
        self, message: str, *, code: str | None = None, field: str = "", retryable: bool = True,
        params: Mapping[str, str] | None = None, details: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message, code=code, field=field, retryable=retryable, params=params, details=details)


def stale(words: str, resource: str, record_id: str, seen: int, present: int) -> Conflict:
    """The refusal of a change to a record of which the caller saw an earlier version; `words` are what such a record is called."""
    told = f"you saw version {seen} of this {words}, it is now {present}; read it again and repeat your change"
    params = {"rule": "version.stale", "seen": str(seen), "present": str(present)}
    refusal = Conflict(told, field="version", retryable=False, params=params, details={"version": present})
    refusal.stale = (resource, record_id, seen)
    return refusal


def unauthenticated(why: str) -> NotAllowed:
    """The refusal for a missing, forged, expired or revoked token."""
    return NotAllowed(f"{why} Sign in (sessionCreate) and send «authorization: Bearer <access token>».", code="UNAUTHENTICATED")
