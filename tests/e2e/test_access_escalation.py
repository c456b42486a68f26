"""Hunt: escalation, archived roles, shipped roles and their names, two replicas."""

from __future__ import annotations

import asyncio

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from gateway.graph.contract import from_global
from services.organization.roles import actions as role_actions
from services.organization.roles.store import Roles
from tests.e2e.test_access_roles import departments, holder, role
from tests.support.installation import PASSWORD, Installation


async def code(request: object) -> str:
    try:
        await request  # type: ignore[misc]
    except CrmError as error:
        return error.code
    return ""


def line(resource: str, action: str, scope: int = 5) -> dict[str, object]:
    return {"resource": resource, "action": action, "scope": scope}


async def test_update_of_ones_own_role(crm: Installation) -> None:
    found = await role(crm, f"升 {new_id()}", [("role_definitions", "read", "ALL"), ("role_definitions", "update", "ALL")], [])
    await holder(crm, "climber", found["id"])
    identity = from_global(found["id"])[1]
    got = await code(
        crm.ask(
            "UpdateRoleDefinition",
            role="climber",
            role_definition_id=identity,
            version=1,
            update_mask={"paths": ["permissions"]},
            permissions=[line("role_definitions", "assign"), line("people", "password"), line("customers", "read")],
        )
    )
    assert got == "NOT_ALLOWED", "somebody without «assign» gives their own role everything"


async def test_password_of_an_administrator(crm: Installation) -> None:
    victim = await crm.person("admin two", "ADMINISTRATOR")
    found = await role(crm, f"密 {new_id()}", [("people", "read", "ALL"), ("people", "password", "ALL")], [])
    await holder(crm, "locksmith", found["id"])
    got = await code(crm.ask("SetPassword", role="locksmith", person_id=victim, password="other four words here"))
    session = await code(
        crm.ask(
            "CreateSession",
            role="",
            email="admin.two@example.com",
            password="other four words here",
            new_password="zwölf gelbe Kraniche fliegen",
        )
    )
    assert (got, bool(session)) == ("NOT_ALLOWED", True), "who sets passwords becomes administrator"


async def test_absence_of_somebody_else(crm: Installation) -> None:
    found = await role(crm, f"代 {new_id()}", [("people", "read", "ALL"), ("people", "absence", "ALL")], [])
    me = await holder(crm, "usurper", found["id"])
    got = await code(crm.ask("SetAbsence", role="usurper", person_id=crm.people["COORDINATOR"], deputy_id=me))
    try:
        assert got == "NOT_ALLOWED", "who sets absences takes everybody's rights"
    finally:
        await crm.ask("SetAbsence", person_id=crm.people["COORDINATOR"])


async def test_person_with_an_archived_role_can_still_be_changed(crm: Installation) -> None:
    found = await role(crm, f"旧 {new_id()}", [("people", "read", "ALL")], [])
    person = await holder(crm, "old", found["id"])
    await crm.ask("DeactivatePerson", person_id=person)
    await crm.ask("ArchiveRoleDefinition", role_definition_id=from_global(found["id"])[1])
    await crm.ask("ReactivatePerson", person_id=person)
    now = (await crm.ask("BatchGetPeople", ids=[person])).people[0]
    got = await code(crm.ask("UpdatePerson", person_id=person, version=now.version, update_mask={"paths": ["post"]}, post="x"))
    assert got == "", got


async def test_name_of_a_shipped_role_taken(crm: Installation) -> None:
    """An own role has the name that the next build ships: nothing at all is delivered, and nobody is told."""
    department = crm.suite["organization"]
    table = department.database["role_definitions"]
    stored = await table.find_one({"_id": "role-field-engineer"})
    assert stored
    await table.delete_one({"_id": "role-field-engineer"})  # as with a build before it
    await table.update_one({"_id": "role-manager"}, {"$set": {"permissions": []}})  # an older delivery
    await role(crm, stored["name"], [("people", "read", "ALL")], [])
    await role_actions.deliver(Roles(), department.own_call)
    manager = await table.find_one({"_id": "role-manager"})
    renamed = await table.find_one({"_id": "role-field-engineer"})
    await table.delete_many({"name": stored["name"]})
    await table.update_one({"_id": "role-field-engineer"}, {"$set": {"name": stored["name"]}})
    assert manager
    assert manager["permissions"]
    assert renamed
    assert renamed["name"] == f"{stored['name']} (FIELD_ENGINEER)"


async def test_unknown_scope_of_a_newer_build(crm: Installation) -> None:
    department = crm.suite["organization"]
    table = department.database["role_definitions"]
    found = await role(crm, f"新 {new_id()}", [("people", "read", "ALL")], [("people", "phone", "HIDDEN")])
    identity = from_global(found["id"])[1]
    await table.update_one({"_id": identity}, {"$set": {"permissions.0.scope": "REGION"}})
    from services.organization.access import store

    try:
        await store.load(department.database, -1, owner_sees_all=True)
    finally:
        await table.delete_one({"_id": identity})


async def test_twenty_roles(crm: Installation) -> None:
    ids = [from_global((await role(crm, f"廿 {i} {new_id()}", [("people", "read", "ALL")], []))["id"])[1] for i in range(20)]
    made = await crm.ask(
        "CreatePerson",
        name="廿",
        email=f"{new_id()}@example.com",
        role_definition_ids=ids,
        home_department_id=crm.units["sales"],
        home_team_id=crm.units["sales-team"],
    )
    await crm.ask("SetPassword", person_id=made.person.id, password=PASSWORD)
    session = await crm.ask("CreateSession", role="", email=made.person.email, password=PASSWORD)
    crm.tokens["twenty"] = session.tokens.access_token
    await crm.until(lambda: all(made.person.id in d.authority.directory.members for _, d in departments(crm)), 5)
    await crm.ask("ListPeople", role="twenty")


async def test_two_replicas_deliver_at_once(crm: Installation) -> None:
    department = crm.suite["organization"]
    table = department.database["role_definitions"]
    await table.update_one({"_id": "role-marketer"}, {"$set": {"permissions": []}})
    await asyncio.gather(*(role_actions.deliver(Roles(), department.own_call) for _ in range(3)))
    row = await table.find_one({"_id": "role-marketer"})
    assert row and row["permissions"]
