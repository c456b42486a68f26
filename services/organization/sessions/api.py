"""SessionService."""

from __future__ import annotations

from functools import partial
from typing import Any

from crm.organization.v1 import person_pb2, session_pb2, session_service_pb2

from chassis.access.tokens import Signer
from chassis.rpc.call import Call
from chassis.rpc.documents import to_message
from chassis.rpc.handlers import reads, writes
from chassis.rpc.service import Service
from services.organization.people.store import People
from services.organization.sessions import actions, model
from services.organization.sessions.store import Sessions

DESCRIPTOR = session_service_pb2.DESCRIPTOR.services_by_name["SessionService"]
Opened = tuple[dict[str, Any], dict[str, Any], str]


def service(sessions: Sessions, people: People, signer: Signer) -> Service:
    """The handlers of sessions."""

    def handed_out(opened: Opened) -> dict[str, Any]:
        session, person, refresh_token = opened
        tokens = actions.tokens(signer, session, person, refresh_token)
        return {
            "session": to_message(session, session_pb2.Session.DESCRIPTOR),
            "tokens": to_message(tokens, session_pb2.Tokens.DESCRIPTOR),
            "person": to_message(person, person_pb2.Person.DESCRIPTOR),
        }

    async def create(call: Call, request: Any) -> Any:
        agent = request.user_agent if request.HasField("user_agent") else None
        opened = await actions.sign_in(sessions, people, call, email=request.email, password=request.password, user_agent=agent)
        return session_service_pb2.CreateSessionResponse(**handed_out(opened))

    async def refresh(call: Call, request: Any) -> Any:
        opened = await actions.refresh(sessions, people, call, refresh_token=request.refresh_token)
        if opened is None:
            await call.changes.commit()
            raise model.refresh_refused()
        return session_service_pb2.RefreshSessionResponse(**handed_out(opened))

    handlers = reads(sessions, DESCRIPTOR) | {
        "CreateSession": create,
        "RefreshSession": refresh,
        "RevokeSession": writes(DESCRIPTOR, "RevokeSession", partial(actions.revoke, sessions)),
    }
    return Service(DESCRIPTOR, handlers, sessions.duplicate_codes)
