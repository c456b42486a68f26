"""A token that was stolen does not become an account that was stolen: what one signs in with changes only with what one signs in with."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from chassis.kernel.clock import now
from chassis.kernel.ids import new_id
from tests.component.organization.test_second_factor import code, refusal, sign_in, somebody
from tests.support.installation import PASSWORD, Installation

NEW = "quite another set of words"
PROOF = ("REAUTHENTICATION_REQUIRED", "present_password")


async def old_session(crm: Installation, email: str, **more: str) -> str:
    """A token of a session that began longer ago than minutes."""
    opened = await sign_in(crm, email, **more)
    earlier = {"$set": {"create_time": now() - timedelta(minutes=6)}}
    await crm.suite["organization"].database["sessions"].update_one({"_id": opened.session.id}, earlier)
    return str(opened.tokens.access_token)


async def known(crm: Installation, *, factor: bool = False) -> tuple[str, str, str, Any]:
    """Somebody with a password: (id, mail address, a token of some time ago, the enrolment)."""
    person, email = await somebody(crm)
    await crm.ask("SetPassword", person_id=person, password=PASSWORD)
    if not factor:
        return person, email, await old_session(crm, email), None
    token = (await sign_in(crm, email)).tokens.access_token
    enrolment = await crm.ask("EnrollSecondFactor", role=token, person_id=person, password=PASSWORD)
    await crm.ask("ConfirmSecondFactor", role=token, person_id=person, code=code(enrolment, -1))
    return person, email, await old_session(crm, email, code=code(enrolment)), enrolment


async def test_a_token_alone_sets_no_password(crm: Installation) -> None:
    person, email, token, _ = await known(crm)
    asked = {"role": token, "person_id": person, "password": NEW}
    assert await refusal(crm.ask("SetPassword", **asked)) == PROOF
    assert await refusal(crm.ask("SetPassword", **asked, present_password="wrong " + PASSWORD)) == PROOF
    await sign_in(crm, email)
    await crm.ask("SetPassword", **asked, present_password=PASSWORD)
    await sign_in(crm, email, NEW)


async def test_a_token_alone_does_not_take_the_factor_away(crm: Installation) -> None:
    person, email, token, enrolment = await known(crm, factor=True)
    asked = {"role": token, "person_id": person}
    assert await refusal(crm.ask("RemoveSecondFactor", **asked)) == PROOF
    assert await refusal(crm.ask("RemoveSecondFactor", **asked, code=enrolment.recovery_codes[0])) == PROOF
    assert await refusal(crm.ask("RemoveSecondFactor", **asked, present_password=PASSWORD)) == ("SECOND_FACTOR_REQUIRED", "code")
    assert await refusal(crm.ask("RemoveSecondFactor", **asked, present_password=PASSWORD, code="not one")) == (
        "SECOND_FACTOR_REFUSED",
        "code",
    )
    assert (await refusal(sign_in(crm, email)))[0] == "SECOND_FACTOR_REQUIRED"
    await crm.ask("RemoveSecondFactor", **asked, present_password=PASSWORD, code=enrolment.recovery_codes[0])
    await sign_in(crm, email)


async def test_a_new_password_and_a_new_factor_take_the_factor_there_is(crm: Installation) -> None:
    person, _, token, enrolment = await known(crm, factor=True)
    asked = {"role": token, "person_id": person}
    assert (await refusal(crm.ask("SetPassword", **asked, password=NEW, present_password=PASSWORD)))[0] == "SECOND_FACTOR_REQUIRED"
    assert (await refusal(crm.ask("EnrollSecondFactor", **asked, password=PASSWORD)))[0] == "SECOND_FACTOR_REQUIRED"
    assert (await refusal(crm.ask("EnrollSecondFactor", **asked, password=PASSWORD, code="not one")))[0] == "SECOND_FACTOR_REFUSED"
    await crm.ask("EnrollSecondFactor", **asked, password=PASSWORD, code=enrolment.recovery_codes[0])
    await crm.ask("SetPassword", **asked, password=NEW, present_password=PASSWORD, code=enrolment.recovery_codes[1])


async def test_minutes_after_a_sign_in_nothing_more_is_asked_but_the_factor_that_came_since(crm: Installation) -> None:
    person, email = await somebody(crm)
    await crm.ask("SetPassword", person_id=person, password=PASSWORD)
    token = (await sign_in(crm, email)).tokens.access_token
    enrolment = await crm.ask("EnrollSecondFactor", role=token, person_id=person, password=PASSWORD)
    await crm.ask("ConfirmSecondFactor", role=token, person_id=person, code=code(enrolment, -1))
    assert await refusal(crm.ask("RemoveSecondFactor", role=token, person_id=person)) == PROOF
    fresh = (await sign_in(crm, email, code=code(enrolment))).tokens.access_token
    await crm.ask("RemoveSecondFactor", role=fresh, person_id=person)
    await crm.ask("SetPassword", role=fresh, person_id=person, password=NEW)


async def test_refreshing_a_session_makes_it_no_fresher(crm: Installation) -> None:
    person, email = await somebody(crm)
    await crm.ask("SetPassword", person_id=person, password=PASSWORD)
    opened = await sign_in(crm, email)
    earlier = {"$set": {"create_time": now() - timedelta(minutes=6)}}
    await crm.suite["organization"].database["sessions"].update_one({"_id": opened.session.id}, earlier)
    token = (await crm.ask("RefreshSession", role="", refresh_token=opened.tokens.refresh_token)).tokens.access_token
    assert await refusal(crm.ask("SetPassword", role=token, person_id=person, password=NEW)) == PROOF


async def test_present_passwords_are_not_guessed_without_end(crm: Installation) -> None:
    person, email, token, _ = await known(crm)
    asked = {"role": token, "person_id": person, "password": NEW, "present_password": "wrong " + PASSWORD}
    codes = [(await refusal(crm.ask("SetPassword", **asked)))[0] for _ in range(12)]
    assert (codes[0], set(codes)) == (PROOF[0], {PROOF[0], "SIGN_IN_THROTTLED"})
    await sign_in(crm, email)  # who stole a token keeps the person out of nothing


async def test_an_api_key_changes_nobodys_credentials(crm: Installation) -> None:
    person, _, _, _ = await known(crm)
    ends = int((now() + timedelta(days=1)).timestamp())
    made = await crm.ask("CreateApiKey", role="ADMINISTRATOR", name=f"键 {new_id()}", roles=[6], expire_time={"seconds": ends})
    token = (await crm.ask("ExchangeApiKey", role="", secret=made.secret)).access_token
    assert (await refusal(crm.ask("SetPassword", role=token, person_id=person, password=NEW)))[0] == "NOT_ALLOWED"
    assert (await refusal(crm.ask("RemoveSecondFactor", role=token, person_id=person)))[0] == "NOT_ALLOWED"


@pytest.mark.parametrize("must", [True, False])
async def test_a_password_given_by_a_command_is_changed_where_it_says_so(crm: Installation, must: bool) -> None:
    person, email = await somebody(crm)
    await crm.ask("SetPassword", person_id=person, password=PASSWORD, must_change=must)
    if not must:
        await sign_in(crm, email)
        return
    assert (await refusal(sign_in(crm, email)))[0] == "PASSWORD_CHANGE_REQUIRED"
    before = (await crm.ask("GetPerson", person_id=person)).person.version
    await sign_in(crm, email, new_password=NEW)
    history = await crm.suite["organization"].database["audit_entries"].find({"record_id": person, "version": before + 1}).to_list()
    assert [row["action"] for row in history] == ["PersonPasswordSet"], "the person finds it in the history"


async def test_an_administrator_cannot_leave_a_given_password_for_good(crm: Installation) -> None:
    person, email = await somebody(crm)
    await crm.ask("SetPassword", role="ADMINISTRATOR", person_id=person, password=PASSWORD, must_change=False)
    assert (await refusal(sign_in(crm, email)))[0] == "PASSWORD_CHANGE_REQUIRED"
