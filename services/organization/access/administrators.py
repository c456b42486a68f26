"""The last one who can administer stays: whoever takes the means from somebody, in whatever way, leaves another who has them.

To administer is to give roles and to change people. Every change that could take that away writes the directory's revision with its commit
(`store.touch`): of two that leave at the same moment the second one reads what the first one did.
"""

from __future__ import annotations

from typing import Any

from pymongo.asynchronous.client_session import AsyncClientSession

from chassis.kernel.errors import WrongState
from chassis.rpc.call import Call
from chassis.storage.client import Database
from services.organization.access import store

NEEDED = (("role_definitions", "assign"), ("people", "update"))
MOST = 200
Document = dict[str, Any]


def must_remain(call: Call) -> None:
    """Let the commit fail that leaves nobody who can administer, where there was somebody."""

    async def check(session: AsyncClientSession) -> None:
        before, after = await able(call.database), await able(call.database, session)
        if any(had and not has for had, has in zip(before, after, strict=True)):
            raise WrongState(
                "after this nobody could give roles and change people any more; make somebody else an administrator first, who can sign in "
                "(personUpdate with the role ADMINISTRATOR, then personSetPassword)",
                code="LAST_ADMINISTRATOR",
            )  # fmt: skip

    call.changes.ensure("administrators", check)


async def able(database: Database, session: AsyncClientSession | None = None) -> tuple[bool, bool]:
    """Whether somebody active can administer, and whether one of them can sign in."""
    rights = await store.roles_of(database, session)
    roles = [name for name, line in rights.items() if all(line.get(resource, {}).get(action) == "ALL" for resource, action in NEEDED)]
    providers = list(await store.providers_in_use(database, session))
    given = {"$elemMatch": {"identity_provider_id": {"$in": providers}, "$or": _any_of("", roles)}}
    query = {"state": "ACTIVE", "$or": [*_any_of("", roles), {"provided_roles": given}]}
    people = [row["_id"] async for row in database["people"].find(query, {"_id": 1}, session=session).limit(MOST)]
    if not people:
        return False, False
    has_password = {"_id": {"$in": people}, "hash": {"$exists": True}}
    is_linked = {"person_id": {"$in": people}, "identity_provider_id": {"$in": providers}}
    found = await database["credentials"].find_one(has_password, {"_id": 1}, session=session)
    found = found or await database["identity_links"].find_one(is_linked, {"_id": 1}, session=session)
    return True, found is not None


def _any_of(path: str, roles: list[str]) -> list[Document]:
    return [{f"{path}{name}": {"$in": roles}} for name in ("roles", "role_definition_ids")]
