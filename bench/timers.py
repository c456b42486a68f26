"""How fast what is due at one moment has its effect, and what it costs while it waits: tickets that wait for their customers.

Each firing is the product's own: a ticket is opened again, with state, history, version, fact and audit, in the department's own process.
Copies of one waiting ticket are put into the database, and made due all at once. Halfway through a second lot the process is killed.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from bench.figure import Figure
from bench.load import BenchError
from bench.stand import Stand, stand

WANTED, WANTED_PERCENT = 500, 1.0
SETTLE_SECONDS, WATCH_SECONDS = 15.0, 30.0
POLL_SECONDS = 0.1
LONGEST_SECONDS = 600
_PAGE = 5000
_AGENT, _COMPANY = 4, 3


async def timers(folder: Path, waiting: int, due: int) -> list[Figure]:
    """`waiting` records that are not due, then `due` of them at once, twice."""
    async with stand(folder, ("customer", "sales", "marketing", "support")) as found:  # it hears of them all
        model = await _waiting_ticket(found)
        none = await _idle(found)
        await _copy(found, model, waiting)
        idle = await _idle(found)
        rate, used = await _fire(found, 0, due)
        killed, _ = await _fire(found, due, due, kill=True)
        repeated = await _repeated(found, 2 * due)
    more = f"{idle[0]:.2f} % of a core ({none[0]:.2f} % with one waiting), mongod {idle[1]:.2f} % ({none[1]:.2f} %)"
    words = ", ".join(f"{name} {used[name]:.2f} ms" for name in used) + " of a processor each"
    added = sum(after - before for after, before in zip(idle, none, strict=True))
    return [
        Figure(f"support at rest, {waiting:,} timers waiting", more, f"they add ≤ {WANTED_PERCENT:.0f} %", added <= WANTED_PERCENT),
        Figure(f"{due:,} timers due at once", f"{rate:,.0f}/s; {words}", f"≥ {WANTED}/s", rate >= WANTED),
        Figure(
            "the same, killed (−9) halfway", f"{killed:,.0f}/s in all; {repeated:,} repeated or lost", "0 repeated or lost", not repeated
        ),
    ]


async def _waiting_ticket(found: Stand) -> dict[str, Any]:
    company = await found.ask("CreateDepartment", name="总部", kind=_COMPANY)
    person = await found.ask("CreatePerson", name="人", email="first@example.com", roles=[_AGENT], home_department_id=company.department.id)
    await asyncio.sleep(2)  # until support has heard of the owner
    made = await found.ask("CreateTicket", subject="等回复", channel=1, owner_id=person.person.id)
    until = Timestamp()
    until.FromDatetime(datetime.now(UTC) + timedelta(days=30))
    await found.ask("WaitTicket", ticket_id=made.ticket.id, until_time=until)
    ticket: dict[str, Any] = await found.database("support")["tickets"].find_one({"_id": made.ticket.id})
    return ticket


async def _copy(found: Stand, model: dict[str, Any], count: int) -> None:
    tickets = found.database("support")["tickets"]
    for start in range(0, count, _PAGE):
        rows = [{**model, "_id": f"w{number:07}", "number": f"W-{number}"} for number in range(start, min(count, start + _PAGE))]
        await tickets.insert_many(rows, ordered=False)


async def _idle(found: Stand) -> tuple[float, float]:
    """Percent of a core that support and mongod take while nothing happens."""
    await asyncio.sleep(SETTLE_SECONDS)  # what starts with a department, or follows a large write, is through
    names = ("support", "mongod")
    before, begun = [found.seconds(name) for name in names], time.monotonic()
    await asyncio.sleep(WATCH_SECONDS)
    spent = time.monotonic() - begun
    department, mongod = ((found.seconds(name) - since) * 100 / spent for name, since in zip(names, before, strict=True))
    return department, mongod


async def _fire(found: Stand, start: int, count: int, *, kill: bool = False) -> tuple[float, dict[str, float]]:
    """Make so many due at once; firings a second until the last one, and processor milliseconds of each (not where it was killed)."""
    tickets = found.database("support")["tickets"]
    lot = {"_id": {"$gte": f"w{start:07}", "$lt": f"w{start + count:07}"}}
    now = datetime.now(UTC)
    await tickets.update_many(lot, {"$set": {"wait_until_time": now}})
    due = {"state": "PENDING", "wait_until_time": {"$lte": now}}
    names = ("support", "mongod")
    before, begun = {name: found.seconds(name) for name in names}, time.monotonic()
    while left := await tickets.count_documents(due, hint="timer_wait_end"):
        if kill and left < count / 2:
            await found.kill("support")
            await found.bring("support")
            before["support"], kill = 0.0, False
        if time.monotonic() > begun + LONGEST_SECONDS:
            raise BenchError(f"{left:,} of {count:,} timers did not fire within {LONGEST_SECONDS} s")
        await asyncio.sleep(POLL_SECONDS)
    spent = time.monotonic() - begun
    return count / spent, {name: (found.seconds(name) - before[name]) * 1000 / count for name in names}


async def _repeated(found: Stand, count: int) -> int:
    """How many of the firings have other than one fact, one line in the audit and one version."""
    database = found.database("support")
    facts: dict[str, int] = {}
    async for row in database["outbox"].find({"headers.ce-type": {"$regex": "TicketWaitEnded$"}}, {"headers.ce-subject": 1}):
        facts[row["headers"]["ce-subject"]] = facts.get(row["headers"]["ce-subject"], 0) + 1
    lines: dict[str, int] = {}
    async for row in database["audit_entries"].find({"action": "TicketWaitEnded"}, {"record_id": 1}):
        lines[row["record_id"]] = lines.get(row["record_id"], 0) + 1
    versions = {row["_id"]: row["version"] async for row in database["tickets"].find({"_id": {"$in": list(facts)}}, {"version": 1})}
    lot = [f"w{number:07}" for number in range(count)]
    return sum((facts.get(one), lines.get(one), versions.get(one)) != (1, 1, 3) for one in lot)
