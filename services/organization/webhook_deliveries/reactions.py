"""Every department's facts become deliveries, one for each endpoint that wants them, in one commit with the mark of what was heard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from chassis.messaging.envelope import Event
from chassis.messaging.reactions import Reaction
from chassis.rpc.call import Call
from chassis.storage.records import Document
from services.organization.webhook_deliveries import model
from services.organization.webhook_deliveries.store import WebhookDeliveries
from services.organization.webhook_endpoints.store import WebhookEndpoints


def reactions(endpoints: WebhookEndpoints, deliveries: WebhookDeliveries, departments: Iterable[str]) -> list[Reaction]:
    """The consumers of webhooks: one for each department, of all its facts."""

    async def take(call: Call, events: Sequence[Event]) -> None:
        wanting = await endpoints.wanting(call, {event.type for event in events})
        for event in events:
            for endpoint in wanting:
                # What happened before an endpoint was made is none of its business: a new installation hears everything anew.
                if event.type in endpoint["event_types"] and event.time >= endpoint["create_time"]:
                    deliveries.take(call, model.delivery_of(_told(event), endpoint["_id"], call.now))

    return [Reaction("webhooks", department, (), take, (deliveries.resource,)) for department in departments]


def _told(event: Event) -> Document:
    """What of a fact goes out: neither the record nor its label."""
    return {
        "event_id": event.id, "event_type": event.type, "event_time": event.time, "record_type": event.aggregate,
        "record_id": event.aggregate_id, "record_version": event.version, "customer_id": event.customer_id,
    }  # fmt: skip
