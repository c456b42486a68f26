"""What no read returns: client secrets, sign-ins that were begun, and who is known by which account of a provider.

Secrets lie under the department's own key, accounts under a blind index: the provider's name for somebody is personal.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Any

import orjson
from pymongo import ASCENDING, IndexModel, InsertOne, UpdateOne

from chassis.rpc.call import Call
from services.organization.identity_providers.model import STATE_MINUTES

SECRETS, SIGN_INS, LINKS = "identity_provider_secrets", "provider_sign_ins", "identity_links"
INDEXES = {
    SECRETS: [],
    SIGN_INS: [IndexModel([("expire_time", ASCENDING)], name="expire", expireAfterSeconds=0)],
    LINKS: [IndexModel([(name, ASCENDING) for name in ("person_id", "identity_provider_id", "issuer")], name="one_account", unique=True)],
}
Document = dict[str, Any]


# ---- client secrets


def keep_secret(call: Call, provider_id: str, secret: str) -> None:
    """Store a client secret with this commit."""
    values = {"sealed": call.vault.seal_own(secret, f"client secret:{provider_id}"), "time": call.now}
    call.changes.write(SECRETS, UpdateOne({"_id": provider_id}, {"$set": values}, upsert=True))


async def secret_of(call: Call, provider_id: str) -> str:
    """A provider's client secret; empty when none was ever stored."""
    row = await call.database[SECRETS].find_one({"_id": provider_id})
    return call.vault.open_own(row["sealed"], f"client secret:{provider_id}") if row else ""


# ---- sign-ins that were begun


def begin(call: Call, provider: Document, redirect_uri: str) -> tuple[str, Document]:
    """A sign-in, stored with this commit: (state, what belongs to it). Of the state a fingerprint is stored; nonce and verifier are sealed."""
    state = secrets.token_urlsafe(32)
    identity, hidden = _fingerprint(state), {"nonce": secrets.token_urlsafe(32), "verifier": secrets.token_urlsafe(48)}
    begun = {"_id": identity, "identity_provider_id": provider["_id"], "redirect_uri": redirect_uri}
    sealed = call.vault.seal_own(orjson.dumps(hidden).decode(), f"sign-in:{identity}")
    expire_time = call.now + timedelta(minutes=STATE_MINUTES)
    call.changes.write(SIGN_INS, InsertOne({**begun, "sealed": sealed, "expire_time": expire_time}))
    return state, begun | hidden


async def take(call: Call, state: str) -> Document | None:
    """The sign-in of a state, which is used up at once, outside of any transaction; None for one that is unknown, used or too old."""
    begun = await call.database[SIGN_INS].find_one_and_delete({"_id": _fingerprint(state), "expire_time": {"$gt": call.now}})
    return begun | orjson.loads(call.vault.open_own(begun["sealed"], f"sign-in:{begun['_id']}")) if begun else None


# ---- who is known by which account


async def person_of(call: Call, provider: Document, subject: str) -> str:
    """The person who is known by an account; empty when nobody is."""
    row = await call.database[LINKS].find_one({"_id": _account(call, provider, subject)}) or {}
    return str(row.get("person_id", ""))


async def is_linked(call: Call, provider: Document, person_id: str) -> bool:
    """Whether a person is known by some account of the provider."""
    query = {"person_id": person_id, "identity_provider_id": provider["_id"], "issuer": provider["issuer"]}
    return await call.database[LINKS].find_one(query, {"_id": 1}) is not None


def link(call: Call, provider: Document, subject: str, person_id: str) -> None:
    """Let a person be known by an account from this commit on."""
    row = {"identity_provider_id": provider["_id"], "issuer": provider["issuer"], "person_id": person_id, "create_time": call.now}
    call.changes.insert(LINKS, {"_id": _account(call, provider, subject)} | row)


def _account(call: Call, provider: Document, subject: str) -> str:
    """What an account is found by; nothing leads back to its name. The issuer is in it: when a provider's record is pointed elsewhere, the accounts are others."""
    mark = call.vault.blind(f"identity:{provider['issuer']}\n{subject}")
    return f"{provider['_id']}:{mark}"


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
