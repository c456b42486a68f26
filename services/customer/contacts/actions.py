"""What contacts share with notes: they belong to a customer and follow its owner."""

from __future__ import annotations

from typing import Any

from chassis.kernel.errors import CrmError
from chassis.rpc.call import Call
from chassis.rpc.noun import references
from chassis.storage.records import OWNER_FIELDS
from services.customer.customers.store import Customers

Document = dict[str, Any]


async def inherit(customers: Customers, call: Call, batch: list[Document]) -> list[CrmError | None]:
    """For a batch: the customers must exist; their owners become the owners of what hangs on them.

    The customer is guarded: a change of owner at the same moment makes one of both run again.
    """
    found, refusals = await references(call, batch, customers, "customer_id")
    touched: set[str] = set()
    for document, refusal in zip(batch, refusals, strict=True):
        if refusal:
            continue
        customer = found[document["customer_id"]]
        document.update({name: customer[name] for name in OWNER_FIELDS if customer.get(name)})
        if customer["_id"] not in touched and not call.method.startswith("BatchUpsert"):
            touched.add(customer["_id"])
            call.changes.guard(customers.resource, {"_id": customer["_id"], "owner_id": customer.get("owner_id")})
    return refusals
