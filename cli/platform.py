"""`xietong platform`: what an administrator does on a cluster before the departments start, and may do again at any time.

On one machine `xietong up --tls` does the same by itself (cli/guarded.py).
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import nats
from crm.common.v1 import criteria_pb2
from crm.organization.v1 import department_pb2, department_service_pb2, person_pb2, person_service_pb2
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError
from pymongo.errors import PyMongoError

from chassis.kernel.ids import new_id
from chassis.messaging.broker import servers
from chassis.runtime.settings import Settings as Common
from chassis.runtime.settings import SettingsError, env
from cli import mongo_users, nats_accounts
from cli.batches import Batches
from cli.engines import EngineError
from cli.installation import Installation
from cli.plan import DEPARTMENTS, Plan, new_masters, new_secrets
from cli.words import say

_DEPARTMENTS = department_service_pb2.DESCRIPTOR.services_by_name["DepartmentService"]
_PEOPLE = person_service_pb2.DESCRIPTOR.services_by_name["PersonService"]


@dataclass(frozen=True, kw_only=True)
class Settings(Common):
    """The common settings, as the administrator has them."""

    mongo_uri: str = env(
        "CRM_MONGO_URI", "", "one member of a set that shall get users, as its own certificate; empty where an operator makes them"
    )
    service_secret: str = env("CRM_SERVICE_SECRET", "", "not used: the administrator calls no department")
    master_keys: str = env("CRM_MASTER_KEYS", "", "not used: the administrator opens no data")


def wanted() -> list[nats_accounts.Interest]:
    """What the departments of this build react to. They are built with addresses that nobody asks, and not started."""
    ports = dict.fromkeys((*DEPARTMENTS, "gateway"), 1)
    nowhere = Plan(
        mongo_uri="mongodb://127.0.0.1:1/", nats_url="nats://127.0.0.1:1", grpc=ports, ops=ports, gateway_port=1, faq_port=1, smtp_port=1,
        secrets=new_secrets(), masters=new_masters(),
    )  # fmt: skip
    return nats_accounts.interests(nowhere)


def accounts(path: Path | None) -> None:
    """The accounts of nats.conf, printed or written: `deploy/platform/nats/accounts.conf` is made so."""
    text = nats_accounts.accounts(DEPARTMENTS, wanted())
    if path:
        path.write_text(text)
    else:
        say(text.rstrip())


async def prepare() -> None:
    """Users in MongoDB (where CRM_MONGO_URI is given), streams and consumers in NATS: made or corrected. Raises EngineError with one line."""
    try:
        settings = Settings.from_env()
    except SettingsError as error:
        raise EngineError(str(error).replace("\n", "; ")) from None
    identity = settings.identity
    if identity is None:
        raise EngineError(
            "CRM_TLS_AUTHORITY and CRM_TLS_IDENTITY are not set; streams and users are the administrator's where there are certificates"
        )
    if settings.mongo_uri:
        try:
            await mongo_users.begin(settings.mongo_uri, DEPARTMENTS, settings.database_prefix)
        except PyMongoError as error:
            raise EngineError(f"MongoDB (CRM_MONGO_URI) does not do what the administrator asks: {str(error)[:300]}") from error
        say(f"  MongoDB       a user for each of {', '.join(DEPARTMENTS)}")
    interests = wanted()
    try:
        connection = await nats.connect(servers(settings.nats_url), tls=identity.context(), allow_reconnect=False, connect_timeout=5)
    except Exception as error:  # nats-py raises many kinds here; all mean the same to the operator
        raise EngineError(f"NATS at {settings.nats_url} (CRM_NATS_URL) does not answer: {error or type(error).__name__}") from error
    try:
        await nats_accounts.prepare(connection.jetstream(timeout=15), DEPARTMENTS, interests, settings.nats_replicas)
    except (NatsError, JetStreamError, TimeoutError) as error:
        raise EngineError(
            f"NATS does not make the streams with {settings.nats_replicas} copies: {error or type(error).__name__}"
        ) from error
    finally:
        # asyncio warns of how nats-py ends a TLS connection; nobody can do anything about it here.
        logging.getLogger("asyncio").setLevel(logging.ERROR)
        await connection.close()
    say(f"  NATS          {len(DEPARTMENTS)} streams with {settings.nats_replicas} copies, {len(interests)} consumers")


def secrets(installation: Installation) -> None:
    """The Secrets that the manifests name, as a list for `kubectl apply`, from an installation's installation.json. That file is kept apart:
    without it nobody opens the backups or reads the personal data."""
    if not installation.kept.get("tls"):
        installation.kept |= {"tls": True, "sample": "loaded"}
        installation.save()
    kept = installation.kept
    pairs = ",".join(f"{name}={secret}" for name, secret in sorted(kept["secrets"].items()))
    given = {name: {"service-secret": kept["secrets"].get(name, ""), "master-keys": kept["masters"][name]} for name in DEPARTMENTS}
    given["organization"] = {"service-secrets": pairs, "master-keys": kept["masters"]["organization"]}
    made = [_secret(f"{name}-secrets", values) for name, values in given.items()]
    made.append(_secret("installation", {"installation.json": json.dumps(kept)}))
    say(json.dumps({"apiVersion": "v1", "kind": "List", "items": made}, indent=1))


def _secret(name: str, values: dict[str, str]) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "Opaque", "stringData": values}


async def administrator(plan: Plan, email: str, company: str) -> None:
    """Somebody who makes all others: an administrator at the head of the company, whose password is said once and is good for choosing another.

    It finds what is there: a company is made only where there is none, and for an administrator who cannot sign in any more it is a new password.
    """
    password, address = token_urlsafe(12), email.strip().lower()
    batches = Batches(plan)
    try:
        unit = await _company(batches, company)
        made = await _administrator(batches, address, unit.id)
        set_password = person_service_pb2.SetPasswordRequest(request_id=new_id(), person_id=made, password=password, must_change=True)
        await batches.call("organization", _PEOPLE, "SetPassword", set_password)
    finally:
        await batches.close()
    say(f"  {address} is an administrator of {unit.name}; choose another password at the first sign-in, with this one: {password}")


async def _company(batches: Batches, name: str) -> department_pb2.Department:
    """The unit at the head, the oldest where there are several; made where there is none. Made twice at once, it is one."""
    request = department_service_pb2.ListDepartmentsRequest(page_size=100, order_by=department_pb2.DEPARTMENT_ORDER_CREATE_TIME_DESC)
    found: list[department_pb2.Department] = []
    while True:
        answer = await batches.call("organization", _DEPARTMENTS, "ListDepartments", request)
        found += [unit for unit in answer.departments if not unit.parent_id]
        request.page_token = answer.next_page_token
        if not request.page_token:
            break
    if found:
        return found[-1]
    new = department_pb2.Department(source_key="platform:company", name=name, kind=department_pb2.DEPARTMENT_KIND_COMPANY)
    return department_pb2.Department(id=(await _upserted(batches, "departments", new)), name=name)


async def _administrator(batches: Batches, email: str, unit_id: str) -> str:
    """The id of the administrator with a mail address, made where nobody has it. Raises EngineError where it is somebody else's."""
    condition = criteria_pb2.Condition(field="email", operator=criteria_pb2.OPERATOR_EQUALS, values=[criteria_pb2.Value(text=email)])
    request = person_service_pb2.ListPeopleRequest(filter=criteria_pb2.Criteria(condition=condition), page_size=1)
    for person in (await batches.call("organization", _PEOPLE, "ListPeople", request)).people:
        if person.state != person_pb2.PERSON_STATE_ACTIVE or person_pb2.ROLE_ADMINISTRATOR not in person.roles:
            raise EngineError(
                f"{email} is known and is no active administrator; let an administrator give the role, or name another address"
            )
        return str(person.id)
    new = person_pb2.Person(
        source_key=f"platform:{email}", name=email.partition("@")[0], email=email, roles=[person_pb2.ROLE_ADMINISTRATOR],
        home_department_id=unit_id,
    )  # fmt: skip
    return await _upserted(batches, "people", new)


async def _upserted(batches: Batches, resource: str, record: Any) -> str:
    (outcome,) = await batches.upsert(resource, [record])
    if outcome.error_message:
        raise EngineError(outcome.error_message)
    return str(outcome.id)
