"""A provider that lies, keeps silent or is none: forged tokens let nobody in."""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio
from joserfc.jwk import RSAKey

from cli.engines import free_port
from services.organization.identity_providers.id_tokens import NotTrusted
from services.organization.identity_providers.link import UNKNOWN_KEY_SECONDS, ProviderLink
from tests.support.checks import refused
from tests.support.installation import Installation
from tests.support.providers import Forger, begin, code_of, complete, register, somebody

MARKETER = 3


@pytest_asyncio.fixture(loop_scope="session")
async def forger() -> AsyncIterator[Forger]:
    provider = Forger()
    await provider.server.start()
    yield provider
    await provider.server.stop()


STRANGER = RSAKey.generate_key(2048, {"kid": "first"}, private=True)


def as_secret(forger: Forger, claims: dict[str, Any]) -> str:
    """A token by HS256 whose secret is the provider's public key: what a lenient verifier takes for RS256's key."""
    parts = [base64.urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=") for part in ({"alg": "HS256", "kid": "first"}, claims)]
    mark = hmac.digest(forger.key.as_pem(private=False), b".".join(parts), "sha256")  # by hand: the library refuses to
    return b".".join([*parts, base64.urlsafe_b64encode(mark).rstrip(b"=")]).decode()


LIES: dict[str, Any] = {
    "nonce of another sign-in": lambda f, c: f.signed(c | {"nonce": "x" * 43}),
    "no nonce": lambda f, c: f.signed({name: value for name, value in c.items() if name != "nonce"}),
    "another audience": lambda f, c: f.signed(c | {"aud": "another"}),
    "several audiences without azp": lambda f, c: f.signed(c | {"aud": ["crm", "another"]}),
    "another azp": lambda f, c: f.signed(c | {"aud": ["crm"], "azp": "another"}),
    "another issuer": lambda f, c: f.signed(c | {"iss": "https://id.example.com"}),
    "expired": lambda f, c: f.signed(c | {"exp": int(time.time()) - 60}),
    "expires never": lambda f, c: f.signed(c | {"exp": True}),
    "issued tomorrow": lambda f, c: f.signed(c | {"iat": int(time.time()) + 86_400}),
    "issued long ago": lambda f, c: f.signed(c | {"iat": 1}),
    "nobody": lambda f, c: f.signed(c | {"sub": ""}),
    "alg none": lambda f, c: f.signed(c, alg="none"),
    "HS256 with the public key": as_secret,
    "key of a stranger": lambda f, c: f.signed(c, STRANGER),
    "key that is not published": lambda f, c: f.signed(c, STRANGER, kid="second"),
    "signature of another": lambda f, c: f.signed(c).rsplit(".", 1)[0] + "." + f.signed({"sub": "x"}).rsplit(".", 1)[1],
    "no token": lambda f, c: "x",
    "nothing": lambda f, c: None,
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_forged_token_lets_nobody_in(crm: Installation, forger: Forger, lie: str) -> None:
    person, record = await somebody(crm), await register(crm, forger.issuer)
    forger.more = {"email": person.email, "email_verified": True}
    brought = forger.goes((await begin(crm, record)).authorization_url)
    forger.forge = lambda claims: LIES[lie](forger, claims)
    found = await refused(crm, "organization.sessions", complete(crm, brought), "PROVIDER_SIGN_IN_REFUSED")
    assert found.message == "this sign-in is not good, took too long or was completed before; begin it anew"
    forger.forge = forger.signed
    brought = forger.goes((await begin(crm, record)).authorization_url)
    assert (await complete(crm, brought)).person.id == person.id  # the same provider, honest again


async def test_pkce_binds_the_code_to_the_sign_in(crm: Installation, forger: Forger) -> None:
    person, record = await somebody(crm), await register(crm, forger.issuer)
    forger.more = {"email": person.email, "email_verified": True}
    first = forger.goes((await begin(crm, record)).authorization_url)
    forger.goes((await begin(crm, record)).authorization_url)
    assert await code_of(complete(crm, first)) == "PROVIDER_SIGN_IN_REFUSED"


async def test_userinfo_adds_what_the_token_lacks_if_it_is_about_the_same_person(crm: Installation, forger: Forger) -> None:
    person = await somebody(crm)
    grants = [{"group": "m", "role": MARKETER}]
    record = await register(crm, forger.issuer, role_grants=grants, groups_claim="realm_access.roles")
    told = {"email": person.email, "email_verified": True, "realm_access": {"roles": ["m"]}}
    forger.userinfo = told | {"sub": "another"}
    assert await code_of(complete(crm, forger.goes((await begin(crm, record)).authorization_url))) == "PROVIDER_SIGN_IN_REFUSED"
    forger.userinfo = told | {"sub": "somebody"}
    opened = await complete(crm, forger.goes((await begin(crm, record)).authorization_url))
    assert [list(one.roles) for one in opened.person.provided_roles] == [[MARKETER]]


@pytest.mark.parametrize(
    ("metadata", "status"),
    [
        ({"issuer": "https://id.example.com"}, 200),
        ({"issuer": None}, 200),
        ({"token_endpoint": "http://id.example.com/token"}, 200),
        ({"jwks_uri": None}, 200),
        ({"more": "x" * 300_000}, 200),
        ({}, 302),
    ],
)
async def test_who_does_not_answer_as_a_provider_is_none(crm: Installation, forger: Forger, metadata: dict[str, Any], status: int) -> None:
    forger.metadata, forger.status = metadata, status
    found = await refused(crm, "organization.sessions", begin(crm, await register(crm, forger.issuer)), "PROVIDER_UNREACHABLE")
    assert found.retryable


async def test_a_provider_that_is_down_is_said_to_be(crm: Installation, forger: Forger) -> None:
    found = await refused(
        crm, "organization.sessions", begin(crm, await register(crm, f"http://127.0.0.1:{free_port()}")), "PROVIDER_UNREACHABLE"
    )
    assert found.retryable
    brought = forger.goes((await begin(crm, await register(crm, forger.issuer))).authorization_url)
    await forger.server.stop()
    lost = await refused(crm, "organization.sessions", complete(crm, brought), "PROVIDER_UNREACHABLE")
    assert not lost.retryable  # the state is used up
    assert "begin the sign-in anew" in lost.message


async def test_new_keys_are_asked_for_once_a_minute_at_most(forger: Forger) -> None:
    moment = [1000.0]
    link = ProviderLink(lambda: moment[0])
    endpoints = await link.endpoints(forger.issuer)
    assert await link.claims(endpoints, forger.signed({"sub": "a"})) == {"sub": "a"}
    second = RSAKey.generate_key(2048, {"kid": "second"}, private=True)
    forger.published = [second]
    for _ in range(3):
        with pytest.raises(NotTrusted):
            await link.claims(endpoints, forger.signed({"sub": "a"}, second, kid="second"))
    assert forger.fetched == 1
    moment[0] += UNKNOWN_KEY_SECONDS + 1
    assert await link.claims(endpoints, forger.signed({"sub": "a"}, second, kid="second")) == {"sub": "a"}
    with pytest.raises(NotTrusted):
        await link.claims(endpoints, forger.signed({"sub": "a"}))
    assert forger.fetched == 2
    await link.close()
