"""Calling another department: one channel, a deadline on every call, identity and request id passed on, retries where safe."""

from __future__ import annotations

import json
import time
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from opentelemetry.trace import SpanKind

from chassis.access.identity import Identity
from chassis.observe import purpose
from chassis.observe.traces import inner, traceparent
from chassis.rpc.errors import Unavailable, refusal_of
from chassis.rpc.server import BY_ROLES, LARGEST_MESSAGE
from chassis.rpc.service import response_class
from chassis.rpc.trials import VALIDATE_ONLY

DEFAULT_SECONDS = 5.0
CLIENT_ADDRESS = "x-client-address"
_SERVICE_CONFIG = json.dumps({
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": ""},
    "methodConfig": [{
        "name": [{}],
        "retryPolicy": {"maxAttempts": 3, "initialBackoff": "0.02s", "maxBackoff": "0.2s", "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]},
    }],
})  # fmt: skip
_OPTIONS = [
    ("grpc.service_config", _SERVICE_CONFIG),
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    ("grpc.max_send_message_length", LARGEST_MESSAGE),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.use_local_subchannel_pool", 1),
    # As it comes half a minute, for which a caller would know none but replicas that are gone.
    ("grpc.dns_min_time_between_resolutions_ms", 500),
]


class Channel:
    """A connection to one department. Every method with a request id is repeatable, so UNAVAILABLE is retried for all.

    `calls` counts what was sent, by method: tests assert one call an edge and level. `missed` counts what had no answer in time. `heard` is
    when the last answer came (a refusal is one), `silent` when the first call since had none in time and `last_silent` the last, in time.time() seconds, 0 for never.
    """

    def __init__(self, department: str, address: str, identity: Identity | None = None) -> None:
        self.department = department
        self.address = address
        self.channel = (
            grpc.aio.secure_channel(address, identity.channel_credentials(), options=_OPTIONS)
            if identity
            else grpc.aio.insecure_channel(address, options=_OPTIONS)
        )
        self.calls: dict[str, int] = {}
        self.missed = 0
        self.heard = self.silent = self.last_silent = 0.0
        self._methods: dict[str, Any] = {}

    async def call(
        self,
        service: ServiceDescriptor,
        method: str,
        request: Message,
        *,
        token: str = "",
        request_id: str = "",
        seconds: float = DEFAULT_SECONDS,
        address: str = "",
        by_roles: bool = False,
        trial: bool = False,
    ) -> Any:
        """The answer; with `trial` that of a command of which nothing is done. `address` is the network address of the client for whom the
        gateway asks; `by_roles` asks for what the caller reaches by roles and collaboration, sharing contracts left out. Raises the refusal that
        the department sent, or Unavailable."""
        path = f"/{service.full_name}/{method}"
        stub = self._methods.get(path)
        if stub is None:
            answer = response_class(service.methods_by_name[method])
            stub = self.channel.unary_unary(
                path, request_serializer=lambda message: message.SerializeToString(), response_deserializer=answer.FromString
            )
            self._methods[path] = stub
        self.calls[method] = self.calls.get(method, 0) + 1
        with inner(path[1:], SpanKind.CLIENT, {"rpc.system.name": "grpc", "rpc.method": path[1:]}):
            try:
                found = await stub(request, timeout=seconds, metadata=_metadata(token, request_id, address, by_roles, trial))
                self._note(late=False, now=time.time())
                return found
            except grpc.aio.AioRpcError as error:
                late = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
                self.missed += late
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    self._note(late=late, now=time.time())
                raise refusal_of(error, self.department) from None
            except (grpc.aio.UsageError, grpc.aio.InternalError) as closed:
                raise Unavailable(self.department, timeout=False) from closed

    def _note(self, *, late: bool, now: float) -> None:
        """Note that a call was answered, or was not in time."""
        if late:
            self.silent, self.last_silent = self.silent or now, now
        else:
            self.heard, self.silent = now, 0.0

    async def close(self) -> None:
        """Close the connection."""
        await self.channel.close()


def _metadata(token: str, request_id: str, address: str, by_roles: bool, trial: bool) -> list[tuple[str, str]]:
    found = [("x-request-id", request_id)] if request_id else []
    if by_roles:
        found.append((BY_ROLES, "1"))
    if trial:
        found.append((VALIDATE_ONLY, "1"))
    if address:
        found.append((CLIENT_ADDRESS, address))
    if token:
        found.append(("authorization", f"Bearer {token}"))
    if why := purpose.encoded():
        found.append((purpose.HEADER, why))
    if parent := traceparent():
        found.append(("traceparent", parent))
    return found
