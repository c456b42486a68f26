"""Strangers keep nobody out: what they do is counted under their own address, behind trusted proxies too, and never against a known device."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from tests.support.installation import PASSWORD, Installation

SIGN_IN = """mutation($input: SessionCreateInput!) { sessionCreate(input: $input) {
    tokens { accessToken refreshToken } deviceToken person { name } errors { code message retryable } } }"""
REFRESH = "mutation($input: SessionRefreshInput!) { sessionRefresh(input: $input) { tokens { refreshToken } errors { code } } }"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def edge(crm: Installation) -> AsyncIterator[Installation]:
    """The installation behind a proxy on this machine; by X-Forwarded-For the tests come from where they like."""
    await through(crm, "127.0.0.1/32")
    for key in ("door one", "door two", "door three", "door four", "door five", "door six"):
        await crm.person(key, "SALES_REP", password=True)
    yield crm
    await through(crm, "")


async def through(crm: Installation, proxies: str) -> None:
    """A gateway that believes these proxies."""
    seconds = crm.suite["gateway"].clients.read_seconds
    await crm.suite.stop("gateway")
    crm.plan.trusted_proxies = proxies
    await crm.suite.start(["gateway"])
    crm.suite["gateway"].clients.read_seconds = seconds


async def knock(crm: Installation, name: str, password: str, address: str, **more: Any) -> dict[str, Any]:
    """The payload of a sign-in that comes from an address."""
    given = {"email": f"{name.replace(' ', '.')}@example.com", "password": password, **more}
    answer = await crm.http.post("/graphql", json={"query": SIGN_IN, "variables": {"input": given}}, headers={"X-Forwarded-For": address})
    found: dict[str, Any] = answer.json()["data"]["sessionCreate"]
    return found


def code(payload: dict[str, Any]) -> str:
    return payload["errors"][0]["code"] if payload["errors"] else ""


async def guess(crm: Installation, name: str, address: str, times: int = 8) -> list[str]:
    return [code(await knock(crm, name, f"wrong password {number}", address)) for number in range(times)]


async def test_without_trusted_proxies_nobody_is_believed(crm: Installation) -> None:
    """It comes first: for the others the gateway is behind a proxy."""
    codes = []
    for number in range(8):
        headers = {"X-Forwarded-For": f"192.0.2.{number}", "Forwarded": f"for=192.0.2.{number}", "X-Real-IP": f"192.0.2.{number}"}
        given = {"email": "nobody.is.believed@example.com", "password": "wrong password"}
        answer = await crm.http.post("/graphql", json={"query": SIGN_IN, "variables": {"input": given}}, headers=headers)
        codes.append(code(answer.json()["data"]["sessionCreate"]))
    assert codes[-1] == "SIGN_IN_THROTTLED"


async def test_a_hundred_wrong_sign_ins_from_an_address_keep_no_other_account_of_it_out(edge: Installation) -> None:
    for number in range(120):
        await knock(edge, f"nobody {number}", "wrong password", "192.0.2.1")
    assert code(await knock(edge, "door one", PASSWORD, "192.0.2.1")) == ""


async def test_guesses_from_one_address_slow_down_that_address_and_no_other(edge: Installation) -> None:
    codes = await guess(edge, "door two", "192.0.2.2")
    assert (codes[:6], codes[-1]) == (["SIGN_IN_REFUSED"] * 6, "SIGN_IN_THROTTLED")
    assert code(await knock(edge, "door two", PASSWORD, "192.0.2.2")) == "SIGN_IN_THROTTLED"
    assert code(await knock(edge, "door two", PASSWORD, "192.0.2.3")) == ""
    assert code(await knock(edge, "door one", PASSWORD, "192.0.2.2")) == ""


async def test_a_device_that_is_known_gets_in_from_the_address_that_attacks(edge: Installation) -> None:
    device = (await knock(edge, "door three", PASSWORD, "192.0.2.4"))["deviceToken"]
    other = (await knock(edge, "door one", PASSWORD, "192.0.2.4"))["deviceToken"]
    await guess(edge, "door three", "192.0.2.4")
    for forged in ("", "AAAA", "é", other, device[:-4] + "AAA=", device[:-2]):
        assert code(await knock(edge, "door three", PASSWORD, "192.0.2.4", deviceToken=forged)) == "SIGN_IN_THROTTLED"
    again = await knock(edge, "door three", PASSWORD, "192.0.2.4", deviceToken=device)
    assert (code(again), bool(again["tokens"])) == ("", True)
    assert again["deviceToken"] not in ("", device)


async def test_a_device_token_opens_nothing_and_guesses_with_it_slow_it_down_itself(edge: Installation) -> None:
    device = (await knock(edge, "door four", PASSWORD, "192.0.2.5"))["deviceToken"]
    codes = [code(await knock(edge, "door four", "wrong password", f"192.0.2.{50 + n}", deviceToken=device)) for n in range(8)]
    assert (codes[0], codes[-1]) == ("SIGN_IN_REFUSED", "SIGN_IN_THROTTLED")
    assert code(await knock(edge, "door four", PASSWORD, "192.0.2.5")) == ""


async def test_an_attack_from_everywhere_keeps_a_known_device_in(edge: Installation) -> None:
    device = (await knock(edge, "door five", PASSWORD, "192.0.2.6"))["deviceToken"]
    rows = edge.suite["organization"].database["sign_in_failures"]
    account = edge.suite["organization"].vault.blind("account:door.five@example.com")
    await rows.update_one({"_id": account}, {"$set": {"count": 500, "time": edge.suite["organization"].own_call("tests").now}}, upsert=True)
    assert code(await knock(edge, "door five", PASSWORD, "203.0.113.50")) == "SIGN_IN_THROTTLED"
    assert code(await knock(edge, "door five", PASSWORD, "203.0.113.51", deviceToken=device)) == ""


async def test_intervals_double_up_to_a_quarter_of_an_hour(edge: Installation) -> None:
    organization = edge.suite["organization"]
    rows = organization.database["sign_in_failures"]
    waits = []
    for _ in range(17):
        await knock(edge, "nobody waits", "wrong password", "192.0.2.9")
        row = await rows.find_one({"account": organization.vault.blind("account:nobody.waits@example.com")}, sort=[("time", -1)])
        assert row
        waits.append(round((row["time"] - organization.own_call("tests").now).total_seconds()))
        await rows.update_one({"_id": row["_id"]}, {"$set": {"time": row["time"] - timedelta(hours=1)}})
    assert [max(wait, 0) for wait in waits[:5]] == [0] * 5
    assert all(abs(wait - min(2 ** (number + 1), 900)) <= 1 for number, wait in enumerate(waits[5:]))


async def test_addresses_of_one_network_of_version_six_are_one(edge: Installation) -> None:
    codes = [code(await knock(edge, "door six", "wrong password", f"2001:db8:9:9::{number:x}")) for number in range(8)]
    assert codes[-1] == "SIGN_IN_THROTTLED"
    assert code(await knock(edge, "door six", PASSWORD, "2001:db8:9:a::1")) == ""


async def test_a_client_chooses_no_address_by_what_it_writes_before_the_proxy_does(edge: Installation) -> None:
    codes = await guess(edge, "nobody forges", "192.0.2.10")
    assert codes[-1] == "SIGN_IN_THROTTLED"
    assert code(await knock(edge, "nobody forges", "wrong", "198.51.100.99, 192.0.2.10")) == "SIGN_IN_THROTTLED"


async def test_anonymous_questions_take_nothing_from_sign_ins_and_refreshes(edge: Installation) -> None:
    session = await knock(edge, "door one", PASSWORD, "192.0.2.20")
    budget = edge.suite["gateway"].operations.budget
    most, budget.most = budget.most, 50_000
    try:
        query = {"query": "{ customers(first: 100) { nodes { " + " ".join(f"a{i}: name" for i in range(50)) + " } } }"}
        statuses = [
            (await edge.http.post("/graphql", json=query, headers={"X-Forwarded-For": "192.0.2.20"})).status_code for _ in range(20)
        ]
        assert statuses[-1] == 429
        assert code(await knock(edge, "door one", PASSWORD, "192.0.2.20")) == ""
        body = {"query": REFRESH, "variables": {"input": {"refreshToken": session["tokens"]["refreshToken"]}}}
        answer = (await edge.http.post("/graphql", json=body, headers={"X-Forwarded-For": "192.0.2.20"})).json()
        assert answer["data"]["sessionRefresh"]["tokens"]["refreshToken"]
    finally:
        budget.most = most


async def test_sign_ins_of_an_address_have_a_limit_of_their_own(edge: Installation) -> None:
    knocking = edge.suite["gateway"].operations.knocking
    most, knocking.most = knocking.most, 3
    try:
        given = {"email": "nobody@example.com", "password": "wrong"}
        answers = []
        for address in ("192.0.2.21",) * 4 + ("192.0.2.22",):
            body = {"query": SIGN_IN, "variables": {"input": given}}
            answers.append(await edge.http.post("/graphql", json=body, headers={"X-Forwarded-For": address}))
    finally:
        knocking.most = most
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 200]
    assert answers[3].json()["errors"][0]["extensions"]["limit"] == "sign-ins in a minute"
    assert int(answers[3].headers["retry-after"]) > 0


@pytest.mark.parametrize(
    "text",
    [
        "mutation { " + " ".join(f'a{i}: sessionCreate(input: {{email: "x@y.zz", password: "p"}}) {{ errors {{ code }} }}' for i in range(30)) + " }",
        'mutation { a: sessionCreate(input: {email: "x@y.zz", password: "p"}) { errors { code } } ...B } '
        'fragment B on Mutation { b: sessionRefresh(input: {refreshToken: "x"}) { errors { code } } }',
        'mutation { ... { a: sessionCreate(input: {email: "x@y.zz", password: "p"}) { errors { code } } } '
        '... @include(if: true) { b: sessionCreate(input: {email: "x@y.zz", password: "q"}) { errors { code } } } }',
    ],
    ids=["thirty aliases", "in a fragment, with a refresh", "in inline fragments"],
)  # fmt: skip
async def test_an_operation_has_one_sign_in(edge: Installation, text: str) -> None:
    before = edge.calls()
    body = (await edge.http.post("/graphql", json={"query": text})).json()
    (error,) = body["errors"]
    assert (error["extensions"]["limit"], error["extensions"]["most"]) == ("sign-ins", 1)
    assert error["message"].startswith(
        f"sign-ins {error['extensions']['found']} exceeds the limit of 1; send each in an operation of its own"
    )
    assert edge.calls() == before


async def test_a_flood_from_one_address_takes_its_own_time(edge: Installation) -> None:
    flood = [asyncio.create_task(knock(edge, f"nobody floods {number}", "wrong", "192.0.2.30")) for number in range(60)]
    await asyncio.sleep(0.05)
    assert code(await knock(edge, "door one", PASSWORD, "192.0.2.31")) == ""
    codes = [code(payload) for payload in await asyncio.gather(*flood)]
    assert set(codes) <= {"SIGN_IN_REFUSED", "SIGN_IN_THROTTLED"}
