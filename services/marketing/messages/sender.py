"""The worker that sends: in the order of due times, each message judged anew at its turn. What cannot be done now is set aside for itself,
what is away for all holds all, with growing pauses."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from crm.marketing.v1 import campaign_events_pb2
from crm.marketing.v1 import campaign_message_events_pb2 as events

from chassis.kernel.errors import NotAllowed
from chassis.rpc.call import Call
from chassis.rpc.errors import Unavailable
from services.marketing.campaigns import model as campaign_model
from services.marketing.campaigns.store import Campaigns
from services.marketing.messages import model
from services.marketing.messages.asked import BATCH, Addressees, Departments
from services.marketing.messages.audience import OwnCall, each
from services.marketing.messages.mail import Mail, Mailer, PutOff, Refused, ServerAway
from services.marketing.messages.store import Messages
from services.marketing.messages.unsubscribing import WayOut

log = logging.getLogger("crm.marketing")
Document = dict[str, Any]
PAUSE_SECONDS = 0.5
FRESH_SECONDS = 0.25
# While the mail server or a department that must be asked is away.
HOLD_SECONDS = 0.5
LONGEST_HOLD_SECONDS = 60.0
# So long a server that goes away at one message may be at fault itself.
SUSPECT_SECONDS = 600.0
_FACTS = {"SENT": events.CampaignMessageSent, "FAILED": events.CampaignMessageFailed, "PLANNED": events.CampaignMessageDeferred}
SERVER, DEPARTMENTS = "mail server", "departments"


class Hold:
    """How long nothing is sent, and why: twice as long each time that it is still so."""

    def __init__(self) -> None:
        self.why = self._who = ""
        self._seconds = self._until = 0.0

    @property
    def on(self) -> bool:
        """Whether it holds now."""
        return time.monotonic() < self._until

    def begin(self, who: str, why: str) -> None:
        """Hold once more, for somebody who is away."""
        self.why, self._who, self._seconds = why, who, min(max(self._seconds * 2, HOLD_SECONDS), LONGEST_HOLD_SECONDS)
        self._until = time.monotonic() + self._seconds
        log.warning("mails wait", extra={"for": who, "reason": why[:200], "seconds": self._seconds})

    def end(self, who: str) -> None:
        """Somebody has answered; if it was for them that we waited, it goes on."""
        if who == self._who:
            self.why, self._who, self._seconds, self._until = "", "", 0.0, 0.0


class Sender:
    """Sends the planned messages of running campaigns, drops those of campaigns that are over, and ends a campaign with its last message."""

    def __init__(
        self, campaigns: Campaigns, messages: Messages, departments: Departments, mailer: Mailer, way_out: WayOut, own_call: OwnCall
    ) -> None:
        self.campaigns, self.messages, self.departments = campaigns, messages, departments
        self.mailer, self.way_out, self.own_call = mailer, way_out, own_call
        self.hold, self.sent = Hold(), 0
        # Messages at which the server went away, with how many it had taken by then and when it first did. They come last: it may be them
        # that it cannot stand.
        self._suspects: dict[str, tuple[int, float]] = {}
        # Messages with which something of ours went wrong: it must neither hold up the others nor be mailed again twice a second.
        self._failing: dict[str, Hold] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            call, busy = self.own_call("send"), False
            waiting = await self.messages.campaigns_waiting(call)
            for campaign_id in waiting:
                busy |= await each(campaign_id, self.serve(campaign_id))
            for campaign_id in set(await self.campaigns.running(call)) - set(waiting):
                await each(campaign_id, self.finish(campaign_id))
            await asyncio.sleep(0.01 if busy else PAUSE_SECONDS)

    async def serve(self, campaign_id: str) -> bool:
        """The next messages of one campaign, by its state; whether any was dealt with."""
        call = self.own_call("send")
        campaign = await self.campaigns.get(call, campaign_id)
        if campaign["state"] in ("CANCELLED", "COMPLETED"):
            return await self._drop(campaign)
        if campaign["state"] != "RUNNING" or campaign["channel"] not in campaign_model.SENDERS:
            return False
        due = [] if self.hold.on else await self._due(call, campaign_id)
        try:
            dealt = await self._deal(call, campaign, due)
        except NotAllowed as refusal:  # a department of the last build that does not know yet what we ask
            await self.campaigns.say_waiting(call, campaign, refusal.message)
            raise
        await self.campaigns.say_waiting(call, campaign, self.hold.why)
        return dealt

    async def _due(self, call: Call, campaign_id: str) -> list[Document]:
        """The next messages whose time has come, those last that made trouble before."""
        held = {identity for identity, hold in self._failing.items() if hold.on}
        found = await self.messages.waiting(call, campaign_id, BATCH + len(held))
        due = [message for message in found if message["_id"] not in held]
        return sorted(due, key=lambda message: message["_id"] in self._suspects or message["_id"] in self._failing)[:BATCH]

    async def finish(self, campaign_id: str) -> bool:
        """End a running campaign that has nothing to send any more."""
        call = self.own_call("send")
        before = await self.campaigns.get(call, campaign_id)
        if before["state"] == "RUNNING" and not await self.messages.any_waiting(call, campaign_id):
            self.campaigns.change(call, before, campaign_model.done(before), campaign_events_pb2.CampaignCompleted)
            await call.changes.commit()
        return False

    async def _deal(self, call: Call, campaign: Document, due: list[Document]) -> bool:
        found: Addressees | None = None
        asked = 0.0
        for index, message in enumerate(due):
            if found is None or time.monotonic() - asked > FRESH_SECONDS:  # a slow mail server must not make an old answer count
                try:
                    found = await self.departments.addressees(campaign, due[index:])
                except Unavailable as away:  # nobody is told whom we might have to leave in peace
                    self.hold.begin(DEPARTMENTS, away.message)
                    return False
                asked = time.monotonic()
                self.hold.end(DEPARTMENTS)
            # A pause or a cancellation holds from its answer on, not from the next batch on.
            if await self.campaigns.state_of(call, campaign["_id"]) != "RUNNING":
                return False
            try:
                await self._send(campaign, message, found)
            except Exception as error:
                self._failing.setdefault(message["_id"], Hold()).begin(f"message {message['_id']}", str(error))
                raise  # nothing more is handed over before it is known that outcomes can be written
            self._failing.pop(message["_id"], None)
            if self.hold.on:
                return False
        return bool(due)

    async def _send(self, campaign: Document, message: Document, found: Addressees) -> None:
        """One mail, to the address that the contact has now."""
        call = self.own_call("send")
        contact = found.contacts.get(message.get("contact_id", ""), {})
        present = {name: contact[one] for name, one in (("address", "email"), ("contact_name", "name")) if contact.get(one)}
        reason = found.unwanted(message) or await self._barred(call, message, present["address"], found)
        if reason:
            self.messages.change(call, message, model.dropped(message, *reason), events.CampaignMessageDropped)
            self._suspects.pop(message["_id"], None)
        else:
            now = {**message, **present}
            changes = await self._try(campaign, now, call)
            if changes is None:
                return
            told = {"mailed_key": self.messages.key(call, now["address"])}
            self.messages.change(call, message, {**present, **changes, **told}, _FACTS[changes.get("state", "PLANNED")])
        await call.changes.commit()

    async def _barred(self, call: Call, message: Document, address: str, found: Addressees) -> tuple[str, str] | None:
        """Why an address gets no mail: (reason, words)."""
        key = self.messages.key(call, address)
        if suppression := await self.messages.suppression(call, key):
            return model.suppressed(suppression)
        if model.address_key(address) in found.opted_out:
            return model.SHARED_OPT_OUT
        return model.SAME_ADDRESS if await self.messages.is_taken(call, message, key) else None

    async def _try(self, campaign: Document, message: Document, call: Call) -> Document | None:
        """What came of handing it over, as changes; None when the server was away, which is nobody's attempt."""
        way_out, identity = self.way_out.address(message["_id"]), message["_id"]
        subject, text = model.subject_of(campaign, message), model.text_of(campaign, message, way_out)
        try:
            await self.mailer.send(Mail(identity, model.deliverable(message["address"]), subject, text, way_out, call.now))
        except ServerAway as away:
            self.hold.begin(SERVER, str(away))
            return model.put_off(message, str(away), call.now) if away.begun and self._is_poison(identity) else None
        except PutOff as later:
            changes = model.put_off(message, str(later), call.now)
        except Refused as never:
            changes = model.failed(message, str(never), bounced=never.bounced)
        else:
            self.sent += 1
            changes = model.sent(message, call.now)
        self.hold.end(SERVER)
        self._suspects.pop(identity, None)
        return changes

    def _is_poison(self, identity: str) -> bool:
        """Whether the server went away at this message before, and took others in between, or has done so for long: then it is no fault of
        the server alone."""
        taken, first = self._suspects.get(identity, (self.sent, time.monotonic()))
        self._suspects[identity] = self.sent, first
        return self.sent > taken or time.monotonic() - first > SUSPECT_SECONDS

    async def _drop(self, campaign: Document) -> bool:
        call = self.own_call("send")
        waiting = await self.messages.waiting(call, campaign["_id"], BATCH, all_of_them=True)
        for message in waiting:
            self.messages.change(call, message, model.over(message, campaign), events.CampaignMessageDropped)
            self._suspects.pop(message["_id"], None)
        await call.changes.commit()
        return bool(waiting)
