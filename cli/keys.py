"""`xietong keys rotate`: a new signing key, at once. `xietong keys rotate-master`: a new master key of personal data, from the next start."""

from __future__ import annotations

from crm.common.v1 import access_service_pb2

from chassis.access.link import SERVICE
from cli.batches import Batches
from cli.installation import Installation
from cli.plan import Plan, new_master
from cli.words import say


async def rotate(plan: Plan) -> None:
    """Announce a new key and say which ones are published now."""
    batches = Batches(plan)
    try:
        answer = await batches.call("organization", SERVICE, "RotateSigningKey", access_service_pb2.RotateSigningKeyRequest())
    finally:
        await batches.close()
    say(f"  a new key signs tokens in ten seconds; {len(answer.keys)} keys are published: {', '.join(key.kid for key in answer.keys)}")


def rotate_master(installation: Installation) -> None:
    """Put a new master key before those of each department. Refused while the installation runs: its processes would not know the key."""
    with installation.lock():
        masters = {name: f"{new_master()},{keys}" for name, keys in installation.kept["masters"].items()}
        installation.kept["masters"] = masters
        installation.save()
    say(
        "  at the next start each department wraps its keys anew; the log then says «keys rewrapped», and the older master keys may be taken out"
    )
