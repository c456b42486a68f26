"""Somebody signs in through a provider with nothing but the graph and a browser, and works by a role from a group."""

from __future__ import annotations

from pathlib import Path

from chassis.kernel.ids import new_id
from gateway.graph.contract import to_global
from tests.support.installation import Installation
from tests.support.providers import BACK, SECRET, RealProvider

CREATE = """mutation($input: IdentityProviderCreateInput!) {
  identityProviderCreate(input: $input) { identityProvider { id displayName redirectUris } errors { code message } } }"""
BEGIN = """mutation($id: ID!, $back: String!) { sessionBeginProviderSignIn(input: {identityProviderId: $id, redirectUri: $back}) {
  authorizationUrl state errors { code path } } }"""
COMPLETE = """mutation($state: String!, $code: String!) { sessionCompleteProviderSignIn(input: {state: $state, code: $code}) {
  tokens { accessToken refreshToken } person { email providedRoles { roles } } errors { code } } }"""


async def test_a_provider_is_made_chosen_and_signed_in_through(crm: Installation, tmp_path: Path) -> None:
    real = await RealProvider().start(tmp_path)
    try:
        name, subject, email = f"公司 {new_id()}", new_id(), f"{new_id()}@example.com"
        values = {
            "displayName": name, "issuer": real.issuer, "clientId": "crm", "clientSecret": SECRET, "redirectUris": [BACK],
            "createsPeople": True, "homeDepartmentId": to_global("Department", crm.units["sales"]),
            "roleGrants": [{"group": "reps", "role": "SALES_REP"}],
        }  # fmt: skip
        assert (await crm.data(CREATE, "COORDINATOR", input=values))["identityProviderCreate"]["errors"][0]["code"] == "NOT_ALLOWED"
        assert (await crm.data(CREATE, "ADMINISTRATOR", input=values))["identityProviderCreate"]["errors"] == []
        choices = (await crm.data("{ signInChoices { identityProviderId displayName } }", ""))["signInChoices"]
        chosen = next(one["identityProviderId"] for one in choices if one["displayName"] == name)
        elsewhere = await crm.data(BEGIN, "", id=chosen, back="https://evil.example.com")
        expected = [{"code": "REDIRECT_URI_UNKNOWN", "path": ["input", "redirectUri"]}]
        assert elsewhere["sessionBeginProviderSignIn"]["errors"] == expected
        begun = (await crm.data(BEGIN, "", id=chosen, back=BACK))["sessionBeginProviderSignIn"]
        await real.knows(subject, email, "reps")
        brought = await real.browse(begun["authorizationUrl"], subject)
        assert brought["state"] == begun["state"]
        done = (await crm.data(COMPLETE, "", **brought))["sessionCompleteProviderSignIn"]
        assert done["errors"] == []
        assert done["person"] == {"email": email, "providedRoles": [{"roles": ["SALES_REP"]}]}
        token = done["tokens"]["accessToken"]
        assert (await crm.data("{ viewer { email } customers(first: 1) { nodes { id } } }", token))["viewer"] == {"email": email}
        again = (await crm.data(COMPLETE, "", **brought))["sessionCompleteProviderSignIn"]
        assert again["tokens"] is None
        assert again["errors"] == [{"code": "PROVIDER_SIGN_IN_REFUSED"}]
    finally:
        await real.stop()
