"""The two workers of campaigns: one collects audiences, one sends. What fails for one campaign holds up no other."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from crm.customer.v1 import contact_service_pb2, segment_pb2, segment_service_pb2
from crm.marketing.v1 import campaign_events_pb2
from crm.marketing.v1 import campaign_message_events_pb2 as events

from chassis.access.link import OrganizationLink
from chassis.kernel.errors import CrmError
from chassis.observe import purpose
from chassis.rpc.call import Call
from chassis.rpc.channels import Channel
from services.marketing.campaigns import model as campaign_model
from services.marketing.campaigns.store import Campaigns
from services.marketing.messages import model
from services.marketing.messages.mail import Mailer, MailRefused
from services.marketing.messages.store import Messages

log = logging.getLogger("crm.marketing")
Document = dict[str, Any]
OwnCall = Callable[[str], Call]
PAUSE_SECONDS = 0.5
BATCH = 50
FRESH_SECONDS = 0.25
_SEGMENTS = segment_service_pb2.DESCRIPTOR.services_by_name["SegmentService"]
_CONTACTS = contact_service_pb2.DESCRIPTOR.services_by_name["ContactService"]


@dataclass
class CustomerDepartment:
    """What campaigns ask the customer department, with marketing's own token."""

    channel: Channel
    link: OrganizationLink

    async def members(self, segment_id: str, token: str) -> tuple[list[str], str]:
        """A page of customers in a segment, and the token of the next."""
        request = segment_service_pb2.BatchListSegmentMembersRequest(segment_ids=[segment_id], page_size=100, page_token=token)
        answer = await self.channel.call(_SEGMENTS, "BatchListSegmentMembers", request, token=await self.link.token())
        group = answer.groups[0]
        return [member.customer_id for member in group.segment_members], group.next_page_token

    async def is_built(self, segment_id: str) -> bool:
        """Whether the members of a segment are complete."""
        request = segment_service_pb2.GetSegmentRequest(segment_id=segment_id)
        answer = await self.channel.call(_SEGMENTS, "GetSegment", request, token=await self.link.token())
        return bool(answer.segment.state == segment_pb2.SEGMENT_STATE_READY)

    async def contacts_of(self, customer_ids: list[str]) -> list[Any]:
        """All contacts of customers; a customer with more than a page of them is asked again alone."""
        request = contact_service_pb2.BatchListContactsRequest(customer_ids=customer_ids, page_size=100)
        answer = await self.channel.call(_CONTACTS, "BatchListContacts", request, token=await self.link.token())
        found = [contact for group in answer.groups for contact in group.contacts]
        for group in answer.groups:
            token = group.next_page_token
            while token:
                more = contact_service_pb2.BatchListContactsRequest(customer_ids=[group.key], page_size=100, page_token=token)
                page = (await self.channel.call(_CONTACTS, "BatchListContacts", more, token=await self.link.token())).groups[0]
                found += page.contacts
                token = page.next_page_token
        return found

    async def contacts(self, ids: list[str]) -> dict[str, Any]:
        """Contacts by id, as they are now."""
        request = contact_service_pb2.BatchGetContactsRequest(ids=ids)
        answer = await self.channel.call(_CONTACTS, "BatchGetContacts", request, token=await self.link.token())
        return {contact.id: contact for contact in answer.contacts}


async def _each(campaign_id: str, work: Awaitable[bool]) -> bool:
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

    def __init__(self, campaigns: Campaigns, messages: Messages, customers: CustomerDepartment, own_call: OwnCall) -> None:
        self.campaigns, self.messages, self.customers, self.own_call = campaigns, messages, customers, own_call

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            async for campaign in self.campaigns.preparing(self.own_call("audience")):
                await _each(campaign["_id"], self.collect(campaign))
            await asyncio.sleep(PAUSE_SECONDS)

    async def collect(self, campaign: Document) -> bool:
        """Plan every message, page by page, then start the campaign. Killed in between, it goes on where the ids are new."""
        if not await self.customers.is_built(campaign["segment_id"]):
            return False
        token = ""
        while True:
            customer_ids, token = await self.customers.members(campaign["segment_id"], token)
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
        contacts = [found for found in await self.customers.contacts_of(customer_ids) if found.email and not found.do_not_contact]
        ids = {self.messages.id_of(campaign["_id"], contact.id): contact for contact in contacts}
        call = self.own_call("audience")
        stored = await self.messages.existing(call, list(ids))
        for identity, contact in ids.items():
            if identity not in stored:
                values = model.planned(campaign, contact, call.now)
                self.messages.create(call, values, events.CampaignMessageCreated, record_id=identity, owner_of=campaign)
        await call.changes.commit()


class Sender:
    """Sends the planned messages of running campaigns, drops those of campaigns that are over."""

    def __init__(self, campaigns: Campaigns, messages: Messages, customers: CustomerDepartment, mailer: Mailer, own_call: OwnCall) -> None:
        self.campaigns, self.messages, self.customers = campaigns, messages, customers
        self.mailer, self.own_call = mailer, own_call

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            busy = False
            for campaign_id in await self.messages.campaigns_waiting(self.own_call("send")):
                busy |= await _each(campaign_id, self.serve(campaign_id))
            await asyncio.sleep(0.01 if busy else PAUSE_SECONDS)

    async def serve(self, campaign_id: str) -> bool:
        """The next messages of one campaign, by its state; whether any left."""
        call = self.own_call("send")
        campaign = await self.campaigns.get(call, campaign_id)
        if campaign["state"] in ("CANCELLED", "COMPLETED"):
            return await self._drop(campaign_id)
        if campaign["state"] != "RUNNING" or campaign["channel"] != "EMAIL":
            return False
        waiting = await self.messages.waiting(call, campaign_id, BATCH)
        contacts: dict[str, Any] = {}
        asked = 0.0
        for index, message in enumerate(waiting):
            if time.monotonic() - asked > FRESH_SECONDS:  # a slow mail server must not make an old answer count
                contacts = await self.customers.contacts([late["contact_id"] for late in waiting[index:]])
                asked = time.monotonic()
            # A pause or a cancellation holds from its answer on, not from the next batch on.
            if await self.campaigns.state_of(call, campaign_id) != "RUNNING":
                return False
            await self._send(campaign, message, contacts.get(message["contact_id"]))
        return bool(waiting)

    async def _send(self, campaign: Document, message: Document, contact: Any) -> None:
        """One mail. Its Message-ID is the message's id: a mail server that gets it again after a crash can tell."""
        call = self.own_call("send")
        if contact is None or contact.do_not_contact or contact.HasField("archive_time") or not message.get("address"):
            self.messages.change(call, message, {"state": "DROPPED"}, events.CampaignMessageDropped)
        else:
            try:
                await self.mailer.send(message["_id"], message["address"], campaign["subject"], model.text_of(campaign, message))
            except MailRefused as refusal:
                self.messages.change(call, message, model.failed(message, str(refusal)), events.CampaignMessageFailed)
            else:
                self.messages.change(call, message, model.sent(message, call.now), events.CampaignMessageSent)
        await call.changes.commit()

    async def _drop(self, campaign_id: str) -> bool:
        call = self.own_call("send")
        waiting = await self.messages.waiting(call, campaign_id, BATCH)
        for message in waiting:
            self.messages.change(call, message, {"state": "DROPPED"}, events.CampaignMessageDropped)
        await call.changes.commit()
        return bool(waiting)
