"""What can be done with a person beside the standard verbs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from crm.organization.v1 import person_events_pb2 as events

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import from_source
from chassis.rpc.call import Call
from chassis.rpc.noun import references
from chassis.rpc.remote import first_of
from services.organization.departments.store import Departments
from services.organization.people import model
from services.organization.people.passwords import hash_password
from services.organization.people.store import People
from services.organization.roles.store import Roles

Document = dict[str, Any]


async def deactivate(people: People, call: Call, *, person_id: str, version: int | None = None) -> Document:
    """The person has left: sessions end, login is closed."""
    before = await people.get(call, person_id, "update")
    people.checked_version(before, version)
    return people.change(call, before, model.left(before), events.PersonLeft)


async def reactivate(people: People, call: Call, *, person_id: str, version: int | None = None) -> Document:
    """The person is back."""
    before = await people.get(call, person_id, "update")
    people.checked_version(before, version)
    return people.change(call, before, model.returned(before), events.PersonReturned)


async def set_password(people: People, call: Call, *, person_id: str, password: str, version: int | None = None) -> Document:
    """Set a password; every session of the person ends."""
    before = await people.get(call, person_id, "password")
    people.checked_version(before, version)
    model.check_password(password, before)
    people.set_password_hash(call, before, await hash_password(password))
    people.end_sessions(call, person_id)
    return people.change(call, before, {}, events.PersonPasswordSet, action="password")


async def set_absence(
    people: People, call: Call, *, person_id: str, deputy_id: str | None = None, absence_start_time: datetime | None = None,
    absence_end_time: datetime | None = None, version: int | None = None,
) -> Document:  # fmt: skip
    """Say when a person is away and who stands in, or that they are back."""
    before = await people.get(call, person_id, "absence")
    people.checked_version(before, version)
    if deputy_id:
        people.set_owner(call, {}, deputy_id, field="deputy_id")
    values = model.absent(before, deputy_id, absence_start_time, absence_end_time, call.now)
    return people.change(call, before, values, events.PersonAbsenceSet, action="absence")


async def place(people: People, departments: Departments, roles: Roles, call: Call, batch: list[Document]) -> list[CrmError | None]:
    """For a batch: home department, team, manager and roles must exist; who gives roles must be allowed to."""
    _, refusals = await references(call, batch, departments, "home_department_id")
    _, teams = await references(call, batch, departments, "home_team_id")
    inside = {from_source(people.resource, document["source_key"]) for document in batch if document.get("source_key")}
    _, managers = await references(call, batch, people, "manager_id")
    managers = [None if document.get("manager_id") in inside else found for document, found in zip(batch, managers, strict=True)]
    return first_of(refusals, teams, managers, await _roles(people, roles, call, batch))


async def _roles(people: People, roles: Roles, call: Call, batch: list[Document]) -> list[CrmError | None]:
    wanted = {identity for document in batch for identity in document.get("role_definition_ids", [])}
    known = await roles.batch_get(call, wanted) if wanted else {}
    stored = await people.batch_get(call, [document["_id"] for document in batch if document.get("_id")], ["roles", "role_definition_ids"])
    may = call.directory.allows(call.caller, roles.resource, "assign")
    return [model.role_refusal(document, stored.get(document.get("_id", "")), known, may) for document in batch]
