"""The doctor's look at who does what: whether somebody can administer, and whether open work is in the hands of people who are there."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo.errors import PyMongoError

from chassis.runtime.department import Department
from cli.doctor.finding import Finding
from services.organization.access.administrators import able

PART = "people"


async def look(departments: Sequence[Department]) -> list[Finding]:
    """One line about administrators, and one about open work."""
    organization = next(department for department in departments if department.name == "organization")
    try:
        left = [row["_id"] async for row in organization.database["people"].find({"state": "LEFT"}, {"_id": 1})]
        held = {
            store.label: count
            for department in departments
            for store in department.stores
            if store.work and (count := await department.database[store.resource].count_documents(store.strays(left)))
        }
        found = await able(organization.database)
    except PyMongoError:  # the line of MongoDB tells it
        return []
    return [administrators(*found), holders(held)]


def administrators(has_right: bool, can_sign_in: bool) -> Finding:
    """Whether somebody active can give roles and change people. That none of them has signed in yet is told, and no fault."""
    if not has_right:
        mend = "make an administrator: «./xietong platform administrator --email ADDRESS»"
        return Finding(PART, "nobody can give roles and change people", mend)
    return Finding(PART, "somebody can administer" if can_sign_in else "somebody can administer, but nobody of them has a password yet")


def holders(held: dict[str, int]) -> Finding:
    """How much open work is in the name of people who have left."""
    if not held:
        return Finding(PART, "all open work is with people who are there")
    told = ", ".join(f"{count:,} {label}" for label, count in sorted(held.items()))
    return Finding(PART, f"open work of people who have left: {told}", "name who takes over: personHandOver, or a lead of their unit")
