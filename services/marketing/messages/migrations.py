"""What earlier builds stored of campaigns and messages, as this one means it: safe to repeat, beside the workers."""

from __future__ import annotations

from functools import partial
from typing import Any

from crm.marketing.v1 import campaign_events_pb2 as events
from pymongo import ASCENDING, UpdateOne
from pymongo.errors import OperationFailure

from chassis.kernel.errors import Conflict
from chassis.rpc.call import Call
from chassis.runtime.migrations import PAGE, Migration, OwnCall
from services.marketing.campaigns import model as campaign_model
from services.marketing.campaigns.store import Campaigns
from services.marketing.messages.model import suppresses
from services.marketing.messages.store import SUPPRESSIONS, Messages

Document = dict[str, Any]
_FACTS = {"DRAFT": events.CampaignUnscheduled, "COMPLETED": events.CampaignCompleted}
_NO_INDEX, _UNAUTHORIZED = 27, 13


def steps(campaigns: Campaigns, messages: Messages) -> list[Migration]:
    """The steps of marketing."""
    return [
        Migration("campaigns.without-sender", partial(_withdraw, campaigns)),
        Migration("campaigns.waiting", partial(_count, campaigns, messages)),
        Migration("campaign_messages.addresses", partial(_remember, messages)),
        Migration("campaign_messages.by_state", partial(_forget_index, messages)),
    ]


async def _withdraw(campaigns: Campaigns, own_call: OwnCall) -> int:
    """End what nothing sends, and take back schedules that could not be kept; the reason stands in the record."""
    query = {"state": {"$in": list(campaign_model.ACTIVE)}}
    changed = 0
    async for campaign in own_call("migrate").database[campaigns.resource].find(query).sort("_id", ASCENDING):
        changes = campaign_model.withdrawn(campaign)
        if not changes:
            continue
        call = own_call("migrate")
        campaigns.change(call, campaign, changes, _FACTS[changes["state"]])
        try:
            await call.changes.commit()
        except Conflict:  # somebody else went on with it; the next run looks again
            continue
        changed += 1
    return changed


async def _count(campaigns: Campaigns, messages: Messages, own_call: OwnCall) -> int:
    """Count the messages that wait or were dropped; in one transaction a campaign, so that no message moves in between."""
    database, changed = own_call("migrate").database, 0
    async for campaign in database[campaigns.resource].find({}, {"_id": 1}).sort("_id", ASCENDING):
        async with database.client.start_session() as session:

            async def recount(session: Any, identity: str = campaign["_id"]) -> int:
                states = {"waiting_count": "PLANNED", "dropped_count": "DROPPED"}
                stored = database[messages.resource]
                found = {
                    name: await stored.count_documents({"state": state, "campaign_id": identity}, session=session)
                    for name, state in states.items()
                }
                result = await database[campaigns.resource].update_one({"_id": identity}, {"$set": found}, session=session)
                return int(result.modified_count)

            changed += await session.with_transaction(recount)
    return changed


async def _remember(messages: Messages, own_call: OwnCall) -> int:
    """Keep by what addresses are compared; send nothing more to whom unsubscribed, and nothing again to whom a running campaign told."""
    database, after, changed = own_call("migrate").database, "", 0
    running = set(await database[messages.campaigns.resource].distinct("_id", {"state": {"$in": list(campaign_model.ACTIVE)}}))
    while True:
        call = own_call("migrate")
        rows = database[messages.resource].find({"_id": {"$gt": after}}).sort("_id", ASCENDING).limit(PAGE)
        page = await messages.opened(call, await rows.to_list())
        if not page:
            return changed
        told: set[tuple[str, str]] = set()
        for row in page:
            changed += await _one(messages, call, row, running, told)
        await call.changes.commit()
        after = page[-1]["_id"]


async def _one(messages: Messages, call: Call, row: Document, running: set[str], told: set[tuple[str, str]]) -> int:
    known = dict(row)
    messages.derive(call, known)
    key = known.get("address_key")
    if not key:
        return 0
    if reason := suppresses(None, row):
        values = {"reason": reason, "time": row.get("unsubscribed_time") or row["update_time"], "message_id": row["_id"]}
        call.changes.write(SUPPRESSIONS, UpdateOne({"_id": key}, {"$setOnInsert": values}, upsert=True))
    values = {} if "address_key" in row else {"address_key": key}
    campaign = row.get("campaign_id", "")
    if campaign in running and row["state"] not in ("PLANNED", "DROPPED") and "mailed_key" not in row:
        if (campaign, key) not in told and not await messages.is_taken(call, row, key):
            values["mailed_key"] = key
        told.add((campaign, key))
    if values:
        call.changes.write(messages.resource, UpdateOne({"_id": row["_id"]}, {"$set": values}))
    return bool(values)


async def _forget_index(messages: Messages, own_call: OwnCall) -> int:
    """Drop the index that the queue of earlier builds stood on."""
    try:
        await own_call("migrate").database[messages.resource].drop_index("by_state")
    except OperationFailure as error:
        if error.code not in (_NO_INDEX, _UNAUTHORIZED):  # where a department may make indexes and drop none, an idle one stays
            raise
        return 0
    return 1
