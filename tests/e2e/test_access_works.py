"""Hunt: two consumers at once; customer archived; batches; deputies."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chassis.kernel.errors import Conflict, CrmError
from chassis.kernel.ids import new_id
from chassis.storage.changes import Duplicate
from services.customer.accesses.store import WORK, Accesses
from tests.e2e.test_access_roles import departments, holder, role
from tests.e2e.world import message
from tests.support.installation import Installation


def work(identity: str, customer: str, person: str, resource: str) -> dict[str, Any]:
    return {"_id": identity, "customer_id": customer, "person_id": person, "resource": resource}


async def access(crm: Installation, customer: str) -> list[str]:
    row = await crm.suite["customer"].database["customer_accesses"].find_one({"_id": customer})
    return list(row["person_ids"]) if row else []


async def test_last_two_works_end_at_once(crm: Installation) -> None:
    department, accesses, customer = crm.suite["customer"], Accesses(), new_id()
    begun = department.own_call("hunt")
    await accesses.move(
        begun,
        {"w1" + customer: work("w1" + customer, customer, "p", "tickets"), "w2" + customer: work("w2" + customer, customer, "p", "orders")},
    )
    await begun.changes.commit()
    assert await access(crm, customer) == ["p"]
    one, two = department.own_call("hunt sales"), department.own_call("hunt support")
    await accesses.move(one, {"w1" + customer: None})
    await accesses.move(two, {"w2" + customer: None})
    for call in (one, two):
        try:
            await call.changes.commit()
        except CrmError:  # the reaction runs again, reading anew
            again = department.own_call("again")
            await accesses.move(again, {("w1" if call is one else "w2") + customer: None})
            await again.changes.commit()
    assert await department.database[WORK].find_one({"customer_id": customer}) is None
    assert await access(crm, customer) == []


async def moved(crm: Installation, rows: dict[str, Any]) -> None:
    """Move work as the reaction does: once more when somebody else looked at the customer meanwhile."""
    for _ in range(20):
        call = crm.suite["customer"].own_call("hunt")
        await Accesses().move(call, rows)
        try:
            await call.changes.commit()
            return
        except (Conflict, Duplicate):
            await asyncio.sleep(0.05)
    raise AssertionError("never got its turn")


async def turn(crm: Installation, customer: str) -> int:
    row = await crm.suite["customer"].database["customer_accesses"].find_one({"_id": customer})
    return int(row["turn"]) if row else 0


async def test_work_ends_while_collaborator_removed(crm: Installation) -> None:
    """P is collaborator and holder: both end at once."""
    person, owner = crm.people["SALES_REP"], crm.people["SALES_LEAD"]
    customer = (await crm.ask("CreateCustomer", name="协", kind=1, owner_id=owner, collaborator_ids=[person])).customer.id

    async def open_to_person() -> bool:
        return await access(crm, customer) == [person]

    await crm.until(open_to_person)
    await moved(crm, {"w" + customer: work("w" + customer, customer, person, "tickets")})
    before, ending = await turn(crm, customer), crm.suite["customer"].own_call("hunt support")
    await Accesses().move(ending, {"w" + customer: None})  # reads: still a collaborator
    await crm.ask("UpdateCustomer", customer_id=customer, version=1, update_mask={"paths": ["collaborator_ids"]})

    async def looked_at() -> bool:  # by the reaction, which reads: still holds work
        return await turn(crm, customer) > before

    await crm.until(looked_at)
    with pytest.raises(Conflict):
        await ending.changes.commit()
    await moved(crm, {"w" + customer: None})
    assert await access(crm, customer) == []


async def test_import_of_a_deputy_names_the_absent(crm: Installation) -> None:
    acts = [("customers", name, "ALL") for name in ("read", "import", "update", "create")]
    found = await role(crm, "代 a", acts, [])
    absent = await holder(crm, "away", found["id"])
    none = await role(crm, "代 b", [("people", "read", "ALL")], [])
    deputy = await holder(crm, "stand-in", none["id"])
    row = {"source_key": "hunt:deputy", "name": "n", "kind": 1}
    await crm.ask("BatchUpsertCustomers", customers=[message("BatchUpsertCustomers", **row)])
    await crm.ask("SetAbsence", person_id=absent, deputy_id=deputy)
    await crm.until(lambda: all(d.authority.directory.represented(deputy) for _, d in departments(crm)), 6)
    out = await crm.ask("BatchUpsertCustomers", role="stand-in", customers=[message("BatchUpsertCustomers", **row | {"name": "m"})])
    entry = await crm.suite["customer"].database["audit_entries"].find_one({"record_id": out.outcomes[0].id, "version": 2})
    assert entry and entry["deputy_for"] == absent, entry


async def test_a_deputys_own_limits_stay_on_what_they_reach_themselves(crm: Installation) -> None:
    own = await role(crm, "代 c", [("customers", "read", "ALL")], [("customers", "phone", "HIDDEN")])
    deputy = await holder(crm, "limited", own["id"])
    wide = await role(crm, "代 d", [("customers", "read", "OWN")], [])
    absent = await holder(crm, "narrow", wide["id"])
    foreign = (await crm.ask("CreateCustomer", name="外", kind=1, phone="13812349999", owner_id=crm.people["SALES_LEAD"])).customer.id
    for name in ("narrow", "limited"):
        try:
            got = await crm.ask("BatchGetCustomers", role=name, ids=[foreign])
            assert "13812349999" not in str(got)
        except CrmError:
            pass
    await crm.ask("SetAbsence", person_id=absent, deputy_id=deputy)
    await crm.until(lambda: all(d.authority.directory.represented(deputy) for _, d in departments(crm)), 6)
    got = await crm.ask("BatchGetCustomers", role="limited", ids=[foreign])
    assert "13812349999" not in str(got), "neither of the two sees this phone, the deputy now does"


async def test_batch_of_works_and_unknown_customer(crm: Installation) -> None:
    person, other = crm.people["SALES_REP"], crm.people["SUPPORT_AGENT"]
    ghost = new_id()
    rows = [
        {
            "source_key": f"hunt:t{ghost}{i}",
            "number": f"HT{ghost}{i}",
            "subject": "s",
            "channel": 1,
            "kind": 1,
            "priority": 1,
            "state": 1,
            "customer_id": ghost,
            "owner_id": who,
        }
        for i, who in enumerate((person, person, other))
    ]
    await crm.ask("BatchUpsertTickets", tickets=[message("BatchUpsertTickets", **row) for row in rows])
    await crm.settled()
    assert await access(crm, ghost) == sorted([person, other])
    made = await crm.ask(
        "BatchUpsertTickets", tickets=[message("BatchUpsertTickets", **row | {"state": 5 if i != 1 else 1}) for i, row in enumerate(rows)]
    )
    await crm.settled()
    assert await access(crm, ghost) == [person], made
    await crm.ask("BatchUpsertTickets", tickets=[message("BatchUpsertTickets", **rows[1] | {"customer_id": ghost + "x"})])
    await crm.settled()
    assert (await access(crm, ghost), await access(crm, ghost + "x")) == ([], [person])


async def test_archived_customer(crm: Installation) -> None:
    person = crm.people["SALES_REP"]
    customer = (await crm.ask("CreateCustomer", name="协", kind=1, collaborator_ids=[person])).customer.id
    await crm.settled()
    assert await access(crm, customer) == [person]
    await crm.ask("ArchiveCustomer", customer_id=customer)
    await crm.settled()
    assert await access(crm, customer) == []
    await crm.ask("RestoreCustomer", customer_id=customer)
    await crm.settled()
    assert await access(crm, customer) == [person]
