"""What can be done with a campaign beside the standard verbs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from crm.marketing.v1 import campaign_events_pb2 as events

from chassis.rpc.call import Call
from chassis.runtime.timers import Timer
from services.marketing.campaigns import model
from services.marketing.campaigns.store import Campaigns

Document = dict[str, Any]


async def _load(campaigns: Campaigns, call: Call, campaign_id: str, version: int | None) -> Document:
    before = await campaigns.get(call, campaign_id, "update")
    campaigns.checked_version(before, version)
    return before


async def launch(campaigns: Campaigns, call: Call, *, campaign_id: str, version: int | None = None) -> Document:
    """Start: the audience is collected by a worker, then messages go out."""
    before = await _load(campaigns, call, campaign_id, version)
    changes = model.launched(before)
    if not before.get("start_time") or before["state"] == "SCHEDULED":
        changes["start_time"] = call.now
    return campaigns.change(call, before, changes, events.CampaignLaunched)


async def schedule(campaigns: Campaigns, call: Call, *, campaign_id: str, start_time: datetime, version: int | None = None) -> Document:
    """Have it launch by itself."""
    before = await _load(campaigns, call, campaign_id, version)
    return campaigns.change(call, before, model.scheduled(before, start_time, call.now), events.CampaignScheduled)


async def unschedule(campaigns: Campaigns, call: Call, *, campaign_id: str, version: int | None = None) -> Document:
    """Make it a draft again."""
    before = await _load(campaigns, call, campaign_id, version)
    return campaigns.change(call, before, model.moved(before, "DRAFT"), events.CampaignUnscheduled)


def launching(campaigns: Campaigns) -> Timer:
    """Launches scheduled campaigns at their start."""

    async def launch_due(call: Call, campaign: Document) -> None:
        campaigns.change(call, campaign, model.launched(campaign), events.CampaignLaunched)

    return Timer("launch", campaigns, "start_time", {"state": "SCHEDULED"}, launch_due)


async def pause(campaigns: Campaigns, call: Call, *, campaign_id: str, reason: str, version: int | None = None) -> Document:
    """Hold back further messages."""
    before = await _load(campaigns, call, campaign_id, version)
    return campaigns.change(call, before, model.moved(before, "PAUSED", reason), events.CampaignPaused)


async def resume(campaigns: Campaigns, call: Call, *, campaign_id: str, version: int | None = None) -> Document:
    """Let messages go out again."""
    before = await _load(campaigns, call, campaign_id, version)
    return campaigns.change(call, before, model.resumed(before), events.CampaignResumed)


async def complete(
    campaigns: Campaigns, call: Call, *, campaign_id: str, reason: str | None = None, version: int | None = None
) -> Document:
    """End it."""
    before = await _load(campaigns, call, campaign_id, version)
    return campaigns.change(call, before, model.moved(before, "COMPLETED", reason), events.CampaignCompleted)


async def cancel(campaigns: Campaigns, call: Call, *, campaign_id: str, reason: str, version: int | None = None) -> Document:
    """Call it off; a worker drops the planned messages."""
    before = await _load(campaigns, call, campaign_id, version)
    return campaigns.change(call, before, model.moved(before, "CANCELLED", reason), events.CampaignCancelled)


async def record_cost(
    campaigns: Campaigns, call: Call, *, campaign_id: str, amount: Document, reason: str, version: int | None = None
) -> Document:
    """Add a cost, or take one back; the reason stands in the audit."""
    before = await _load(campaigns, call, campaign_id, version)
    call.changes.reason = reason
    return campaigns.change(call, before, model.with_cost(before, amount), events.CampaignCostRecorded)
