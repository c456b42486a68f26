"""The door for other systems' webhooks. It judges nothing: the organization verifies, and 2xx is answered after its commit."""

from __future__ import annotations

import logging

import orjson
from crm.organization.v1 import webhook_intake_service_pb2 as contract
from crm.organization.v1 import webhook_receipt_pb2
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from chassis.rpc.errors import Unavailable
from gateway.departments.clients import Clients
from gateway.doors.http import JSON, TooLarge, body_of
from gateway.graph.contract import from_global
from gateway.operations.admission import RETRY_SECONDS, Admission, Overloaded

log = logging.getLogger("crm.gateway")
SERVICE = contract.DESCRIPTOR.services_by_name["WebhookIntakeService"]
HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
PATH = "/webhooks/{source}"
_STATUS = {"INVALID_ARGUMENT": 400, "WEBHOOK_UNVERIFIED": 401, "WEBHOOK_ID_REUSED": 409, "WEBHOOK_THROTTLED": 429, "INTERNAL": 500}
_UNDONE = 422  # everything else: understood, and not to be done as things are
_WAIT = {429: 60, 503: 5}


class WebhookDoor:
    """Takes POSTs of webhook sources."""

    def __init__(self, clients: Clients, admission: Admission, most_bytes: int) -> None:
        self.clients, self.admission, self.most_bytes = clients, admission, most_bytes

    async def __call__(self, request: Request) -> Response:
        """One message."""
        request_id = new_id()
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind != JSON or request.headers.get("content-encoding", "identity") != "identity":
            return _refused(415, "UNSUPPORTED_MEDIA_TYPE", f"send {JSON}, not compressed; got «{kind[:60] or 'nothing'}»", request_id)
        lacking = [name for name in HEADERS if not request.headers.get(name)]
        if lacking:
            return _refused(
                400, "INVALID_ARGUMENT", f"the header {lacking[0]} is missing; send what Standard Webhooks asks for", request_id
            )
        try:
            with self.admission.one():
                body = await body_of(request, self.most_bytes)
                return await self._take(request, body, request_id)
        except Overloaded as error:
            return _refused(503, "OVERLOADED", error.message, request_id, RETRY_SECONDS)
        except TooLarge:
            words = f"the body exceeds the limit of {self.most_bytes} bytes; send less, or the id of what is to be asked for"
            return _refused(413, "LIMIT_EXCEEDED", words, request_id)
        except CrmError as error:
            away = isinstance(error, Unavailable) or (error.retryable and error.code not in _STATUS)
            return _refused(503 if away else _STATUS.get(error.code, _UNDONE), error.code, error.message, request_id)
        except ClientDisconnect:
            return Response(status_code=499)

    async def _take(self, request: Request, body: bytes, request_id: str) -> Response:
        given = [request.headers[name] for name in HEADERS]
        message = contract.ReceiveWebhookRequest(
            webhook_source_id=_source_id(request.path_params["source"]), webhook_id=given[0], timestamp=given[1], signature=given[2], body=body,
        )  # fmt: skip
        address = request.client.host if request.client else ""
        answer = await self.clients.write("organization", SERVICE, "ReceiveWebhook", message, "", request_id, address)
        receipt = answer.webhook_receipt
        state = webhook_receipt_pb2.WebhookReceiptState.Name(receipt.state).removeprefix("WEBHOOK_RECEIPT_STATE_")
        return _json(200, {"state": state, "type": receipt.event_type} | ({"reason": receipt.reason} if receipt.reason else {}), request_id)


def _source_id(given: str) -> str:
    """The id of the source that the address names; "" for none, which is refused as an unknown one is."""
    try:
        return from_global(given, "WebhookSource")[1][:64]
    except CrmError:
        return ""


def _refused(status: int, code: str, message: str, request_id: str, wait: int = 0) -> Response:
    log.info("refused", extra={"request_id": request_id, "code": code, "reason": message[:300]})
    answer = _json(status, {"code": code, "message": message, "requestId": request_id}, request_id)
    if wait or status in _WAIT:
        answer.headers["Retry-After"] = str(wait or _WAIT[status])
    return answer


def _json(status: int, body: object, request_id: str) -> Response:
    return Response(orjson.dumps(body), status, {"X-Request-Id": request_id, "Cache-Control": "no-store"}, JSON)
