"""The graph over HTTP as the GraphQL-over-HTTP specification says, with SSE for subscriptions (graphql-sse, distinct connections)."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any

import orjson
from graphql import GraphQLError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from chassis.kernel.ids import new_id
from chassis.observe import purpose
from gateway.departments.clients import Clients
from gateway.departments.context import Context
from gateway.departments.errors import translated
from gateway.departments.language import spoken
from gateway.departments.live import Live
from gateway.doors.written import Written
from gateway.operations.run import Answer, Operations, Question, bad_request, question_of
from gateway.settings import Settings

RESPONSE, JSON, EVENTS = "application/graphql-response+json", "application/json", "text/event-stream"


DRAINED = 32 * 1024 * 1024
BESIDE_BYTES = 256 * 1024  # compressing takes some 5 ms from here on
log = logging.getLogger("crm.gateway")


class TooLarge(Exception):
    """The body is larger than allowed."""


class GraphHttp:
    """Answers POST (queries, mutations, batches, SSE) and GET (queries)."""

    def __init__(self, operations: Operations, clients: Clients, live: Live, settings: Settings) -> None:
        self.operations, self.clients, self.live, self.settings = operations, clients, live, settings

    async def __call__(self, request: Request) -> Response:
        """One request."""
        wanted = _media_type(request.headers.get("accept", ""))
        context = self._context(request)
        if wanted is None:
            return _plain(406, f"this endpoint answers {RESPONSE}, {JSON} and {EVENTS}; name one of them in Accept", context)
        try:
            context.key = _idempotency_key(request.headers.get("idempotency-key", ""))
            if request.method == "GET":
                tag = request.headers.get("if-none-match", "")
                return await self._answer(_from_query(request), wanted, context, _encodings(request), read_only=True, tag=tag)
            return await self._post(request, wanted, context)
        except TooLarge:
            text = f"the body exceeds the limit of {self.settings.most_body_bytes} bytes (limit: body); ask for less at once"
            return _plain(413, text, context, {"Connection": "close"})
        except GraphQLError as error:
            _log(error.message, error.extensions, context)
            shown = _told(error.message, error.extensions or {}, context)
            return _json({"errors": [shown]}, 400, RESPONSE if wanted == RESPONSE else JSON, context)
        except ClientDisconnect:
            return Response(status_code=499)

    async def _post(self, request: Request, wanted: str, context: Context) -> Response:
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind != JSON:
            return _plain(415, f"send {JSON}; got «{kind[:60] or 'nothing'}»", context)
        if not _is_utf8(request.headers.get("content-type", "")):
            return _plain(415, "send the body in UTF-8", context)
        try:
            body = orjson.loads(await body_of(request, self.settings.most_body_bytes))
        except orjson.JSONDecodeError as error:
            raise bad_request(f"the body is no JSON: {error}") from None
        if isinstance(body, list):
            return await self._batch(body, wanted, context)
        return await self._answer(body, wanted, context, _encodings(request))

    async def _answer(
        self, body: object, wanted: str, context: Context, encodings: str, *, read_only: bool = False, tag: str = ""
    ) -> Response:
        question = question_of(body)
        if wanted == EVENTS:
            return await self._stream(question, context, read_only)
        answer = await self.operations.run(question, context, read_only=read_only)
        text = Written(self.settings.most_answer_bytes, context.accepts).text(answer.body)
        reply = _reply(text, _status(answer, wanted), wanted, context, _retry(answer))
        if read_only and question.document_id and reply.status_code == 200:
            return _tagged(reply, tag)
        return await self._compressed(reply, encodings) if answer.public else reply

    async def _compressed(self, reply: Response, encodings: str) -> Response:
        """The reply in gzip where it is large and the client takes that; a very large one beside the event loop."""
        size = len(reply.body)
        if size >= self.settings.compress_bytes and _takes_gzip(encodings):
            pack = partial(gzip.compress, bytes(reply.body), 1, mtime=0)
            reply.body = pack() if size < BESIDE_BYTES else await asyncio.to_thread(pack)
            reply.headers["Content-Length"] = str(len(reply.body))
            reply.headers["Content-Encoding"] = "gzip"
        reply.headers["Vary"] = "Accept-Encoding"
        return reply

    async def _batch(self, bodies: list[object], wanted: str, context: Context) -> Response:
        if not 1 <= len(bodies) <= self.settings.most_batch or wanted == EVENTS:
            raise GraphQLError(
                f"a batch of {len(bodies)} operations; send 1 to {self.settings.most_batch} (limit: batch)",
                extensions={"code": "LIMIT_EXCEEDED", "limit": "batch", "found": len(bodies), "most": self.settings.most_batch},
            )
        questions = [question_of(body) for body in bodies]
        written = Written(self.settings.most_answer_bytes, context.accepts)
        # Side by side: none waits for another, and what several ask at once goes to a department in one call.
        answers = await asyncio.gather(*[self._nth(question, context.nth(number), written) for number, question in enumerate(questions)])
        return _reply(b"[" + b",".join(answers) + b"]", 200, wanted, context)

    async def _nth(self, question: Question, context: Context, written: Written) -> bytes:
        return written.text((await self.operations.run(question, context)).body)

    async def _stream(self, question: Any, context: Context, read_only: bool) -> Response:
        found = await self.operations.stream(question, context, read_only=read_only)
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", "X-Request-Id": context.request_id}
        return StreamingResponse(
            _events(found, partial(Written, self.settings.most_answer_bytes, context.accepts)), media_type=EVENTS, headers=headers
        )

    def _context(self, request: Request) -> Context:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        given = request.headers.get("x-request-id", "")
        fit = 8 <= len(given) <= 64 and given.replace("-", "").isalnum() and given.isascii()
        address = request.client.host if request.client else ""
        why = purpose.decoded(request.headers.get(purpose.HEADER, ""))
        return Context(
            self.clients, self.live, token.strip() if scheme.lower() == "bearer" else "", given if fit else new_id(), address, why,
            accepts=request.headers.get("accept-language", ""),
        )  # fmt: skip


async def body_of(request: Request, most: int) -> bytes:
    """The body, as long as it keeps within the limit of bytes. Raises TooLarge."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size <= most:
            parts.append(part)
        elif size > DRAINED:
            break
    if size > most:  # a client hears the refusal only when its body was taken, so some of it is read and thrown away
        raise TooLarge
    return b"".join(parts)


