"""`xietong events`: facts that a department could not react to, and whether every department has heard everything."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
from crm.common.v1 import event_service_pb2 as contract

from chassis.kernel.errors import Invalid
from chassis.messaging.reconciler import SERVICE
from chassis.rpc.documents import from_timestamp
from cli.batches import Batches
from cli.plan import DEPARTMENTS, Plan
from cli.words import say

MOST_AT_ONCE = 200


async def parked(plan: Plan, departments: Sequence[str] = DEPARTMENTS) -> None:
    """One line for each fact that was set aside."""
    batches, count = Batches(plan), 0
    try:
        for name in departments:
            async for row in _rows(batches, name):
                count += 1
                say(
                    f"  {row.parked_id}\n    {from_timestamp(row.park_time):%Y-%m-%d %H:%M:%S} UTC, {row.deliveries} times delivered: {row.reason}"
                )
    finally:
        await batches.close()
    say(f"  {count} parked" if count else "  nothing is parked")


async def show(plan: Plan, ids: Sequence[str]) -> None:
    """Everything that is known of parked facts, as JSON lines."""
    batches = Batches(plan)
    try:
        for name, own in _by_department(ids).items():
            request = contract.ListParkedEventsRequest(parked_ids=own)
            for row in (await batches.call(name, SERVICE, "ListParkedEvents", request)).parked_events:
                body = orjson.loads(row.content) if row.content else None
                found = {"id": row.parked_id, "reaction": row.reaction, "reason": row.reason, "deliveries": row.deliveries,
                         "time": from_timestamp(row.park_time).isoformat(), "subject": row.subject, "headers": dict(row.headers),
                         "content": body, "bytes": row.payload_bytes}  # fmt: skip
                say(orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode())
    finally:
        await batches.close()


async def retry(plan: Plan, ids: Sequence[str]) -> None:
    """React to parked facts now; exits 1 when one is parked still."""
    batches, bad = Batches(plan), 0
    try:
        for name, own in (await _chosen(batches, ids)).items():
            for start in range(0, len(own), MOST_AT_ONCE):
                request = contract.RetryParkedEventsRequest(parked_ids=own[start : start + MOST_AT_ONCE])
                for outcome in (await batches.call(name, SERVICE, "RetryParkedEvents", request)).outcomes:
                    say(f"  {outcome.parked_id}: {outcome.refusal or 'took effect'}")
                    bad += bool(outcome.refusal)
    finally:
        await batches.close()
    if bad:
        sys.exit(1)


async def drop(plan: Plan, ids: Sequence[str], reason: str) -> None:
    """Forget parked facts; their effect will never be."""
    batches = Batches(plan)
    try:
        for name, own in _by_department(ids).items():
            answer = await batches.call(name, SERVICE, "DropParkedEvents", contract.DropParkedEventsRequest(parked_ids=own, reason=reason))
            say(f"  {name}: {answer.count} dropped")
    finally:
        await batches.close()


async def reconcile(plan: Plan, departments: Sequence[str] = DEPARTMENTS, *, from_beginning: bool = False) -> None:
    """Compare what was published with what was heard; exits 1 when something was missing or could not be compared."""
    batches, bad = Batches(plan), 0
    try:
        for name in departments:
            answer = await batches.call(name, SERVICE, "ReconcileEvents", contract.ReconcileEventsRequest(from_beginning=from_beginning))
            for one in answer.reconciliations:
                words = one.refusal or (f"{one.missing_count} missing, published again" if one.missing_count else "all heard")
                say(f"  {name:12} ← {one.owner:12} {one.compared_count:>8,} compared, {words}")
                bad += bool(one.refusal or one.missing_count)
    finally:
        await batches.close()
    if bad:
        sys.exit(1)


def _by_department(ids: Sequence[str]) -> dict[str, list[str]]:
    """Parked facts by the department that set them aside: their ids begin with it."""
    found: dict[str, list[str]] = {}
    for identity in ids:
        name = identity.partition("-")[0]
        if name not in DEPARTMENTS or "|" not in identity:
            raise Invalid(f"«{identity[:60]}» is no id of a parked fact; `xietong events parked` shows them")
        found.setdefault(name, []).append(identity)
    return found


async def _chosen(batches: Batches, ids: Sequence[str]) -> dict[str, list[str]]:
    """The ids given, or all that are parked."""
    if ids:
        return _by_department(ids)
    found = {name: [row.parked_id async for row in _rows(batches, name)] for name in DEPARTMENTS}
    return {name: own for name, own in found.items() if own}


async def _rows(batches: Batches, department: str) -> AsyncIterator[Any]:
    after = ""
    while rows := (
        await batches.call(department, SERVICE, "ListParkedEvents", contract.ListParkedEventsRequest(after_id=after))
    ).parked_events:
        for row in rows:
            yield row
        after = rows[-1].parked_id
