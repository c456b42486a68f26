"""People and departments over gRPC: every verb once, its refusals, imports."""

from __future__ import annotations

from typing import Any

from tests.support.checks import mask, refused
from tests.support.installation import Installation

PEOPLE, UNITS = "organization.people", "organization.departments"


def values(crm: Installation, email: str, **more: Any) -> dict[str, Any]:
    return {"name": "李雷", "email": email, "roles": [1], "home_department_id": crm.units["sales"], **more}


async def test_a_person_is_created_changed_and_read(crm: Installation) -> None:
    made = (await crm.ask("CreatePerson", role="ADMINISTRATOR", **values(crm, "P.One@Example.com", skills=["network"]))).person
    assert (made.email, made.state, made.version, list(made.roles)) == ("p.one@example.com", 1, 1, [1])
    changed = (
        await crm.ask(
            "UpdatePerson",
            role="ADMINISTRATOR",
            person_id=made.id,
            version=1,
            update_mask=mask("post", "roles"),
            post="经理",
            roles=[1, 2, 1],
        )
    ).person
    assert (changed.post, list(changed.roles), changed.version, changed.updater_id) == ("经理", [1, 2], 2, crm.people["ADMINISTRATOR"])
    assert (await crm.ask("GetPerson", role="SALES_REP", person_id=made.id)).person == changed
    batch = await crm.ask("BatchGetPeople", role="SALES_REP", ids=[made.id, "nobody"])
    assert ([one.id for one in batch.people], list(batch.missing_ids)) == ([made.id], ["nobody"])
    assert made.id in [one.id for one in (await crm.ask("ListPeople", role="SALES_REP", page_size=100, order_by=2)).people]


async def test_the_day_of_a_person_is_known_in_every_department(crm: Installation) -> None:
    far = (await crm.ask("CreatePerson", **values(crm, "p.far@example.com", time_zone="Pacific/Kiritimati"))).person
    near = (await crm.ask("CreatePerson", **values(crm, "p.near@example.com", time_zone="Pacific/Pago_Pago"))).person

    def days() -> set[str]:
        call = crm.suite["sales"].own_call("test")
        return {call.today_of(one.id).isoformat() for one in (far, near)}

    # 25 hours apart they are never on one day; one day apart or two.
    await crm.until(lambda: len(days()) == 2)


async def test_a_person_that_cannot_be_is_refused(crm: Installation) -> None:
    taken = (await crm.ask("CreatePerson", **values(crm, "p.two@example.com"))).person
    for more, code, field in (
        ({"email": "P.TWO@example.com"}, "EMAIL_TAKEN", "email"),
        ({"email": "p.three@example.com", "home_department_id": "nowhere"}, "REFERENCE_NOT_FOUND", "home_department_id"),
        ({"email": "p.three@example.com", "home_team_id": "nowhere"}, "REFERENCE_NOT_FOUND", "home_team_id"),
        ({"email": "p.three@example.com", "home_team_id": crm.units["other-team"]}, "TEAM_OF_ANOTHER_DEPARTMENT", "home_team_id"),
        ({"email": "p.three@example.com", "manager_id": "nobody"}, "REFERENCE_NOT_FOUND", "manager_id"),
        ({"email": "no address"}, "INVALID_ARGUMENT", "email"),
        ({"email": "p.three@example.com", "roles": []}, "INVALID_ARGUMENT", "roles"),
        ({"email": "p.three@example.com", "name": ""}, "INVALID_ARGUMENT", "name"),
    ):
        await refused(crm, PEOPLE, crm.ask("CreatePerson", role="ADMINISTRATOR", **{**values(crm, ""), **more}), code, field=field)
    for role in ("SALES_REP", "COORDINATOR", "MARKETER"):
        await refused(crm, PEOPLE, crm.ask("CreatePerson", role=role, **values(crm, "p.four@example.com")), "NOT_ALLOWED")
    await refused(
        crm,
        PEOPLE,
        crm.ask("UpdatePerson", person_id=taken.id, version=9, update_mask=mask("post"), post="x"),
        "VERSION_CONFLICT",
        record_id=taken.id,
    )
    await refused(
        crm, PEOPLE, crm.ask("UpdatePerson", person_id=taken.id, version=1, update_mask=mask("manager_id"), manager_id=taken.id),
        "INVALID_ARGUMENT", field="manager_id", record_id=taken.id,
    )  # fmt: skip


