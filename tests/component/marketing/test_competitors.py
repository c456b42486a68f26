"""Competitors over gRPC and in the graph: what was lost to them."""

from __future__ import annotations

import pytest_asyncio

from gateway.graph.contract import to_global
from tests.support.checks import mask, refused
from tests.support.installation import Installation

COMPETITORS = "marketing.competitors"
STAGES = [{"key": "talk", "name": "Talk", "probability": 10.0}]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def deals(crm: Installation) -> dict[str, str]:
    """An opportunity that was lost, and one that is open."""
    pipeline = (await crm.ask("CreatePipeline", name="竞争", stages=STAGES)).pipeline
    lost, open_ = [(await crm.ask("CreateOpportunity", name=name, pipeline_id=pipeline.id)).opportunity.id for name in ("丢单", "在谈")]
    await crm.ask("LoseOpportunity", opportunity_id=lost, reason="price")
    if "MARKETING_LEAD" not in crm.people:
        await crm.person("MARKETING_LEAD", "MARKETING_LEAD")
        await crm.until(lambda: all(crm.people["MARKETING_LEAD"] in crm.suite[name].authority.directory.members for name in crm.channels))
    return {"lost": lost, "open": open_, "pipeline": pipeline.id}


async def test_what_was_lost_to_a_competitor_is_linked_and_seen_from_there(crm: Installation, deals: dict[str, str]) -> None:
    for role, ids, code in (
        ("MARKETING_LEAD", [deals["open"]], "WRONG_STATE"), ("MARKETING_LEAD", ["nothing"], "REFERENCE_NOT_FOUND"),
        ("SALES_REP", [], "NOT_ALLOWED"),
    ):  # fmt: skip
        field = "lost_opportunity_ids" if ids else None
        await refused(crm, COMPETITORS, crm.ask("CreateCompetitor", role=role, name="甲", lost_opportunity_ids=ids), code, field=field)
    made = (
        await crm.ask("CreateCompetitor", role="MARKETING_LEAD", name="甲", price_level=1, lost_opportunity_ids=[deals["lost"]])
    ).competitor
    assert (made.owner_id, made.price_level) == (crm.people["MARKETING_LEAD"], 1)
    twice = crm.ask("CreateCompetitor", role="MARKETING_LEAD", name="甲")
    await refused(crm, COMPETITORS, twice, "ALREADY_EXISTS", field="name")
    query = "query($id: ID!) { competitor(id: $id) { name priceLevel owner { name } lostOpportunities { name state } } }"
    identity = to_global("Competitor", made.id)
    found = (await crm.data(query, role="MARKETING_LEAD", id=identity))["competitor"]
    assert found["lostOpportunities"] == [{"name": "丢单", "state": "LOST"}]
    assert (found["priceLevel"], found["owner"]["name"]) == ("LOWER", "人 MARKETING_LEAD")
    assert (await crm.data(query, role="SUPPORT_AGENT", id=identity))["competitor"]["name"] == "甲", "whoever reads campaigns reads these"
    body = await crm.graph(query, role="MARKETER", id=identity)
    assert body["data"]["competitor"]["name"] == "甲"
    assert not body["data"]["competitor"]["lostOpportunities"], "who may not read opportunities sees none"


async def test_a_link_is_judged_when_it_changes(crm: Installation, deals: dict[str, str]) -> None:
    made = (await crm.ask("CreateCompetitor", role="MARKETER", name="乙")).competitor
    change = {"competitor_id": made.id, "version": 1, "update_mask": mask("lost_opportunity_ids"), "lost_opportunity_ids": [deals["open"]]}
    await refused(crm, COMPETITORS, crm.ask("UpdateCompetitor", **change), "WRONG_STATE", field="lost_opportunity_ids", record_id=made.id)
    after = (await crm.ask("UpdateCompetitor", **{**change, "lost_opportunity_ids": [deals["lost"]]})).competitor
    assert list(after.lost_opportunity_ids) == [deals["lost"]]
    # What became of one that is linked already is no matter when another is.
    second = (await crm.ask("CreateOpportunity", name="再丢", pipeline_id=deals["pipeline"])).opportunity.id
    await crm.ask("LoseOpportunity", opportunity_id=second, reason="price")
    await crm.ask("ReopenOpportunity", opportunity_id=deals["lost"], stage_key="talk", reason="again")
    both = {**change, "version": 2, "lost_opportunity_ids": [deals["lost"], second]}
    assert list((await crm.ask("UpdateCompetitor", **both)).competitor.lost_opportunity_ids) == [deals["lost"], second]
    values = {**both, "version": 3, "lost_opportunity_ids": [second, deals["open"]]}
    await refused(crm, COMPETITORS, crm.ask("UpdateCompetitor", **values), "WRONG_STATE", field="lost_opportunity_ids", record_id=made.id)
    # Who may see no opportunity changes the rest all the same.
    values = {"competitor_id": made.id, "version": 3, "update_mask": mask("strengths"), "strengths": "快"}
    assert (await crm.ask("UpdateCompetitor", role="MARKETER", **values)).competitor.strengths == "快"


async def test_competitors_are_found_by_what_they_are(crm: Installation, deals: dict[str, str]) -> None:
    await crm.ask("CreateCompetitor", role="MARKETER", name="丙", price_level=3, former_names=["丁"])
    query = (
        """{ competitors(filter: {priceLevel: {eq: HIGHER}, formerNames: {eq: "丁"}}, orderBy: NAME_ASC) { nodes { name formerNames } } }"""
    )
    assert (await crm.data(query, role="MARKETER"))["competitors"]["nodes"] == [{"name": "丙", "formerNames": ["丁"]}]
