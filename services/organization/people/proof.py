"""Who changes what they sign in with shows once more who they are: a token that was stolen must not become an account that was stolen."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from chassis.kernel.errors import NotAllowed
from chassis.rpc.call import Call
from services.organization.people import credentials
from services.organization.people.passwords import verify_password
from services.organization.sessions.store import Sessions

FRESH = timedelta(minutes=5)
Document = dict[str, Any]


async def may_change(sessions: Sessions, call: Call, person: Document, stored: Document, password: str, code: str) -> None:
    """Refuse to change one's own password or factor without the present password and a code of the factor there is, unless the session began
    minutes ago with what there is. What is another person's is judged by rights; those of an API key are not enough for it."""
    if call.caller.is_key:
        raise NotAllowed("an API key does not change what people sign in with; sign in as a person")
    if person["_id"] != call.caller.person_id or (not password and await signed_in_lately(call, stored)):
        return
    if not password:
        words = "this takes the present password once more (and the code of the second factor), or a sign-in within the last five minutes"
        raise NotAllowed(words, code="REAUTHENTICATION_REQUIRED", field="present_password")
    if not await is_password(sessions, call, person, stored, password):
        raise NotAllowed("the present password is wrong; check it", code="REAUTHENTICATION_REQUIRED", field="present_password")
    await must_have_code(sessions, call, stored, code)


async def is_password(sessions: Sessions, call: Call, person: Document, stored: Document, password: str) -> bool:
    """Whether it is the present password. Guesses come at growing intervals as at sign-in, counted for the session: whoever stole its token
    keeps the person themself out of nothing."""
    account, place = person["email"], _place(call)
    await sessions.take_turn(call, account, place)
    if not await verify_password(stored.get("hash", ""), password):
        return False
    await sessions.forget_guesses(call, account, place)
    return True


async def must_have_code(sessions: Sessions, call: Call, stored: Document, code: str) -> None:
    """Refuse who has a second factor and shows no good code of it; a good one is used up."""
    if not stored.get("factor"):
        return
    if not code:
        raise NotAllowed("this account has a second factor; send its code too", code="SECOND_FACTOR_REQUIRED", field="code")
    account, place = f"factor {stored['_id']}", _place(call)
    await sessions.take_turn(call, account, place)
    if not await credentials.use_code(call, stored, code):
        raise NotAllowed("the code is wrong or was used before; wait for the next one", code="SECOND_FACTOR_REFUSED", field="code")
    await sessions.forget_guesses(call, account, place)


def _place(call: Call) -> str:
    return f"session {call.caller.session_id}"


async def signed_in_lately(call: Call, stored: Document) -> bool:
    """Whether the session began within the last minutes, and with the second factor where there is one by now."""
    since = call.now - FRESH
    if confirmed := stored.get("factor", {}).get("time"):
        since = max(since, confirmed)
    living = {"_id": call.caller.session_id, "person_id": call.caller.person_id, "revoke_time": None, "create_time": {"$gt": since}}
    return await call.database["sessions"].find_one(living, {"_id": 1}) is not None
