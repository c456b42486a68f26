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

from chassis.kernel.addresses import networks_of
from chassis.kernel.errors import WrongState
from cli.engines import free_port
from services.organization.identity_providers.id_tokens import NotTrusted
from services.organization.identity_providers.link import UNKNOWN_KEY_SECONDS, ProviderLink
from services.organization.webhook_endpoints.destinations import Destinations
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


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def unlinked(crm: Installation) -> Any:
    """Somebody whom no sign-in of these tests may reach."""
    return await somebody(crm)


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


NOT_TRUE = [1, "true", "True", 1.0, None, False, [True], {"value": True}, "1"]


@pytest.mark.parametrize("said", NOT_TRUE, ids=repr)
@pytest.mark.parametrize("by_userinfo", [False, True])
async def test_an_address_counts_only_where_its_document_says_exactly_that_it_is_verified(
    crm: Installation, forger: Forger, unlinked: Any, said: object, by_userinfo: bool
) -> None:
    record = await register(crm, forger.issuer)
    told = {"email": unlinked.email, "email_verified": said}
    forger.more, forger.userinfo = ({}, {"sub": "somebody", **told}) if by_userinfo else (told, {"sub": "somebody"})
    brought = forger.goes((await begin(crm, record)).authorization_url)
    assert await code_of(complete(crm, brought)) == "EMAIL_NOT_VERIFIED"


MIXED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "address in the token, proof in userinfo": ({"email": "$"}, {"email_verified": True}),
    "proof in the token, address in userinfo": ({"email_verified": True}, {"email": "$"}),
    "address in the token, another with its proof in userinfo": ({"email": "$"}, {"email": "other@example.com", "email_verified": True}),
    "another with its proof in the token, address in userinfo": ({"email": "other@example.com"}, {"email": "$", "email_verified": True}),
    "denied in the token, proof in userinfo": ({"email_verified": False}, {"email": "$", "email_verified": True}),
    "address by another source": (
        {"email": "$", "email_verified": True, "_claim_names": {"email": "src1"}, "_claim_sources": {"src1": {"JWT": "x"}}},
        {},
    ),
    "proof by another source": ({"email": "$", "email_verified": True, "_claim_names": {"email_verified": "src1"}}, {}),
}


@pytest.mark.parametrize("name", MIXED)
async def test_an_address_and_its_proof_come_from_one_document(crm: Installation, forger: Forger, unlinked: Any, name: str) -> None:
    record = await register(crm, forger.issuer)
    token, info = ({key: unlinked.email if value == "$" else value for key, value in one.items()} for one in MIXED[name])
    forger.more, forger.userinfo = token, {"sub": "somebody", **info}
    brought = forger.goes((await begin(crm, record)).authorization_url)
    assert await code_of(complete(crm, brought)) == "EMAIL_NOT_VERIFIED"


async def test_userinfo_vouches_for_the_address_that_the_token_only_names(crm: Installation, forger: Forger) -> None:
    person, record = await somebody(crm), await register(crm, forger.issuer)
    forger.more = {"email": person.email.upper()}
    forger.userinfo = {"sub": "somebody", "email": person.email, "email_verified": True}
    assert (await complete(crm, forger.goes((await begin(crm, record)).authorization_url))).person.id == person.id


@pytest.mark.parametrize("name", ["token_endpoint", "jwks_uri", "userinfo_endpoint"])
@pytest.mark.parametrize("host", ["169.254.169.254", "10.0.0.1", "[::ffff:10.0.0.1]", "[fd00::1]", "2130706433", "0x7f.1", "168.63.129.16"])
async def test_an_endpoint_that_leads_inside_makes_no_provider(crm: Installation, forger: Forger, name: str, host: str) -> None:
    forger.metadata = {name: f"https://{host}/x"}
    assert await code_of(begin(crm, await register(crm, forger.issuer))) == "PROVIDER_UNREACHABLE"


@pytest.mark.parametrize(
    "issuer", ["https://169.254.169.254", "https://10.0.0.1/realm", "https://[::ffff:192.168.0.1]", "https://2130706433", "https://0x7f.1"]
)
async def test_an_issuer_that_leads_inside_is_not_entered(crm: Installation, issuer: str) -> None:
    assert await code_of(register(crm, issuer)) == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"]
)
async def test_outside_of_development_a_name_that_leads_inside_is_not_asked(forger: Forger, address: str) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return [address]

    link = ProviderLink(destinations=Destinations(), resolve=resolve)
    for issuer in ("https://id.example.com", forger.issuer):
        with pytest.raises(WrongState) as found:
            await link.endpoints(issuer)
        assert found.value.code == "PROVIDER_UNREACHABLE"
    assert forger.asked == 0
    await link.close()


async def test_networks_that_the_operator_names_are_reached_but_loopback_only_in_development(forger: Forger) -> None:
    named = networks_of("127.0.0.0/8")
    link = ProviderLink(destinations=Destinations(named, development=True))
    assert (await link.endpoints(forger.issuer)).token == f"{forger.issuer}/token"
    await link.close()
    link = ProviderLink(destinations=Destinations(named))
    with pytest.raises(WrongState):
        await link.endpoints(forger.issuer)
    await link.close()
