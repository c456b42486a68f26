"""Sharing contracts over gRPC: every verb once, what cannot be agreed, and who may agree it."""

from __future__ import annotations

from typing import Any

from tests.support.checks import equals, mask, refused
from tests.support.installation import Installation

CONTRACTS = "organization.sharing_contracts"
START, END = {"seconds": 1_790_000_000}, {"seconds": 1_800_000_000}


def values(crm: Installation, **more: Any) -> dict[str, Any]:
    return {
        "display_name": "回访用", "provider_department_id": crm.units["other"], "consumer_department_id": crm.units["sales"], "resource": "customers",
        "fields": ["name", "phone"], "purpose": "老客户回访", "start_time": START, "end_time": END, **more,
    }  # fmt: skip


async def test_a_contract_lives_through_every_verb(crm: Installation) -> None:
    made = (await crm.ask("CreateSharingContract", role="ADMINISTRATOR", **values(crm, display_name=" 回访  用 "))).sharing_contract
    assert (made.display_name, made.version, list(made.fields), made.creator_id) == (
        "回访 用",
        1,
        ["name", "phone"],
        crm.people["ADMINISTRATOR"],
    )
    key = {"sharing_contract_id": made.id}
    changed = await crm.ask(
        "UpdateSharingContract",
        role="ADMINISTRATOR",
        version=1,
        update_mask=mask("fields", "purpose"),
        fields=["name"],
        purpose="续约",
        **key,
    )
    assert (list(changed.sharing_contract.fields), changed.sharing_contract.purpose, changed.sharing_contract.version) == (
        ["name"],
        "续约",
        2,
    )
    assert (await crm.ask("GetSharingContract", role="COORDINATOR", **key)).sharing_contract == changed.sharing_contract
    found = await crm.ask("ListSharingContracts", role="SALES_LEAD", filter=equals("resource", "customers"), order_by=3)
    assert made.id in [one.id for one in found.sharing_contracts]
    archived = (await crm.ask("ArchiveSharingContract", role="ADMINISTRATOR", **key)).sharing_contract
    assert archived.HasField("archive_time")
    await refused(
        crm,
        CONTRACTS,
        crm.ask("UpdateSharingContract", version=3, update_mask=mask("purpose"), purpose="x", **key),
        "ARCHIVED",
        record_id=made.id,
    )
    assert not (await crm.ask("RestoreSharingContract", role="ADMINISTRATOR", **key)).sharing_contract.HasField("archive_time")
    await crm.ask("ArchiveSharingContract", role="ADMINISTRATOR", **key)
    entries = await crm.suite["organization"].database["audit_entries"].find({"record_id": made.id}).sort("version", 1).to_list()
    assert [entry["action"] for entry in entries] == [
        f"SharingContract{done}" for done in ("Created", "Updated", "Archived", "Restored", "Archived")
    ]
    assert entries[1]["changed"] == {"fields": [["name", "phone"], ["name"]], "purpose": ["老客户回访", "续约"]}


async def test_what_cannot_be_agreed_is_refused(crm: Installation) -> None:
    gone = (await crm.ask("CreateDepartment", name="撤销部", kind=4)).department
    await crm.ask("ArchiveDepartment", department_id=gone.id)
    for more, code, field in (
        ({"display_name": "  "}, "INVALID_ARGUMENT", "display_name"),
        ({"display_name": ""}, "INVALID_ARGUMENT", "display_name"),
        ({"purpose": ""}, "INVALID_ARGUMENT", "purpose"),
        ({"purpose": "\n"}, "INVALID_ARGUMENT", "purpose"),
        ({"purpose": "x" * 201}, "INVALID_ARGUMENT", "purpose"),
        ({"provider_department_id": ""}, "INVALID_ARGUMENT", "provider_department_id"),
        ({"provider_department_id": "nowhere"}, "REFERENCE_NOT_FOUND", "provider_department_id"),
        ({"provider_department_id": gone.id}, "ARCHIVED", "provider_department_id"),
        ({"provider_department_id": crm.units["other-team"]}, "INVALID_ARGUMENT", "provider_department_id"),
        ({"consumer_department_id": "nowhere"}, "REFERENCE_NOT_FOUND", "consumer_department_id"),
        ({"consumer_department_id": crm.units["other"]}, "INVALID_ARGUMENT", "consumer_department_id"),
        ({"resource": "moons"}, "SHARING_UNKNOWN", "resource"),
        ({"resource": "products"}, "SHARING_UNKNOWN", "resource"),
        ({"resource": "people"}, "SHARING_UNKNOWN", "resource"),
        ({"fields": []}, "INVALID_ARGUMENT", "fields"),
        ({"fields": ["name", "name"]}, "INVALID_ARGUMENT", "fields"),
        ({"fields": ["name", "moon"]}, "SHARING_UNKNOWN", "fields[1]"),
        ({"fields": ["search_terms"]}, "SHARING_UNKNOWN", "fields[0]"),
        ({"end_time": START}, "INVALID_ARGUMENT", "end_time"),
        ({"end_time": {"seconds": START["seconds"] + 6 * 366 * 86_400}}, "INVALID_ARGUMENT", "end_time"),
        ({"end_time": None}, "INVALID_ARGUMENT", "end_time"),
        ({"start_time": None}, "INVALID_ARGUMENT", "start_time"),
    ):
        await refused(crm, CONTRACTS, crm.ask("CreateSharingContract", role="ADMINISTRATOR", **values(crm, **more)), code, field=field)


