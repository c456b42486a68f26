"""Hunt: commands, subscriptions' reads, explanations and histories by somebody from whom everything is hidden: no INTERNAL."""

from __future__ import annotations

from typing import Any

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from gateway.graph.contract import to_global
from services.organization.access import catalogue
from tests.e2e.test_access_roles import holder, role
from tests.support.installation import Installation


async def test_commands_in_the_dark(crm: Installation) -> None:
    acts = [
        (resource, action, "ALL")
        for resource, names in catalogue.actions().items()
        for action in names
        if resource not in ("directory", "graph")
    ]
    limits = [(r, f, "HIDDEN") for r, names in catalogue.fields().items() for f in names]
    await holder(crm, "dark", (await role(crm, f"暗 {new_id()}", acts, limits))["id"])
    customer = (await crm.ask("CreateCustomer", role="COORDINATOR", name="暗", kind=1, tax_number=f"D{new_id()}")).customer.id
    await crm.ask(
        "CreatePipeline",
        name=f"管道 {new_id()}",
        stages=[{"key": "a", "name": "一", "probability": 10}, {"key": "b", "name": "二", "probability": 20}],
        is_default=True,
    ) if False else None
    pipe = (
        await crm.ask(
            "CreatePipeline",
            name=f"管道 {new_id()}",
            stages=[{"key": "a", "name": "一", "probability": 10}, {"key": "b", "name": "二", "probability": 20}],
        )
    ).pipeline
    deal = (await crm.ask("CreateOpportunity", role="COORDINATOR", customer_id=customer, name="x", pipeline_id=pipe.id)).opportunity.id
    ticket = (
        await crm.ask("CreateTicket", role="COORDINATOR", customer_id=customer, subject="s", channel=1, skill="geheimskill")
    ).ticket.id
    line = {"quantity": 3, "unit_price": {"currency_code": "CNY", "amount_micros": 9}, "description": "P"}
    order = (await crm.ask("CreateOrder", role="COORDINATOR", customer_id=customer, lines=[line])).order.id
    found: list[Any] = []

    async def attempt(method: str, **fields: Any) -> None:
        try:
            found.append((method, "OK", str(await crm.ask(method, role="dark", **fields))))
        except CrmError as error:
            found.append((method, error.code, error.message))

    await attempt("MoveCustomerLifecycle", customer_id=customer, lifecycle=2, reason="x")
    await attempt("MoveOpportunityStage", opportunity_id=deal, stage_key="b")
    await attempt("WinOpportunity", opportunity_id=deal, reason="gewonnen")
    await attempt("ReopenOpportunity", opportunity_id=deal, reason="wieder")
    await attempt("LoseOpportunity", opportunity_id=deal, reason="verloren")
    await attempt("AutoAssignTicket", ticket_id=ticket)
    await attempt("WaitTicket", ticket_id=ticket)
    await attempt("ResolveTicket", ticket_id=ticket, resolution="x")
    await attempt("CloseTicket", ticket_id=ticket)
    await attempt("ReopenTicket", ticket_id=ticket, reason="x")
    await attempt("ConfirmOrder", order_id=order)
    await attempt("FulfillOrder", order_id=order)
    await attempt("CancelOrder", order_id=order, reason="x")
    await attempt("AssignCustomer", customer_id=customer, owner_id=crm.people["SALES_REP"])
    await attempt("ArchiveCustomer", customer_id=customer)
    await attempt("RestoreCustomer", customer_id=customer)
    await attempt("CreateNote", customer_id=customer, text="x")
    await attempt("CreateContact", customer_id=customer)
    await attempt("DeactivatePerson", person_id=await crm.person("deactivated", "MARKETER"))
    await attempt("ReactivatePerson", person_id=crm.people["MARKETER"])
    await attempt("ListRoleDefinitions")
    for name, kind, identity in (
        ("customer", "Customer", customer),
        ("opportunity", "Opportunity", deal),
        ("ticket", "Ticket", ticket),
        ("order", "Order", order),
    ):
        for query in (
            "query($id: ID!) { recordHistory(id: $id) { nodes { changes { field before after } } } }",
            'query($id: ID!) { accessExplain(id: $id, action: "update") { allowed reasons { text } } }',
        ):
            body = await crm.graph(query, "dark", id=to_global(kind, identity))
            found.append((name, (body.get("errors") or [{"extensions": {"code": "OK"}}])[0]["extensions"]["code"], str(body)))
    for one in found:
        print(one[0], one[1], one[2][:100].replace("\n", " ") if one[1] != "OK" else "")
    stored = await crm.suite["sales"].database["opportunities"].find_one({"_id": deal})
    print("close_reason", stored and stored.get("close_reason"))
    assert not [one for one in found if one[1] == "INTERNAL"]
    assert "geheimskill" not in str(found)
    assert not [one for one in found if one[0].endswith("Opportunity") and one[1] == "OK"], "close_reason was set"
