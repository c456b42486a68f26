"""The door for files: bytes go through it a part at a time, to and from the department that keeps them. It judges nothing but who may be busy here.

POST /files/{id of the attachment} takes what attachmentBegin announced, by bearer token; GET /files/{token} gives what attachmentDownload
gave an address of.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import quote

import orjson
from crm.common.v1 import attachment_service_pb2 as contract
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from chassis.files import addresses
from chassis.kernel.errors import CrmError, Invalid, unauthenticated
from chassis.kernel.ids import new_id
from chassis.rpc.errors import Unavailable
from chassis.storage.files import MOST_BYTES, PART_BYTES, count_of
from gateway.departments.clients import DEPARTMENTS, Clients
from gateway.departments.context import Context
from gateway.departments.errors import user_errors
from gateway.departments.live import Live
from gateway.doors.http import DRAINED, JSON
from gateway.graph.attachments import NAME, department_of
from gateway.graph.contract import from_global
from gateway.operations.admission import RETRY_SECONDS, Admission, Overloaded
from gateway.operations.callers import Callers

log = logging.getLogger("crm.gateway")
SERVICE = contract.DESCRIPTOR.services_by_name["AttachmentService"]
PATH = "/files/{key}"
MOST_OF_CALLER = 4
SILENT_SECONDS = 30.0  # a client that sends nothing for so long is not waited for
_STATUS = {
    "UNAUTHENTICATED": 401, "NOT_ALLOWED": 403, "DOWNLOAD_NOT_VALID": 403, "NOT_FOUND": 404, "REQUEST_TIMEOUT": 408, "ERASED": 410, "FILE_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415, "INVALID_ARGUMENT": 400, "OVERLOADED": 503, "BUSY": 503, "INTERNAL": 500,
}  # fmt: skip
_UNDONE = 422  # everything else: understood, and not to be done as things are
# What a browser is told of any file: to keep it, not to show or run it, and nothing of where it came from.
_SAFE = {
    "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox", "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-site", "Accept-Ranges": "none",
}  # fmt: skip


class FileDoor:
    """Takes and gives files, so many at once."""

    def __init__(self, clients: Clients, live: Live, callers: Callers, admission: Admission) -> None:
        self.clients, self.live, self.callers, self.admission = clients, live, callers, admission
        self._busy: Counter[str] = Counter()

    async def __call__(self, request: Request) -> Response:
        """One file, or one stretch of it."""
        context = self._context(request)
        try:
            await self.callers.admit(context)
            return await (self._take(request, context) if request.method == "POST" else self._give(request, context))
        except Overloaded as error:
            return await _refused(CrmError(error.message, code="OVERLOADED", retryable=True), request, context)
        except CrmError as error:
            return await _refused(error, request, context)
        except ClientDisconnect:
            return Response(status_code=499)

    def _context(self, request: Request) -> Context:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        address = request.client.host if request.client else ""
        token = token.strip() if scheme.lower() == "bearer" else ""
        return Context(self.clients, self.live, token, new_id(), address, accepts=request.headers.get("accept-language", ""))

    @contextmanager
    def _turn(self, caller: str) -> Iterator[None]:
        """The time of one file. Raises Overloaded, or CrmError of the same code, where too many are under way, of all or of this caller."""
        if self._busy[caller] >= MOST_OF_CALLER:
            words = (
                f"{MOST_OF_CALLER} files of yours are under way, which is all that is taken at once; send the next one when one has ended"
            )
            raise CrmError(words, code="OVERLOADED", retryable=True)
        self._busy[caller] += 1
        try:
            with self.admission.one():
                yield
        finally:
            self._busy[caller] -= 1
            if not self._busy[caller]:
                del self._busy[caller]

    # ---- in

    async def _take(self, request: Request, context: Context) -> Response:
        if not context.token:
            raise unauthenticated("There is no token.")
        attachment_id = from_global(request.path_params["key"], NAME, "id")[1]
        department, number = department_of(attachment_id), _first_part(request)
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind.startswith("multipart/") or request.headers.get("content-encoding", "identity") != "identity":
            raise Invalid("send the bytes of the file as the body, as they are", code="UNSUPPORTED_MEDIA_TYPE")
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > MOST_BYTES:
            raise _too_large()
        received = 0
        with self._turn(context.token[-86:]):  # the signature of a token names its holder well enough
            async for data in _parts(request):
                part = contract.AppendPartRequest(attachment_id=attachment_id, number=number, data=data)
                answer = await self.clients.write(department, SERVICE, "AppendPart", part, context.token, context.request_id)
                received, number = answer.received, number + 1
        return _json(200, {"received": received}, context)

    # ---- out

    async def _give(self, request: Request, context: Context) -> Response:
        token = request.path_params["key"]
        address = addresses.said_in(token)
        if context.token and await self.callers.name(context) != (address.person_id, False):
            raise addresses.not_valid()
        department = address.attachment_id.partition("-")[0]
        if department not in DEPARTMENTS:
            raise addresses.not_valid()
        with ExitStack() as turn:
            turn.enter_context(self._turn(address.person_id))
            first = await self._part(department, token, 0, context)
            file = first.attachment
            named = f"attachment; filename*=UTF-8''{quote(file.name, safe='')}"
            headers = {**_SAFE, "Content-Length": str(file.size), "Content-Disposition": named, "X-Request-Id": context.request_id}
            if request.method == "HEAD":
                return Response(None, 200, headers, file.media_type)
            return Given(turn.pop_all(), self._following(department, token, first, context), 200, headers, file.media_type)

    async def _following(self, department: str, token: str, first: Any, context: Context) -> AsyncIterator[bytes]:
        """The parts one after another; where one fails the connection ends before its time, which the client sees by the length."""
        yield first.data
        for number in range(1, count_of(first.attachment.size)):
            yield (await self._part(department, token, number, context)).data

    async def _part(self, department: str, token: str, number: int, context: Context) -> Any:
        asked = contract.ReadPartRequest(token=token, number=number)
        return await self.clients.write(department, SERVICE, "ReadPart", asked, "", context.request_id)


class Given(StreamingResponse):
    """A file on its way out, whose turn ends with it however it ends."""

    def __init__(self, turn: ExitStack, parts: AsyncIterator[bytes], status: int, headers: dict[str, str], media_type: str) -> None:
        super().__init__(parts, status, headers, media_type)
        self.turn = turn

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        with self.turn:
            await super().__call__(scope, receive, send)


def _first_part(request: Request) -> int:
    """The number of the part with which the body begins: another than 0 where an upload goes on."""
    given = request.query_params.get("part", "0")
    if not given.isdigit() or not given.isascii() or len(given) > 2:
        raise Invalid("`part` is the number of the part with which the body begins, e.g. 3", field="part")
    return int(given)


async def _parts(request: Request) -> AsyncIterator[bytes]:
    """The body in parts of one size; the last one is shorter. Never more than one of them is held."""
    waiting, size = bytearray(), 0
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(SILENT_SECONDS):
                piece = await anext(stream, None)
        except TimeoutError:
            raise CrmError(
                f"nothing arrived for {SILENT_SECONDS:.0f} s; go on with the part that is missing", code="REQUEST_TIMEOUT"
            ) from None
        if piece is None:
            break
        size += len(piece)
        if size > MOST_BYTES:
            raise _too_large()
        waiting += piece
        while len(waiting) >= PART_BYTES:
            yield bytes(waiting[:PART_BYTES])
            del waiting[:PART_BYTES]
    if waiting:
        yield bytes(waiting)


def _too_large() -> Invalid:
    return Invalid(f"the file has more than {MOST_BYTES:,} bytes; send a smaller one", code="FILE_TOO_LARGE")


async def _refused(error: CrmError, request: Request, context: Context) -> Response:
    log.info("refused", extra={"request_id": context.request_id, "code": error.code, "reason": error.message[:300]})
    away = isinstance(error, Unavailable)
    status = 503 if away else _STATUS.get(error.code, _UNDONE)
    told = user_errors(error, await context.language())[0]
    body = {"code": told["code"], "message": told["message"], "retryable": told["retryable"], "requestId": context.request_id}
    answer = _json(status, body, context)
    if status == 503:
        answer.headers["Retry-After"] = str(RETRY_SECONDS)
    if request.method == "POST":
        answer.headers["Connection"] = "close"
        await _drained(request)
    return answer


async def _drained(request: Request) -> None:
    """Read and throw away some of a body that is still being sent: a client hears the refusal only when it has sent what it has."""
    size = 0
    try:
        async with asyncio.timeout(SILENT_SECONDS):
            async for piece in request.stream():
                size += len(piece)
                if size > DRAINED:
                    return
    except (TimeoutError, ClientDisconnect, RuntimeError):  # RuntimeError: it was read to its end
        return


def _json(status: int, body: object, context: Context) -> Response:
    return Response(orjson.dumps(body), status, {"X-Request-Id": context.request_id, "Cache-Control": "no-store"}, JSON)
