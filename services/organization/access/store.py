"""What the directory is made of, and its revision: a counter that grows with every change that others must hear of."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from crm.common.v1 import access_pb2, access_service_pb2
from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession

from chassis.kernel.clock import now
from chassis.rpc.call import Call
from chassis.storage.client import Database
from services.organization.access import catalogue
from services.organization.access.model import Rights
from services.organization.access.parts import ENOUGH_BYTES, Parts
from services.organization.access.policy import grants, personal, services
from services.organization.people.model import every_role

log = logging.getLogger("crm.organization")

_SCOPES = access_pb2.Scope.DESCRIPTOR.values_by_name
_ACCESSES = access_pb2.FieldAccess.DESCRIPTOR.values_by_name
ROLES, PROVIDERS = "role_definitions", "identity_providers"
MOST_ROLES = 500
CONTRACTS, MOST_CONTRACTS = "sharing_contracts", 2_000
META, REVISION = "directory_meta", "revision"
MOST_PARTS = 50
MOST_PEOPLE = 50_000


def touch(call: Call, part: str = REVISION) -> None:
    """Let the revision of the directory, or of one of its parts, grow with this commit."""
    call.changes.write(META, UpdateOne({"_id": part}, {"$inc": {"number": 1}}, upsert=True))


async def begin(database: Database, parts: Iterable[str] = ()) -> None:
    """New revisions at each start: the policy, or what is told in a part, may have changed with the code."""
    await database[META].bulk_write([UpdateOne({"_id": name}, {"$inc": {"number": 1}}, upsert=True) for name in (REVISION, *parts)])


async def answer(
    database: Database, parts: Parts, request: access_service_pb2.GetDirectoryRequest, *, owner_sees_all: bool
) -> access_service_pb2.GetDirectoryResponse:
    """What changed since the revisions that are known: the directory, and parts as far as there is room beside it. The revisions are read
    first: a change in between is fetched next time."""
    revisions = {row["_id"]: int(row["number"]) async for row in database[META].find({}, {"number": 1}).limit(MOST_PARTS)}
    revision = revisions.get(REVISION, 0)
    changed = revision != request.known_revision
    directory = await load(database, revision, owner_sees_all=owner_sees_all) if changed else None
    found = access_service_pb2.GetDirectoryResponse(directory=directory)
    if found.ByteSize() <= ENOUGH_BYTES:
        found.parts.extend(await parts.differing(database, revisions, request.known_parts))
    return found


async def load(database: Database, revision: int, *, owner_sees_all: bool) -> access_pb2.Directory:
    """The directory without its parts."""
    directory = access_pb2.Directory(revision=revision, owner_sees_all=owner_sees_all)
    await _add_roles(database, directory)
    directory.personal_resources.extend(personal())
    providers = await providers_in_use(database)
    async for contract in database[CONTRACTS].find({"archive_time": None, "end_time": {"$gt": now()}}).sort("_id", 1).limit(MOST_CONTRACTS):
        directory.contracts.append(_terms(contract))
    async for person in database["people"].find({}).limit(MOST_PEOPLE):
        directory.members.append(_member(person, providers))
    async for unit in database["departments"].find({}, {"ancestor_ids": 1, "lead_id": 1, "own_work_calendar_id": 1}):
        directory.units.add(
            department_id=unit["_id"], ancestor_ids=unit.get("ancestor_ids", []), lead_id=unit.get("lead_id", ""),
            work_calendar_id=unit.get("own_work_calendar_id", ""),
        )  # fmt: skip
    live = {"revoke_time": {"$ne": None}, "access_expire_time": {"$gt": now()}}
    async for session in database["sessions"].find(live, {"_id": 1}).limit(100_000):
        directory.revoked_session_ids.append(session["_id"])
    async for key in database["api_keys"].find({"revoke_time": {"$gt": now() - timedelta(hours=1)}}, {"_id": 1}).limit(10_000):
        directory.revoked_session_ids.append(key["_id"])
    return directory


async def providers_in_use(database: Database, session: AsyncClientSession | None = None) -> frozenset[str]:
    """The identity providers whose roles count."""
    return frozenset([row["_id"] async for row in database[PROVIDERS].find({"archive_time": None}, {"_id": 1}, session=session)])


async def roles_of(database: Database, session: AsyncClientSession | None = None) -> dict[str, Rights]:
    """What each role in use allows; a shipped one by its code, others by their id."""
    return {name: rights for name, rights, _ in await _roles(database, session)}


async def _roles(database: Database, session: AsyncClientSession | None = None) -> list[tuple[str, Rights, list[dict[str, str]]]]:
    """Name, rights and field permissions of each role in use, read at one moment. A word of a newer build is left out, and said."""
    found = []
    async for row in database[ROLES].find({"archive_time": None}, session=session).sort("_id", 1).limit(MOST_ROLES):
        name, rights = row.get("role") or row["_id"], Rights()
        for line in row.get("permissions", []):
            if f"SCOPE_{line['scope']}" in _SCOPES:
                rights.setdefault(line["resource"], {})[line["action"]] = line["scope"]
            else:
                log.warning("permission left out", extra={"role": name, "resource": line["resource"], "scope": line["scope"]})
        found.append((name, rights, row.get("field_permissions", [])))
    return found


async def _add_roles(database: Database, directory: access_pb2.Directory) -> None:
    roles = await _roles(database)
    for role, resource, action, scope in grants({name: rights for name, rights, _ in roles} | services()):
        directory.grants.add(role=role, resource=resource, action=action, scope=_SCOPES[f"SCOPE_{scope}"].number)
    for role, _, lines in roles:
        for (resource, field), access in with_copies(lines).items():
            known = _ACCESSES.get(f"FIELD_ACCESS_{access}", _ACCESSES["FIELD_ACCESS_HIDDEN"])  # what is unknown here shows nothing
            directory.field_grants.add(role=role, resource=resource, field=field, access=known.number)


def with_copies(lines: list[dict[str, str]]) -> dict[tuple[str, str], str]:
    """Field permissions by resource and field. A field that repeats another one's value gets what that one gets, unless it is named itself;
    one that tells a value that is not shown as it is, is not shown either, whatever is said of it."""
    named = {(line["resource"], line["field"]): line["access"] for line in lines}
    repeated = {copy: access for source, access in named.items() for copy in catalogue.copies().get(source, ())}
    found = repeated | named
    withheld = [source for source, access in found.items() if access not in ("READ", "WRITE")]
    return found | {telling: "HIDDEN" for source in withheld for telling in catalogue.telling().get(source, ())}


def _terms(contract: dict[str, Any]) -> access_pb2.SharingTerms:
    names = ("display_name", "provider_department_id", "consumer_department_id", "resource", "fields", "purpose")
    found = access_pb2.SharingTerms(contract_id=contract["_id"], **{name: contract[name] for name in names})
    found.start_time.FromDatetime(contract["start_time"])
    found.end_time.FromDatetime(contract["end_time"])
    return found


def _member(person: dict[str, Any], providers: frozenset[str]) -> access_pb2.Member:
    member = access_pb2.Member(
        person_id=person["_id"],
        department_id=person.get("home_department_id", ""),
        team_id=person.get("home_team_id", ""),
        skills=person.get("skills", []),
        active=person.get("state") == "ACTIVE",
        roles=every_role(person, providers),
        deputy_id=person.get("deputy_id", ""),
        manager_id=person.get("manager_id", ""),
        successor_id=person.get("successor_id", ""),
        time_zone=person.get("time_zone", ""),
        work_calendar_id=person.get("own_work_calendar_id", ""),
    )
    for name in ("absence_start_time", "absence_end_time"):
        if person.get(name):
            getattr(member, name).FromDatetime(person[name])
    return member
