"""First passwords that must be changed, second factors with recovery codes: what signs in, what does not, and what is used up."""

from __future__ import annotations

import time
from typing import Any

import pyotp
import pytest

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from tests.support.installation import PASSWORD, Installation

OWN = "a better one than given"


async def sign_in(crm: Installation, email: str, password: str = PASSWORD, **more: str) -> Any:
    return await crm.ask("CreateSession", role="", email=email, password=password, **more)


async def refusal(action: Any) -> tuple[str, str]:
    with pytest.raises(CrmError) as found:
        await action
    return found.value.code, found.value.field


async def somebody(crm: Installation) -> tuple[str, str]:
    """A new person without a password: (id, mail address)."""
    email = f"{new_id()}@example.com"
    made = await crm.ask("CreatePerson", name="新人", email=email, roles=[1], home_department_id=crm.units["sales"])
    return str(made.person.id), email


async def test_a_password_given_by_an_administrator_is_good_for_choosing_another(crm: Installation) -> None:
    person, email = await somebody(crm)
    await crm.ask("SetPassword", role="ADMINISTRATOR", person_id=person, password=PASSWORD)
    assert await refusal(sign_in(crm, email)) == ("PASSWORD_CHANGE_REQUIRED", "new_password")
    assert await refusal(sign_in(crm, email, new_password=PASSWORD)) == ("PASSWORD_CHANGE_REQUIRED", "new_password")
    assert await refusal(sign_in(crm, email, new_password="password1234")) == ("PASSWORD_TOO_COMMON", "password")
    assert await refusal(sign_in(crm, email, "wrong " + PASSWORD, new_password=OWN)) == ("SIGN_IN_REFUSED", "")
    await sign_in(crm, email, new_password=OWN)
    assert (await refusal(sign_in(crm, email)))[0] == "SIGN_IN_REFUSED"
    session = await sign_in(crm, email, OWN)
    await crm.ask("SetPassword", role=session.tokens.access_token, person_id=person, password=PASSWORD)
    await sign_in(crm, email)


async def enrolled(crm: Installation) -> tuple[str, str, Any, str]:
    """Somebody with a second factor that is confirmed: (id, mail address, the enrolment, a token)."""
    person, email = await somebody(crm)
    await crm.ask("SetPassword", person_id=person, password=PASSWORD)
    token = (await sign_in(crm, email)).tokens.access_token
    found = await crm.ask("EnrollSecondFactor", role=token, person_id=person, password=PASSWORD)
    await sign_in(crm, email)  # it does not count yet
    await crm.ask("ConfirmSecondFactor", role=token, person_id=person, code=code(found, -1))
    return person, email, found, token


def code(enrolment: Any, step: int = 0) -> str:
    """What an authenticator shows, `step` times thirty seconds from now."""
    return pyotp.TOTP(enrolment.secret).at(int(time.time()), counter_offset=step)


async def test_signing_in_takes_the_second_factor_and_each_code_once(crm: Installation) -> None:
    _, email, enrolment, _ = await enrolled(crm)
    assert await refusal(sign_in(crm, email)) == ("SECOND_FACTOR_REQUIRED", "code")
    assert await refusal(sign_in(crm, email, code="000000" if code(enrolment) != "000000" else "111111")) == (
        "SECOND_FACTOR_REFUSED",
        "code",
    )
    now = code(enrolment)
    await sign_in(crm, email, code=now)
    assert await refusal(sign_in(crm, email, code=now)) == ("SECOND_FACTOR_REFUSED", "code")
    assert await refusal(sign_in(crm, email, code=code(enrolment, -1))) == ("SECOND_FACTOR_REFUSED", "code")
    assert (await refusal(sign_in(crm, email, "wrong " + PASSWORD, code=code(enrolment, 1))))[0] == "SIGN_IN_REFUSED"


async def test_recovery_codes_work_once_each(crm: Installation) -> None:
    _, email, enrolment, _ = await enrolled(crm)
    assert len(set(enrolment.recovery_codes)) == 10
    await sign_in(crm, email, code=enrolment.recovery_codes[3])
    assert await refusal(sign_in(crm, email, code=enrolment.recovery_codes[3])) == ("SECOND_FACTOR_REFUSED", "code")
    await sign_in(crm, email, code=enrolment.recovery_codes[4].upper())
    stored = await crm.suite["organization"].database["credentials"].find_one({"recovery": {"$exists": True}})
    assert not any(one in str(stored) for one in enrolment.recovery_codes)


async def test_wrong_codes_are_counted_as_wrong_passwords_are(crm: Installation) -> None:
    _, email, _, _ = await enrolled(crm)
    codes = [(await refusal(sign_in(crm, email, code=f"{number:06}")))[0] for number in range(12)]
    assert codes[-1] == "SIGN_IN_THROTTLED"


async def test_nobody_sets_up_the_factor_of_another_and_only_an_administrator_takes_it_away(crm: Installation) -> None:
    person, email, _, token = await enrolled(crm)
    other, _ = await somebody(crm)
    for role in (token, "ADMINISTRATOR"):
        assert (await refusal(crm.ask("EnrollSecondFactor", role=role, person_id=other, password=PASSWORD)))[0] in (
            "NOT_ALLOWED",
            "SECOND_FACTOR_REFUSED",
        )
    assert (await refusal(crm.ask("EnrollSecondFactor", role=token, person_id=person, password="wrong")))[0] == "SECOND_FACTOR_REFUSED"
    assert (await refusal(crm.ask("ConfirmSecondFactor", role=token, person_id=person, code="000000")))[0] == "SECOND_FACTOR_REFUSED"
    assert (await refusal(crm.ask("RemoveSecondFactor", role="SALES_LEAD", person_id=person)))[0] == "NOT_ALLOWED"
    await crm.ask("RemoveSecondFactor", role="ADMINISTRATOR", person_id=person)
    await sign_in(crm, email)
