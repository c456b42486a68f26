"""Customer with its edges to every department: the unified graph is this file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from crm.common.v1 import criteria_pb2
from crm.customer.v1 import customer_pb2, customer_service_pb2
from crm.sales.v1 import order_pb2, order_service_pb2
from strawberry.types import Info

from chassis.kernel.errors import CrmError
from gateway.departments.context import Context
from gateway.departments.errors import field_error
from gateway.graph.contract import finish, output_class
from gateway.graph.edges import edge, to_many, to_one
from gateway.graph.members import segment_members
from gateway.graph.noun import Noun

CUSTOMER = Noun("customer", customer_service_pb2, customer_pb2.Customer)
_ORDERS = order_service_pb2.DESCRIPTOR.services_by_name["OrderService"]
_TOTALS = output_class(order_pb2.OrderTotals.DESCRIPTOR)


def edges() -> None:
    """What every department hangs on a customer; called when every noun is known."""
    # customer
    CUSTOMER.edge("parent", to_one("Customer", "parent_id", "The company it belongs to."))
    CUSTOMER.edge("children", to_many("Customer", "BatchListChildCustomers", "The customers below it."))
    CUSTOMER.edge("contacts", to_many("Contact", "BatchListContacts", "People at the customer."))
    CUSTOMER.edge("notes", to_many("Note", "BatchListNotes", "Remarks, newest first."))
    CUSTOMER.edge(
        "timeline", to_many("TimelineEntry", "BatchListTimelineEntries", "What any department did with the customer, newest first.")
    )
    CUSTOMER.edge("segments", segment_members("BatchListCustomerSegments", "The segments it is in."))
    # organization
    CUSTOMER.edge("owner", to_one("Person", "owner_id", "Who is responsible."))
    # sales
    CUSTOMER.edge("opportunities", to_many("Opportunity", "BatchListOpportunities", "Chances to sell, newest first."))
    words = "Undecided chances to sell, newest first."
    CUSTOMER.edge("open_opportunities", to_many("Opportunity", "BatchListOpportunities", words, preset=_open))
    CUSTOMER.edge("orders", to_many("Order", "BatchListOrders", "Sales, returns and corrections, newest first."))
    CUSTOMER.edge("order_totals", _order_totals())
    # marketing
    CUSTOMER.edge("messages", to_many("CampaignMessage", "BatchListCampaignMessages", "What marketing sent; each with its campaign."))
    # support
    CUSTOMER.edge("tickets", to_many("Ticket", "BatchListTickets", "Requests, newest first."))


def _open(request: Any) -> None:
    condition = request.filter.condition
    condition.field, condition.operator = "state", criteria_pb2.OPERATOR_EQUALS
    condition.values.add().text = "OPEN"


def _order_totals() -> Any:
    """Sums of orders, one for each currency."""

    async def load(context: Context, ids: list[str]) -> list[Any]:
        request = order_service_pb2.BatchGetOrderTotalsRequest(customer_ids=ids)
        try:
            answer = await context.clients.read("sales", _ORDERS, "BatchGetOrderTotals", request, context.token, context.request_id)
        except CrmError as error:
            return [field_error(error, "sales")] * len(ids)
        found: dict[str, list[Any]] = {}
        for totals in answer.order_totals:
            found.setdefault(totals.customer_id, []).append(totals)
        return [found.get(identity, []) for identity in ids]

    async def resolve(roots: Sequence[Any], info: Info) -> Sequence[Any]:
        context: Context = info.context
        return await context.loader("order_totals", partial(load, context)).many([root.id for root in roots])

    shape: Any = list[finish(_TOTALS)] | None  # type: ignore[misc]
    return edge(
        resolve,
        {},
        shape,
        "Sums over all orders, one for each currency; empty when there are none.",
        _ORDERS.methods_by_name["BatchGetOrderTotals"],
    )
