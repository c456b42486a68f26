"""Serves the services of one department over grpc.aio: identity, deadline, request id, errors, metrics, traces, health, drain."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status
from opentelemetry.trace import Span, SpanKind
from pymongo.errors import ConnectionFailure, ExecutionTimeout, NetworkTimeout, PyMongoError

from chassis.access.authority import Authority
from chassis.access.caller import Caller
from chassis.access.identity import Identity, peer
from chassis.kernel.clock import HOME
from chassis.kernel.errors import CrmError, Invalid, NotAllowed, unauthenticated
from chassis.kernel.ids import new_id
from chassis.observe import purpose
from chassis.observe.metrics import Metrics
from chassis.observe.traces import Traces, failed
from chassis.rpc.call import Call
from chassis.rpc.collaboration import Collaborations
from chassis.rpc.errors import Unavailable, status_of
from chassis.rpc.reads import Reads
from chassis.rpc.service import PUBLIC, Service, internal, policy_of, request_class, run
from chassis.rpc.trials import VALIDATE_ONLY
from chassis.rpc.validation import validator
from chassis.storage.changes import Changes
from chassis.storage.client import Database

log = logging.getLogger("crm.rpc")
MakeChanges = Callable[[str, str, str], Changes]
BY_ROLES = "x-by-roles"  # only roles and collaboration count for this question
LARGEST_MESSAGE = 4 * 1024 * 1024
ANONYMOUS = Caller("anonymous", frozenset())
FAULTS = frozenset(("INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED"))  # all other codes are answers
# What nobody waits for at a desk: jobs, and what services ask each other about facts and rights.
BESIDE = frozenset(("JobService", "EventService", "AccessService", "AuditService"))
DRAIN_SECONDS, GRACE_SECONDS = 0.5, 8.0
CONNECTION_SECONDS = 20
LIVE = "live"  # what a liveness probe asks for: the process answers, whatever it waits for
OPTIONS = [
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    ("grpc.max_send_message_length", LARGEST_MESSAGE),
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    # Callers ask the name server again only when a connection ends; so each ends now and then, in order, and new replicas are found.
    ("grpc.max_connection_age_ms", CONNECTION_SECONDS * 1000),
    ("grpc.max_connection_age_grace_ms", 15_000),
]


@dataclass(frozen=True)
class Entrance:
    """Who may come in: with an identity, over TLS, the services that are declared as callers; without one, everybody. `seal` is the
    secret in page tokens, the same in every replica; `zone` the company's time zone."""

    identity: Identity | None = None
    callers: frozenset[str] = frozenset()
    seal: str = ""
    zone: str = HOME

    def open(self, server: Any, address: str) -> int:
        """Listen; returns the port."""
        if self.identity is None:
            return int(server.add_insecure_port(address))
        return int(server.add_secure_port(address, self.identity.server_credentials()))