async def test_a_change_is_judged_as_a_whole_and_by_its_version(crm: Installation) -> None:
    made = (await crm.ask("CreateSharingContract", **values(crm))).sharing_contract
    for change, version, code, field in (
        ({"resource": "tickets"}, 1, "SHARING_UNKNOWN", "fields[0]"),
        ({"fields": []}, 1, "INVALID_ARGUMENT", "fields"),
        ({"end_time": START}, 1, "INVALID_ARGUMENT", "end_time"),
        ({"purpose": "x"}, 7, "VERSION_CONFLICT", "version"),
    ):
        asked = crm.ask("UpdateSharingContract", sharing_contract_id=made.id, version=version, update_mask=mask(*change), **change)
        await refused(crm, CONTRACTS, asked, code, field=field, record_id=made.id)
    await crm.ask("ArchiveSharingContract", sharing_contract_id=made.id)


async def test_only_who_gives_rights_agrees_and_only_heads_look(crm: Installation) -> None:
    made = (await crm.ask("CreateSharingContract", **values(crm))).sharing_contract
    for role in ("SALES_REP", "SALES_LEAD", "MARKETER", "SUPPORT_AGENT", "COORDINATOR"):
        await refused(crm, CONTRACTS, crm.ask("CreateSharingContract", role=role, **values(crm)), "NOT_ALLOWED")
        asked = crm.ask("ArchiveSharingContract", role=role, sharing_contract_id=made.id)
        await refused(crm, CONTRACTS, asked, "NOT_ALLOWED", record_id=made.id)
    later = {"start_time": END, "end_time": {"seconds": END["seconds"] + 1}}
    future = (await crm.ask("CreateSharingContract", **values(crm, **later))).sharing_contract
    authority = crm.suite["organization"].authority
    await crm.until(lambda: any(one.contract_id == future.id for one in authority.directory.contracts))
    seen = [one.id for one in (await crm.ask("ListSharingContracts", role="SALES_REP", page_size=100)).sharing_contracts]
    assert (made.id in seen, future.id in seen) == (True, False)  # of their own department's, what counts now
    await crm.ask("ArchiveSharingContract", sharing_contract_id=future.id)
    grants = [{"resource": "sharing_contracts", "action": action, "scope": 5} for action in ("read", "create", "update", "archive")]
    role = (await crm.ask("CreateRoleDefinition", name="只管约定", permissions=grants)).role_definition
    person = await crm.person("agreeing", "SALES_REP")
    version = (await crm.ask("GetPerson", person_id=person)).person.version
    await crm.ask("UpdatePerson", person_id=person, version=version, update_mask=mask("role_definition_ids"), role_definition_ids=[role.id])
    directory = crm.suite["organization"].authority
    await crm.until(lambda: role.id in directory.directory.members[person].roles)
    await refused(crm, CONTRACTS, crm.ask("CreateSharingContract", role="agreeing", **values(crm)), "NOT_ALLOWED")
    await crm.ask("ArchiveSharingContract", role="agreeing", sharing_contract_id=made.id)
    asked = crm.ask("RestoreSharingContract", role="agreeing", sharing_contract_id=made.id)
    await refused(crm, CONTRACTS, asked, "NOT_ALLOWED", record_id=made.id)
