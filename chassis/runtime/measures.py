"""What /metrics measures when it is asked: facts that wait to be published or heard, parked facts, audit, certificate, disk.

Each look has two seconds; what cannot be seen is NaN, so that nobody takes an old value for the present one.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Mapping
from datetime import datetime
from typing import Any

from cryptography import x509
from nats.errors import Error as NatsError
from prometheus_client import CollectorRegistry, Gauge
from pymongo.errors import PyMongoError

from chassis.access.identity import Identity
from chassis.files.usage import Usage
from chassis.kernel.clock import now
from chassis.messaging.reactions import PARKED, Consumer
from chassis.storage.changes import AUDIT, OUTBOX
from chassis.storage.client import Database

log = logging.getLogger("crm.department")
LOOK_SECONDS = 2.0
MOST_COUNTED = 100_000
_PENDING = {"pending": True}


class Measures:
    """The gauges of one department. Every replica measures for the whole department: take the maximum, not the sum."""

    def __init__(
        self,
        registry: CollectorRegistry,
        database: Database,
        consumers: Mapping[str, Consumer],
        identity: Identity | None,
        files: Usage,
    ) -> None:
        def gauge(name: str, explain: str, *labels: str) -> Gauge:
            return Gauge(name, explain, labels, registry=registry)

        self.database, self.consumers, self.identity, self.usage = database, consumers, identity, files
        self.outbox = gauge("crm_outbox_pending", f"Facts committed but not yet published; counted up to {MOST_COUNTED}")
        self.outbox_age = gauge("crm_outbox_age_seconds", "Age of the oldest fact that is not yet published")
        self.waiting = gauge("crm_consumer_pending", "Facts in the stream without effect yet, by consumer", "consumer")
        self.parked = gauge("crm_parked_events", "Facts that are set aside now")
        self.unsealed = gauge("crm_audit_unsealed_seconds", "Age of the oldest audit entry that is not yet in the chain")
        self.disk = gauge("crm_mongo_disk_free_ratio", "Free part of the file system under MongoDB's data")
        self.files = gauge("crm_files_bytes", "Bytes of the files that are kept at records; not older than ten seconds")
        self.certificate = gauge("crm_certificate_end_time_seconds", "When the own certificate ends, Unix time") if identity else None

    async def take(self) -> None:
        """Measure everything at once."""
        await asyncio.gather(
            _seen(self.outbox, self.database[OUTBOX].count_documents(_PENDING, limit=MOST_COUNTED, hint="pending")),
            _seen(self.outbox_age, self._age(OUTBOX, "create_time")),
            _seen(self.parked, self.database[PARKED].count_documents({"done": None}, limit=MOST_COUNTED)),
            _seen(self.unsealed, self._age(AUDIT, "time")),
            _seen(self.disk, self._free()),
            _seen(self.files, self.usage.bytes(self.database, int(LOOK_SECONDS * 1000))),
            *[_seen(self.waiting.labels(name), consumer.waiting()) for name, consumer in self.consumers.items()],
            *[_seen(self.certificate, _end(self.identity)) for _ in (1,) if self.certificate and self.identity],
        )

    async def _age(self, collection: str, field: str) -> float:
        oldest = await self.database[collection].find_one(_PENDING, {field: 1}, sort=[("_id", 1)], hint="pending")
        return max(0.0, _seconds(oldest[field])) if oldest else 0.0

    async def _free(self) -> float:
        found: dict[str, Any] = await self.database.command("dbStats")
        return 1 - float(found["fsUsedSize"]) / float(found["fsTotalSize"])


def _seconds(moment: datetime) -> float:
    return (now() - moment).total_seconds()


async def _end(identity: Identity) -> float:
    return x509.load_pem_x509_certificate(identity.own.read_bytes()).not_valid_after_utc.timestamp()


async def _seen(gauge: Gauge, look: Awaitable[float]) -> None:
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            gauge.set(await look)
    except (PyMongoError, NatsError, OSError, ValueError, TimeoutError) as error:
        gauge.set(math.nan)
        log.info("not measured", extra={"reason": str(error)[:200]})
