"""A contact who unsubscribes from a campaign, or reports a mail of it as spam, wants no promotion from anybody."""

from __future__ import annotations

from collections.abc import Sequence

from crm.customer.v1 import contact_events_pb2

from chassis.messaging.envelope import Event
from chassis.messaging.reactions import Reaction
from chassis.rpc.call import Call
from services.customer.contacts.store import Contacts

_NO_MORE = ("CampaignMessageUnsubscribed", "CampaignMessageComplained")


def reactions(contacts: Contacts) -> list[Reaction]:
    """The consumer of unsubscriptions."""

    async def leave_in_peace(call: Call, events: Sequence[Event]) -> None:
        ids = {event.record.get("contact_id", "") for event in events if event.name in _NO_MORE}
        for contact in (await contacts.batch_get(call, ids)).values():
            if not contact.get("do_not_contact"):
                contacts.change(call, contact, {"do_not_contact": True}, contact_events_pb2.ContactUpdated)

    return [Reaction("contacts", "marketing", ("CampaignMessage",), leave_in_peace, (contacts.resource,))]
