"""Who works with a customer beside its owner: its collaborators, and whoever holds open work for it. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from chassis.rpc.contract import nouns

Document = dict[str, Any]


@cache
def open_states() -> Mapping[str, frozenset[str]]:
    """Resource → the states in which a record is work still to be done, as contracts declare them."""
    return {noun.resource: frozenset(noun.traits.work) for noun in nouns() if noun.traits.work}


@cache
def sources() -> Mapping[str, Mapping[str, str]]:
    """Department → its nouns whose records are work → their resource."""
    found: dict[str, dict[str, str]] = {}
    for noun in nouns():
        if noun.traits.work:
            found.setdefault(noun.department, {})[noun.name] = noun.resource
    return found


def work_of(resource: str, record: Document) -> Document | None:
    """The open work that a record of another department is; None when there is nothing to do, nobody to do it or no customer."""
    if record.get("archive_time") or record.get("state") not in open_states()[resource]:
        return None
    if not record.get("owner_id") or not record.get("customer_id"):
        return None
    return {"_id": record["_id"], "customer_id": record["customer_id"], "person_id": record["owner_id"], "resource": resource}


def begun(work: Document, before: Document | None, *, invited: bool) -> Document:
    """Open work with the mark of a guest's: what somebody gave who reaches the customer only by working with it opens nothing. The mark is
    set when the work gets its holder or its customer, and stays with them."""
    same = before is not None and all(before.get(name) == work[name] for name in ("person_id", "customer_id"))
    return work | {"by_guest": bool((before or {}).get("by_guest")) if same else invited}


def people_of(customer: Document | None, work: Iterable[Document], parts: Sequence[Document] = ()) -> list[str]:
    """Ids of the people, in order; the owner is not among them unless on another ground, and a guest by the invitation alone. Who worked with
    a customer that is part of this one works with this one: its collaborators, and its owner, as long as it is."""
    found = set[str]()
    if customer is not None and not customer.get("archive_time"):
        owners = {part["owner_id"] for part in parts if part.get("owner_id")} - {customer.get("owner_id")}
        found = owners.union(*(one.get("collaborator_ids", ()) for one in (customer, *parts)))
    return sorted(found | {row["person_id"] for row in work if not row.get("by_guest")})
