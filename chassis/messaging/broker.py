"""The connection to NATS as safety wants it, and the streams: file storage, limits retention, nothing acknowledged is dropped."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

import nats
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from chassis.kernel.errors import CrmError

log = logging.getLogger("crm.messaging")


class BrokerRefused(CrmError):
    """NATS cannot be reached or has no JetStream; the message is for the person who starts the service."""


async def connect(url: str, name: str) -> Client:
    """A connection that notices a dead link within ten seconds and never gives up reconnecting."""

    async def quiet(error: Exception) -> None:
        log.info("nats", extra={"reason": str(error)[:200]})

    try:
        return await nats.connect(
            url, name=name, max_reconnect_attempts=-1, reconnect_time_wait=0.5, ping_interval=5, max_outstanding_pings=2,
            connect_timeout=3, allow_reconnect=True, error_cb=quiet,
        )  # fmt: skip
    except Exception as error:  # nats-py raises many kinds here; all mean the same to the operator
        where = urlsplit(url).netloc or url
        raise BrokerRefused(
            f"NATS at {where} (CRM_NATS_URL) does not answer: {error or type(error).__name__}; start it or correct the address"
        ) from error


def stream_name(department: str) -> str:
    """The stream that a department owns."""
    return f"CRM_{department.upper()}"


async def ensure_stream(context: JetStreamContext, department: str) -> None:
    """Make the department's stream, or bring its settings to what safety needs."""
    config = StreamConfig(
        name=stream_name(department), subjects=[f"crm.{department}.v1.>"], retention=RetentionPolicy.LIMITS, discard=DiscardPolicy.NEW,
        storage=StorageType.FILE, duplicate_window=120, num_replicas=1, max_msgs=-1, max_bytes=-1, max_age=0,
    )  # fmt: skip
    try:
        present = (await context.stream_info(stream_name(department))).config
    except NotFoundError:
        await context.add_stream(config)
        return
    wanted = {name: getattr(config, name) for name in ("subjects", "discard", "duplicate_window", "max_msgs", "max_bytes", "max_age")}
    if any(getattr(present, name) != value for name, value in wanted.items() if value is not None):
        await context.update_stream(config)
