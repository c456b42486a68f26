"""Products, pipelines, opportunities and orders over gRPC: every verb, refusals without a trace, scopes, imports, totals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from chassis.kernel.ids import new_id
from tests.support.checks import cny, equals, mask, refused, trace
from tests.support.installation import Installation

PRODUCTS, PIPELINES, DEALS, ORDERS = "sales.products", "sales.pipelines", "sales.opportunities", "sales.orders"
STAGES = [{"key": "talk", "name": "Talk", "probability": 10.0}, {"key": "offer", "name": "Offer", "probability": 60.0}]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(crm: Installation) -> dict[str, str]:
    """A pipeline, a product, customers of the rep and of a rep in another department."""
    await crm.person("sales other", "SALES_REP", unit="other")
    await crm.until(lambda: all(crm.people["sales other"] in crm.suite[name].authority.directory.members for name in ("customer", "sales")))
    pipeline = (await crm.ask("CreatePipeline", role="SALES_LEAD", name="标准", stages=STAGES)).pipeline
    product = (await crm.ask("CreateProduct", role="SALES_LEAD", code=" GTX-1 ", name="GTX Pro", list_price=cny(10))).product
    mine = (await crm.ask("CreateCustomer", role="SALES_REP", kind=1, name="销售甲")).customer
    theirs = (await crm.ask("CreateCustomer", role="sales other", kind=1, name="销售乙")).customer
    return {"pipeline": pipeline.id, "product": product.id, "mine": mine.id, "theirs": theirs.id}


async def deal(crm: Installation, world: dict[str, str], **more: Any) -> Any:
    values = {"role": "SALES_REP", "name": "大单", "pipeline_id": world["pipeline"], "customer_id": world["mine"], "amount": cny(5), **more}
    return (await crm.ask("CreateOpportunity", **values)).opportunity


async def sale(crm: Installation, customer: str, quantity: int = 2, price: float = 1.5, **more: Any) -> Any:
    values = {"role": "SALES_REP", "customer_id": customer, "lines": [{"quantity": quantity, "unit_price": cny(price)}], **more}
    return (await crm.ask("CreateOrder", **values)).order


async def test_products_live_through_every_verb(crm: Installation, world: dict[str, str]) -> None:
    found = (await crm.ask("GetProduct", role="SALES_REP", product_id=world["product"])).product
    assert (found.code, found.version) == ("GTX-1", 1)
    for role in ("SALES_REP", "MARKETER", "ADMINISTRATOR"):
        await refused(crm, PRODUCTS, crm.ask("CreateProduct", role=role, code="N", name="n"), "NOT_ALLOWED")
    for values, code, field in (
        ({"code": "GTX-1"}, "CODE_TAKEN", "code"),
        ({"code": "  "}, "INVALID_ARGUMENT", "code"),
        ({"list_price": cny(-1)}, "INVALID_ARGUMENT", "list_price"),
        ({"list_price": {"currency_code": "yuan", "amount_micros": 1}}, "INVALID_ARGUMENT", "list_price.currency_code"),
    ):
        await refused(crm, PRODUCTS, crm.ask("CreateProduct", **{"code": "N", "name": "n", **values}), code, field=field)
    made = (await crm.ask("CreateProduct", code="P2", name="Two")).product
    await refused(
        crm, PRODUCTS, crm.ask("UpdateProduct", product_id=made.id, version=2, update_mask=mask("name"), name="x"), "VERSION_CONFLICT"
    )
    assert (await crm.ask("UpdateProduct", product_id=made.id, version=1, update_mask=mask("unit"), unit="台")).product.unit == "台"
    await crm.ask("ArchiveProduct", product_id=made.id)
    await refused(crm, PRODUCTS, crm.ask("ArchiveProduct", product_id=made.id), "ARCHIVED", record_id=made.id)
    assert made.id not in {one.id for one in (await crm.ask("ListProducts", page_size=100, order_by=3)).products}
    await crm.ask("RestoreProduct", product_id=made.id)
    assert list((await crm.ask("BatchGetProducts", ids=[made.id, "x"])).missing_ids) == ["x"]
    rows = [
        {"source_key": "pr:1", "code": "I1", "name": "i"},
        {"source_key": "pr:2", "code": "I1", "name": "i"},
        {"source_key": "pr:3", "code": "I3"},
    ]
    for results in ([1, 4, 4], [3, 4, 4]):
        answer = await crm.ask("BatchUpsertProducts", products=rows)
        assert [one.result for one in answer.outcomes] == results
        assert [one.error_code for one in answer.outcomes[1:]] == ["CODE_TAKEN", "INVALID_ARGUMENT"]


async def test_a_used_stage_stays(crm: Installation, world: dict[str, str]) -> None:
    made = (await crm.ask("CreatePipeline", name="p", stages=STAGES)).pipeline
    found = await deal(crm, world, pipeline_id=made.id)
    await refused(crm, PIPELINES, crm.ask("CreatePipeline", name="x", stages=[STAGES[0], STAGES[0]]), "INVALID_ARGUMENT", field="stages")
    await refused(crm, PIPELINES, crm.ask("CreatePipeline", name="x", stages=[]), "INVALID_ARGUMENT", field="stages")
    await refused(crm, PIPELINES, crm.ask("CreatePipeline", role="SALES_REP", name="x", stages=STAGES), "NOT_ALLOWED")
    only = {"pipeline_id": made.id, "version": 1, "update_mask": mask("stages"), "stages": STAGES[1:]}
    await refused(crm, PIPELINES, crm.ask("UpdatePipeline", **only), "PIPELINE_STAGE_IN_USE", field="stages", record_id=made.id)
    await crm.ask("MoveOpportunityStage", opportunity_id=found.id, stage_key="offer")
    assert len((await crm.ask("UpdatePipeline", **only)).pipeline.stages) == 1


@pytest_asyncio.fixture(loop_scope="session")
async def no_default(crm: Installation) -> AsyncIterator[None]:
    """No default pipeline during the test; those of other tests come back after it."""
    pipelines = crm.suite["sales"].database["pipelines"]
    kept = [row["_id"] async for row in pipelines.find({"is_default": True})]
    await pipelines.update_many({}, {"$set": {"is_default": False}})
    yield
    await pipelines.update_many({}, {"$set": {"is_default": False}})
    await pipelines.update_many({"_id": {"$in": kept}}, {"$set": {"is_default": True}})


async def test_there_is_one_default_pipeline(crm: Installation, no_default: None) -> None:
    await refused(crm, DEALS, crm.ask("CreateOpportunity", name="x"), "NO_DEFAULT_PIPELINE", field="pipeline_id")
    first = (await crm.ask("CreatePipeline", name="first", stages=STAGES, is_default=True)).pipeline
    await refused(crm, PIPELINES, crm.ask("CreatePipeline", name="x", stages=STAGES, is_default=True), "ALREADY_EXISTS", field="is_default")
    assert (await crm.ask("CreateOpportunity", name="x")).opportunity.pipeline_id == first.id


async def test_a_second_default_is_refused_alone_in_an_import(crm: Installation, no_default: None) -> None:
    await crm.ask("CreatePipeline", name="first", stages=STAGES, is_default=True)
    rows = [
        {"source_key": "pi:1", "name": "a", "stages": STAGES},
        {"source_key": "pi:2", "name": "b", "stages": STAGES, "is_default": True},
    ]
    answer = await crm.ask("BatchUpsertPipelines", pipelines=rows)
    assert [(one.result, one.error_code) for one in answer.outcomes] == [(1, ""), (4, "ALREADY_EXISTS")]


async def test_an_archived_default_pipeline_makes_room_for_another(crm: Installation, no_default: None) -> None:
    first = (await crm.ask("CreatePipeline", name="first", stages=STAGES, is_default=True)).pipeline
    await crm.ask("ArchivePipeline", pipeline_id=first.id)
    assert (await crm.ask("CreatePipeline", name="second", stages=STAGES, is_default=True)).pipeline.is_default


async def test_an_opportunity_goes_to_its_decision_and_back(crm: Installation, world: dict[str, str]) -> None:
    made = await deal(crm, world)
    assert (made.state, made.stage_key, made.probability, made.owner_id) == (1, "talk", 10.0, crm.people["SALES_REP"])
    moved = (await crm.ask("MoveOpportunityStage", role="SALES_REP", opportunity_id=made.id, stage_key="offer", version=1)).opportunity
    assert (moved.stage_key, moved.probability, len(moved.stage_history)) == ("offer", 60.0, 2)
    key = {"opportunity_id": made.id}
    for action, code in (
        (crm.ask("MoveOpportunityStage", **key, stage_key="offer"), "WRONG_STATE"),
        (crm.ask("MoveOpportunityStage", **key, stage_key="nowhere"), "STAGE_UNKNOWN"),
        (crm.ask("MoveOpportunityStage", **key, stage_key="talk", version=1), "VERSION_CONFLICT"),
        (crm.ask("ReopenOpportunity", **key, reason="r"), "OPPORTUNITY_NOT_CLOSED"),
        (crm.ask("WinOpportunity", **key, reason=" "), "INVALID_ARGUMENT"),
        (crm.ask("WinOpportunity", **key, reason="r", close_date="2001-01-01"), "INVALID_ARGUMENT"),
        (crm.ask("WinOpportunity", **key, reason="r", amount=cny(-1)), "INVALID_ARGUMENT"),
        (
            crm.ask("UpdateOpportunity", **key, version=2, update_mask=mask("customer_id"), customer_id=world["theirs"], role="SALES_REP"),
            "REFERENCE_NOT_FOUND",
        ),
        (
            crm.ask("UpdateOpportunity", **key, version=2, update_mask=mask("expected_close_date"), expected_close_date="2026-02-30"),
            "INVALID_ARGUMENT",
        ),
        (crm.ask("AssignOpportunity", role="SALES_REP", **key, owner_id=crm.people["SALES_LEAD"]), "NOT_ALLOWED"),
        (crm.ask("WinOpportunity", role="SUPPORT_AGENT", **key, reason="r"), "NOT_ALLOWED"),
        (crm.ask("WinOpportunity", role="sales other", **key, reason="r"), "NOT_FOUND"),
    ):
        await refused(crm, DEALS, action, code, record_id=made.id)
    won = (await crm.ask("WinOpportunity", role="SALES_REP", **key, reason="price", amount=cny(7))).opportunity
    assert (won.state, won.probability, won.amount.amount_micros) == (2, 100.0, 7_000_000)
    for action in (
        crm.ask("WinOpportunity", **key, reason="r"),
        crm.ask("LoseOpportunity", **key, reason="r"),
        crm.ask("MoveOpportunityStage", **key, stage_key="talk"),
        crm.ask("UpdateOpportunity", **key, version=3, update_mask=mask("name"), name="x"),
    ):
        await refused(crm, DEALS, action, "OPPORTUNITY_CLOSED", record_id=made.id)
    again = (await crm.ask("ReopenOpportunity", **key, reason="they called", stage_key="talk")).opportunity
    assert (again.state, again.stage_key, again.probability, again.HasField("close_date")) == (1, "talk", 10.0, False)
    lost = (await crm.ask("LoseOpportunity", **key, reason="late")).opportunity
    assert (lost.state, lost.close_reason, [stay.HasField("leave_time") for stay in lost.stage_history]) == (3, "late", [True, True, True])
    await crm.ask("ArchiveOpportunity", **key)
    await refused(crm, DEALS, crm.ask("ReopenOpportunity", **key, reason="r"), "ARCHIVED", record_id=made.id)
    await crm.ask("RestoreOpportunity", **key)
    given = await crm.ask("AssignOpportunity", role="SALES_LEAD", **key, owner_id=crm.people["sales other"])
    assert given.opportunity.department_id == crm.units["other"]
    _, facts = await trace(crm, *DEALS.split("."), made.id)
    assert facts == given.opportunity.version == 8


async def test_an_opportunity_points_only_to_what_exists(crm: Installation, world: dict[str, str]) -> None:
    for name, value in (
        ("customer_id", world["theirs"]),
        ("customer_id", "nobody"),
        ("pipeline_id", "nowhere"),
        ("product_id", "nothing"),
        ("contact_id", "nobody"),
    ):
        await refused(crm, DEALS, deal(crm, world, **{name: value}), "REFERENCE_NOT_FOUND", field=name)
    await refused(crm, DEALS, deal(crm, world, stage_key="nowhere"), "STAGE_UNKNOWN", field="stage_key")
    await refused(crm, DEALS, deal(crm, world, name="   "), "INVALID_ARGUMENT", field="name")


async def test_an_imported_opportunity_is_moved_to_no_unknown_customer(crm: Installation, world: dict[str, str]) -> None:
    row = {"source_key": "op:x", "name": "i", "pipeline_id": world["pipeline"], "customer_id": world["mine"]}
    identity = (await crm.ask("BatchUpsertOpportunities", opportunities=[row])).outcomes[0].id
    await refused(
        crm,
        DEALS,
        crm.ask("UpdateOpportunity", opportunity_id=identity, version=1, update_mask=mask("customer_id"), customer_id="nobody"),
        "REFERENCE_NOT_FOUND",
        record_id=identity,
    )


async def test_an_imported_history_says_of_each_stay_in_which_stage_and_since_when(crm: Installation, world: dict[str, str]) -> None:
    row, since = {"name": "i", "pipeline_id": world["pipeline"], "stage_key": "offer"}, {"seconds": 1767225600}
    stays: list[dict[str, Any]] = [{}, {"stage_key": "talk"}, {"enter_time": since}, {"stage_key": "", "enter_time": since}]
    rows = [{**row, "source_key": new_id(), "stage_history": [stay]} for stay in [*stays, {"stage_key": "talk", "enter_time": since}]]
    outcomes = (await crm.ask("BatchUpsertOpportunities", opportunities=rows)).outcomes
    assert [(one.error_code, one.error_field) for one in outcomes] == [
        *(("INVALID_ARGUMENT", f"stage_history[0].{field}") for field in ("stage_key", "enter_time", "stage_key", "stage_key")), ("", ""),
    ]  # fmt: skip
    found = (await crm.ask("GetOpportunity", opportunity_id=outcomes[-1].id)).opportunity
    assert [stay.stage_key for stay in found.stage_history] == ["talk", "offer"]


async def test_opportunities_are_imported_once_and_follow_their_source(crm: Installation, world: dict[str, str]) -> None:
    row = {"source_key": "op:1", "name": "i", "pipeline_id": world["pipeline"], "stage_key": "talk", "start_date": "2026-01-01"}
    rows = [row, {**row, "source_key": "op:2", "state": 2}, {**row, "source_key": "op:3", "stage_key": "nowhere"}]
    for results in ([1, 4, 4], [3, 4, 4]):
        answer = await crm.ask("BatchUpsertOpportunities", opportunities=rows)
        assert [one.result for one in answer.outcomes] == results
        assert [(one.error_code, one.error_field) for one in answer.outcomes[1:]] == [
            ("INVALID_ARGUMENT", "close_date"),
            ("STAGE_UNKNOWN", "stage_key"),
        ]
    answer = await crm.ask(
        "BatchUpsertOpportunities", opportunities=[{**row, "state": 2, "close_date": "2026-01-09", "stage_key": "offer"}]
    )
    assert answer.outcomes[0].result == 2
    found = (await crm.ask("GetOpportunity", opportunity_id=answer.outcomes[0].id)).opportunity
    assert [stay.stage_key for stay in found.stage_history] == ["talk", "offer"]
    assert (found.state, found.probability) == (2, 100.0)


async def test_an_order_goes_to_delivery_and_comes_back(crm: Installation, world: dict[str, str]) -> None:
    made = await sale(crm, world["mine"])
    assert (made.state, made.kind, made.total.amount_micros, made.number[:3]) == (1, 1, 3_000_000, "SO-")
    key = {"order_id": made.id}
    for action, code in (
        (crm.ask("ReturnOrder", **key, reason="r", lines=[{"line_index": 0, "quantity": 1}]), "ORDER_NOT_FULFILLED"),
        (crm.ask("ConfirmOrder", **key, version=9), "VERSION_CONFLICT"),
        (crm.ask("CancelOrder", **key, reason=""), "INVALID_ARGUMENT"),
        (crm.ask("ConfirmOrder", role="SUPPORT_AGENT", **key), "NOT_ALLOWED"),
        (crm.ask("ConfirmOrder", role="sales other", **key), "NOT_FOUND"),
    ):
        await refused(crm, ORDERS, action, code, record_id=made.id)
    await crm.ask("ConfirmOrder", role="SALES_REP", **key)
    await refused(crm, ORDERS, crm.ask("ConfirmOrder", **key), "ORDER_STATE_NOT_ALLOWED", record_id=made.id)
    await crm.ask("FulfillOrder", role="SALES_REP", **key)
    await refused(crm, ORDERS, crm.ask("CancelOrder", **key, reason="r"), "ORDER_STATE_NOT_ALLOWED", record_id=made.id)
    back = (await crm.ask("ReturnOrder", role="SALES_REP", **key, reason="broken", lines=[{"line_index": 0, "quantity": 1}])).order
    assert (back.kind, back.state, back.total.amount_micros, back.returned_order_id, back.reason) == (2, 3, 1_500_000, made.id, "broken")
    await refused(
        crm,
        ORDERS,
        crm.ask("ReturnOrder", **key, reason="r", lines=[{"line_index": 0, "quantity": 2}]),
        "RETURN_EXCEEDS_SALE",
        field="lines[0].quantity",
        record_id=made.id,
    )
    await refused(crm, ORDERS, crm.ask("ReturnOrder", **key, reason="r", lines=[{"line_index": 5, "quantity": 1}]), "INVALID_ARGUMENT")
    await crm.ask("ReturnOrder", **key, reason="r", lines=[{"line_index": 0, "quantity": 1}])
    assert [one.id for one in (await crm.ask("BatchListOrders", customer_ids=[world["mine"]])).groups[0].orders].count(made.id) == 1


async def test_a_line_names_a_product_that_exists(crm: Installation) -> None:
    line = {"quantity": 1, "unit_price": cny(1)}
    lines = [line, {**line, "product_id": "nothing"}]
    await refused(crm, ORDERS, crm.ask("CreateOrder", lines=lines), "REFERENCE_NOT_FOUND", field="lines[1].product_id")


async def test_orders_that_make_no_sense_are_refused(crm: Installation, world: dict[str, str]) -> None:
    line = {"quantity": 1, "unit_price": cny(1)}
    theirs = await deal(crm, world, role="sales other", customer_id=world["theirs"])
    await sale(crm, world["mine"], number="N-1")
    for values, code in (
        ({"number": "N-1"}, "ORDER_NUMBER_TAKEN"),
        ({"lines": []}, "INVALID_ARGUMENT"),
        ({"lines": [{**line, "quantity": -1}]}, "INVALID_ARGUMENT"),
        ({"lines": [line, {**line, "unit_price": {"currency_code": "USD", "amount_micros": 1}}]}, "CURRENCY_MIXED"),
        ({"customer_id": world["theirs"]}, "REFERENCE_NOT_FOUND"),
        ({"opportunity_id": theirs.id}, "REFERENCE_NOT_FOUND"),
        ({"owner_id": crm.people["sales other"]}, "NOT_ALLOWED"),
        ({"lines": [{"quantity": 1}]}, "INVALID_ARGUMENT"),
    ):
        await refused(
            crm, ORDERS, crm.ask("CreateOrder", **{"role": "SALES_REP", "customer_id": world["mine"], "lines": [line], **values}), code
        )


async def test_goods_come_back_after_the_seller_has_left(crm: Installation, world: dict[str, str]) -> None:
    person = await crm.person("sales gone", "SALES_REP")
    await crm.until(lambda: person in crm.suite["sales"].authority.directory.members)
    made = await sale(crm, world["mine"], role="COORDINATOR", owner_id=person)
    await crm.ask("FulfillOrder", order_id=made.id)
    await crm.ask("DeactivatePerson", person_id=person)
    await crm.until(lambda: not crm.suite["sales"].authority.directory.members[person].active)
    back = await crm.ask("ReturnOrder", role="COORDINATOR", order_id=made.id, reason="broken", lines=[{"line_index": 0, "quantity": 1}])
    assert back.order.returned_order_id == made.id


async def test_who_sees_whose_business(crm: Installation, world: dict[str, str]) -> None:
    mine, theirs = await deal(crm, world), await deal(crm, world, role="sales other", customer_id=world["theirs"])
    bought, sold = await sale(crm, world["mine"]), await sale(crm, world["theirs"], role="sales other")
    both = [world["mine"], world["theirs"]]
    sees = {"SALES_REP": 0, "SALES_LEAD": 0, "sales other": 1, "COORDINATOR": None, "SUPPORT_AGENT": None}
    for role, only in sees.items():
        for noun, plural, pair in (("Opportunity", "opportunities", (mine.id, theirs.id)), ("Order", "orders", (bought.id, sold.id))):
            visible = set(pair) if only is None else {pair[only]}
            title = plural.capitalize()
            batch = await crm.ask(f"BatchGet{title}", role=role, ids=pair)
            assert {one.id for one in getattr(batch, plural)} == visible, (role, noun)
            groups = (await crm.ask(f"BatchList{title}", role=role, customer_ids=both, page_size=100)).groups
            assert {one.id for group in groups for one in getattr(group, plural)} & set(pair) == visible
            listed = await crm.ask(f"List{title}", role=role, page_size=100, filter=equals("customer_id", *both))
            assert {one.id for one in getattr(listed, plural)} & set(pair) == visible
            for identity in set(pair) - visible:
                await refused(crm, f"sales.{plural}", crm.ask(f"Get{noun}", role=role, **{f"{noun.lower()}_id": identity}), "NOT_FOUND")
        totals = (await crm.ask("BatchGetOrderTotals", role=role, customer_ids=both)).order_totals
        assert {one.customer_id for one in totals} == (set(both) if only is None else {both[only]}), role
    for role in ("MARKETER", "ADMINISTRATOR"):
        for method, more in (("ListOpportunities", {}), ("ListOrders", {}), ("BatchGetOrderTotals", {"customer_ids": both})):
            await refused(crm, ORDERS, crm.ask(method, role=role, **more), "NOT_ALLOWED")
