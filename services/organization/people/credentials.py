"""Credentials in MongoDB, which no read returns: password hash, second factor, recovery codes. What is used up is used up at once."""

from __future__ import annotations

from typing import Any

from pymongo import UpdateOne

from chassis.rpc.call import Call
from services.organization.people import factors

COLLECTION = "credentials"
Document = dict[str, Any]


async def of(call: Call, person_id: str) -> Document:
    """What is stored of a person; empty when nothing ever was."""
    return await call.database[COLLECTION].find_one({"_id": person_id}) or {}


def set_password(call: Call, person_id: str, password_hash: str, *, must_change: bool) -> None:
    """Store a password's hash with this commit."""
    values = {"hash": password_hash, "time": call.now, "must_change": must_change}
    call.changes.write(COLLECTION, UpdateOne({"_id": person_id}, {"$set": values}, upsert=True))


def begin_factor(call: Call, person_id: str, secret: str, codes: list[str]) -> None:
    """Store a second factor that counts when it is confirmed."""
    pending = {"secret": call.vault.seal_own(secret, f"factor:{person_id}"), "recovery": [factors.fingerprint(code) for code in codes]}
    call.changes.write(COLLECTION, UpdateOne({"_id": person_id}, {"$set": {"pending_factor": pending}}, upsert=True))


def confirm_factor(call: Call, stored: Document, step: int) -> None:
    """Let the pending second factor count; its first code is used up."""
    pending = stored["pending_factor"]
    values = {"factor": {"secret": pending["secret"], "last_step": step, "time": call.now}, "recovery": pending["recovery"]}
    call.changes.write(COLLECTION, UpdateOne({"_id": stored["_id"]}, {"$set": values, "$unset": {"pending_factor": ""}}))


def remove_factor(call: Call, person_id: str) -> None:
    """Take the second factor and its recovery codes away with this commit."""
    gone = {"factor": "", "pending_factor": "", "recovery": ""}
    call.changes.write(COLLECTION, UpdateOne({"_id": person_id}, {"$unset": gone}))


def secret_of(call: Call, stored: Document, name: str) -> str:
    """The secret of a second factor: the one in force, or the pending one."""
    return call.vault.open_own(stored[name]["secret"], f"factor:{stored['_id']}")


async def use_code(call: Call, stored: Document, code: str) -> bool:
    """Whether a code of the second factor, or a recovery code, is good; it is used up at once, outside of any transaction."""
    rows, key = call.database[COLLECTION], {"_id": stored["_id"]}
    step = factors.step_of(secret_of(call, stored, "factor"), code, call.now)
    if step is not None:
        newer = {**key, "factor.last_step": {"$lt": step}}
        return (await rows.update_one(newer, {"$set": {"factor.last_step": step}})).modified_count == 1
    mark = factors.fingerprint(code)
    return (await rows.update_one({**key, "recovery": mark}, {"$pull": {"recovery": mark}})).modified_count == 1
