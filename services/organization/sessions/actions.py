"""Signing in, staying in, signing out."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from crm.organization.v1 import person_events_pb2 as person_events
from crm.organization.v1 import session_events_pb2 as events

from chassis.access.caller import Caller
from chassis.access.tokens import LIFETIME_SECONDS, Signer
from chassis.kernel.errors import NotAllowed
from chassis.rpc.call import Call
from services.organization.people import credentials
from services.organization.people.model import check_password, every_role
from services.organization.people.passwords import hash_password, in_line, verify_password
from services.organization.people.store import People
from services.organization.sessions import devices, model
from services.organization.sessions.store import Sessions

Document = dict[str, Any]
Opened = tuple[Document, Document, str]  # session, person, refresh token
_SELF = Caller("service-organization", frozenset(("service-organization",)))


def as_department(call: Call) -> Call:
    """The same call with the department's own rights: somebody who signs in has none yet."""
    return replace(call, caller=_SELF)


def tokens(signer: Signer, session: Document, person: Document, refresh_token: str) -> Document:
    """The tokens document of a session. Roles and post are read anew each time, so a change takes effect with the next refresh."""
    caller = Caller(
        person["_id"], frozenset(every_role(person)), person.get("home_department_id", ""), person.get("home_team_id", ""), session["_id"]
    )
    text, ends = signer.sign(caller)
    return {
        "access_token": text,
        "access_expire_time": datetime.fromtimestamp(ends, UTC),
        "refresh_token": refresh_token,
        "refresh_expire_time": session["expire_time"],
    }


async def sign_in(
    sessions: Sessions, people: People, call: Call, *, email: str, password: str, user_agent: str | None = None, code: str = "",
    new_password: str = "", device_token: str = "",
) -> tuple[Opened, str]:  # fmt: skip
    """A session for the right password and, where there is one, the second factor: (session, person, refresh token), and the device's token.

    Raises SIGN_IN_REFUSED, SIGN_IN_THROTTLED, SECOND_FACTOR_REQUIRED, SECOND_FACTOR_REFUSED or PASSWORD_CHANGE_REQUIRED.
    """
    own = as_department(call)
    address = email.strip().lower()
    person = await people.by_email(own, address)
    device = devices.known(own, device_token, person["_id"]) if person and device_token else ""
    place = devices.place_of(own, device)
    async with in_line(place):
        await sessions.take_turn(own, address, place)
        if not device:
            await sessions.count(own, address, model.MOST_GUESSES_OF_ACCOUNT)
        stored = await credentials.of(own, person["_id"]) if person else {}
        if not await verify_password(stored.get("hash", ""), password) or person is None or person["state"] != "ACTIVE":
            raise model.refused()
    if stored.get("factor"):
        await _second_factor(sessions, own, stored, code, device)
    if stored.get("must_change") or new_password:
        person = await _choose(people, own, person, password, new_password)
    await sessions.forget_guesses(own, address, place)
    if not device:
        await sessions.take_back(own, address)
    return open_session(sessions, own, person, user_agent), devices.token_of(own, person["_id"], device)


def open_session(sessions: Sessions, call: Call, person: Document, user_agent: str | None) -> Opened:
    """A session for somebody who has shown who they are; (session, person, refresh token). The call has the department's own rights."""
    refresh_token = secrets.token_urlsafe(32)
    values = model.opened(person["_id"], refresh_token, call.now, user_agent)
    values["access_expire_time"] = call.now + timedelta(seconds=LIFETIME_SECONDS)
    return sessions.create(call, values, events.SessionCreated), person, refresh_token


async def _second_factor(sessions: Sessions, call: Call, stored: Document, code: str, device: str) -> None:
    """Judge the code. Who comes so far has the password: codes are counted for the account, from wherever they come but known devices."""
    if not code:
        raise NotAllowed("this account has a second factor; send its code too", code="SECOND_FACTOR_REQUIRED", field="code")
    account, place = f"factor {stored['_id']}", device and f"device {device}"
    await sessions.take_turn(call, account, place)
    if not await credentials.use_code(call, stored, code):
        raise NotAllowed("the code is wrong or was used before; wait for the next one", code="SECOND_FACTOR_REFUSED", field="code")
    await sessions.forget_guesses(call, account, place)


async def _choose(people: People, call: Call, person: Document, password: str, new_password: str) -> Document:
    """A password of the person's own in place of the one that they signed in with; other sessions end."""
    if not new_password or new_password == password:
        words = "this password was given by somebody else; choose one of your own and send it as new_password"
        raise NotAllowed(words, code="PASSWORD_CHANGE_REQUIRED", field="new_password")
    check_password(new_password, person)
    credentials.set_password(call, person["_id"], await hash_password(new_password), must_change=False)
    people.end_sessions(call, person["_id"])
    return people.change(call, person, {}, person_events.PersonPasswordSet, action="password")


async def refresh(sessions: Sessions, people: People, call: Call, *, refresh_token: str) -> Opened | None:
    """The next tokens for a refresh token: the same ones when it comes again at once, for tabs that refresh together and answers that get lost.
    None when it comes later: the session is then ended with this commit."""
    own = as_department(call)
    fingerprint = model.fingerprint(refresh_token)
    session = await sessions.by_refresh_hash(own, fingerprint)
    if session is None or session.get("revoke_time") or session["expire_time"] <= call.now:
        raise model.refresh_refused()
    fresh = session["refresh_hash"] == fingerprint
    if not fresh and not model.repeats(session, refresh_token, call.now):  # stolen, or sent twice: both holders lose it
        sessions.change(own, session, {"revoke_time": call.now}, events.SessionRevoked)
        return None
    person = await people.get(own, session["person_id"])
    if person["state"] != "ACTIVE":
        raise model.refresh_refused()
    if not fresh:
        return session, person, model.successor(refresh_token, session["refresh_salt"])
    salt = secrets.token_urlsafe(32)
    # A repeat writes nothing, so its access token must end within what is on record here.
    ends = call.now + timedelta(seconds=LIFETIME_SECONDS + model.REPEAT_SECONDS)
    values = model.refreshed(session, refresh_token, salt, call.now) | {"access_expire_time": ends}
    return sessions.change(own, session, values, events.SessionRefreshed), person, model.successor(refresh_token, salt)


async def revoke(sessions: Sessions, call: Call, *, session_id: str) -> Document:
    """End a session; ending it twice changes nothing more."""
    before = await sessions.get(call, session_id, "update")
    if before.get("revoke_time"):
        return before
    return sessions.change(call, before, {"revoke_time": call.now}, events.SessionRevoked)
