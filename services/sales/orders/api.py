"""OrderService."""

from __future__ import annotations

from functools import partial
from typing import Any

from crm.sales.v1 import order_pb2, order_service_pb2

from chassis.rpc.call import Call
from chassis.rpc.documents import to_message
from chassis.rpc.noun import Noun, handler
from chassis.rpc.remote import RemoteRecords
from chassis.rpc.service import Rule, Service
from services.sales.opportunities.store import Opportunities
from services.sales.orders import actions, model
from services.sales.orders.store import Orders
from services.sales.products.store import Products


def service(orders: Orders, opportunities: Opportunities, products: Products, customers: RemoteRecords) -> Service:
    """The handlers of orders."""
    states: dict[str, tuple[Rule, ...]] = {
        "ConfirmOrder": (partial(model.may_become, "CONFIRMED"),),
        "FulfillOrder": (partial(model.may_become, "FULFILLED"),),
        "CancelOrder": (partial(model.may_become, "CANCELLED"),),
        "ReturnOrder": (model.must_be_delivered,),
    }
    noun = Noun(orders, model.check, partial(actions.complete, products), refers=(opportunities, customers), states=states)

    @handler
    async def totals(call: Call, request: Any) -> Any:
        rows = await orders.totals(call, request.customer_ids)
        hidden = model.hidden_totals(call.limits(orders.resource))
        shown = [{name: value for name, value in model.totals_document(row).items() if name not in hidden} for row in rows]
        messages = [to_message(row, order_pb2.OrderTotals.DESCRIPTOR) for row in shown]
        return order_service_pb2.BatchGetOrderTotalsResponse(order_totals=messages)

    return noun.serve(
        BatchGetOrderTotals=totals,
        ConfirmOrder=partial(actions.confirm, orders),
        FulfillOrder=partial(actions.fulfill, orders),
        CancelOrder=partial(actions.cancel, orders),
        ReturnOrder=partial(actions.give_back, orders),
    )
