"""Moving people, units and customers moves what follows from it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from tests.e2e.test_people_leave import known, people
from tests.support.checks import mask
from tests.support.installation import Installation


async def code_of(action: Any) -> tuple[str, str]:
    try:
        await action
    except CrmError as refusal:
        return refusal.code, refusal.field
    return "", ""


async def deal(crm: Installation, customer: str, owner: str) -> str:
    pipeline = await crm.ask("CreatePipeline", name=f"管道 {new_id()}", stages=[{"key": "first", "name": "第一", "probability": 10}])
    made = await crm.ask("CreateOpportunity", customer_id=customer, name="商机", pipeline_id=pipeline.pipeline.id, owner_id=owner)
    return str(made.opportunity.id)


async def owner_of(crm: Installation, opportunity: str) -> str:
    return str((await crm.ask("GetOpportunity", opportunity_id=opportunity)).opportunity.owner_id)


async def test_what_somebody_owns_comes_with_them_into_another_team(crm: Installation) -> None:
    mover, other = await people(crm, "mover", "other", role="SALES_REP")
    rows = [{"source_key": new_id(), "name": f"随行 {n}", "kind": 1, "owner_id": mover} for n in range(103)]
    customer = (await crm.ask("BatchUpsertCustomers", customers=rows)).outcomes[0].id
    await crm.ask("CreateContact", customer_id=customer, name="联系人")
    moves, stays = await deal(crm, customer, mover), await deal(crm, customer, other)
    version = (await crm.ask("GetPerson", person_id=mover)).person.version
    await crm.ask(
        "UpdatePerson", person_id=mover, version=version, update_mask=mask("home_department_id", "home_team_id"),
        home_department_id=crm.units["other"], home_team_id=crm.units["other-team"],
    )  # fmt: skip
    place = {"department_id": crm.units["other"], "team_id": crm.units["other-team"]}
    customers, sales = crm.suite["customer"].database, crm.suite["sales"].database

    async def followed() -> bool:
        return await customers["customers"].count_documents({"owner_id": mover, **place}) == 103

    await crm.until(followed)
    await crm.settled()
    assert await customers["contacts"].count_documents({"customer_id": customer, **place}) == 1
    assert await sales["opportunities"].count_documents({"_id": moves, **place}) == 1
    assert await sales["opportunities"].count_documents({"_id": stays, "team_id": crm.units["sales-team"]}) == 1
    versions = {row["_id"]: row["version"] async for row in customers["customers"].find({"owner_id": mover}, {"version": 1})}
    assert set(versions.values()) == {2}
    await crm.ask("UpdatePerson", person_id=mover, version=version + 1, update_mask=mask("phone"), phone="+86 138 0000 0000")
    await crm.settled()
    assert {row["version"] async for row in customers["customers"].find({"owner_id": mover}, {"version": 1})} == {2}, "nothing moves twice"


@pytest.mark.parametrize("along", [True, False])
async def test_a_customer_is_given_with_a_reason_and_by_choice_with_its_open_work(crm: Installation, along: bool) -> None:
    former, owner, third = await people(crm, "former", "owner", "third", role="SALES_REP")
    customer = (await crm.ask("CreateCustomer", kind=1, name="移交", owner_id=former)).customer.id
    elsewhere = (await crm.ask("CreateCustomer", kind=1, name="别处", owner_id=former)).customer.id
    work, closed, others, beside = await asyncio.gather(
        deal(crm, customer, former), deal(crm, customer, former), deal(crm, customer, third), deal(crm, elsewhere, former)
    )
    await crm.ask("LoseOpportunity", opportunity_id=closed, reason="lost")
    ticket = (await crm.ask("CreateTicket", role="COORDINATOR", subject="坏了", channel=1, customer_id=customer, owner_id=former)).ticket.id
    await crm.ask("AssignCustomer", customer_id=customer, owner_id=owner, reason="new region", move_open_work=along)
    await crm.settled()
    found = {name: await owner_of(crm, one) for name, one in (("work", work), ("closed", closed), ("others", others), ("beside", beside))}
    assert found == {"work": owner if along else former, "closed": former, "others": third, "beside": former}
    assert (await crm.ask("GetTicket", ticket_id=ticket)).ticket.owner_id == (owner if along else former)
    rows = await crm.suite["customer"].database["audit_entries"].find({"record_id": customer}).to_list()
    assert [row["reason"] for row in rows if row["action"] in ("CustomerAssigned", "CustomerHandedOver")] == ["new region"]
    members = await crm.suite["customer"].database["timeline_entries"].find({"customer_id": customer}).to_list()
    assert {row.get("owner_id") for row in members} == {owner}, "what hangs on the customer follows its owner"


async def unit(crm: Installation, name: str, parent: str = "", kind: int = 4) -> str:
    made = await crm.ask("CreateDepartment", name=f"{name} {new_id()[-6:]}", kind=kind, **({"parent_id": parent} if parent else {}))
    return str(made.department.id)


async def move(crm: Installation, identity: str, parent: str, role: str = "cli") -> Any:
    version = (await crm.ask("GetDepartment", department_id=identity)).department.version
    given = {"parent_id": parent} if parent else {}
    return await crm.ask("UpdateDepartment", role=role, department_id=identity, version=version, update_mask=mask("parent_id"), **given)


async def above(crm: Installation, identity: str) -> list[str]:
    return list((await crm.ask("GetDepartment", department_id=identity)).department.ancestor_ids)


async def test_a_unit_moves_with_what_stands_below_it(crm: Installation) -> None:
    first, second = await unit(crm, "甲", kind=3), await unit(crm, "乙", kind=3)
    department = await unit(crm, "部", first)
    team = await unit(crm, "组", department, kind=5)
    inner = await unit(crm, "小组", team, kind=5)
    await move(crm, department, second)
    assert [await above(crm, one) for one in (department, team, inner)] == [[second], [second, department], [second, department, team]]
    await known(crm, lambda directory: set(directory.below.get(second, ())) == {department, team, inner} and not directory.below.get(first))
    assert await code_of(move(crm, department, inner)) == ("DEPARTMENT_CYCLE", "parent_id")
    assert await code_of(move(crm, department, department)) == ("DEPARTMENT_CYCLE", "parent_id")
    assert await code_of(move(crm, first, team)) == ("INVALID_ARGUMENT", "parent_id"), "a company below a team"
    await move(crm, department, "")
    assert [await above(crm, one) for one in (department, inner)] == [[], [department, team]]


async def test_two_moves_at_once_make_no_circle(crm: Installation) -> None:
    one, two = await unit(crm, "一"), await unit(crm, "二")
    codes = await asyncio.gather(code_of(move(crm, one, two)), code_of(move(crm, two, one)))
    assert ("", "") in codes
    lines = [await above(crm, one), await above(crm, two)]
    assert sorted(map(len, lines)) == [0, 1], (codes, lines)


async def test_a_tree_grows_no_deeper_by_moving(crm: Installation) -> None:
    line = [await unit(crm, "深")]
    for _ in range(6):
        line.append(await unit(crm, "深", line[-1]))
    other = [await unit(crm, "高")]
    for _ in range(5):
        other.append(await unit(crm, "高", other[-1]))
    assert await code_of(move(crm, other[0], line[-1])) == ("DEPARTMENT_TOO_DEEP", "parent_id")
    await move(crm, other[1], line[-1])
    assert len(await above(crm, other[-1])) == 11


async def test_an_import_moves_a_unit_as_a_command_does(crm: Installation) -> None:
    first, second, key = await unit(crm, "甲", kind=3), await unit(crm, "乙", kind=3), new_id()
    row = {"source_key": key, "name": "进口部", "kind": 4, "parent_id": first}
    department = (await crm.ask("BatchUpsertDepartments", departments=[row])).outcomes[0].id
    team = await unit(crm, "组", department, kind=5)
    assert (await crm.ask("BatchUpsertDepartments", departments=[{**row, "parent_id": second}])).outcomes[0].error_code == ""
    assert await above(crm, team) == [second, department]
    outcome = (await crm.ask("BatchUpsertDepartments", departments=[{**row, "parent_id": team}])).outcomes[0]
    assert (outcome.error_code, outcome.error_field) == ("DEPARTMENT_CYCLE", "parent_id")


async def role(crm: Installation, key: str, **lines: int) -> str:
    """Somebody with a role of the company's own; the lines are resource__action = scope."""
    permissions = [{"resource": name.split("__")[0], "action": name.split("__")[1], "scope": scope} for name, scope in lines.items()]
    made = (await crm.ask("CreateRoleDefinition", name=f"{key} {new_id()}", permissions=permissions)).role_definition.id
    await known(crm, lambda directory: any(name == made for name, _, _ in directory.grants))
    person = await crm.person(key, "FIELD_ENGINEER")
    version = (await crm.ask("GetPerson", person_id=person)).person.version
    await crm.ask("UpdatePerson", person_id=person, version=version, update_mask=mask("role_definition_ids"), role_definition_ids=[made])
    await known(crm, lambda directory: made in directory.members[person].roles)
    return person


