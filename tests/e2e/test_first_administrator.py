"""Whoever sets an installation up comes to an administrator, and to one company, however often they call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from chassis.kernel.errors import CrmError
from cli import platform
from cli.engines import EngineError
from tests.support.installation import Engines, Installation

OWN = "four words that were chosen"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def empty(engines: Engines) -> AsyncIterator[Installation]:
    """An installation in which nobody and nothing is yet."""
    installation = Installation(engines)
    await installation.suite.start()
    installation.connect()
    await installation.until(
        lambda: all(one.authority.directory.revision for name, one in installation.suite.running.items() if name != "gateway")
    )
    yield installation
    await installation.stop()


async def given(crm: Installation, capsys: pytest.CaptureFixture[str], *emails: str) -> list[str]:
    """The password that was said for each address."""
    capsys.readouterr()
    await asyncio.gather(*(platform.administrator(crm.plan, email, "第一公司") for email in emails))
    said = dict(line.split()[:1] + line.split()[-1:] for line in capsys.readouterr().out.strip().splitlines())
    return [said[email.lower()] for email in emails]


async def test_the_first_call_makes_a_company_and_every_other_finds_it(empty: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    passwords = await given(empty, capsys, "One@example.com", "two@example.com")
    units = (await empty.ask("ListDepartments", page_size=100)).departments
    assert [(unit.name, unit.kind) for unit in units] == [("第一公司", 3)]
    (again,) = await given(empty, capsys, "one@example.com")
    assert again not in passwords
    people = (await empty.ask("ListPeople", page_size=100)).people
    assert sorted(person.email for person in people) == ["one@example.com", "two@example.com"]
    assert len((await empty.ask("ListDepartments", page_size=100)).departments) == 1


async def test_a_password_that_was_said_is_good_for_choosing_another(empty: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    (password,) = await given(empty, capsys, "one@example.com")
    with pytest.raises(CrmError) as refusal:
        await empty.ask("CreateSession", role="", email="one@example.com", password=password)
    assert refusal.value.code == "PASSWORD_CHANGE_REQUIRED"
    session = await empty.ask("CreateSession", role="", email="one@example.com", password=password, new_password=OWN)
    unit = (await empty.ask("CreateDepartment", role=session.tokens.access_token, name="第二部", kind=4)).department
    made = {"name": "人", "email": "made@example.com", "roles": [1], "home_department_id": unit.id}
    assert (await empty.ask("CreatePerson", role=session.tokens.access_token, **made)).person.state == 1
    with pytest.raises(EngineError, match="no active administrator"):
        await platform.administrator(empty.plan, "made@example.com", "第一公司")
