"""What a department's stream holds."""

from __future__ import annotations

from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from chassis.messaging.broker import stream_name


async def held(context: JetStreamContext, owner: str) -> set[str]:
    """Ids of everything in it."""
    name = stream_name(owner)
    info = await context.add_consumer(name, ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE))
    subscription = await context.pull_subscribe_bind(info.name, name)
    found: set[str] = set()
    count = 0
    while count < (info.num_pending or 0):
        messages = await subscription.fetch(500, timeout=5)
        count += len(messages)
        found |= {(message.headers or {})["ce-id"] for message in messages}
    await subscription.unsubscribe()
    return found
