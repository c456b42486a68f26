"""The doctor's look at NATS: connection, version, what it writes to disk, room in its store, streams and consumers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from chassis.kernel.errors import CrmError
from chassis.messaging.broker import BrokerRefused, check_stream, connect, monitored, stream_name
from chassis.messaging.reactions import durable_name
from chassis.runtime.department import Department
from cli.doctor.finding import Finding, clock
from cli.plan import Plan

PART, OLDEST, MOST_USED = "NATS", (2, 12), 0.85


async def look(plan: Plan, departments: Sequence[Department], folder: Path) -> list[Finding]:
    """The servers, then what is in them. `folder` is the installation's, in which a server of its own keeps its files."""
    found = await _servers(plan.nats_monitor, folder)
    try:
        connection = await connect(plan.nats_url, "crm-doctor", plan.identity("cli"))
    except CrmError as error:
        return [Finding(PART, "does not answer", error.message), *found]
    try:
        context = connection.jetstream()
        version = connection.connected_server_version
        mend = "" if (version.major, version.minor) >= OLDEST else "update it to 2.12 or newer"
        found.append(Finding(PART, f"version {version.major}.{version.minor}.{version.patch}", mend))
        for department in departments:
            found += await _stream(context, department.name)
            found += await _consumers(context, department)
    finally:
        logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of how nats-py ends a TLS connection
        await connection.close()
    return found


async def _servers(monitor: str, folder: Path) -> list[Finding]:
    if not monitor:
        words = "open the server's monitoring and give its URL in CRM_NATS_MONITOR_URL"
        return [Finding(PART, "whether it writes through to disk cannot be seen", words)]
    try:
        before = datetime.now(UTC)
        pages = await asyncio.to_thread(monitored, monitor, "jsz?accounts=1&streams=1")
        after = datetime.now(UTC)
    except BrokerRefused as error:
        return [Finding(PART, "monitoring does not answer", error.message)]
    found = [finding for where, page in pages for finding in server(f"{PART} {where}", page, before, after)]
    return found + [finding for where, page in pages for finding in store(f"{PART} {where}", page, folder)]


def store(part: str, page: dict[str, Any], folder: Path) -> list[Finding]:
    """Whether a server of this machine still has its files: one whose store was removed goes on acknowledging what no file holds, and tells
    of nothing. Of a server elsewhere, or in a container, nothing can be seen."""
    place = Path(str(page.get("config", {}).get("store_dir", "") or "/nowhere/at/all"))
    ours = place.is_relative_to(folder.resolve()) or (place.parent / "nats.conf").exists()  # as start_nats lays them out
    if not (ours or place.is_dir()):
        return []
    names = [stream["name"] for account in page.get("account_details") or () for stream in account.get("stream_detail") or ()]
    present = {path.name for path in place.glob("*/streams/*") if any(path.glob("msgs*"))}
    gone = [name for name in names if name not in present]
    if gone:
        mend = "stop it and follow docs/how-to/lose-nats.md (all, disks gone): what it acknowledges now is in no file"
        return [Finding(part, f"its files were removed from under it: {', '.join(gone)} in {place}", mend)]
    return [Finding(part, "its files are where it keeps them")]


def server(part: str, page: dict[str, Any], before: datetime, after: datetime) -> list[Finding]:
    """What /jsz says of one server."""
    config, used = page.get("config", {}), int(page.get("storage", 0))
    sync = "set «sync_interval: always» in its jetstream block: a power cut takes facts that were acknowledged"
    found = [
        Finding(part, "writes each fact through to disk") if config.get("sync_always") else Finding(part, "does not write facts through to disk", sync),
        clock(part, datetime.fromisoformat(page["now"][:19] + "+00:00"), before, after),
    ]  # fmt: skip
    if most := int(config.get("max_storage", 0)):
        mend = "" if used <= MOST_USED * most else "raise max_file_store: what does not fit is not published"
        found.append(Finding(part, f"{used / 1e9:,.2f} GB of {most / 1e9:,.2f} GB store used", mend))
    return found


async def _stream(context: JetStreamContext, name: str) -> list[Finding]:
    try:
        await check_stream(context, name)
    except BrokerRefused as error:
        return [
            Finding(
                name, error.message.split(";")[0], "restart the department (with --tls: «./xietong up --tls»): it sets the stream right"
            )
        ]
    return [Finding(name, f"stream {stream_name(name)} keeps everything, refuses rather than drops, in files")]


async def _consumers(context: JetStreamContext, department: Department) -> list[Finding]:
    missing = []
    for reaction in department.reactions:
        durable = durable_name(department.name, reaction)
        try:
            await context.consumer_info(stream_name(reaction.department), durable)
        except NotFoundError:
            missing.append(durable)
        except (NatsError, TimeoutError) as error:
            return [
                Finding(department.name, f"its consumers cannot be seen: {error or 'no answer in time'}", "look whether NATS has JetStream")
            ]
    if missing:
        return [
            Finding(
                department.name, f"consumers are missing: {', '.join(missing)}", "restart the department (with --tls: «./xietong up --tls»)"
            )
        ]
    return [Finding(department.name, f"all {len(department.reactions)} consumers are there")]
