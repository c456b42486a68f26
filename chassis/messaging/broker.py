"""The connection to NATS as safety wants it, and the streams: file storage, limits retention, nothing acknowledged is dropped."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

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


class BrokerRefused(CrmError):
    """NATS cannot be reached or has no JetStream; the message is for the person who starts the service."""


async def connect(url: str, name: str, identity: Identity | None = None) -> Client:
    """A connection that notices a dead link within ten seconds and never gives up reconnecting. With an identity it is TLS, and the
    certificate is the user."""

    async def quiet(error: Exception) -> None:
        refused = "permissions violation" in str(error).lower()
        log.log(logging.WARNING if refused else logging.INFO, "nats", extra={"reason": str(error)[:200]})

    try:
        return await nats.connect(
            url, name=name, max_reconnect_attempts=-1, reconnect_time_wait=0.5, ping_interval=5, max_outstanding_pings=2,
            connect_timeout=3, allow_reconnect=True, error_cb=quiet, tls=identity.context() if identity else None,
        )  # fmt: skip
    except Exception as error:  # nats-py raises many kinds here; all mean the same to the operator
        where = urlsplit(url).netloc or url
        raise BrokerRefused(
            f"NATS at {where} (CRM_NATS_URL) does not answer: {error or type(error).__name__}; start it or correct the address"
        ) from error


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
    if _differences(present, config):
        await context.update_stream(config)


async def check_stream(context: JetStreamContext, department: str) -> None:
    """Refuse a stream that somebody else was to make, and that is missing or not as safety needs it."""
    name = stream_name(department)
    try:
        present = (await context.stream_info(name)).config
    except (NotFoundError, TimeoutError, NatsError) as error:
        raise BrokerRefused(f"the stream {name} is not to be had ({error or type(error).__name__}); run the administration step") from error
    subject = f"crm.{department}.v1.>"
    wanted = StreamConfig(subjects=[subject], discard=DiscardPolicy.NEW, duplicate_window=120, max_msgs=-1, max_bytes=-1, max_age=0)
    if wrong := _differences(present, wanted):
        raise BrokerRefused(f"the stream {name} has not the settings that safety needs ({', '.join(wrong)}); run the administration step")


def _differences(present: StreamConfig, wanted: StreamConfig) -> list[str]:
    names = ("subjects", "discard", "duplicate_window", "max_msgs", "max_bytes", "max_age", "republish", "num_replicas")
    known = {name: getattr(wanted, name) for name in names}
    return [name for name, value in known.items() if value is not None and getattr(present, name) != value]
