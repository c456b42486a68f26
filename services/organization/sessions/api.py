"""SessionService."""

from __future__ import annotations

from functools import partial
from typing import Any

from crm.organization.v1 import person_pb2, session_pb2, session_service_pb2

from chassis.access.tokens import Signer
from chassis.rpc.call import Call
from chassis.rpc.documents import to_document, to_message
from chassis.rpc.handlers import reads, writes
from chassis.rpc.service import Service
from services.organization.api_keys.actions import exchange as exchange_key
from services.organization.api_keys.store import ApiKeys
from services.organization.people.store import People
from services.organization.sessions import actions, model
from services.organization.sessions.provider_sign_in import ProviderSignIn
from services.organization.sessions.store import Sessions

DESCRIPTOR = session_service_pb2.DESCRIPTOR.services_by_name["SessionService"]


def service(sessions: Sessions, people: People, keys: ApiKeys, signer: Signer, through: ProviderSignIn) -> Service:
    """The handlers of sessions."""

    def handed_out(opened: actions.Opened) -> dict[str, Any]:
        session, person, refresh_token = opened
        tokens = actions.tokens(signer, session, person, refresh_token)
        return {
            "session": to_message(session, session_pb2.Session.DESCRIPTOR),
            "tokens": to_message(tokens, session_pb2.Tokens.DESCRIPTOR),
            "person": to_message(person, person_pb2.Person.DESCRIPTOR),
        }

    async def create(call: Call, request: Any) -> Any:
        opened, device_token = await actions.sign_in(sessions, people, call, **to_document(request))
        return session_service_pb2.CreateSessionResponse(**handed_out(opened), device_token=device_token)

    async def begin(call: Call, request: Any) -> Any:
        address, state = await through.begin(call, **to_document(request))
        return session_service_pb2.BeginProviderSignInResponse(authorization_url=address, state=state)

    async def complete(call: Call, request: Any) -> Any:
        opened = await through.complete(call, **to_document(request))
        return session_service_pb2.CompleteProviderSignInResponse(**handed_out(opened))

    async def refresh(call: Call, request: Any) -> Any:
        opened = await actions.refresh(sessions, people, call, refresh_token=request.refresh_token)
        if opened is None:
            await call.changes.commit()
            raise model.refresh_refused()
        return session_service_pb2.RefreshSessionResponse(**handed_out(opened))

    async def exchange(call: Call, request: Any) -> Any:
        text, ends = await exchange_key(keys, signer, call, secret=request.secret)
        answer = session_service_pb2.ExchangeApiKeyResponse(access_token=text)
        answer.access_expire_time.FromSeconds(ends)
        return answer

    handlers = reads(sessions, DESCRIPTOR) | {
        "BeginProviderSignIn": begin,
        "CompleteProviderSignIn": complete,
        "CreateSession": create,
        "ExchangeApiKey": exchange,
        "RefreshSession": refresh,
        "RevokeSession": writes(DESCRIPTOR, "RevokeSession", partial(actions.revoke, sessions)),
    }
    return Service(DESCRIPTOR, handlers, sessions.duplicate_codes, sessions)
