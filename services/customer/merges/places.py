"""What becomes in this department of rows that come to another customer with a merge or its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo import UpdateMany

from chassis.rpc.call import Call
from chassis.runtime.merging import Place
from chassis.storage.ownership import OWNER_FIELDS
from services.customer.accesses.store import WORK, Accesses

Document = dict[str, Any]
# What has its customer's owner for its own.
FOLLOWING = ("contacts", "notes", "timeline_entries", "customer_merges")


def places(accesses: Accesses) -> list[Place]:
    """The collections where more follows than the id."""

    async def renew(call: Call, collection: str, rows: Sequence[Document], counts: str) -> None:
        """Who holds open work works with the customer that it is for now, and no more with the one of before. Where work is folded anew nothing
        follows: what stands on it is reckoned when that is in place."""
        if collection != WORK:
            return
        moved: dict[str, Document | None] = {row["_id"]: {**row, "customer_id": counts} for row in rows}
        await accesses.renew(call, {counts, *(row["customer_id"] for row in rows)}, moved)

    return [*(Place(name, moved=_follow) for name in FOLLOWING), Place(WORK, moved=renew)]


async def _follow(call: Call, collection: str, rows: Sequence[Document], counts: str) -> None:
    """The rows have the owner of the customer that counts."""
    customer = await call.database["customers"].find_one({"_id": counts}, dict.fromkeys(OWNER_FIELDS, 1))
    if customer is None:
        return
    call.changes.guard("customers", {"_id": counts, **{name: customer.get(name) for name in OWNER_FIELDS}})
    kept = {name: customer[name] for name in OWNER_FIELDS if customer.get(name)}
    change = {"$set": kept, "$unset": {name: "" for name in OWNER_FIELDS if name not in kept}}
    found = {"_id": {"$in": [row["_id"] for row in rows]}, "customer_id": counts}
    call.changes.write(collection, UpdateMany(found, {name: values for name, values in change.items() if values}))