async def test_a_manager_made_a_moment_ago_is_known(crm: Installation) -> None:
    boss = (await crm.ask("CreatePerson", **values(crm, "p.boss@example.com"))).person
    assert (await crm.ask("CreatePerson", **values(crm, "p.minion@example.com", manager_id=boss.id))).person.manager_id == boss.id


async def test_leaving_and_returning_once_each(crm: Installation) -> None:
    made = (await crm.ask("CreatePerson", **values(crm, "p.five@example.com"))).person
    await refused(crm, PEOPLE, crm.ask("ReactivatePerson", person_id=made.id), "WRONG_STATE", record_id=made.id)
    assert (await crm.ask("DeactivatePerson", person_id=made.id, version=1)).person.state == 2
    await refused(crm, PEOPLE, crm.ask("DeactivatePerson", person_id=made.id), "WRONG_STATE", record_id=made.id)
    await refused(crm, PEOPLE, crm.ask("ReactivatePerson", person_id=made.id, version=1), "VERSION_CONFLICT", record_id=made.id)
    assert (await crm.ask("ReactivatePerson", person_id=made.id)).person.state == 1


async def test_a_password_is_set_by_oneself_or_the_administrator_and_stored_nowhere(crm: Installation) -> None:
    made = (await crm.ask("CreatePerson", **values(crm, "p.six@example.com"))).person
    for role in ("SALES_LEAD", "COORDINATOR"):
        await refused(
            crm,
            PEOPLE,
            crm.ask("SetPassword", role=role, person_id=made.id, password="four words of mine"),
            "NOT_ALLOWED",
            record_id=made.id,
        )
    for password in ("passwordpassword", "aaaaaaaaaaaaa"):
        await refused(
            crm,
            PEOPLE,
            crm.ask("SetPassword", role="ADMINISTRATOR", person_id=made.id, password=password),
            "PASSWORD_TOO_COMMON",
            record_id=made.id,
        )
    answer = await crm.ask("SetPassword", role="ADMINISTRATOR", person_id=made.id, password="four secret words here")
    assert "secret words" not in str(answer)
    database = crm.suite["organization"].database
    for name in await database.list_collection_names():
        async for row in database[name].find({}):
            assert "four secret words here" not in str(row), name


async def test_a_password_has_twelve_characters_as_the_contract_says(crm: Installation) -> None:
    made = (await crm.ask("CreatePerson", **values(crm, "p.nine@example.com"))).person
    await refused(
        crm, PEOPLE, crm.ask("SetPassword", role="ADMINISTRATOR", person_id=made.id, password="abcd"), "INVALID_ARGUMENT", field="password",
        record_id=made.id,
    )  # fmt: skip


async def test_people_are_imported_once_and_wrong_rows_named(crm: Installation) -> None:
    rows = [
        {"source_key": "hr:1", **values(crm, "hr.1@example.com")},
        {"source_key": "hr:2", **values(crm, "hr.1@example.com")},
        {"source_key": "hr:3", **values(crm, "hr.3@example.com", home_department_id="nowhere")},
        {"source_key": "hr:4", "name": "x", "email": "hr.4@example.com", "home_department_id": crm.units["sales"]},
    ]
    outcome = [(one.result, one.error_code, one.error_field) for one in (await crm.ask("BatchUpsertPeople", people=rows)).outcomes]
    assert outcome == [
        (1, "", ""),
        (4, "EMAIL_TAKEN", "email"),
        (4, "REFERENCE_NOT_FOUND", "home_department_id"),
        (4, "INVALID_ARGUMENT", "roles"),
    ]
    again = await crm.ask("BatchUpsertPeople", people=rows[:1])
    assert [one.result for one in again.outcomes] == [3]