def _idempotency_key(given: str) -> str:
    """The header's text. Raises GraphQLError for one that cannot be told from another."""
    if given and not (8 <= len(given) <= 255 and given.isascii() and given.isprintable()):
        raise bad_request(
            f"Idempotency-Key has {len(given)} characters; send 8 to 255 printable ASCII characters, new ones for each command"
        )
    return given


async def _events(found: Answer | AsyncIterator[dict[str, Any]], written: Callable[[], Written]) -> AsyncIterator[bytes]:
    if isinstance(found, Answer):
        yield b"event: next\ndata: " + written().text(found.body) + b"\n\n"
    else:
        yield b":\n\n"
        async for body in found:
            yield b"event: next\ndata: " + written().text(body) + b"\n\n"
    yield b"event: complete\ndata:\n\n"


def _media_type(accept: str) -> str | None:
    """The first of our media types that the client takes, by its weights; plain JSON when it takes anything."""
    if not accept.strip():
        return JSON
    best: tuple[float, int, str] | None = None
    for order, part in enumerate(accept.split(",")):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = next((_weight(item[2:]) for item in parameters if item.startswith("q=")), 1.0)
        charset = next((item[8:].strip('"') for item in parameters if item.startswith("charset=")), "utf-8")
        chosen = {"*/*": JSON, "application/*": JSON}.get(name, name)
        if chosen in (RESPONSE, JSON, EVENTS) and weight > 0 and charset in ("utf-8", "utf8"):
            candidate = (-weight, order, chosen)
            best = candidate if best is None or candidate < best else best
    return best[2] if best else None


def _is_utf8(content_type: str) -> bool:
    charsets = [part.strip()[8:].strip('"') for part in content_type.lower().split(";") if part.strip().startswith("charset=")]
    return all(charset in ("utf-8", "utf8") for charset in charsets)


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _from_query(request: Request) -> dict[str, Any]:
    """The question in a GET's query string."""
    body: dict[str, Any] = {name: request.query_params.get(name) for name in ("query", "operationName", "documentId")}
    for name in ("variables", "extensions"):
        text = request.query_params.get(name)
        if text:
            try:
                body[name] = orjson.loads(text)
            except orjson.JSONDecodeError:
                raise bad_request(f"«{name}» in the address is no JSON") from None
    return body


def _status(answer: Answer, wanted: str) -> int:
    """The newer media type tells by status whether anything ran; the older one says 200 to every well-formed request."""
    code = (answer.body.get("errors") or [{}])[0].get("extensions", {}).get("code")
    if code == "METHOD_NOT_ALLOWED":
        return 405
    if code == "OVERLOADED":
        return 503
    if code == "LIMIT_EXCEEDED" and _retry(answer):
        return 429
    return 400 if not answer.executed and wanted == RESPONSE else 200


def _retry(answer: Answer) -> dict[str, str]:
    wait = (answer.body.get("errors") or [{}])[0].get("extensions", {}).get("retryAfter")
    return {"Retry-After": str(wait)} if wait else {}


def _encodings(request: Request) -> str:
    return request.headers.get("accept-encoding", "").lower()


def _takes_gzip(encodings: str) -> bool:
    """Whether gzip is named with a weight above zero."""
    parts = [[piece.strip() for piece in part.split(";")] for part in encodings.split(",")]
    return any(name == "gzip" and not any(item.startswith("q=") and _weight(item[2:]) == 0 for item in more) for name, *more in parts)


def _tagged(reply: Response, known: str) -> Response:
    """The reply to a registered query: the client may keep it for this token, and asks each time whether it is still true."""
    tag = f'"{hashlib.blake2b(reply.body, digest_size=16).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization, Accept"}
    if tag in (part.strip().removeprefix("W/") for part in known.split(",")):
        return Response(status_code=304, headers=headers)
    reply.headers.update(headers)
    return reply


def _json(body: object, status: int, media_type: str, context: Context, more: Mapping[str, str] | None = None) -> Response:
    return _reply(orjson.dumps(body, default=str), status, media_type, context, more)


def _reply(text: bytes, status: int, media_type: str, context: Context, more: Mapping[str, str] | None = None) -> Response:
    headers = {"X-Request-Id": context.request_id, "Cache-Control": "no-store", **(more or {})}
    return Response(text, status, headers, f"{media_type}; charset=utf-8")


def _log(text: str, extensions: Mapping[str, Any] | None, context: Context) -> None:
    log.info("refused", extra={"request_id": context.request_id, "code": (extensions or {}).get("code"), "reason": text[:300]})


def _told(text: str, extensions: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """An error of the door, in the language that the client accepts."""
    return translated({"message": text, "extensions": {**extensions, "requestId": context.request_id}}, spoken(context.accepts))


def _plain(status: int, text: str, context: Context, more: dict[str, str] | None = None) -> Response:
    _log(text, {"code": "BAD_REQUEST"}, context)
    error = _told(text, {"code": "BAD_REQUEST"}, context)
    return Response(
        orjson.dumps({"errors": [error]}), status, {"X-Request-Id": context.request_id, **(more or {})}, f"{JSON}; charset=utf-8"
    )
