"""A store of records with commands that are watched, for tests of what is read and written in MongoDB."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from crm.customer.v1 import customer_pb2
from crm.sales.v1 import opportunity_pb2
from pymongo.monitoring import CommandListener, CommandStartedEvent

from chassis.access.caller import Caller
from chassis.access.directory import Directory, Member
from chassis.messaging.relay import INDEXES as OUTBOX_INDEXES
from chassis.rpc.call import Call
from chassis.storage.changes import AUDIT, OUTBOX, REQUESTS, Changes
from chassis.storage.client import Database, connect
from chassis.storage.encryption import Masters, Vault
from chassis.storage.records import Records
from cli.plan import new_master
from tests.support.installation import Engines

DAY = datetime(2026, 5, 6, tzinfo=UTC)
SCOPES = {"OWN": 1, "TEAM": 2, "DEPARTMENT": 3, "BELOW": 4, "ALL": 5}
CUSTOMERS = Records(customer_pb2.Customer)
DEALS = Records(opportunity_pb2.Opportunity)


class Commands(CommandListener):
    """Every command that was sent, as it was sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in ("find", "aggregate", "getMore", "count"):
            self.sent.append(dict(event.command))

    def succeeded(self, event: Any) -> None:
        """Not needed."""

    def failed(self, event: Any) -> None:
        """Not needed."""


class Store:
    """A database of the test's own and the commands sent to it."""

    def __init__(self, uri: str) -> None:
        self.commands = Commands()
        self.database: Database = connect(uri, f"r{secrets.token_hex(4)}", [self.commands])
        self.vault = Vault(self.database, Masters.of(new_master()))

    def call(self, scope: str = "ALL", actions: tuple[str, ...] = ("read", "create", "update")) -> Call:
        resources = ("customers", "opportunities")
        grants = {("R", resource, action): SCOPES[scope] for resource in resources for action in actions}
        members = {"p1": Member("p1", "d1", "t1", frozenset(), True, frozenset(["R"]))}
        caller = Caller("p1", frozenset(["R"]), "d1", "t1")
        changes = Changes(self.database, "p1", "correlation", "Test", vault=self.vault)
        return Call(caller, Directory(1, grants, members, {"d1": ("d2",)}), self.database, changes, request_id="correlation")

    async def counts(self) -> dict[str, int]:
        names = ("customers", OUTBOX, AUDIT, REQUESTS)
        return {name: await self.database[name].count_documents({}) for name in names}


async def stored(engines: Engines) -> AsyncIterator[Store]:
    """A store with 3,000 chances to sell, without customers; dropped behind the test."""
    made = Store(engines.mongo_uri)
    await made.vault.begin()
    for records in (CUSTOMERS, DEALS):
        await made.database.create_collection(records.resource)
        await made.database[records.resource].create_indexes(records.indexes())
    for name in (OUTBOX, AUDIT, REQUESTS):
        await made.database.create_collection(name)
    await made.database[OUTBOX].create_indexes(OUTBOX_INDEXES)
    deals = []
    for number in range(3000):
        deal: dict[str, Any] = {
            "_id": f"o{number:05}", "version": 1, "create_time": DAY + timedelta(milliseconds=number // 4), "name": f"n{number % 7}",
            "update_time": DAY, "customer_id": f"c{number % 100:03}", "owner_id": f"p{number % 3}", "team_id": f"t{number % 4}",
            "department_id": f"d{number % 4}",
        }  # fmt: skip
        if number % 5:
            deal["amount"] = {"currency_code": "CNY", "amount_micros": number % 11 * 1000}
        if number % 6:
            deal["expected_close_date"] = f"2026-01-{number % 9 + 1:02}" if number % 4 else None
        if number % 50 == 0:
            deal["archive_time"] = DAY
        deals.append(deal)
    await made.database["opportunities"].insert_many(deals)
    yield made
    await made.database.client.drop_database(made.database.name)
    await made.database.client.close()
