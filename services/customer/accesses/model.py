"""Who works with a customer beside its owner: its collaborators, and whoever holds open work for it. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Document = dict[str, Any]
# States in which work is still to be done.
OPEN = {
    "opportunities": frozenset(("OPEN",)),
    "orders": frozenset(("PLACED", "CONFIRMED")),
    "tickets": frozenset(("NEW", "OPEN", "PENDING")),
}


def work_of(resource: str, record: Document) -> Document | None:
    """The open work that a record of another department is; None when there is nothing to do, nobody to do it or no customer."""
    if record.get("archive_time") or record.get("state") not in OPEN[resource]:
        return None
    if not record.get("owner_id") or not record.get("customer_id"):
        return None
    return {"_id": record["_id"], "customer_id": record["customer_id"], "person_id": record["owner_id"], "resource": resource}


def people_of(customer: Document | None, work: Iterable[Document]) -> list[str]:
    """Ids of the people, in order; the owner is not among them unless on another ground."""
    found = set() if customer is None or customer.get("archive_time") else set(customer.get("collaborator_ids", []))
    return sorted(found | {row["person_id"] for row in work})
