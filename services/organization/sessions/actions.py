"""Signing in, staying in, signing out."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from crm.organization.v1 import session_events_pb2 as events

from chassis.access.caller import Caller
from chassis.access.tokens import LIFETIME_SECONDS, Signer
from chassis.rpc.call import Call
from services.organization.people.passwords import verify_password
from services.organization.people.store import People
from services.organization.sessions import model
from services.organization.sessions.store import Sessions

Document = dict[str, Any]
_SELF = Caller("service-organization", frozenset(("service-organization",)))


def as_department(call: Call) -> Call:
    """The same call with the department's own rights: somebody who signs in has none yet."""
    return replace(call, caller=_SELF)


def tokens(signer: Signer, session: Document, person: Document, refresh_token: str) -> Document:
    """The tokens document of a session. Roles and post are read anew each time, so a change takes effect with the next refresh."""
    caller = Caller(
        person["_id"], frozenset(person["roles"]), person.get("home_department_id", ""), person.get("home_team_id", ""), session["_id"]
    )
    text, ends = signer.sign(caller)
    return {
        "access_token": text,
        "access_expire_time": datetime.fromtimestamp(ends, UTC),
        "refresh_token": refresh_token,
        "refresh_expire_time": session["expire_time"],
    }


async def sign_in(
    sessions: Sessions, people: People, call: Call, *, email: str, password: str, user_agent: str | None
) -> tuple[Document, Document, str]:
    """A session for the right password; (session, person, refresh token). Raises SIGN_IN_REFUSED or SIGN_IN_THROTTLED."""
    own = as_department(call)
    address = email.strip().lower()
    await sessions.begin_attempt(own, address)
    person = await people.by_email(own, address)
    stored = await people.password_hash(own, person["_id"]) if person else ""
    if not await verify_password(stored, password) or person is None or person["state"] != "ACTIVE":
        raise model.refused()
    await sessions.forget_attempts(own, address)
    refresh_token = secrets.token_urlsafe(32)
    values = model.opened(person["_id"], refresh_token, call.now, user_agent)
    values["access_expire_time"] = call.now + timedelta(seconds=LIFETIME_SECONDS)
    return sessions.create(own, values, events.SessionCreated), person, refresh_token


async def refresh(sessions: Sessions, people: People, call: Call, *, refresh_token: str) -> tuple[Document, Document, str] | None:
    """The next tokens for a refresh token; None when it came a second time: the session is then ended with this commit."""
    own = as_department(call)
    fingerprint = model.fingerprint(refresh_token)
    session = await sessions.by_refresh_hash(own, fingerprint)
    if session is None or session.get("revoke_time") or session["expire_time"] <= call.now:
        raise model.refresh_refused()
    if session["refresh_hash"] != fingerprint:  # stolen, or sent twice: both holders lose it
        sessions.change(own, session, {"revoke_time": call.now}, events.SessionRevoked)
        return None
    person = await people.get(own, session["person_id"])
    if person["state"] != "ACTIVE":
        raise model.refresh_refused()
    following = secrets.token_urlsafe(32)
    values = model.refreshed(session, following, call.now) | {"access_expire_time": call.now + timedelta(seconds=LIFETIME_SECONDS)}
    return sessions.change(own, session, values, events.SessionRefreshed), person, following


async def revoke(sessions: Sessions, call: Call, *, session_id: str) -> Document:
    """End a session; ending it twice changes nothing more."""
    before = await sessions.get(call, session_id, "update")
    if before.get("revoke_time"):
        return before
    return sessions.change(call, before, {"revoke_time": call.now}, events.SessionRevoked)
