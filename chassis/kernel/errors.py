"""The six kinds of refusal that a department can answer with. Pure; how each travels is `chassis.rpc.errors`' business."""

from __future__ import annotations


class CrmError(Exception):
    """A refusal: what, where, why and how to mend it.

    `code` is a value of an `ErrorReason` enum without its prefix; `field` the path of the offending field in the
    request, in the contract's spelling; `retryable` whether the same call may succeed later.
    """

    code = "INTERNAL"

    def __init__(self, message: str, *, code: str | None = None, field: str = "", retryable: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.field = field
        self.retryable = retryable


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

    def __init__(self, message: str, *, code: str | None = None, field: str = "", retryable: bool = True) -> None:
        super().__init__(message, code=code, field=field, retryable=retryable)


def unauthenticated(why: str) -> NotAllowed:
    """The refusal for a missing, forged, expired or revoked token."""
    return NotAllowed(f"{why} Sign in (sessionCreate) and send «authorization: Bearer <access token>».", code="UNAUTHENTICATED")