async def test_whoever_may_change_people_moves_nobody_to_where_they_reach_more(crm: Installation) -> None:
    me = await role(
        crm, f"clerk {new_id()[-6:]}", people__update=5, people__read=5, people__import=5, departments__update=5, departments__read=5
    )
    key = next(name for name, person in crm.people.items() if person == me)
    (other,) = await people(crm, "somebody")
    for person in (me, other):
        version = (await crm.ask("GetPerson", person_id=person)).person.version
        for field, value in (
            ("home_team_id", crm.units["other-team"]), ("home_department_id", crm.units["other"]), ("manager_id", crm.people["SALES_LEAD"]),
            ("roles", [5]), ("role_definition_ids", []),
        ):  # fmt: skip
            if field == "role_definition_ids" and person == other:
                continue
            asked = crm.ask("UpdatePerson", role=key, person_id=person, version=version, update_mask=mask(field), **{field: value})
            assert await code_of(asked) == ("NOT_ALLOWED", field), (person, field)
        asked = crm.ask("UpdatePerson", role=key, person_id=person, version=version, update_mask=mask("skills"), skills=["all"])
        assert await code_of(asked) == (("NOT_ALLOWED", "skills") if person == me else ("", ""))
    version = (await crm.ask("GetPerson", person_id=me)).person.version
    await crm.ask("UpdatePerson", role=key, person_id=me, version=version, update_mask=mask("name", "phone"), name="新名", phone="110")
    assert await code_of(move(crm, crm.units["other"], crm.units["sales"], role=key)) == ("NOT_ALLOWED", "parent_id")
    (gone,) = await people(crm, "gone")
    assert await code_of(crm.ask("DeactivatePerson", role=key, person_id=gone, successor_id=me)) == ("NOT_ALLOWED", "")
    await crm.ask("DeactivatePerson", role=key, person_id=gone)
    assert await code_of(crm.ask("ReactivatePerson", role=key, person_id=gone)) == ("NOT_ALLOWED", "")


