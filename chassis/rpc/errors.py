"""Refusals on the wire: each kind has one gRPC status, with google.rpc ErrorInfo and the field; and back again at the caller."""

from __future__ import annotations

from typing import Any

import grpc
import orjson
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from chassis.kernel.errors import AlreadyExists, Conflict, CrmError, Invalid, NotAllowed, NotFound, WrongState

DOMAIN = "crm"
LONGEST_MESSAGE, LONGEST_FIELD, LONGEST_VIOLATION = 500, 100, 120
MOST_VIOLATIONS = 8  # of one request; what is still wrong then is told when these are mended
_STATUS: dict[type[CrmError], int] = {
    Invalid: code_pb2.INVALID_ARGUMENT,
    NotFound: code_pb2.NOT_FOUND,
    AlreadyExists: code_pb2.ALREADY_EXISTS,
    NotAllowed: code_pb2.PERMISSION_DENIED,
    WrongState: code_pb2.FAILED_PRECONDITION,
    Conflict: code_pb2.ABORTED,
}
_KIND = {status: kind for kind, status in _STATUS.items()} | {code_pb2.UNAUTHENTICATED: NotAllowed}


class Unavailable(CrmError):
    """A department did not answer: stopped, cut off or too slow. Always worth another try."""

    code = "UNAVAILABLE"

    def __init__(self, department: str, *, timeout: bool) -> None:
        what = "did not answer in time" if timeout else "cannot be reached"
        super().__init__(
            f"the {department} department {what}; try again", code="DEADLINE_EXCEEDED" if timeout else "UNAVAILABLE", retryable=True
        )
        self.department = department


def status_of(error: CrmError, request_id: str) -> status_pb2.Status:
    """The google.rpc.Status of a refusal."""
    number = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), code_pb2.INTERNAL)
    if error.code == "UNAUTHENTICATED":
        number = code_pb2.UNAUTHENTICATED
    elif error.code == "RATE_LIMITED":
        number = code_pb2.RESOURCE_EXHAUSTED
    elif error.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
        number = code_pb2.UNAVAILABLE
    message, field = error.message[:LONGEST_MESSAGE], error.field[:LONGEST_FIELD]  # a trailer holds 16 KiB at most
    status = status_pb2.Status(code=number, message=message)
    metadata = {"field": field, "retryable": "true" if error.retryable else "false", "request_id": request_id}
    metadata |= {name: _json(value) for name, value in (("params", error.params), ("details", error.details)) if value}
    also = error.also[: MOST_VIOLATIONS - 1]
    if also:
        metadata["also"] = _json([_params(one) for one in also])
    status.details.append(_pack(error_details_pb2.ErrorInfo(reason=error.code, domain=DOMAIN, metadata=metadata)))
    if field:
        violations = [_violation(one) for one in (error, *also)]
        status.details.append(_pack(error_details_pb2.BadRequest(field_violations=violations)))
    return status


def _violation(error: CrmError) -> error_details_pb2.BadRequest.FieldViolation:
    description = error.message[:LONGEST_VIOLATION]
    return error_details_pb2.BadRequest.FieldViolation(field=error.field[:LONGEST_FIELD], description=description, reason=error.code)


def _params(error: CrmError) -> dict[str, str]:
    return {name: value[:LONGEST_FIELD] for name, value in error.params.items()}


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _pack(message: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed


def refusal_of(error: grpc.aio.AioRpcError, department: str) -> CrmError:
    """The refusal that a failed call carries; Unavailable when the department did not answer."""
    if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
        return Unavailable(department, timeout=error.code() is grpc.StatusCode.DEADLINE_EXCEEDED)
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:  # a replica of an earlier build: the next one may know the method
        return Unavailable(department, timeout=False)
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in (error.details() or ""):
        return Invalid(
            "the answer would be larger than 4 MB; ask for smaller pages (first) or fewer fields", code="ANSWER_TOO_LARGE", field="first"
        )
    try:
        status = rpc_status.from_call(error)
    except ValueError:
        status = None
    info, broken = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details if status else ():
        detail.Unpack(info)
        detail.Unpack(broken)
    number = error.code().value[0]
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and not info.reason:  # more calls at once than it takes: none of it was begun
        return Unavailable(department, timeout=False)
    kind = _KIND.get(number, CrmError)
    if kind is CrmError or not info.reason:
        return CrmError(error.details() or "the department failed", code=info.reason or "INTERNAL")
    found = kind(
        error.details() or "", code=info.reason, field=info.metadata.get("field", ""), retryable=info.metadata.get("retryable") == "true"
    )
    found.params, found.details = _read(info, "params", {}), _read(info, "details", {})
    told = zip(broken.field_violations[1:], _read(info, "also", []), strict=False)
    found.also = tuple(Invalid(one.description, code=one.reason, field=one.field, params=params) for one, params in told)
    return found


def _read(info: error_details_pb2.ErrorInfo, name: str, empty: Any) -> Any:
    """What the metadata holds as JSON; `empty` where a department of an earlier release sent none."""
    return orjson.loads(info.metadata[name]) if name in info.metadata else empty
