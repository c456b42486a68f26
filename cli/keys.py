"""`xietong keys rotate`: a new signing key, at once."""

from __future__ import annotations

from crm.common.v1 import access_service_pb2

from chassis.access.link import SERVICE
from cli.batches import Batches
from cli.plan import Plan
from cli.words import say


async def rotate(plan: Plan) -> None:
    """Announce a new key and say which ones are published now."""
    batches = Batches(plan)
    try:
        answer = await batches.call("organization", SERVICE, "RotateSigningKey", access_service_pb2.RotateSigningKeyRequest())
    finally:
        await batches.close()
    say(f"  a new key signs tokens in ten seconds; {len(answer.keys)} keys are published: {', '.join(key.kid for key in answer.keys)}")
