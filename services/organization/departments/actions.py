"""What can be done with a department beside the standard verbs."""

from __future__ import annotations

from typing import Any

from crm.organization.v1 import department_events_pb2 as events

from chassis.kernel.errors import Conflict, CrmError, NotFound, WrongState
from chassis.kernel.ids import from_source
from chassis.rpc.call import Call
from services.organization.departments.model import levels_below, move_refusal, placed_below
from services.organization.departments.store import Departments

Document = dict[str, Any]


async def archive(departments: Departments, call: Call, *, department_id: str, version: int | None = None) -> Document:
    """Take out of use; refused while active people or units stand below."""
    before = await departments.get(call, department_id, "archive")
    departments.checked_version(before, version)
    departments.in_use(before)
    if await departments.has_below(call, department_id):
        raise WrongState("active people or units stand below this department; move them first", code="DEPARTMENT_IN_USE")
    return departments.change(call, before, {"archive_time": call.now}, events.DepartmentArchived)


async def place(departments: Departments, call: Call, batch: list[Document]) -> list[CrmError | None]:
    """For a batch: find parents, stored or earlier in the batch, and set ancestors; what stands below a unit moves with it."""
    known = await departments.batch_get(call, [document["parent_id"] for document in batch if document.get("parent_id")])
    stored = await departments.batch_get(call, [document["_id"] for document in batch if document.get("_id")])
    may = call.directory.allows(call.caller, "role_definitions", "assign")
    refusals: list[CrmError | None] = []
    for document in batch:
        try:
            if refusal := move_refusal(document, stored.get(document.get("_id", "")), may):
                raise refusal
            await _place(departments, call, document, known, stored.get(document.get("_id", ""), {}))
            refusals.append(None)
        except CrmError as refusal:
            refusals.append(refusal)
    return refusals


async def _place(departments: Departments, call: Call, document: Document, known: dict[str, Document], before: Document) -> None:
    parent_id = document.get("parent_id", "")
    if parent_id and parent_id not in known:
        words, params = f"there is no department «{parent_id}»; check parent_id", {"rule": "reference.absent", "id": parent_id}
        raise NotFound(words, code="REFERENCE_NOT_FOUND", field="parent_id", params=params)
    if parent_id and known[parent_id].get("archive_time"):
        raise Conflict("the department above is archived; restore it first", code="ARCHIVED", field="parent_id", retryable=False)
    below = await departments.below(call, document["_id"]) if document.get("_id") else []
    document.update(placed_below(document, known.get(parent_id), levels_below(document.get("_id", ""), below)))
    if parent_id and "version" in known[parent_id] and document["ancestor_ids"] != before.get("ancestor_ids", []):
        # It must still be where it was when this commits: two moves at once make no circle.
        call.changes.guard(departments.resource, {"_id": parent_id, "ancestor_ids": known[parent_id].get("ancestor_ids", [])})
    if document.get("lead_id") and not await departments.is_person(call, document["lead_id"]):
        words, params = (
            f"there is no person «{document['lead_id']}»; check lead_id",
            {"rule": "reference.absent", "id": document["lead_id"]},
        )
        raise NotFound(words, code="REFERENCE_NOT_FOUND", field="lead_id", params=params)
    if document.get("source_key"):
        identity = from_source(departments.resource, document["source_key"])
        known[identity] = {**document, "_id": identity}
