"""What can be done with a customer beside the standard verbs."""

from __future__ import annotations

from typing import Any

from crm.customer.v1 import customer_events_pb2 as events

from chassis.kernel.errors import CrmError, NotAllowed, NotFound, WrongState
from chassis.kernel.ids import from_source
from chassis.rpc.call import Call
from services.customer.customers import model
from services.customer.customers.store import Customers

Document = dict[str, Any]


async def move_lifecycle(
    customers: Customers, call: Call, *, customer_id: str, lifecycle: str, reason: str, version: int | None = None
) -> Document:
    """Move to another stage of the relation."""
    before = await customers.get(call, customer_id, "update")
    customers.checked_version(before, version)
    customers.in_use(before)
    return customers.change(call, before, model.moved(before, lifecycle, reason), events.CustomerLifecycleMoved)


async def assign(
    customers: Customers, call: Call, *, customer_id: str, owner_id: str, reason: str = "", move_open_work: bool = False,
    version: int | None = None,
) -> Document:  # fmt: skip
    """Give to another active person; with `move_open_work` each department gives them what the owner of before has still to do for it."""
    before = await customers.get(call, customer_id, "assign")
    customers.checked_version(before, version)
    customers.in_use(before)
    owner: Document = {}
    customers.set_owner(call, owner, owner_id)
    call.changes.reason = reason
    former = before.get("owner_id", "")
    if move_open_work and former and former != owner_id:
        return customers.change(call, before, owner | {"former_owner_id": former}, events.CustomerHandedOver)
    return customers.change(call, before, owner, events.CustomerAssigned)


def permitted(customers: Customers, call: Call, before: Document, values: Document) -> None:
    """Who works with the customer is for those to say whose role reaches it: a guest would make their own access last."""
    named = values.get("collaborator_ids", before.get("collaborator_ids", []))
    if (named or []) == before.get("collaborator_ids", []) or call.caller.is_service:
        return
    if not any(ground.by_role(before) for ground in customers.reach(call, "update").grounds):
        raise NotAllowed("you see this customer by working with it; ask its owner to change who else does", field="collaborator_ids")


async def archive(customers: Customers, call: Call, *, customer_id: str, version: int | None = None) -> Document:
    """Take out of use; refused while customers stand below."""
    before = await customers.get(call, customer_id, "archive")
    customers.checked_version(before, version)
    customers.in_use(before)
    if await customers.has_below(call, customer_id):
        raise WrongState("other customers stand below this one; move or archive them first", code="CUSTOMER_IN_USE")
    return customers.change(call, before, {"archive_time": call.now}, events.CustomerArchived)


async def place(customers: Customers, call: Call, batch: list[Document]) -> list[CrmError | None]:
    """For a batch: parents must exist, stored or in the batch, and make no circle."""
    inside = {from_source(customers.resource, document["source_key"]): document for document in batch if document.get("source_key")}
    wanted = [document["parent_id"] for document in batch if document.get("parent_id")]
    stored = await customers.batch_get(call, wanted, ["parent_id"]) if wanted else {}
    while lost := [
        own for own, document in inside.items() if document.get("parent_id") and document["parent_id"] not in {*stored, *inside}
    ]:
        for own in lost:  # what is refused is no parent either
            del inside[own]
    refusals: list[CrmError | None] = []
    for document in batch:
        try:
            await _check_parent(customers, call, document, set(stored) | set(inside), inside)
            refusals.append(None)
        except CrmError as refusal:
            refusals.append(refusal)
    return refusals


async def _check_parent(customers: Customers, call: Call, document: Document, known: set[str], inside: dict[str, Document]) -> None:
    parent_id = document.get("parent_id")
    if not parent_id:
        return
    if parent_id not in known:
        raise NotFound(
            f"there is no customer «{parent_id}» that you may see; check parent_id",
            code="REFERENCE_NOT_FOUND",
            field="parent_id",
            params={"rule": "reference.absent", "id": parent_id},
        )
    own = document.get("_id") or (from_source(customers.resource, document["source_key"]) if document.get("source_key") else None)
    line: list[str] = []
    following: str | None = parent_id
    while following in inside and following not in line:
        line.append(following)
        following = inside[following].get("parent_id")
    if following and following not in line:
        line += await customers.line_above(call, following, model.DEEPEST)
    stored = document.get("_id")
    below = await customers.levels_below(call, stored, model.DEEPEST) if stored else 0
    model.check_line(own, line, below)
