"""A record out of reach and one that never was are the same to whoever asks: in words, in work and in time."""

from __future__ import annotations

import re
import time
from statistics import median

import pytest

from chassis.kernel.ids import new_id
from cli.plan import DEPARTMENTS
from gateway.graph.contract import to_global
from tests.support.installation import Installation

ROUNDS = 30


def work(crm: Installation) -> dict[tuple[str, str, str], float]:
    """Commands sent to MongoDB so far for reads of records, by department, name and collection."""
    found = {}
    for department in DEPARTMENTS:
        for family in crm.suite[department].metrics.mongo_commands.collect():
            for sample in family.samples:
                name, collection = sample.labels.get("command", ""), sample.labels.get("collection", "")
                if (
                    sample.name.endswith("_total")
                    and name in ("find", "aggregate", "getMore")
                    and collection in ("customers", "tickets", "opportunities")
                ):
                    found[department, name, collection] = sample.value
    return found


@pytest.mark.parametrize(("kind", "query"), [
    ("Customer", "query($id: ID!) { node(id: $id) { id ... on Customer { name } } }"),
    ("Customer", "query($id: ID!) { customer(id: $id) { name tickets(first: 2) { nodes { subject } } } }"),
    ("Opportunity", "query($id: ID!) { node(id: $id) { id ... on Opportunity { name } } }"),
    ("Customer", "query($id: ID!) { recordHistory(id: $id) { nodes { action } } }"),
    ("Customer", "query($id: ID!) { accessExplain(id: $id) { allowed reasons { rule text } } }"),
])  # fmt: skip
async def test_forbidden_is_as_absent(crm: Installation, kind: str, query: str) -> None:
    if "stranger" not in crm.tokens:
        await crm.person("stranger", "SALES_REP", unit="other")
    customer = (await crm.ask("CreateCustomer", role="SALES_LEAD", name=f"外人看不到 {new_id()}", kind=1)).customer.id
    hidden = customer
    if kind == "Opportunity":
        pipeline = (
            await crm.ask(
                "CreatePipeline", role="COORDINATOR", name=f"p {new_id()}", stages=[{"key": "new", "name": "新", "probability": 10}]
            )
        ).pipeline
        given = {"name": "外人看不到", "customer_id": customer, "pipeline_id": pipeline.id, "stage_key": "new"}
        hidden = (await crm.ask("CreateOpportunity", role="SALES_LEAD", **given)).opportunity.id
    await crm.settled()
    ids = {"forbidden": to_global(kind, hidden), "absent": to_global(kind, new_id())}
    answers, works, times = {}, {}, {name: [] for name in ids}
    for name, identity in ids.items():
        before = work(crm)
        body = await crm.graph(query, "stranger", id=identity)
        works[name] = {key: value - before.get(key, 0) for key, value in work(crm).items() if value != before.get(key, 0)}
        answers[name] = _plain(str(body).replace(identity, "ID"))
    for number in range(ROUNDS):
        for name in ids if number % 2 else reversed(ids):
            started = time.perf_counter()
            await crm.graph(query, "stranger", id=ids[name])
            times[name].append(time.perf_counter() - started)
    assert answers["forbidden"] == answers["absent"]
    assert works["forbidden"] == works["absent"]
    ratio = median(times["forbidden"]) / median(times["absent"])
    print(f"{kind}: forbidden takes {ratio:.3f} of the time of absent")
    assert 0.75 < ratio < 1.33


def _plain(text: str) -> str:
    """Without what is another one in every answer: ids of requests and of the record asked for."""
    return re.sub(r"\b[0-9a-hjkmnp-tv-z]{26}\b", "X", text)
