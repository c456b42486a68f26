"""Somebody leaves: everything that they own goes to a successor in one action, in every department, with history."""

from __future__ import annotations

from typing import Any

from chassis.kernel.ids import new_id
from gateway.graph.contract import to_global
from tests.support.installation import Installation

HAND_OVER = "mutation($input: PersonHandOverInput!) { personHandOver(input: $input) { person { successorId } errors { code path } } }"
STORES = {
    "customer": ("customers", "contacts", "notes"),
    "sales": ("opportunities", "orders"),
    "support": ("tickets",),
    "marketing": ("campaigns",),
}


async def owned(crm: Installation, person: str) -> dict[str, int]:
    """How many records of each kind a person owns."""
    return {
        store: await crm.suite[department].database[store].count_documents({"owner_id": person})
        for department, stores in STORES.items()
        for store in stores
    }


async def work_of(crm: Installation, role: str) -> None:
    """A year of somebody's work: more customers than one batch, and one of everything else."""
    rows = [{"source_key": f"{role}:{new_id()}", "name": f"移交 {n}", "kind": 1, "owner_id": crm.people[role]} for n in range(130)]
    outcome = await crm.ask("BatchUpsertCustomers", customers=rows)
    customer = outcome.outcomes[0].id
    await crm.ask("CreateContact", role=role, customer_id=customer, name="联系人")
    await crm.ask("CreateNote", role=role, customer_id=customer, text="记录")
    pipeline = await crm.ask("CreatePipeline", name=f"管道 {new_id()}", stages=[{"key": "first", "name": "第一", "probability": 10}])
    made = await crm.ask("CreateOpportunity", role=role, customer_id=customer, name="商机", pipeline_id=pipeline.pipeline.id)
    await crm.ask("LoseOpportunity", role=role, opportunity_id=made.opportunity.id, reason="closed ones go along")
    await crm.ask("CreateTicket", role="COORDINATOR", customer_id=customer, subject="坏了", channel=1, owner_id=crm.people[role])
    await crm.ask("CreateCampaign", role="COORDINATOR", name="活动", owner_id=crm.people[role], channel=1)


async def test_everything_goes_to_the_successor_with_history(crm: Installation) -> None:
    leaver, successor = await crm.person("leaver", "SALES_REP"), await crm.person("successor", "SALES_REP", unit="other")
    for name in crm.suite.running:
        if name != "gateway":
            await crm.until(lambda name=name: {leaver, successor} <= set(crm.suite[name].authority.directory.members), 5)  # type: ignore[misc]
    await work_of(crm, "leaver")
    await crm.settled()
    before = await owned(crm, leaver)
    assert before["customers"] == 130
    assert min(before[name] for name in ("contacts", "notes", "opportunities", "tickets")) == 1
    given: dict[str, Any] = {"personId": to_global("Person", leaver), "successorId": to_global("Person", successor)}
    for wrong, code in (
        ({"successorId": given["personId"]}, "INVALID_ARGUMENT"),
        ({"successorId": to_global("Person", new_id())}, "REFERENCE_NOT_FOUND"),
    ):
        refusal = (await crm.data(HAND_OVER, "ADMINISTRATOR", input={**given, **wrong}))["personHandOver"]["errors"][0]
        assert refusal == {"code": code, "path": ["input", "successorId"]}
    assert (await crm.data(HAND_OVER, "COORDINATOR", input=given))["personHandOver"]["errors"][0]["code"] == "NOT_ALLOWED"
    assert await owned(crm, leaver) == before
    done = (await crm.data(HAND_OVER, "ADMINISTRATOR", input=given))["personHandOver"]
    assert done == {"person": {"successorId": given["successorId"]}, "errors": []}

    async def gone() -> bool:
        return not any((await owned(crm, leaver)).values())

    await crm.until(gone, 20)
    after = await owned(crm, successor)
    assert after == before
    moved = await crm.suite["customer"].database["customers"].find_one({"owner_id": successor})
    assert moved
    assert moved["department_id"] == crm.units["other"]
    history = "query($id: ID!) { recordHistory(id: $id, first: 1) { nodes { action reason changes { field after } } } }"
    entry = (await crm.data(history, "successor", id=to_global("Customer", moved["_id"])))["recordHistory"]["nodes"][0]
    assert (entry["action"], entry["reason"]) == ("CustomerAssigned", f"handed over by {crm.people['ADMINISTRATOR']}")
    assert {"field": "owner_id", "after": f'"{successor}"'} in entry["changes"]
