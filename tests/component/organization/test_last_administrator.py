"""The last one who can administer stays, in whatever way somebody would take that away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from tests.support.checks import mask
from tests.support.installation import PASSWORD, Installation
from tests.support.providers import RealProvider, register, through

ADMINISTRATOR, REP = 6, 1


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def real(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealProvider]:
    provider = await RealProvider().start(tmp_path_factory.mktemp("provider"))
    yield provider
    await provider.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def company(file_crm: Installation) -> Any:
    """An installation in which nobody can administer but those whom a test makes."""
    made: list[str] = []

    async def somebody(*, login: bool = True, **more: Any) -> str:
        values = {"name": "管", "email": f"{new_id()}@example.com", "roles": [ADMINISTRATOR], "home_department_id": file_crm.units["sales"]}
        person = str((await file_crm.ask("CreatePerson", **{**values, **more})).person.id)
        made.append(person)
        if login:
            await file_crm.ask("SetPassword", person_id=person, password=PASSWORD)
        if len(made) == 1:
            await file_crm.ask("DeactivatePerson", person_id=file_crm.people["ADMINISTRATOR"])
        return person

    yield somebody
    await file_crm.ask("ReactivatePerson", person_id=file_crm.people["ADMINISTRATOR"])
    await file_crm.ask("SetPassword", person_id=file_crm.people["ADMINISTRATOR"], password=PASSWORD)
    for person in made:
        if (await file_crm.ask("GetPerson", person_id=person)).person.state == 1:
            await file_crm.ask("DeactivatePerson", person_id=person)
    await file_crm.suite["organization"].database["credentials"].delete_one({"_id": file_crm.people["ADMINISTRATOR"]})


async def code_of(action: Any) -> str:
    try:
        await action
    except CrmError as refusal:
        return refusal.code
    return ""


async def update(crm: Installation, person: str, **values: Any) -> Any:
    version = (await crm.ask("GetPerson", person_id=person)).person.version
    return await crm.ask("UpdatePerson", person_id=person, version=version, update_mask=mask(*values), **values)


async def test_the_last_one_cannot_leave_nor_lose_the_role(file_crm: Installation, company: Any) -> None:
    crm, last = file_crm, await company()
    await crm.sign_in("last", last)
    assert await code_of(crm.ask("DeactivatePerson", role="last", person_id=last)) == "LAST_ADMINISTRATOR"
    assert await code_of(update(crm, last, roles=[REP])) == "LAST_ADMINISTRATOR"
    found = (await crm.ask("GetPerson", person_id=last)).person
    assert (found.state, list(found.roles)) == (1, [ADMINISTRATOR])
    row = {
        "source_key": new_id(),
        "name": "x",
        "email": f"{new_id()}@example.com",
        "roles": [REP],
        "home_department_id": crm.units["sales"],
    }
    await update(crm, last, roles=[ADMINISTRATOR, REP])  # who keeps the role may get others
    other = await company()
    await crm.ask("DeactivatePerson", person_id=last)
    assert await code_of(crm.ask("DeactivatePerson", person_id=other)) == "LAST_ADMINISTRATOR"
    await crm.ask("BatchUpsertPeople", people=[row])


async def test_one_who_cannot_sign_in_is_no_other(file_crm: Installation, company: Any) -> None:
    last, _ = await company(), await company(login=False)
    assert await code_of(file_crm.ask("DeactivatePerson", person_id=last)) == "LAST_ADMINISTRATOR"


async def test_an_import_does_not_take_the_role_of_the_last_one(file_crm: Installation, company: Any) -> None:
    crm, key = file_crm, new_id()
    other = await company()
    row = {
        "source_key": key,
        "name": "入",
        "email": f"{key}@example.com",
        "roles": [ADMINISTRATOR],
        "home_department_id": crm.units["sales"],
    }
    person = (await crm.ask("BatchUpsertPeople", people=[row])).outcomes[0].id
    await crm.ask("SetPassword", person_id=person, password=PASSWORD)
    await crm.ask("DeactivatePerson", person_id=other)
    assert await code_of(crm.ask("BatchUpsertPeople", people=[{**row, "roles": [REP]}])) == "LAST_ADMINISTRATOR"
    assert list((await crm.ask("GetPerson", person_id=person)).person.roles) == [ADMINISTRATOR]
    await company()
    assert (await crm.ask("BatchUpsertPeople", people=[{**row, "roles": [REP]}])).outcomes[0].error_code == ""


async def test_the_role_itself_does_not_lose_what_the_last_one_needs(file_crm: Installation, company: Any) -> None:
    crm = file_crm
    await company()
    role = (await crm.ask("GetRoleDefinition", role_definition_id="role-administrator")).role_definition
    less = [line for line in role.permissions if (line.resource, line.action) != ("role_definitions", "assign")]
    asked = {"role_definition_id": role.id, "version": role.version, "update_mask": mask("permissions")}
    assert await code_of(crm.ask("UpdateRoleDefinition", **asked, permissions=less)) == "LAST_ADMINISTRATOR"
    narrow = [type(line).FromString(line.SerializeToString()) for line in role.permissions]
    next(line for line in narrow if (line.resource, line.action) == ("people", "update")).scope = 1
    assert await code_of(crm.ask("UpdateRoleDefinition", **asked, permissions=narrow)) == "LAST_ADMINISTRATOR"


async def test_a_role_of_the_companys_own_counts_as_the_shipped_one_does(file_crm: Installation, company: Any) -> None:
    crm = file_crm
    lines = [{"resource": "role_definitions", "action": "assign", "scope": 5}, {"resource": "people", "action": "update", "scope": 5}]
    role = (await crm.ask("CreateRoleDefinition", name=f"人事 {new_id()}", permissions=lines)).role_definition.id
    first = await company()
    await company(roles=[], role_definition_ids=[role])
    await crm.ask("DeactivatePerson", person_id=first)
    definition = (await crm.ask("GetRoleDefinition", role_definition_id=role)).role_definition
    asked = {"role_definition_id": role, "version": definition.version, "update_mask": mask("permissions")}
    assert await code_of(crm.ask("UpdateRoleDefinition", **asked, permissions=lines[:1])) == "LAST_ADMINISTRATOR"


async def test_a_provider_takes_no_role_from_the_last_one(file_crm: Installation, company: Any, real: RealProvider) -> None:
    crm, subject, email = file_crm, new_id(), f"{new_id()}@example.com"
    await crm.sign_in("ADMINISTRATOR", crm.people["ADMINISTRATOR"])
    record = await register(crm, real.issuer, role_grants=[{"group": "admins", "role": ADMINISTRATOR}])
    other, person = await company(), await company(login=False, roles=[REP], email=email)
    await real.knows(subject, email, "admins")
    await through(crm, real, record, subject)
    await crm.ask("DeactivatePerson", person_id=other)
    assert await code_of(crm.ask("ArchiveIdentityProvider", identity_provider_id=record.id)) == "LAST_ADMINISTRATOR"
    await real.knows(subject, email)  # the group is gone: signing in must go on, with the role
    opened = await through(crm, real, record, subject)
    assert [list(one.roles) for one in opened.person.provided_roles] == [[ADMINISTRATOR]]
    await company()
    assert list((await through(crm, real, record, subject)).person.provided_roles) == []
    assert person == opened.person.id


@pytest.mark.parametrize("turn", range(3))
async def test_of_two_who_leave_at_once_one_stays(file_crm: Installation, company: Any, turn: int) -> None:
    crm, first, second = file_crm, await company(), await company()
    other = update(crm, second, roles=[REP]) if turn == 2 else crm.ask("DeactivatePerson", person_id=second)
    codes = await asyncio.gather(code_of(crm.ask("DeactivatePerson", person_id=first)), code_of(other))
    assert sorted(codes) == ["", "LAST_ADMINISTRATOR"]