async def test_units_stand_in_a_tree(crm: Installation) -> None:
    top = (await crm.ask("CreateDepartment", role="ADMINISTRATOR", name="集团", kind=1)).department
    unit = (await crm.ask("CreateDepartment", name="部", kind=4, parent_id=top.id)).department
    team = (await crm.ask("CreateDepartment", name="组", kind=5, parent_id=unit.id)).department
    assert list(team.ancestor_ids) == [top.id, unit.id]
    await refused(crm, UNITS, crm.ask("CreateDepartment", name="x", kind=4, parent_id=team.id), "INVALID_ARGUMENT", field="kind")
    await refused(crm, UNITS, crm.ask("CreateDepartment", name="x", kind=4, parent_id="nowhere"), "REFERENCE_NOT_FOUND", field="parent_id")
    await refused(crm, UNITS, crm.ask("CreateDepartment", role="COORDINATOR", name="x", kind=4), "NOT_ALLOWED")
    await refused(crm, UNITS, crm.ask("ArchiveDepartment", department_id=unit.id), "DEPARTMENT_IN_USE", record_id=unit.id)
    renamed = (await crm.ask("UpdateDepartment", department_id=unit.id, version=1, update_mask=mask("name"), name="新部")).department
    assert (renamed.name, list(renamed.ancestor_ids), renamed.version) == ("新部", [top.id], 2)
    assert (await crm.ask("ArchiveDepartment", department_id=team.id)).department.HasField("archive_time")
    await refused(crm, UNITS, crm.ask("ArchiveDepartment", department_id=team.id), "ARCHIVED", record_id=team.id)
    await refused(
        crm,
        UNITS,
        crm.ask("UpdateDepartment", department_id=team.id, version=2, update_mask=mask("name"), name="y"),
        "ARCHIVED",
        record_id=team.id,
    )
    listed = [one.id for one in (await crm.ask("ListDepartments", role="SALES_REP", page_size=100, order_by=2)).departments]
    assert unit.id in listed
    assert team.id not in listed
    assert not (await crm.ask("RestoreDepartment", department_id=team.id)).department.HasField("archive_time")
    assert (await crm.ask("GetDepartment", department_id=team.id)).department.version == 3
    assert list((await crm.ask("BatchGetDepartments", ids=[team.id, "x"])).missing_ids) == ["x"]


async def test_a_unit_with_active_people_stays_in_use(crm: Installation) -> None:
    unit = (await crm.ask("CreateDepartment", name="满员", kind=4)).department
    person = (await crm.ask("CreatePerson", **values(crm, "p.seven@example.com", home_department_id=unit.id))).person
    await refused(crm, UNITS, crm.ask("ArchiveDepartment", department_id=unit.id), "DEPARTMENT_IN_USE", record_id=unit.id)
    await crm.ask("DeactivatePerson", person_id=person.id)
    await crm.ask("ArchiveDepartment", department_id=unit.id)


async def test_nobody_is_placed_in_an_archived_unit(crm: Installation) -> None:
    unit = (await crm.ask("CreateDepartment", name="关闭", kind=4)).department
    await crm.ask("ArchiveDepartment", department_id=unit.id)
    await refused(crm, PEOPLE, crm.ask("CreatePerson", **values(crm, "p.eight@example.com", home_department_id=unit.id)), "ARCHIVED")


async def test_the_lead_of_a_unit_must_exist(crm: Installation) -> None:
    await refused(crm, UNITS, crm.ask("CreateDepartment", name="x", kind=4, lead_id="nobody"), "REFERENCE_NOT_FOUND", field="lead_id")


async def test_units_are_imported_children_before_nobody(crm: Installation) -> None:
    from chassis.kernel.ids import from_source

    parent = from_source("departments", "hr:u1")
    rows = [{"source_key": "hr:u1", "name": "甲", "kind": 4}, {"source_key": "hr:u2", "name": "乙", "kind": 5, "parent_id": parent}]
    assert [one.result for one in (await crm.ask("BatchUpsertDepartments", departments=rows, validate_only=True)).outcomes] == [1, 1]
    assert list((await crm.ask("BatchGetDepartments", ids=[parent])).missing_ids) == [parent]
    assert [one.result for one in (await crm.ask("BatchUpsertDepartments", departments=rows)).outcomes] == [1, 1]
    child = (await crm.ask("GetDepartment", department_id=from_source("departments", "hr:u2"))).department
    assert list(child.ancestor_ids) == [parent]
    assert [one.result for one in (await crm.ask("BatchUpsertDepartments", departments=rows)).outcomes] == [3, 3]
