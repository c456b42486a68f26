"""What can be done with a person beside the standard verbs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from crm.organization.v1 import person_events_pb2 as events

from chassis.kernel.errors import CrmError, Invalid, NotAllowed, WrongState
from chassis.kernel.ids import from_source
from chassis.rpc.call import Call
from chassis.rpc.noun import references
from chassis.rpc.remote import first_of
from services.organization.departments.store import Departments
from services.organization.people import credentials, factors, model, proof
from services.organization.people.passwords import hash_password
from services.organization.people.store import People
from services.organization.people.works import Works
from services.organization.roles.actions import may_give
from services.organization.roles.store import Roles
from services.organization.sessions.store import Sessions

Document = dict[str, Any]


def for_another(call: Call, person_id: str) -> None:
    """Refuse to act for somebody else without the right to give roles: it would be a way to theirs."""
    if person_id != call.caller.person_id:
        may_give(call)


async def deactivate(
    people: People, works: Works, call: Call, *, person_id: str, successor_id: str = "", version: int | None = None
) -> Document:
    """The person has left: sessions end, login is closed, and who comes after them gets what they own."""
    before = await people.get(call, person_id, "update")
    people.checked_version(before, version)
    changes = model.left(before)
    if successor_id:
        may_give(call)
        _must_take_over(people, call, person_id, successor_id)
    else:
        successor_id = call.directory.substitute(person_id, call.now)
    if not successor_id and (work := await works.held(person_id)):
        told = ", ".join(f"{count} {resource.replace('_', ' ')}" for resource, count in sorted(work.items()))
        raise WrongState(
            f"open work is in this person's name ({told}) and there is neither a manager nor a lead of the unit who would take it over; "
            "name a successor", code="OPEN_WORK", field="successor_id",
        )  # fmt: skip
    return people.change(call, before, changes | ({"successor_id": successor_id} if successor_id else {}), events.PersonLeft)


def _must_take_over(people: People, call: Call, person_id: str, successor_id: str) -> None:
    people.set_owner(call, {}, successor_id, field="successor_id")
    if successor_id == person_id:
        raise Invalid("nobody takes over from themselves; choose another successor", field="successor_id")


async def reactivate(people: People, call: Call, *, person_id: str, version: int | None = None) -> Document:
    """The person is back, with the roles and the place of before: that is a way to give them."""
    may_give(call)
    before = await people.get(call, person_id, "update")
    people.checked_version(before, version)
    return people.change(call, before, model.returned(before) | {"successor_id": None}, events.PersonReturned)


async def set_password(
    people: People, sessions: Sessions, call: Call, *, person_id: str, password: str, present_password: str = "", code: str = "", must_change: bool = False,
    version: int | None = None,
) -> Document:  # fmt: skip
    """Set a password; every session of the person ends."""
    for_another(call, person_id)
    before = await people.get(call, person_id, "password")
    people.checked_version(before, version)
    model.check_password(password, before)
    await proof.may_change(sessions, call, before, await credentials.of(call, person_id), present_password, code)
    # Whoever sets the password of another person knows it: that one is good for one sign-in, which must choose another.
    given = call.caller.person_id != person_id and not call.caller.is_service
    credentials.set_password(call, person_id, await hash_password(password), must_change=given or must_change)
    people.forget_failures(call, before)
    people.end_sessions(call, person_id)
    return people.change(call, before, {}, events.PersonPasswordSet, action="password")


async def hand_over(people: People, call: Call, *, person_id: str, successor_id: str, version: int | None = None) -> Document:
    """Everything that the person owns goes to the successor: told here, done by each department for its own records."""
    may_give(call)
    before = await people.get(call, person_id, "update")
    people.checked_version(before, version)
    _must_take_over(people, call, person_id, successor_id)
    return people.change(call, before, {"successor_id": successor_id}, events.PersonHandedOver)


async def enroll_factor(
    people: People, sessions: Sessions, call: Call, *, person_id: str, password: str, code: str = ""
) -> tuple[str, str, list[str]]:
    """Begin a second factor for oneself: (secret, uri, recovery codes). The password is asked for again, and a code of the factor that goes."""
    person = await people.get(call, person_id, "password")
    stored = await credentials.of(call, person_id)
    if person_id != call.caller.person_id or not await proof.is_password(sessions, call, person, stored, password):
        raise NotAllowed("everybody sets up their own second factor, with their own password; check both", code="SECOND_FACTOR_REFUSED")
    if not await proof.signed_in_lately(call, stored):
        await proof.must_have_code(sessions, call, stored, code)
    secret, codes = factors.new_secret(), factors.new_recovery_codes()
    credentials.begin_factor(call, person_id, secret, codes)
    return secret, factors.uri(secret, person["email"]), codes


async def confirm_factor(people: People, call: Call, *, person_id: str, code: str) -> Document:
    """Let the second factor count from now on."""
    before = await people.get(call, person_id, "password")
    stored = await credentials.of(call, person_id)
    pending = stored.get("pending_factor")
    if person_id != call.caller.person_id or not pending:
        raise WrongState("there is no second factor to confirm; begin one (personEnrollSecondFactor)", code="SECOND_FACTOR_REFUSED")
    step = factors.step_of(credentials.secret_of(call, stored, "pending_factor"), code, call.now)
    if step is None:
        raise Invalid("the code is wrong; check the authenticator and its clock", code="SECOND_FACTOR_REFUSED", field="code")
    credentials.confirm_factor(call, stored, step)
    return people.change(call, before, {}, events.PersonSecondFactorConfirmed, action="password")


async def remove_factor(
    people: People, sessions: Sessions, call: Call, *, person_id: str, present_password: str = "", code: str = ""
) -> Document:
    """Take the second factor away."""
    for_another(call, person_id)
    before = await people.get(call, person_id, "password")
    await proof.may_change(sessions, call, before, await credentials.of(call, person_id), present_password, code)
    credentials.remove_factor(call, person_id)
    return people.change(call, before, {}, events.PersonSecondFactorRemoved, action="password")


async def set_absence(
    people: People, call: Call, *, person_id: str, deputy_id: str | None = None, absence_start_time: datetime | None = None,
    absence_end_time: datetime | None = None, version: int | None = None,
) -> Document:  # fmt: skip
    """Say when a person is away and who stands in, or that they are back."""
    for_another(call, person_id)
    before = await people.get(call, person_id, "absence")
    people.checked_version(before, version)
    if deputy_id:
        people.set_owner(call, {}, deputy_id, field="deputy_id")
    values = model.absent(before, deputy_id, absence_start_time, absence_end_time, call.now)
    return people.change(call, before, values, events.PersonAbsenceSet, action="absence")


async def place(people: People, departments: Departments, roles: Roles, call: Call, batch: list[Document]) -> list[CrmError | None]:
    """For a batch: home department, team, manager and roles must exist; who gives roles must be allowed to."""
    _, refusals = await references(call, batch, departments, "home_department_id")
    units, teams = await references(call, batch, departments, "home_team_id")
    teams = first_of(teams, [model.team_refusal(document, units.get(document.get("home_team_id", ""))) for document in batch])
    inside = {from_source(people.resource, document["source_key"]) for document in batch if document.get("source_key")}
    _, managers = await references(call, batch, people, "manager_id")
    managers = [None if document.get("manager_id") in inside else found for document, found in zip(batch, managers, strict=True)]
    identities = [document["_id"] for document in batch if document.get("_id")]
    stored = await people.batch_get(call, identities) if identities else {}
    before = [stored.get(document.get("_id", ""), {}) for document in batch]
    commanded = [model.command_refusal(document, was) for document, was in zip(batch, before, strict=True)]
    may = call.directory.allows(call.caller, roles.resource, "assign")
    moved = [
        None if may else model.reach_refusal(document, was, call.caller.person_id) for document, was in zip(batch, before, strict=True)
    ]
    # Who may comes first: a reference that was kept is not held against a change, and must not stand before what is.
    return first_of(await role_refusals(roles, call, batch, stored), moved, commanded, refusals, teams, managers)


async def role_refusals(roles: Roles, call: Call, batch: list[Document], stored: Mapping[str, Document]) -> list[CrmError | None]:
    """For a batch: why these roles cannot be given by the caller; `stored` is what there was before, by id."""
    wanted = {identity for document in batch for identity in document.get("role_definition_ids", [])}
    known = await roles.batch_get(call, wanted) if wanted else {}
    may = call.directory.allows(call.caller, roles.resource, "assign")
    return [model.role_refusal(document, stored.get(document.get("_id", "")), known, may) for document in batch]
