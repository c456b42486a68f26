"""The worker that collects the audiences of launched campaigns. What fails for one campaign holds up no other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from crm.marketing.v1 import campaign_events_pb2
from crm.marketing.v1 import campaign_message_events_pb2 as events

from chassis.kernel.errors import CrmError
from chassis.observe import purpose
from chassis.rpc.call import Call
from services.marketing.campaigns import model as campaign_model
from services.marketing.campaigns.store import Campaigns
from services.marketing.messages import model
from services.marketing.messages.asked import Departments
from services.marketing.messages.store import Messages

log = logging.getLogger("crm.marketing")
Document = dict[str, Any]
OwnCall = Callable[[str], Call]
PAUSE_SECONDS = 0.5


async def each(campaign_id: str, work: Awaitable[bool]) -> bool:
    """One campaign's turn; what goes wrong is logged and tried again in the next round. Whether there was work."""
    purpose.begin(f"campaign {campaign_id}")
    try:
        return await work
    except (CrmError, OSError, TimeoutError) as error:
        log.info("campaign waits", extra={"campaign": campaign_id, "reason": str(error)[:200]})
    except Exception as error:  # one broken campaign must not stop the others
        log.error("campaign failed", extra={"campaign": campaign_id}, exc_info=error)
    return False


class Audience:
    """Collects the audience of launched campaigns: members of the segment, their contacts, one message each."""

    def __init__(self, campaigns: Campaigns, messages: Messages, departments: Departments, own_call: OwnCall) -> None:
        self.campaigns, self.messages, self.departments, self.own_call = campaigns, messages, departments, own_call

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            async for campaign in self.campaigns.preparing(self.own_call("audience")):
                await each(campaign["_id"], self.collect(campaign))
            await asyncio.sleep(PAUSE_SECONDS)

    async def collect(self, campaign: Document) -> bool:
        """Plan every message, page by page, then start the campaign. Killed in between, it goes on where the ids are new."""
        if not await self.departments.is_built(campaign["segment_id"]):
            return False
        token = ""
        while True:
            customer_ids, token = await self.departments.members(campaign["segment_id"], token)
            if customer_ids:
                await self._plan(campaign, customer_ids)
            if not token:
                break
        call = self.own_call("audience")
        before = await self.campaigns.get(call, campaign["_id"])
        if before["state"] == "PREPARING":
            self.campaigns.change(call, before, campaign_model.moved(before, "RUNNING"), campaign_events_pb2.CampaignStarted)
            await call.changes.commit()
        return True

    async def _plan(self, campaign: Document, customer_ids: list[str]) -> None:
        found = await self.departments.contacts_of(customer_ids)
        contacts = [contact for contact in found if contact.email and not contact.do_not_contact]
        ids = {self.messages.id_of(campaign["_id"], contact.id): contact for contact in contacts}
        call = self.own_call("audience")
        stored = await self.messages.existing(call, list(ids))
        for identity, contact in ids.items():
            if identity not in stored:
                values = model.planned(campaign, contact, call.now)
                self.messages.create(call, values, events.CampaignMessageCreated, record_id=identity, owner_of=campaign)
        await call.changes.commit()
