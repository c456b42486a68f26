"""What a sign-in through a provider leaves in the databases: no secret, no address, no account in clear; and how provided roles end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from cryptography.exceptions import InvalidTag

from chassis.kernel.ids import new_id
from cli.plan import DEPARTMENTS
from services.organization.identity_providers import workers
from tests.support.checks import mask
from tests.support.installation import Installation
from tests.support.providers import SECRET, RealProvider, begin, complete, history, query_of, register, somebody, through

SALES_REP, MARKETER = 1, 3


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def real(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealProvider]:
    provider = await RealProvider().start(tmp_path_factory.mktemp("provider"))
    yield provider
    await provider.stop()


async def signed_in(crm: Installation, real: RealProvider, group: str, *records: Any) -> Any:
    """Somebody of a group, signed in through each of these providers."""
    person, subject = await somebody(crm), new_id()
    await real.knows(subject, person.email, group)
    for record in records:
        await through(crm, real, record, subject)
    return person


async def holding(crm: Installation, *canaries: str) -> list[str]:
    """The collections of all departments in which one of these texts stands in clear."""
    found = []
    for department in DEPARTMENTS:
        database = crm.suite[department].database
        for name in await database.list_collection_names():
            rows = str([row async for row in database[name].find({})])
            found += [f"{department}.{name}" for canary in canaries if canary in rows]
    return found


async def test_the_client_secret_is_in_no_answer_and_lies_sealed(crm: Installation, real: RealProvider) -> None:
    person, subject, other = await somebody(crm), new_id(), "another secret that nobody must see"
    await real.knows(subject, person.email)
    record = await register(crm, real.issuer)
    values = {
        "version": record.version,
        "client_secret": other,
        "display_name": new_id(),
        "update_mask": mask("client_secret", "display_name"),
    }
    after = await crm.ask("UpdateIdentityProvider", role="ADMINISTRATOR", identity_provider_id=record.id, **values)
    await through(crm, real, record, subject)
    answers = [record, after, await crm.ask("ListIdentityProviders", role="ADMINISTRATOR"), await crm.ask("ListSignInChoices", role="")]
    answers.append(await history(crm, "IdentityProvider", record.id))
    assert not any(secret in str(answer) for secret in (SECRET, other) for answer in answers)
    await crm.settled()
    assert await holding(crm, SECRET, other) == []


async def test_what_a_begun_sign_in_needs_lies_sealed_to_its_place(crm: Installation, real: RealProvider) -> None:
    person, subject = await somebody(crm), new_id()
    record = await register(crm, real.issuer)
    await real.knows(subject, person.email)
    first, second = await begin(crm, record), await begin(crm, record)
    asked = query_of(first.authorization_url)
    assert await holding(crm, asked["nonce"], first.state, second.state) == []
    rows = crm.suite["organization"].database["provider_sign_ins"]
    one, other = [row async for row in rows.find({"identity_provider_id": record.id}).sort("expire_time", 1)]
    assert "nonce" not in one
    assert "verifier" not in one
    vault = crm.suite["organization"].vault
    assert vault.open_own(one["sealed"], f"sign-in:{one['_id']}")
    with pytest.raises(InvalidTag):
        vault.open_own(one["sealed"], f"sign-in:{other['_id']}")
    assert (await complete(crm, await real.browse(first.authorization_url, subject))).person.id == person.id


async def test_neither_account_nor_address_stands_anywhere_in_clear(crm: Installation, real: RealProvider) -> None:
    subject, email = f"account-{new_id()}", f"{new_id()}@canary.example"
    await real.knows(subject, email, "reps", phone_number="13900000000")
    grants = [{"group": "reps", "role": SALES_REP}]
    record = await register(crm, real.issuer, creates_people=True, home_department_id=crm.units["sales"], role_grants=grants)
    made = (await through(crm, real, record, subject)).person
    assert made.email == email
    assert (await through(crm, real, record, subject)).person.id == made.id
    await crm.settled()
    assert await holding(crm, subject, email) == []
    (entry,) = await history(crm, "Person", made.id)
    assert email not in str(entry)


async def test_roles_of_an_archived_provider_end_some_people_a_commit(
    crm: Installation, real: RealProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "BATCH", 2)
    grants = [{"group": "m", "role": MARKETER}]
    record, other = [await register(crm, real.issuer, role_grants=grants) for _ in range(2)]
    people = [await signed_in(crm, real, "m", record, other) for _ in range(5)]
    await crm.ask("ArchiveIdentityProvider", role="ADMINISTRATOR", identity_provider_id=record.id)
    database = crm.suite["organization"].database
    left = {"provided_roles.identity_provider_id": record.id}

    async def ended() -> bool:
        return await database["people"].count_documents(left) == 0

    await crm.until(ended)
    reason = "the identity provider that gave the roles is out of use"
    ids = [person.id for person in people]
    entries = [row async for row in database["audit_entries"].find({"record_id": {"$in": ids}, "reason": reason})]
    assert len(entries) == len(people)
    assert len({entry["request_id"] for entry in entries}) == 3
    for person in people:
        after = (await crm.ask("GetPerson", person_id=person.id)).person
        assert [one.identity_provider_id for one in after.provided_roles] == [other.id]
        assert after.email == person.email
