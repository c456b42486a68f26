"""The signing key: made once, kept in the department's own database, published by its public half."""

from __future__ import annotations

from joserfc.jwk import OKPKey
from pymongo.errors import DuplicateKeyError

from chassis.access.tokens import Signer
from chassis.kernel.ids import new_id
from chassis.storage.client import Database

COLLECTION = "signing_keys"


async def load_signer(database: Database, signer: Signer) -> None:
    """Fill the signer with the key in use; made when there is none. Two replicas that start together agree on one."""
    row = await database[COLLECTION].find_one({"_id": "current"})
    if row is None:
        fresh = OKPKey.generate_key("Ed25519", private=True)
        try:
            row = {"_id": "current", "kid": new_id(), "jwk": fresh.as_dict(private=True)}
            await database[COLLECTION].insert_one(row)
        except DuplicateKeyError:
            row = await database[COLLECTION].find_one({"_id": "current"})
    if row is None:
        raise RuntimeError("the signing key vanished while it was made")
    signer.kid, signer.key = row["kid"], OKPKey.import_key(row["jwk"])