async def test_an_import_moves_nobody_either(crm: Installation) -> None:
    me = await role(crm, f"importer {new_id()[-6:]}", people__import=5, people__read=5)
    key, row_key = next(name for name, person in crm.people.items() if person == me), new_id()
    row = {"source_key": row_key, "name": "入", "email": f"{row_key}@example.com", "roles": [1], "home_department_id": crm.units["sales"]}
    identity = (await crm.ask("BatchUpsertPeople", people=[row])).outcomes[0].id
    for change, field in (
        ({"home_department_id": crm.units["other"]}, "home_department_id"), ({"home_team_id": crm.units["other-team"]}, "home_team_id"),
        ({"manager_id": me}, "manager_id"), ({"roles": [6]}, "roles"), ({"email": f"x{row_key}@example.com"}, "email"), ({"state": 2}, "state"),
        ({"deputy_id": me}, "deputy_id"), ({"successor_id": me}, "successor_id"),
    ):  # fmt: skip
        outcome = (await crm.ask("BatchUpsertPeople", role=key, people=[{**row, **change}])).outcomes[0]
        assert (outcome.result, outcome.error_field) == (4, field), change
    outcome = (await crm.ask("BatchUpsertPeople", role=key, people=[{**row, "name": "改名"}])).outcomes[0]
    assert (outcome.result, list(outcome.changed_fields)) == (3 - 1, ["name"])
    assert (await crm.ask("GetPerson", person_id=identity)).person.name == "改名"
