"""What aliases cost, and how fast a merge is everywhere: `python -m bench.aliases FOLDER`.

The cost is that of a write that names a customer while the replica knows 10,000 aliases, against the same write while it knows none: in the same
processes, in turn, processor time of the department and of mongod. The sweep is that of a customer with 1,000 records in each department.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from crm.customer.v1 import (
    contact_pb2,
    customer_merge_service_pb2,
    customer_pb2,
    note_service_pb2,
)
from crm.marketing.v1 import campaign_message_pb2, campaign_pb2
from crm.sales.v1 import opportunity_pb2
from crm.support.v1 import ticket_pb2

from bench.stand import Stand, stand
from bench.switches import spread
from chassis.kernel.ids import from_source, new_id
from chassis.rpc import survivors
from chassis.storage.aliases import Aliases
from cli.words import say

ALIASES, WRITES, ROUNDS, SWEPT = 10_000, 150, 12, 1_000
LOOKED_SECONDS = 2.2
_NOTES = note_service_pb2.DESCRIPTOR.services_by_name["NoteService"]
_MERGES = customer_merge_service_pb2.DESCRIPTOR.services_by_name["CustomerMergeService"]
COLLECTIONS = {
    "customer": ("contacts", "timeline_entries", "open_work"), "sales": ("opportunities",), "marketing": ("campaign_messages",),
    "support": ("tickets",),
}  # fmt: skip


def by_heart() -> list[str]:
    """In this process: what it takes to resolve, and to keep a hundred thousand aliases."""
    before, many = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 100_000
    aliases = Aliases()
    begun, ids = time.perf_counter(), [new_id() for _ in range(many + 1)]
    aliases.take({"_id": ids[n], "into": ids[many], "since": datetime.now(UTC), "undone": False} for n in range(many))
    learnt = time.perf_counter() - begun
    method, request = _NOTES.methods_by_name["CreateNote"], note_service_pb2.CreateNoteRequest(customer_id=ids[many], text="x")
    begun = time.perf_counter()
    for _ in range(10_000):
        survivors.meant(method, request, aliases)
        aliases.place({"customer_id": ids[many]}, "customer_id")
    spent = (time.perf_counter() - begun) * 100
    size = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return [
        f"100,000 aliases: learnt in {learnt:.2f} s, {size:.0f} MB; a write that names a customer asks them for {spent:.1f} µs, and the database for nothing"
    ]


async def cost(found: Stand) -> list[str]:
    """With many aliases against none."""
    known, customer = found.database("customer")["customer_aliases"], (await found.ask("CreateCustomer", kind=1, name="firm")).customer.id
    rows = [{"_id": new_id(), "into": customer, "merge_id": new_id(), "since": datetime.now(UTC), "sweeps": 3} for _ in range(ALIASES)]
    await known.insert_many([{**row, "time": datetime.now(UTC), "undone": True} for row in rows])
    spent: dict[bool, list[float]] = {True: [], False: []}
    for number in range(ROUNDS):
        for undone in (True, False) if number % 2 else (False, True):
            await known.update_many({}, {"$set": {"undone": undone}, "$currentDate": {"time": True}})
            await asyncio.sleep(LOOKED_SECONDS)
            before = found.seconds("customer") + found.seconds("mongod")
            for _ in range(WRITES):
                request = note_service_pb2.CreateNoteRequest(request_id=new_id(), customer_id=customer, text="remark")
                await found.batches.call("customer", _NOTES, "CreateNote", request)
            spent[undone].append((found.seconds("customer") + found.seconds("mongod") - before) * 1000 / WRITES)
    await known.delete_many({})
    ratio = spread([one / other for one, other in zip(spent[False], spent[True], strict=True)])
    return [
        f"CPU of a write that names a customer, {ALIASES:,} aliases against none: {ratio} (median {median(spent[True]):.2f} ms without; wanted ≤ 1.03)"
    ]


async def sweep(found: Stand) -> list[str]:
    """A customer with many records in each department is merged, and comes back."""
    await found.deals(1)
    people = [row["_id"] async for row in found.database("organization")["people"].find({}, {"_id": 1}).limit(1)]
    pipeline = (await found.database("sales")["pipelines"].find_one({}))["_id"]
    firms = [customer_pb2.Customer(source_key=f"merge:{name}", name=name, kind=1, owner_id=people[0]) for name in ("survivor", "loser")]  # type: ignore[arg-type]
    await found.batches.upsert("customers", firms)
    survivor, loser = (from_source("customers", firm.source_key) for firm in firms)
    await found.batches.upsert("campaigns", [campaign_pb2.Campaign(source_key="merge:c", name="c", channel=1, state=1, owner_id=people[0])])  # type: ignore[arg-type]
    about: dict[str, Any] = {"customer_id": loser}
    keys = [f"merge:{number}" for number in range(SWEPT)]
    planned = {
        "campaign_id": from_source("campaigns", "merge:c"),
        "state": 1,
        "address": "x@example.com",
        "planned_time": {"seconds": 1_790_000_000},
    }
    deal = {"pipeline_id": pipeline, "stage_key": "first", "state": 1, "owner_id": people[0], "name": "deal"}
    for name, records in {
        "contacts": [contact_pb2.Contact(source_key=key, name="contact", **about) for key in keys],
        "opportunities": [opportunity_pb2.Opportunity(source_key=key, **about, **deal) for key in keys],
        "tickets": [
            ticket_pb2.Ticket(source_key=key, subject="s", number=key, channel=1, kind=1, priority=1, state=4, resolution="x", **about)
            for key in keys
        ],  # type: ignore[arg-type]
        "campaign_messages": [campaign_message_pb2.CampaignMessage(source_key=key, **planned, **about) for key in keys],
    }.items():
        outcomes = await found.batches.upsert(name, records)
        if refused := next((one for one in outcomes if one.error_message), None):
            raise RuntimeError(f"{name}: {refused.error_field} {refused.error_message}")
    await asyncio.sleep(8)  # until the facts are on the timeline
    request: Any = customer_merge_service_pb2.MergeCustomersRequest(request_id=new_id(), survivor_id=survivor, loser_id=loser)
    lines, merge = [], None
    for name, names in (("merged", loser), ("undone", survivor)):
        count = sum([await found.database(one)[place].count_documents({"customer_id": loser if name == "merged" else survivor})
                     for one, places in COLLECTIONS.items() for place in places])  # fmt: skip
        begun = time.perf_counter()
        if merge is None:
            merge = (await found.batches.call("customer", _MERGES, "MergeCustomers", request)).customer_merge
        else:
            request = customer_merge_service_pb2.UnmergeCustomerRequest(request_id=new_id(), customer_merge_id=merge.id)
            await found.batches.call("customer", _MERGES, "UnmergeCustomer", request)
        while any(
            [
                await found.database(one)["customer_aliases"].count_documents({"undone": name == "undone", "sweeps": {"$gt": 0}}) == 0
                for one in COLLECTIONS
            ]
        ):
            await asyncio.sleep(0.05)
        spent = time.perf_counter() - begun
        left = sum([await found.database(one)[place].count_documents({"customer_id": names} if name == "merged" else {"customer_alias": loser})
                    for one, places in COLLECTIONS.items() for place in places])  # fmt: skip
        lines.append(f"{name}: {count:,} records in {len(COLLECTIONS)} departments followed in {spent:.1f} s, {left} left (wanted ≤ 5 s)")
    return lines


async def main(folder: Path) -> None:
    """Start, measure, say."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = by_heart()
    async with stand(folder / "stand", ("customer", "sales", "marketing", "support")) as found:
        lines += await sweep(found)
        lines += await cost(found)
    say("\n".join(lines))
    (folder / "aliases.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
