"""Signing in through a real provider in its own process: who gets in, with which roles, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from chassis.kernel.ids import new_id
from gateway.graph.contract import to_global
from tests.component.organization.test_second_factor import enrolled
from tests.support.checks import mask, refused
from tests.support.installation import PASSWORD, Installation
from tests.support.providers import BACK, RealProvider, begin, code_of, complete, history, register, somebody, through

SALES_REP, MARKETER, MANAGER = 1, 3, 10


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def real(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealProvider]:
    provider = await RealProvider().start(tmp_path_factory.mktemp("provider"))
    yield provider
    await provider.stop()


async def test_groups_give_roles_and_take_them_away_again(crm: Installation, real: RealProvider) -> None:
    person, subject = await somebody(crm), new_id()
    own = (await crm.ask("CreateRoleDefinition", name=new_id(), permissions=[])).role_definition
    grants = [{"group": "营销", "role": MARKETER}, {"group": "营销", "role_definition_id": own.id}, {"group": "rep", "role": SALES_REP}]
    record = await register(crm, real.issuer, role_grants=grants)
    other = await register(crm, real.issuer, role_grants=[{"group": "营销", "role": MANAGER}])
    await real.knows(subject, person.email.upper(), "营销", "rep", "unknown")
    opened = await through(crm, real, record, subject)
    assert opened.person.id == person.id
    assert list(opened.person.roles) == [SALES_REP]
    (given,) = opened.person.provided_roles
    assert (given.identity_provider_id, list(given.roles), list(given.role_definition_ids)) == (record.id, [MARKETER, SALES_REP], [own.id])
    assert (await crm.ask("ListCampaigns", role=opened.tokens.access_token)) is not None
    assert len((await through(crm, real, other, subject)).person.provided_roles) == 2
    assert await code_of(crm.ask("ArchiveRoleDefinition", role="ADMINISTRATOR", role_definition_id=own.id)) == "ROLE_IN_USE"

    await crm.until(lambda: crm.suite["sales"].authority.directory.members[person.id].roles == {"SALES_REP", "MARKETER", "MANAGER", own.id})
    await real.knows(subject, "another@example.com")
    opened = await through(crm, real, record, subject)  # by the account now, whatever the address
    assert opened.person.id == person.id
    assert [one.identity_provider_id for one in opened.person.provided_roles] == [other.id]
    await crm.until(lambda: crm.suite["sales"].authority.directory.members[person.id].roles == {"SALES_REP", "MANAGER"})
    entries = await history(crm, "Person", person.id)
    assert [entry["action"] for entry in entries] == ["PersonRolesProvided"] * 3 + ["PersonCreated"]
    assert {entry["actorId"] for entry in entries[:3]} == {to_global("Person", "service-organization")}
    assert entries[0]["reason"] == f"signed in through {record.display_name}"
    version = opened.person.version
    assert (await through(crm, real, record, subject)).person.version == version


async def test_a_state_is_good_once(crm: Installation, real: RealProvider) -> None:
    person, subject = await somebody(crm), new_id()
    record = await register(crm, real.issuer)
    await real.knows(subject, person.email)
    brought = await real.browse((await begin(crm, record)).authorization_url, subject)
    assert (await complete(crm, brought)).person.id == person.id
    assert await code_of(complete(crm, brought)) == "PROVIDER_SIGN_IN_REFUSED"
    fresh = await begin(crm, record)
    assert await code_of(complete(crm, brought | {"state": fresh.state})) == "PROVIDER_SIGN_IN_REFUSED"
    assert await code_of(complete(crm, {"state": "x" * 43, "code": "x"})) == "PROVIDER_SIGN_IN_REFUSED"
    late = await begin(crm, record)
    rows = crm.suite["organization"].database["provider_sign_ins"]
    assert late.state not in str([row async for row in rows.find({})])
    await rows.update_many({}, [{"$set": {"expire_time": {"$subtract": ["$expire_time", 600_000]}}}])
    assert await code_of(complete(crm, {"state": late.state, "code": "x"})) == "PROVIDER_SIGN_IN_REFUSED"


async def test_addresses_and_providers_that_are_not_registered_are_refused(crm: Installation, real: RealProvider) -> None:
    record = await register(crm, real.issuer)
    for address in (BACK + "/", BACK + "?x=1", BACK.upper(), "https://evil.example.com"):
        action = crm.ask("BeginProviderSignIn", role="", identity_provider_id=record.id, redirect_uri=address)
        await refused(crm, "organization.sessions", action, "REDIRECT_URI_UNKNOWN", field="redirect_uri")
    action = crm.ask("BeginProviderSignIn", role="", identity_provider_id="nobody", redirect_uri=BACK)
    await refused(crm, "organization.sessions", action, "NOT_FOUND", field="identity_provider_id")


@pytest.mark.parametrize("claims", [{"email_verified": False}, {"email_verified": None}, {"email": None}, {"email": 5}, {"email": "x"}])
async def test_an_address_that_is_not_verified_is_no_address(crm: Installation, real: RealProvider, claims: dict[str, Any]) -> None:
    person, subject = await somebody(crm), new_id()
    record = await register(crm, real.issuer, creates_people=True, home_department_id=crm.units["sales"])
    await real.knows(subject, **({"email": person.email} | claims))
    await refused(crm, "organization.people", through(crm, real, record, subject), "EMAIL_NOT_VERIFIED")


async def test_strangers_become_people_only_where_the_provider_says_so(crm: Installation, real: RealProvider) -> None:
    subject, email = new_id(), f"{new_id()}@example.com"
    await real.knows(subject, email, "reps")
    grants = [{"group": "reps", "role": SALES_REP}]
    closed = await register(crm, real.issuer, role_grants=grants)
    await refused(crm, "organization.people", through(crm, real, closed, subject), "NO_SUCH_PERSON")
    bare = await register(crm, real.issuer, creates_people=True, home_department_id=crm.units["sales"])
    await refused(crm, "organization.people", through(crm, real, bare, subject), "NO_ROLE_PROVIDED")
    record = await register(crm, real.issuer, creates_people=True, home_department_id=crm.units["other"], role_grants=grants)
    made = await through(crm, real, record, subject)
    assert (made.person.name, made.person.email, made.person.home_department_id) == ("外来人", email, crm.units["other"])
    assert await crm.ask("ListCustomers", role=made.tokens.access_token) is not None
    again = await crm.ask("RefreshSession", role="", refresh_token=made.tokens.refresh_token)
    assert await crm.ask("ListCustomers", role=again.tokens.access_token) is not None
    await real.knows(subject, email)  # the last group is gone: so is the only role, although nobody is let in
    assert await code_of(through(crm, real, record, subject)) == "NO_ROLE_PROVIDED"
    await crm.until(lambda: not crm.suite["customer"].authority.directory.members[made.person.id].roles)
    assert await code_of(crm.ask("ListCustomers", role=again.tokens.access_token)) == "NOT_ALLOWED"


async def test_who_has_left_stays_outside_and_who_comes_back_is_linked_anew(crm: Installation, real: RealProvider) -> None:
    person, first, second = await somebody(crm), new_id(), new_id()
    record = await register(crm, real.issuer)
    await real.knows(first, person.email)
    await real.knows(second, person.email)
    await through(crm, real, record, first)
    assert await code_of(through(crm, real, record, second)) == "IDENTITY_TAKEN"
    await crm.ask("DeactivatePerson", role="ADMINISTRATOR", person_id=person.id)
    for subject in (first, second):
        assert await code_of(through(crm, real, record, subject)) == "NO_SUCH_PERSON"
    await crm.ask("ReactivatePerson", role="ADMINISTRATOR", person_id=person.id)
    assert (await through(crm, real, record, second)).person.id == person.id
    assert await code_of(through(crm, real, record, first)) == "IDENTITY_TAKEN"


async def test_the_provider_is_enough_for_somebody_with_a_second_factor(crm: Installation, real: RealProvider) -> None:
    person, email, _, _ = await enrolled(crm)
    subject = new_id()
    await real.knows(subject, email)
    assert (await through(crm, real, await register(crm, real.issuer), subject)).person.id == person


async def test_somebody_who_signs_in_twice_at_once_becomes_one_person(crm: Installation, real: RealProvider) -> None:
    subject, email = new_id(), f"{new_id()}@example.com"
    grants = [{"group": "reps", "role": SALES_REP}]
    record = await register(crm, real.issuer, creates_people=True, home_department_id=crm.units["sales"], role_grants=grants)
    await real.knows(subject, email, "reps")
    opened = await asyncio.gather(*(through(crm, real, record, subject) for _ in range(4)))
    assert len({one.person.id for one in opened}) == 1
    assert len({one.session.id for one in opened}) == 4
    department = crm.suite["organization"]
    assert await department.database["people"].count_documents({"blind.email": department.vault.blind(f"people.email:{email}")}) == 1


async def test_an_archived_provider_lets_nobody_in_and_its_roles_end(crm: Installation, real: RealProvider) -> None:
    person, subject = await somebody(crm), new_id()
    record = await register(crm, real.issuer, role_grants=[{"group": "m", "role": MARKETER}])
    await real.knows(subject, person.email, "m")
    await through(crm, real, record, subject)
    brought = await real.browse((await begin(crm, record)).authorization_url, subject)
    await crm.ask("ArchiveIdentityProvider", role="ADMINISTRATOR", identity_provider_id=record.id)
    assert await code_of(complete(crm, brought)) == "PROVIDER_SIGN_IN_REFUSED"
    await crm.until(lambda: crm.suite["sales"].authority.directory.members[person.id].roles == {"SALES_REP"})
    assert await code_of(begin(crm, record)) == "NOT_FOUND"
    assert record.id not in {one.identity_provider_id for one in (await crm.ask("ListSignInChoices", role="")).choices}
    await crm.ask("RestoreIdentityProvider", role="ADMINISTRATOR", identity_provider_id=record.id)
    assert len((await through(crm, real, record, subject)).person.provided_roles) == 1


async def test_who_maps_roles_must_be_allowed_to_give_them(crm: Installation, real: RealProvider) -> None:
    for role in ("COORDINATOR", "MARKETER", ""):
        values = {"display_name": new_id(), "issuer": real.issuer, "client_id": "crm", "client_secret": "x", "redirect_uris": [BACK]}
        found = await code_of(crm.ask("CreateIdentityProvider", role=role, **values))
        assert found == ("NOT_ALLOWED" if role else "UNAUTHENTICATED")
    lines = [{"resource": "identity_providers", "action": action, "scope": 5} for action in ("read", "create", "update", "archive")]
    keeper = (await crm.ask("CreateRoleDefinition", name=new_id(), permissions=lines)).role_definition
    record, person = await register(crm, real.issuer), await somebody(crm)
    await crm.ask("UpdatePerson", person_id=person.id, version=1, role_definition_ids=[keeper.id], update_mask=mask("role_definition_ids"))
    await crm.ask("SetPassword", person_id=person.id, password=PASSWORD)
    token = (await crm.ask("CreateSession", role="", email=person.email, password=PASSWORD)).tokens.access_token
    await crm.until(lambda: keeper.id in crm.suite["organization"].authority.directory.members[person.id].roles)
    change = {"identity_provider_id": record.id, "version": 1, "issuer": "https://evil.example.com", "update_mask": mask("issuer")}
    where = "organization.identity_providers"
    await refused(crm, where, crm.ask("UpdateIdentityProvider", role=token, **change), "NOT_ALLOWED", record_id=record.id)
    rows = [{"source_key": new_id(), "name": "x", "email": f"{new_id()}@example.com", "home_department_id": crm.units["sales"]}]
    rows[0]["provided_roles"] = [{"identity_provider_id": record.id, "roles": [6]}]  # type: ignore[assignment]
    (outcome,) = (await crm.ask("BatchUpsertPeople", people=rows)).outcomes
    assert (outcome.error_code, outcome.error_field) == ("INVALID_ARGUMENT", "provided_roles")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"issuer": "http://id.example.com"}, "issuer"),
        ({"issuer": "https://user@id.example.com"}, "issuer"),
        ({"issuer": "https://id.example.com/?x"}, "issuer"),
        ({"issuer": "https:id"}, "issuer"),
        ({"redirect_uris": [BACK, "javascript:alert(1)"]}, "redirect_uris[1]"),
        ({"redirect_uris": ["https://crm.example.com/#x"]}, "redirect_uris[0]"),
        ({"role_grants": [{"group": "g"}]}, "role_grants[0]"),
        ({"role_grants": [{"group": "g", "role": 1, "role_definition_id": "x"}]}, "role_grants[0]"),
        ({"creates_people": True}, "home_department_id"),
    ],
)
async def test_a_record_that_makes_no_sense_is_refused(crm: Installation, change: dict[str, Any], field: str) -> None:
    action = register(crm, change.pop("issuer", "https://id.example.com"), **change)
    await refused(crm, "organization.identity_providers", action, "INVALID_ARGUMENT", field=field)


async def test_a_mapping_names_roles_in_use(crm: Installation) -> None:
    action = register(crm, "https://id.example.com", role_grants=[{"group": "g", "role_definition_id": "nobody"}])
    found = await refused(crm, "organization.identity_providers", action, "REFERENCE_NOT_FOUND")
    assert found.field == "role_grants[0].role_definition_id"
