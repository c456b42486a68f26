"""What no read returns: the secrets by which deliveries are signed. They lie under the department's own key."""

from __future__ import annotations

from typing import Any

from pymongo import UpdateOne

from chassis.kernel.signatures import living, new_secret, rotated
from chassis.rpc.call import Call

SECRETS = "webhook_secrets"


async def renew(call: Call, endpoint_id: str, given: str = "") -> str:
    """A new secret, or the one given, stored with this commit; those before it are good for a while still."""
    secret = given or new_secret()
    row = await call.database[SECRETS].find_one({"_id": endpoint_id}) or {}
    fresh = {"sealed": call.vault.seal_own(secret, _place(endpoint_id))}
    kept = rotated(row.get("secrets", ()), fresh, call.now)
    call.changes.write(SECRETS, UpdateOne({"_id": endpoint_id}, {"$set": {"secrets": kept}}, upsert=True))
    return secret


async def secrets_of(call: Call, endpoint_id: str) -> list[str]:
    """The secrets that sign now, newest first."""
    row: dict[str, Any] = await call.database[SECRETS].find_one({"_id": endpoint_id}) or {}
    return [call.vault.open_own(one["sealed"], _place(endpoint_id)) for one in living(row.get("secrets", ()), call.now)]


def _place(endpoint_id: str) -> str:
    return f"webhook secret:{endpoint_id}"
