"""A million customers in a database of their own, with the product's indexes: many departments, teams and owners, some of them large."""

from __future__ import annotations

import base64
import hashlib
import random
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.write_concern import WriteConcern

from chassis.access.caller import Caller
from chassis.access.directory import Directory
from chassis.kernel import terms
from chassis.kernel.ids import new_id
from chassis.storage.client import Database
from chassis.storage.terms import TERMS, terms_of
from cli.sample import words
from cli.sample.customers import Maker
from cli.sample.staff import Staff
from services.customer.customers.store import Customers

Document = dict[str, Any]
BATCH = 5000
PEOPLE, PER_TEAM, PER_DEPARTMENT, BELOW = 2000, 10, 50, 8
SCOPES = ("own", "team", "department", "department and below", "all")
START = datetime(2023, 11, 1, tzinfo=UTC)
SEARCHED = Customers().searched
terms._of_readings = lru_cache(200_000)(terms._of_readings)  # type: ignore[assignment]  # of few names, the readings need not be found anew


class Open:
    """Blinds without a key, as long as a vault does: there is nobody here to hide from."""

    @property
    def vault(self) -> Open:
        """Itself: it stands for a call too."""
        return self

    def blind(self, text: str) -> str:
        """What stands for a text."""
        return base64.urlsafe_b64encode(hashlib.blake2b(text.encode(), digest_size=12).digest()).decode()


OPEN: Any = Open()


def place(number: int) -> tuple[str, str, str]:
    """(person, team, department) of a person; 50 to a department, 10 to a team."""
    return f"person-{number:04d}", f"team-{number // PER_TEAM:03d}", f"department-{number // PER_DEPARTMENT:02d}"


def directory() -> Directory:
    """One role for each scope, and eight departments below each area."""
    grants = {(name, "customers", action): scope for scope, name in enumerate(SCOPES, 1) for action in ("read", "update")}
    units = [place(number)[2] for number in range(0, PEOPLE, PER_DEPARTMENT)]
    return Directory(1, grants, below={f"area-{n // BELOW}": tuple(units[n : n + BELOW]) for n in range(0, len(units), BELOW)})


def caller(scope: str) -> Caller:
    """An ordinary person in the middle with this scope; who reaches below sits in an area."""
    person, team, department = place(777)
    area = f"area-{777 // PER_DEPARTMENT // BELOW}"
    return Caller(person, frozenset((scope,)), area if scope == "department and below" else department, team)


async def load(database: Database, count: int) -> None:
    """The customers, unless they are there, then the product's indexes."""
    raw: AsyncMongoClient[Document] = database.client
    plain = raw.get_database(database.name, write_concern=WriteConcern(1, j=False))["customers"]
    if await plain.estimated_document_count() < count:
        await plain.drop()
        rng, maker = random.Random(7), Maker(Staff(7), START)
        for first in range(0, count, BATCH):
            rows = [_customer(rng, maker, number, count) for number in range(first, min(first + BATCH, count))]
            await plain.insert_many(rows, ordered=False)
    await plain.create_indexes(Customers().indexes())


def _customer(rng: random.Random, maker: Maker, number: int, count: int) -> Document:
    """One customer as the department stores it; creation goes with the id, changes come later and anywhere."""
    company, chinese = rng.random() < 0.72, rng.random() < 0.7
    values = maker._company(rng, number, chinese) if company else maker._private(rng, number, chinese)
    born = START + timedelta(days=1095) * (number / count)
    person, team, department = place(rng.randrange(PEOPLE))
    row = {
        "_id": new_id(), "version": 1, "create_time": born, "update_time": born + timedelta(days=rng.expovariate(1 / 90)),
        "creator_id": person, "updater_id": person, "owner_id": person, "team_id": team, "department_id": department, **values,
        "source_key": f"bench:{number}", "source": rng.choice(words.SOURCES),
        "lifecycle": rng.choices(("CONTACT", "CONVERT", "MAINTAIN", "CHURN"), (3, 3, 5, 1))[0],
        "level": rng.choices(("KEY", "A", "B", "C"), (1, 3, 6, 8))[0],
    }  # fmt: skip
    if rng.random() < 0.05:
        row["archive_time"] = born + timedelta(days=200)
    row[TERMS] = terms_of(OPEN, SEARCHED, row)
    return row


async def some_customers(database: Database, count: int) -> tuple[str, ...]:
    """Ids of customers of anybody, as collaboration gives them."""
    if not count:
        return ()
    rows = await database.customers.aggregate([{"$sample": {"size": count}}, {"$project": {"_id": 1}}])
    return tuple([row["_id"] async for row in rows])