class Server:
    """One department's gRPC server. Build it, `start`, and `stop` when told to; `calls` counts what has begun, `asked` what of it is no
    matter of jobs, which yield to that; `serving` is what health says."""

    def __init__(
        self, department: str, services: Sequence[Service], authority: Authority, database: Database, metrics: Metrics, traces: Traces,
        changes: MakeChanges, collaborations: Collaborations, *, reflect: bool, entrance: Entrance,
    ) -> None:  # fmt: skip
        self.department, self.authority, self.database = department, authority, database
        self.metrics, self.traces, self.changes, self.collaborations = metrics, traces, changes, collaborations
        self.entrance, self.reads = entrance, Reads(database)
        self.calls, self.asked, self.serving = 0, 0, False
        self.probes: grpc.aio.Server | None = None
        validator()  # now, not while the first request waits
        self.server = grpc.aio.server(options=OPTIONS, maximum_concurrent_rpcs=512)
        self.health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.server)
        for service in services:
            handlers = {method.name: self._handler(method, service) for method in service.descriptor.methods}
            generic = grpc.method_handlers_generic_handler(service.descriptor.full_name, handlers)
            self.server.add_generic_rpc_handlers((generic,))
        if reflect:
            names = [service.descriptor.full_name for service in services]
            reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], self.server)

    async def start(self, address: str, probes: str = "") -> int:
        """Listen and serve; returns the port. At `probes` gRPC health answers without TLS. Raises OSError when an address is taken."""
        port = _open(self.server, address, self.entrance)
        if probes:  # the kubelet's gRPC probes can show no certificate
            self.probes = grpc.aio.server(maximum_concurrent_rpcs=16)
            health_pb2_grpc.add_HealthServicer_to_server(self.health, self.probes)
            _open(self.probes, probes, Entrance())
        await self.set_serving(False)
        await self.health.set(LIVE, health_pb2.HealthCheckResponse.SERVING)
        await self.server.start()
        if self.probes:
            await self.probes.start()
        return port

    async def set_serving(self, serving: bool) -> None:
        """Tell health checkers (and so client-side balancers) whether to send calls."""
        self.serving = serving
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        await self.health.set("", status)

    async def stop(self) -> None:
        """Drain: say NOT_SERVING, wait until clients have noticed, finish what runs."""
        await self.set_serving(False)
        await asyncio.sleep(DRAIN_SECONDS)
        await self.server.stop(GRACE_SECONDS)
        if self.probes:
            await self.probes.stop(0)

    def _handler(self, method: MethodDescriptor, service: Service) -> grpc.RpcMethodHandler:
        name = f"{service.descriptor.full_name}/{method.name}"
        attributes = {"rpc.system.name": "grpc", "rpc.method": name}

        counts = service.descriptor.name not in BESIDE

        async def handle(raw: bytes, context: grpc.aio.ServicerContext) -> bytes:
            self.calls += 1
            self.asked += counts
            metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
            with self.traces.span(name, metadata.get("traceparent", ""), SpanKind.SERVER, attributes) as span:
                return await self._serve(method, service, raw, metadata, context, span)

        return grpc.unary_unary_rpc_method_handler(handle)

    async def _serve(
        self, method: MethodDescriptor, service: Service, raw: bytes, metadata: Mapping[str, str], context: Any, span: Span
    ) -> bytes:
        request_id = metadata.get("x-request-id") or new_id()
        started, code, error = time.perf_counter(), "OK", None
        try:
            service_name = self._calling_service(context)
            return await self._answer(method, service, raw, metadata, request_id, context.time_remaining(), service_name)
        except asyncio.CancelledError:  # the caller went away, or waited no longer
            code = "CANCELLED" if context.time_remaining() is None or context.time_remaining() > 0 else "DEADLINE_EXCEEDED"
            raise
        except Exception as raised:  # every failure becomes one precise status; nothing of the inside leaves
            error, code = self._refusal(raised, method, request_id)
        finally:
            self.metrics.rpc_seconds.labels(f"{service.descriptor.name}/{method.name}", code).observe(time.perf_counter() - started)
        span.set_attribute("crm.code", code)
        if code in FAULTS:
            failed(span, code)
        await context.abort_with_status(rpc_status.to_status(status_of(error, request_id)))
        raise AssertionError("unreachable")

    async def _answer(
        self, method: MethodDescriptor, service: Service, raw: bytes, metadata: Mapping[str, str], request_id: str,
        remaining: float | None, calling: str,
    ) -> bytes:  # fmt: skip
        try:
            request = request_class(method).FromString(raw)
        except Exception as broken:
            raise Invalid("the request is no message of this method; generate your client from protos/") from broken
        public = policy_of(method)[1] == PUBLIC
        if not public and not self.authority.directory.revision:  # without keys and policy nobody can be judged yet
            raise Unavailable(self.department, timeout=False)
        caller = ANONYMOUS if public else await self._caller(metadata, calling)
        deadline = time.monotonic() + remaining if remaining else None
        fresh = partial(self._changes, caller, method, request_id, trial=VALIDATE_ONLY in metadata)
        call = Call(caller, self.authority.directory, self.database, fresh(), method.name, request_id, deadline)
        call.seal, call.zone = self.entrance.seal, self.entrance.zone
        call.address = metadata.get("x-client-address", "") if calling in ("", "gateway") else ""
        call.by_roles, call.calling = BY_ROLES in metadata, calling
        if caller is not ANONYMOUS and not caller.is_service:
            call.customers, call.owned = await self.collaborations.known(call.directory, caller)
        purpose.begin(purpose.decoded(metadata.get(purpose.HEADER, "")))
        response: Message = await run(method, service, call, request, fresh)
        if policy_of(method)[1] == "read":
            await self.reads.note(call, response)
        return response.SerializeToString()

    def _changes(self, caller: Caller, method: MethodDescriptor, request_id: str, *, trial: bool) -> Changes:
        made = self.changes(caller.person_id, request_id, method.name)
        made.trial = trial
        return made

    def _calling_service(self, context: Any) -> str:
        """The service that calls, by its certificate; "" without TLS. Who calls is one question, for whom is another."""
        if self.entrance.identity is None:
            return ""
        name = peer(context.auth_context())
        if name not in self.entrance.callers:
            raise NotAllowed(f"the service «{name}» does not call {self.department}; it is not among the declared callers")
        return name

    async def _caller(self, metadata: Mapping[str, str], calling: str) -> Caller:
        scheme, _, token = metadata.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise unauthenticated("There is no token.")
        caller = await self.authority.verify(token)
        if calling and caller.is_service and caller.person_id != f"service-{calling}":
            raise unauthenticated("The token is that of another service.")
        return caller

    def _refusal(self, raised: Exception, method: MethodDescriptor, request_id: str) -> tuple[CrmError, str]:
        if isinstance(raised, CrmError):
            if isinstance(raised, NotAllowed):
                self.metrics.access_refused.labels(policy_of(method)[0]).inc()
            log.info(
                "refused",
                extra={
                    "method": method.name,
                    "request_id": request_id,
                    "code": raised.code,
                    "field": raised.field,
                    "reason": raised.message,
                },
            )
            return raised, raised.code
        if isinstance(raised, ExecutionTimeout | NetworkTimeout | TimeoutError):
            log.warning("too slow", extra={"method": method.name, "request_id": request_id, "code": "DEADLINE_EXCEEDED"})
            return Unavailable(self.department, timeout=True), "DEADLINE_EXCEEDED"
        if isinstance(raised, ConnectionFailure):
            log.warning(
                "database away", extra={"method": method.name, "request_id": request_id, "code": "UNAVAILABLE", "reason": str(raised)[:200]}
            )
            return Unavailable(self.department, timeout=False), "UNAVAILABLE"
        kind = "database" if isinstance(raised, PyMongoError) else "code"
        log.error("failed", extra={"method": method.name, "request_id": request_id, "code": "INTERNAL", "kind": kind}, exc_info=raised)
        return internal(), "INTERNAL"


def _open(server: Any, address: str, entrance: Entrance) -> int:
    try:
        return entrance.open(server, address)
    except RuntimeError as error:
        raise OSError(f"{address} is in use; stop what listens there or choose another port") from error
