"""Signing in, staying in, signing out: the answers, the throttle, rotation, reuse, and how soon others know."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from chassis.kernel.errors import Conflict, CrmError
from services.organization.sessions import actions
from services.organization.sessions.store import Sessions
from tests.support.checks import refused
from tests.support.installation import PASSWORD, Installation


async def code(action: Any) -> str:
    with pytest.raises(CrmError) as found:
        await action
    return found.value.code


async def sign_in(crm: Installation, email: str, password: str = PASSWORD) -> Any:
    return await crm.ask("CreateSession", role="", email=email, password=password)


async def test_signing_in_gives_tokens_that_every_department_takes(crm: Installation) -> None:
    person = await crm.person("session one", "COORDINATOR", password=True)
    found = await sign_in(crm, " Session.ONE@example.com ")
    assert found.person.id == person == found.session.person_id
    assert found.session.HasField("revoke_time") is False
    for method in ("ListCustomers", "ListOrders", "ListCampaigns", "ListTickets", "ListPeople", "ListSessions"):
        await crm.ask(method, role=found.tokens.access_token)
    stored = await crm.suite["organization"].database["sessions"].find_one({"_id": found.session.id})
    assert stored
    assert found.tokens.refresh_token not in str(stored)
    assert found.tokens.access_token not in str(stored)
    mine = await crm.ask("ListSessions", role=found.tokens.access_token)
    assert {session.person_id for session in mine.sessions} == {person}


async def test_wrong_password_and_unknown_address_get_the_same_answer(crm: Installation) -> None:
    await crm.person("session two", "SALES_REP", password=True)
    answers = []
    for email in ("session.two@example.com", "nobody.at.all@example.com"):
        with pytest.raises(CrmError) as found:
            await sign_in(crm, email, "not the right password")
        answers.append((type(found.value), found.value.code, found.value.message, found.value.field, found.value.retryable))
    assert answers[0] == answers[1]
    assert answers[0][1] == "SIGN_IN_REFUSED"


async def test_guesses_come_at_growing_intervals_and_a_new_password_ends_the_wait(crm: Installation) -> None:
    person = await crm.person("session three", "SALES_REP", password=True)
    email = "session.three@example.com"
    for _ in range(6):
        assert await code(sign_in(crm, email, "wrong password")) == "SIGN_IN_REFUSED"
    with pytest.raises(CrmError) as found:
        await sign_in(crm, email)
    assert (found.value.code, found.value.retryable) == ("SIGN_IN_THROTTLED", True)
    assert found.value.message in {f"too many failed sign-ins; wait {wait} s, or sign in on a device that is known" for wait in (1, 2)}
    await crm.ask("SetPassword", person_id=person, password="another four words here")
    assert (await sign_in(crm, email, "another four words here")).person.id == person


async def test_guesses_at_the_same_moment_are_throttled_too(crm: Installation) -> None:
    codes = await asyncio.gather(*(code(sign_in(crm, "guessed@example.com", f"guess number {number}")) for number in range(16)))
    assert codes.count("SIGN_IN_REFUSED") <= 10
    assert codes.count("SIGN_IN_THROTTLED") >= 6


async def test_a_right_password_forgets_earlier_failures(crm: Installation) -> None:
    await crm.person("session four", "SALES_REP", password=True)
    email = "session.four@example.com"
    for _ in range(2):
        for _ in range(5):
            assert await code(sign_in(crm, email, "wrong password")) == "SIGN_IN_REFUSED"
        await sign_in(crm, email)
    assert (await sign_in(crm, email)).tokens.access_token


async def later(crm: Installation, session_id: str, seconds: float) -> None:
    """Let time pass for a session: its last refresh was so long ago."""
    rows = crm.suite["organization"].database["sessions"]
    found = await rows.find_one({"_id": session_id})
    assert found
    moved = await rows.update_one({"_id": session_id}, {"$set": {"refresh_time": found["refresh_time"] - timedelta(seconds=seconds)}})
    assert moved.modified_count == 1


async def test_a_refresh_token_is_used_once_and_its_reuse_ends_the_session(crm: Installation) -> None:
    await crm.person("session five", "SALES_REP", password=True)
    first = await sign_in(crm, "session.five@example.com")
    second = await crm.ask("RefreshSession", role="", refresh_token=first.tokens.refresh_token)
    assert second.session.id == first.session.id
    assert second.tokens.refresh_token != first.tokens.refresh_token
    await crm.ask("ListCustomers", role=second.tokens.access_token)
    await later(crm, first.session.id, 31)
    assert await code(crm.ask("RefreshSession", role="", refresh_token=first.tokens.refresh_token)) == "REFRESH_REFUSED"
    assert await code(crm.ask("RefreshSession", role="", refresh_token=second.tokens.refresh_token)) == "REFRESH_REFUSED"
    stored = await crm.suite["organization"].database["sessions"].find_one({"_id": first.session.id})
    assert stored
    assert stored["revoke_time"]

    async def shut() -> bool:
        try:
            await crm.ask("ListCustomers", role=second.tokens.access_token)
        except CrmError as refusal:
            return refusal.code == "UNAUTHENTICATED"
        return False

    await crm.until(shut, 5)


async def test_a_refresh_token_that_comes_again_at_once_gives_the_same_successor(crm: Installation) -> None:
    await crm.person("session ten", "SALES_REP", password=True)
    opened = await sign_in(crm, "session.ten@example.com")
    first = opened.tokens.refresh_token
    together = await asyncio.gather(*(crm.ask("RefreshSession", role="", refresh_token=first) for _ in range(8)))
    (second,) = {answer.tokens.refresh_token for answer in together}
    assert second != first
    assert {answer.session.version for answer in together} == {opened.session.version + 1}
    for answer in together:
        await crm.ask("ListCustomers", role=answer.tokens.access_token)
    await later(crm, opened.session.id, 25)
    again = await crm.ask("RefreshSession", role="", refresh_token=first)
    assert again.tokens.refresh_token == second
    stored = await crm.suite["organization"].database["sessions"].find_one({"_id": opened.session.id})
    assert stored
    # Whoever reads the database has neither token.
    assert first not in str(stored)
    assert second not in str(stored)
    # An ended session is told until the last token under it has ended, those of a repeat too.
    assert stored["access_expire_time"].timestamp() >= again.tokens.access_expire_time.seconds - 25


async def test_once_its_successor_was_used_a_refresh_token_ends_the_session_even_at_once(crm: Installation) -> None:
    await crm.person("session eleven", "SALES_REP", password=True)
    opened = await sign_in(crm, "session.eleven@example.com")
    second = await crm.ask("RefreshSession", role="", refresh_token=opened.tokens.refresh_token)
    third = await crm.ask("RefreshSession", role="", refresh_token=second.tokens.refresh_token)
    assert await code(crm.ask("RefreshSession", role="", refresh_token=opened.tokens.refresh_token)) == "REFRESH_REFUSED"
    assert await code(crm.ask("RefreshSession", role="", refresh_token=third.tokens.refresh_token)) == "REFRESH_REFUSED"


async def test_two_processes_give_the_same_successor_and_so_does_a_new_one_after_a_kill(crm: Installation) -> None:
    """Whoever answers reckons it from what is stored: nothing of it lives in a process."""
    await crm.person("session twelve", "SALES_REP", password=True)
    first = (await sign_in(crm, "session.twelve@example.com")).tokens.refresh_token
    organization = crm.suite["organization"]
    people = next(store for store in organization.stores if store.resource == "people")
    calls = [organization.own_call("tests") for _ in range(3)]
    # Two that read before either has written, as two replicas do; the slower one is refused, reads anew, and has the same.
    found = [await actions.refresh(Sessions(), people, call, refresh_token=first) for call in calls[:2]]
    await calls[0].changes.commit()  # and is killed before it has answered
    with pytest.raises(Conflict):
        await calls[1].changes.commit()
    again = await actions.refresh(Sessions(), people, calls[2], refresh_token=first)
    assert found[0]
    assert again
    assert again[2] == found[0][2]
    assert calls[2].changes.empty


@pytest.mark.parametrize("token", ["x", "é" * 10, "A" * 43])
async def test_an_unknown_refresh_token_is_refused(crm: Installation, token: str) -> None:
    assert await code(crm.ask("RefreshSession", role="", refresh_token=token)) == "REFRESH_REFUSED"


async def test_a_revoked_session_is_shut_out_of_every_department_within_five_seconds(crm: Installation) -> None:
    await crm.person("session six", "COORDINATOR", password=True)
    found = await sign_in(crm, "session.six@example.com")
    token = found.tokens.access_token
    await crm.ask("RevokeSession", role=token, session_id=found.session.id)

    async def shut() -> bool:
        for method in ("ListCustomers", "ListOrders", "ListCampaigns", "ListTickets", "ListPeople"):
            try:
                await crm.ask(method, role=token)
            except CrmError as refusal:
                if refusal.code == "UNAUTHENTICATED":
                    continue
            return False
        return True

    await crm.until(shut, 5)
    assert await code(crm.ask("RefreshSession", role="", refresh_token=found.tokens.refresh_token)) == "REFRESH_REFUSED"


async def test_nobody_ends_the_session_of_another_but_the_administrator(crm: Installation) -> None:
    await crm.person("session seven", "SALES_REP", password=True)
    found = await sign_in(crm, "session.seven@example.com")
    for role in ("SALES_REP", "SALES_LEAD", "COORDINATOR"):
        await refused(
            crm,
            "organization.sessions",
            crm.ask("RevokeSession", role=role, session_id=found.session.id),
            "NOT_FOUND",
            record_id=found.session.id,
        )
    ended = await crm.ask("RevokeSession", role="ADMINISTRATOR", session_id=found.session.id)
    assert ended.session.HasField("revoke_time")
    again = await crm.ask("RevokeSession", role="ADMINISTRATOR", session_id=found.session.id)
    assert again.session.version == ended.session.version


async def test_who_has_left_neither_signs_in_nor_refreshes_nor_reads_on(crm: Installation) -> None:
    person = await crm.person("session eight", "SALES_REP", password=True)
    found = await sign_in(crm, "session.eight@example.com")
    await crm.ask("DeactivatePerson", role="ADMINISTRATOR", person_id=person)
    assert await code(sign_in(crm, "session.eight@example.com")) == "SIGN_IN_REFUSED"
    assert await code(crm.ask("RefreshSession", role="", refresh_token=found.tokens.refresh_token)) == "REFRESH_REFUSED"

    async def shut() -> bool:
        try:
            await crm.ask("ListCustomers", role=found.tokens.access_token)
        except CrmError as refusal:
            return refusal.code == "UNAUTHENTICATED"
        return False

    await crm.until(shut, 5)
    await crm.ask("ReactivatePerson", role="ADMINISTRATOR", person_id=person)
    assert await code(crm.ask("RefreshSession", role="", refresh_token=found.tokens.refresh_token)) == "REFRESH_REFUSED"
    assert (await sign_in(crm, "session.eight@example.com")).person.id == person


async def test_a_new_password_ends_the_sessions_and_closes_the_old_one(crm: Installation) -> None:
    person = await crm.person("session nine", "SALES_REP", password=True)
    found = await sign_in(crm, "session.nine@example.com")
    await crm.ask("SetPassword", role="session nine", person_id=person, password="quite another set of words")
    assert await code(sign_in(crm, "session.nine@example.com")) == "SIGN_IN_REFUSED"
    assert await code(crm.ask("RefreshSession", role="", refresh_token=found.tokens.refresh_token)) == "REFRESH_REFUSED"
    assert (await sign_in(crm, "session.nine@example.com", "quite another set of words")).person.id == person


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "Bearer"])
async def test_without_a_valid_token_nothing_is_answered(crm: Installation, token: str) -> None:
    for method in ("ListCustomers", "ListOrders", "ListCampaigns", "ListTickets", "ListPeople", "ListGrants", "GetDirectory"):
        assert await code(ask_raw(crm, method, token)) == "UNAUTHENTICATED"


async def ask_raw(crm: Installation, method: str, token: str) -> Any:
    if method in ("ListGrants", "GetDirectory"):
        from crm.common.v1 import access_service_pb2 as access

        service = access.DESCRIPTOR.services_by_name["AccessService"]
        return await crm.channels["organization"].call(service, method, getattr(access, f"{method}Request")(), token=token)
    return await crm.ask(method, role=token)


async def test_a_service_token_needs_the_right_secret_and_carries_only_its_rights(crm: Installation) -> None:
    from crm.common.v1 import access_service_pb2 as access

    service = access.DESCRIPTOR.services_by_name["AccessService"]
    channel = crm.channels["organization"]
    for name, secret in (("sales", "w" * 43), ("nobody", "w" * 43), ("sales", crm.plan.secrets["support"])):
        request = access.IssueServiceTokenRequest(service=name, secret=secret)
        assert await code(channel.call(service, "IssueServiceToken", request)) == "UNAUTHENTICATED"
    request = access.IssueServiceTokenRequest(service="sales", secret=crm.plan.secrets["sales"])
    token = (await channel.call(service, "IssueServiceToken", request)).token.access_token
    await crm.ask("ListOrders", role=token)
    assert await code(crm.ask("ListCustomers", role=token)) == "NOT_ALLOWED"
    grants = await channel.call(service, "ListGrants", access.ListGrantsRequest(), token=crm.tokens["SALES_REP"])
    assert ("SALES_REP", "customers", "read", 1) in {(line.role, line.resource, line.action, line.scope) for line in grants.grants}
    assert (
        await code(channel.call(service, "GetDirectory", access.GetDirectoryRequest(), token=crm.tokens["ADMINISTRATOR"])) == "NOT_ALLOWED"
    )
