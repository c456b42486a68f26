"""The connection to NATS as safety wants it, and the streams: file storage, limits retention, nothing acknowledged is dropped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RePublish, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from chassis.access.identity import Identity
from chassis.kernel.errors import CrmError

log = logging.getLogger("crm.messaging")
# Where a service with an account of its own asks for JetStream: `$JS.API` means in every account that account's own, and it has none.
MANAGED_API = "CRM.API"
CONNECT_SECONDS = 5.0
Callback = Callable[[], Awaitable[None]]


class BrokerRefused(CrmError):
    """NATS cannot be reached or has no JetStream; the message is for the person who starts the service."""


async def connect(
    url: str, name: str, identity: Identity | None = None, *, lost: Callback | None = None, back: Callback | None = None
) -> Client:
    """A connection that notices a dead server within three seconds, goes to another one where there are several, and never gives up; the
    first must be there within five. `url` may be several with commas between. With an identity it is TLS, and the certificate is the
    user. `lost` is called when the connection goes, `back` when another one listens again. Raises BrokerRefused."""
    last = ""

    async def quiet(error: Exception) -> None:
        nonlocal last
        last = str(error) or type(error).__name__
        refused = "permissions violation" in last.lower()
        log.log(logging.WARNING if refused else logging.INFO, "nats", extra={"reason": str(error)[:200]})

    try:
        connecting = nats.connect(
            servers(url), name=name, max_reconnect_attempts=-1, reconnect_time_wait=0.5, ping_interval=1, max_outstanding_pings=2,
            connect_timeout=2, allow_reconnect=True, error_cb=quiet, tls=identity.context() if identity else None,
            disconnected_cb=lost, reconnected_cb=back,
        )  # fmt: skip
        async with asyncio.timeout(CONNECT_SECONDS):
            return await connecting
    except Exception as error:  # nats-py raises many kinds here; all mean the same to the operator
        where = ", ".join(urlsplit(one).netloc or one for one in servers(url))
        raise BrokerRefused(
            f"NATS at {where} (CRM_NATS_URL) does not answer: {error or last or type(error).__name__}; start it or correct the address"
        ) from error


async def close(client: Client) -> None:
    """End a connection, also one whose server is away at that moment."""
    with contextlib.suppress(OSError, NatsError):
        await client.close()


def servers(url: str) -> list[str]:
    """The servers that CRM_NATS_URL names: one, or several of a cluster."""
    return [one.strip() for one in url.split(",")]


async def check_writes(monitor: str) -> None:
    """Refuse servers that acknowledge what is not on their disk yet. A client cannot see that, the monitoring port tells it: `monitor` is
    its URL, and every address behind its name is asked, for each is a server of the cluster. Raises BrokerRefused."""
    if not monitor:
        raise BrokerRefused(
            "CRM_NATS_MONITOR_URL is not set: nothing else tells whether NATS writes through to disk; give its monitoring port, e.g. http://nats:8222"
        )
    for where, found in await asyncio.to_thread(monitored, monitor, "jsz"):
        if not found.get("config", {}).get("sync_always"):
            raise BrokerRefused(
                f"NATS at {where} acknowledges facts that are not on its disk yet; set «sync_interval: always» in its jetstream block"
            )


def monitored(monitor: str, page: str) -> list[tuple[str, dict[str, Any]]]:
    """A page of the monitoring port of every server behind the URL that answers, with its address. Blocks. Raises BrokerRefused where
    none does: one of a cluster may be away."""
    parts = urlsplit(monitor)
    opener, port = build_opener(ProxyHandler({})), parts.port or 8222
    found: list[tuple[str, dict[str, Any]]] = []
    reason: Exception | None = None
    for host in _addresses(parts.hostname or "", port):
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            with opener.open(f"http://{where}/{page}", timeout=3) as answer:
                found.append((where, json.load(answer)))
        except (OSError, ValueError, HTTPException) as error:
            reason = error
    if not found:
        raise BrokerRefused(
            f"NATS' monitoring at {parts.netloc or monitor} (CRM_NATS_MONITOR_URL) does not answer: {reason or 'no such host'}; "
            "open it with «http: …:8222» in the server's configuration or correct the address"
        )
    return found


def _addresses(host: str, port: int) -> list[str]:
    try:
        return list(dict.fromkeys(str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
    except OSError:
        return []


def stream_name(department: str) -> str:
    """The stream that a department owns."""
    return f"CRM_{department.upper()}"


def live(subject: str) -> str:
    """Where a managed stream announces what it has stored: a request from one account is never heard in a third one."""
    return f"live.{subject}"


async def ensure_stream(context: JetStreamContext, department: str, *, managed: bool = False, replicas: int = 1) -> None:
    """Make the department's stream, or bring its settings to what safety needs. A managed one tells listeners in other accounts.
    `replicas` servers keep a copy of it."""
    subject = f"crm.{department}.v1.>"
    republish = RePublish(src=subject, dest=live(subject), headers_only=True) if managed else None
    config = StreamConfig(
        name=stream_name(department), subjects=[subject], retention=RetentionPolicy.LIMITS, discard=DiscardPolicy.NEW,
        storage=StorageType.FILE, duplicate_window=120, num_replicas=replicas, max_msgs=-1, max_bytes=-1, max_age=0, republish=republish,
    )  # fmt: skip
    try:
        present = (await context.stream_info(stream_name(department))).config
    except NotFoundError:
        await context.add_stream(config)
        return
    wrong = _differences(present, config)
    if fixed := {"retention", "storage"} & set(wrong):
        raise BrokerRefused(
            f"the stream {config.name} was made with another {' and '.join(sorted(fixed))} than safety needs, which cannot be changed; delete "
            "it: its department makes it anew and publishes again what it holds"
        )
    if wrong:
        await context.update_stream(config)


async def check_stream(context: JetStreamContext, department: str) -> None:
    """Refuse a stream that somebody else was to make, and that is missing or not as safety needs it."""
    name = stream_name(department)
    try:
        present = (await context.stream_info(name)).config
    except (NotFoundError, TimeoutError, NatsError) as error:
        raise BrokerRefused(f"the stream {name} is not to be had ({error or type(error).__name__}); run the administration step") from error
    subject = f"crm.{department}.v1.>"
    wanted = StreamConfig(
        subjects=[subject],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        duplicate_window=120,
        max_msgs=-1,
        max_bytes=-1,
        max_age=0,
    )
    if wrong := _differences(present, wanted):
        raise BrokerRefused(f"the stream {name} has not the settings that safety needs ({', '.join(wrong)}); run the administration step")


def _differences(present: StreamConfig, wanted: StreamConfig) -> list[str]:
    names = (
        "subjects",
        "retention",
        "storage",
        "discard",
        "duplicate_window",
        "max_msgs",
        "max_bytes",
        "max_age",
        "republish",
        "num_replicas",
    )
    known = {name: getattr(wanted, name) for name in names}
    return [name for name, value in known.items() if value is not None and getattr(present, name) != value]
