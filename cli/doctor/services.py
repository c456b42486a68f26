"""The doctor's look at departments and gateway: do they answer, what waits in them, what time is it there."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
from crm.common.v1 import event_service_pb2 as contract
from prometheus_client.parser import text_string_to_metric_families

from chassis.kernel.errors import CrmError
from chassis.messaging.reconciler import SERVICE
from cli.batches import Batches
from cli.doctor.finding import Finding, clock
from cli.plan import DEPARTMENTS, HOST, Plan

# Gauge → how much is too much, what is said of it, how it is mended.
LIMITS: dict[str, tuple[float, str, str]] = {
    "crm_parked_events": (0, "{:.0f} facts are parked", "look at them with «./xietong events parked», mend the reason, then «./xietong events retry»"),
    "crm_outbox_age_seconds": (30, "a fact waits {:.0f} s to be published", "look whether NATS answers, and for «relay waits» in the log"),
    "crm_audit_unsealed_seconds": (120, "an audit entry waits {:.0f} s to be sealed", "look for «chain waits» in the log"),
}  # fmt: skip
MOST_BEHIND = 1000


async def look(plan: Plan) -> list[Finding]:
    """Every service over HTTP, every department over gRPC too."""
    batches = Batches(plan)
    try:
        async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
            found = await asyncio.gather(*(_service(plan, name, http, batches) for name in (*DEPARTMENTS, "gateway")))
    finally:
        await batches.close()
    return [finding for part in found for finding in part]


async def _service(plan: Plan, name: str, http: httpx.AsyncClient, batches: Batches) -> list[Finding]:
    base = f"http://{HOST}:{plan.ops[name]}"
    try:
        before = datetime.now(UTC)
        answer = await http.get(f"{base}/readyz")
        time = clock(name, parsedate_to_datetime(answer.headers["date"]), before, datetime.now(UTC))
        missing = [part for part, fine in answer.json().items() if fine is False]
        metrics = (await http.get(f"{base}/metrics")).text
    except (httpx.HTTPError, ValueError, KeyError):
        return [Finding(name, "does not answer", "start it with «make run», and look into its log")]
    if missing:
        return [Finding(name, f"not ready: {', '.join(missing)}", "mend what it waits for, then look again"), time]
    if name == "gateway":
        return [Finding(name, "ready"), time]
    return [await _asked(name, batches), time, *_waiting(name, metrics)]


async def _asked(name: str, batches: Batches) -> Finding:
    """A call as every client makes it: certificate, token and policy are all needed for it."""
    try:
        async with asyncio.timeout(10):
            await batches.call(name, SERVICE, "ListParkedEvents", contract.ListParkedEventsRequest())
    except (CrmError, TimeoutError) as error:
        return Finding(
            name, f"is ready but does not answer calls: {error or 'no answer in time'}", "look into its log for «refused» or «failed»"
        )
    return Finding(name, "ready and answers calls")


def _waiting(name: str, text: str) -> list[Finding]:
    values: dict[str, float] = {}
    behind: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "crm_consumer_pending":
                behind[sample.labels["consumer"]] = sample.value
            elif sample.name in LIMITS:
                values[sample.name] = sample.value
    return judged(name, values, behind)


def judged(name: str, values: Mapping[str, float], behind: Mapping[str, float]) -> list[Finding]:
    """What the gauges of a department say. What is no number was not to be seen."""
    found = []
    for gauge, (most, words, mend) in LIMITS.items():
        value = values.get(gauge, float("nan"))
        if math.isnan(value):
            found.append(Finding(name, f"{gauge} cannot be seen", "look whether MongoDB answers it"))
        elif value > most:
            found.append(Finding(name, words.format(value), mend))
    for consumer, count in behind.items():
        if not count <= MOST_BEHIND:
            mend = "look for «reaction waits» in its log, or start another replica"
            found.append(Finding(name, f"the consumer {consumer} is {count:,.0f} facts behind", mend))
    return found or [Finding(name, "nothing parked, outbox, consumers and audit are up to date")]
