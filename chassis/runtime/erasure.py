"""The order to erase a customer, as every department obeys it: the key of its personal data is destroyed here too."""

from __future__ import annotations

from collections.abc import Sequence

from chassis.messaging.envelope import Event
from chassis.messaging.reactions import Reaction
from chassis.rpc.call import Call
from chassis.storage.encryption import VAULT

SOURCE = "customer"


async def obey(call: Call, events: Sequence[Event]) -> None:
    """The reaction: destroying twice is destroying once."""
    for event in events:
        call.vault.destroy(call.changes, event.aggregate_id)


def reaction() -> Reaction:
    """What every department does but the customer department, which destroys its key with the order itself."""
    return Reaction("erasure", SOURCE, ("CustomerErasure",), obey, (VAULT,))
