"""What hangs on a customer beside what contracts say: the undecided opportunities, sums of orders, the segments it is in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from crm.common.v1 import criteria_pb2
from crm.sales.v1 import order_pb2, order_service_pb2
from strawberry.types import Info

from chassis.kernel.errors import CrmError
from gateway.departments.context import Context
from gateway.departments.errors import field_error
from gateway.graph.contract import finish, output_class
from gateway.graph.edges import edge, to_many
from gateway.graph.members import segment_members
from gateway.graph.noun import NOUNS

_ORDERS = order_service_pb2.DESCRIPTOR.services_by_name["OrderService"]
_TOTALS = output_class(order_pb2.OrderTotals.DESCRIPTOR)


def edges() -> None:
    """Called when every noun is known."""
    customer = NOUNS["Customer"]
    words = "Undecided chances to sell, newest first."
    customer.edge("open_opportunities", to_many("Opportunity", "BatchListOpportunities", words, preset=_open))
    customer.edge("order_totals", _order_totals())
    customer.edge("segments", segment_members("BatchListCustomerSegments", "The segments it is in."))


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
