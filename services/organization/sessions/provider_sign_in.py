"""Signing in through an identity provider: begun here, done there, completed here. Whom the provider vouches for is a person by the
account that was linked, or at first by the verified mail address; the roles from groups are reckoned anew each time."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from crm.organization.v1 import person_events_pb2

from chassis.kernel.addresses import holder_of
from chassis.kernel.errors import Conflict, NotFound, WrongState
from chassis.rpc.call import Call
from chassis.storage.changes import Changes, Duplicate
from services.organization.identity_providers import credentials, id_tokens, model
from services.organization.identity_providers.id_tokens import NotTrusted
from services.organization.identity_providers.link import ProviderLink
from services.organization.identity_providers.store import IdentityProviders
from services.organization.people import model as person_model
from services.organization.people.store import People
from services.organization.sessions.actions import Opened, as_department, open_session
from services.organization.sessions.store import Sessions

log = logging.getLogger("crm.organization")
Document = dict[str, Any]
MOST_BEGUN_OF_ADDRESS = 300  # in fifteen minutes; completed ones do not count
_ATTEMPTS = 5


@dataclass(frozen=True)
class ProviderSignIn:
    """What it takes: the providers, the way to them, the people and their sessions."""

    providers: IdentityProviders
    link: ProviderLink
    people: People
    sessions: Sessions

    async def begin(self, call: Call, *, identity_provider_id: str, redirect_uri: str) -> tuple[str, str]:
        """Where to send the browser, and the state. Raises NOT_FOUND, REDIRECT_URI_UNKNOWN, PROVIDER_UNREACHABLE, SIGN_IN_THROTTLED."""
        own = as_department(call)
        provider = await self.providers.in_use_by_id(own, identity_provider_id)
        if provider is None:
            raise NotFound("there is no such identity provider in use; ask for the sign-in choices", field="identity_provider_id")
        if redirect_uri not in provider["redirect_uris"]:
            raise model.redirect_refused()
        if call.address:
            await self.sessions.count(own, _counted(call), MOST_BEGUN_OF_ADDRESS)
        endpoints = await self.link.endpoints(provider["issuer"])
        state, begun = credentials.begin(own, provider, redirect_uri)
        return model.authorization_url(endpoints.authorization, provider, begun, state), state

    async def complete(self, call: Call, *, state: str, code: str, user_agent: str | None = None) -> Opened:
        """A session for a code. Raises PROVIDER_SIGN_IN_REFUSED, PROVIDER_UNREACHABLE, EMAIL_NOT_VERIFIED, NO_SUCH_PERSON,
        IDENTITY_TAKEN or NO_ROLE_PROVIDED.

        Commits by itself: state and code are used up, so the call cannot be tried again as a whole when somebody was faster.
        """
        provider, identity = await self._vouched(as_department(call), state, code)
        keep = False
        for _ in range(_ATTEMPTS):
            call.changes = _fresh(call, provider)
            own = as_department(call)
            person = await self._person(own, provider, identity, keep=keep)
            opened = open_session(self.sessions, own, person, user_agent) if person_model.every_role(person) else None
            try:
                await call.changes.commit()
            except (Conflict, Duplicate):
                continue
            except WrongState as last:  # the groups took the roles of the last administrator: who would let anybody in again?
                log.warning("provided roles kept", extra={"person": person["_id"], "reason": last.message})
                keep = True
                continue
            call.changes = _fresh(call, provider)  # all is written: nothing is left for the commit behind the handler
            if opened is None:
                raise model.without_role()
            if call.address:
                await self.sessions.take_back(own, _counted(call))
            return opened
        raise Conflict("your record was changed at the same moment; sign in again", code="BUSY", retryable=False)

    async def _vouched(self, call: Call, state: str, code: str) -> tuple[Document, model.Identity]:
        """The provider, and whom it vouches for."""
        begun = await credentials.take(call, state) or {}
        provider = await self.providers.in_use_by_id(call, begun.get("identity_provider_id", ""))
        try:
            if provider is None:
                raise NotTrusted("provider archived meanwhile" if begun else "state unknown, used or too old")
            claims = await self._claims(call, provider, begun, code)
        except NotTrusted as reason:
            extra = {"request_id": call.request_id, "identity_provider_id": begun.get("identity_provider_id", ""), "reason": str(reason)}
            log.warning("provider sign-in refused", extra=extra)
            raise model.refused() from reason
        except WrongState as silence:
            raise model.broken_off() from silence
        return provider, model.identity_of(provider, claims)

    async def _claims(self, call: Call, provider: Document, begun: Document, code: str) -> Document:
        """Verified claims of the ID token, with those of userinfo where it has not all that is needed."""
        endpoints = await self.link.endpoints(provider["issuer"])
        client = (provider["client_id"], await credentials.secret_of(call, provider["_id"]))
        given = {"code": code, "redirect_uri": begun["redirect_uri"], "code_verifier": begun["verifier"]}
        answer = await self.link.exchange(endpoints, client, given)
        claims = await self.link.claims(endpoints, answer.get("id_token"))
        id_tokens.check_claims(
            claims, issuer=provider["issuer"], client_id=provider["client_id"], nonce=begun["nonce"], now=call.now.timestamp()
        )
        more: Document = {}
        if endpoints.userinfo and model.lacks(provider, claims):
            more = await self.link.userinfo(endpoints, answer.get("access_token"))
            if more.get("sub") != claims["sub"]:
                raise NotTrusted("userinfo is about somebody else")
        return model.joined(claims, more)

    async def _person(self, call: Call, provider: Document, identity: model.Identity, *, keep: bool) -> Document:
        """The person with the roles that the groups give now; with `keep`, with those that they have."""
        given = model.granted(provider, identity.groups)
        linked = await credentials.person_of(call, provider, identity.subject)
        person = await self.people.get(call, linked) if linked else await self.people.by_email(call, identity.email)
        if person is None:
            return self._made(call, provider, identity, given)
        if person["state"] != "ACTIVE":
            raise model.unknown_person()
        if not linked:
            if await credentials.is_linked(call, provider, person["_id"]):
                raise model.identity_taken()
            credentials.link(call, provider, identity.subject, person["_id"])
        provided = model.provided(person, given)
        if keep or provided == person.get("provided_roles", []):
            return person
        return self.people.change(call, person, {"provided_roles": provided or None}, person_events_pb2.PersonRolesProvided)

    def _made(self, call: Call, provider: Document, identity: model.Identity, given: Document) -> Document:
        if not provider["creates_people"]:
            raise model.unknown_person()
        values = {"name": identity.name, "email": identity.email, "home_department_id": provider["home_department_id"]}
        values |= {"provided_roles": model.provided({}, given)}
        if not person_model.every_role(values):
            raise model.without_role()
        person_model.check(values)
        made = self.people.create(call, values, person_events_pb2.PersonCreated)
        credentials.link(call, provider, identity.subject, made["_id"])
        return made


def _counted(call: Call) -> str:
    return f"provider {holder_of(call.address)}"


def _fresh(call: Call, provider: Document) -> Changes:
    """Nothing to write yet. What is written is the department's doing, with the provider as its reason."""
    old = call.changes
    reason = f"signed in through {provider['display_name']}"
    return Changes(old.database, as_department(call).caller.person_id, old.correlation_id, old.method, old.on_commit, reason, old.vault)
