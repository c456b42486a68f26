"""What a message of each type does here: one function a type, in one table. Whoever adds one writes it like those that are there.

An effect asks the owner department's ordinary RPCs, with the source's rights and a request id that follows from the message: run again, it
changes nothing more.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from crm.common.v1 import criteria_pb2
from crm.customer.v1 import contact_service_pb2, customer_service_pb2, note_service_pb2
from crm.sales.v1 import order_pb2, order_service_pb2
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from chassis.rpc.call import Call
from chassis.rpc.channels import Channel
from services.organization.webhook_receipts import model

Document = dict[str, Any]
SECONDS = 3.0
_PAGE = 100
_CONTACTS = contact_service_pb2.DESCRIPTOR.services_by_name["ContactService"]
_CUSTOMERS = customer_service_pb2.DESCRIPTOR.services_by_name["CustomerService"]
_NOTES = note_service_pb2.DESCRIPTOR.services_by_name["NoteService"]
_ORDERS = order_service_pb2.DESCRIPTOR.services_by_name["OrderService"]


@dataclass(frozen=True)
class Acting:
    """A source at work on one message: `identity` is the request id of what it does, `name` its own."""

    channels: Mapping[str, Channel]
    call: Call
    token: str
    identity: str
    name: str

    async def ask(self, department: str, service: ServiceDescriptor, method: str, request: Message) -> Any:
        """The answer, within the call's deadline. Raises what the department refuses."""
        seconds = min(SECONDS, self.call.milliseconds_left / 1000)
        return await self.channels[department].call(
            service, method, request, token=self.token, request_id=self.call.request_id, seconds=seconds
        )


Effect = Callable[[Acting, Document], Awaitable[tuple[str, str]]]  # the kind and id of the record that it was about


async def order_fulfilled(acting: Acting, data: Document) -> tuple[str, str]:
    """An ERP delivered an order in full: data.number is the order's."""
    number = model.text(data, "number", r"\S.{0,59}", "SO-1001")
    asked = order_service_pb2.ListOrdersRequest(filter=_equals("number", number), page_size=1, read_mask=FieldMask(paths=["id", "state"]))
    found = (await acting.ask("sales", _ORDERS, "ListOrders", asked)).orders
    if not found:
        raise model.unmatched("order", "data.number")
    if found[0].state != order_pb2.ORDER_STATE_FULFILLED:
        done = order_service_pb2.FulfillOrderRequest(request_id=acting.identity, order_id=found[0].id)
        await acting.ask("sales", _ORDERS, "FulfillOrder", done)
    return "Order", found[0].id


async def invoice_paid(acting: Acting, data: Document) -> tuple[str, str]:
    """Finance got the money: a note on the customer, seen on the timeline. data names the customer by customer_id or customer_source_key."""
    number = model.text(data, "number", r"\S.{0,59}", "INV-2026-001")
    amount = model.text(data, "amount", r"[0-9]{1,15}(\.[0-9]{1,6})?", "1200.00")
    currency = model.text(data, "currency_code", r"[A-Z]{3}", "CNY")
    customer_id = await _customer(acting, data)
    words = f"发票 {number} 已付款：{currency} {amount}（{acting.name}）"
    note = note_service_pb2.CreateNoteRequest(request_id=acting.identity, customer_id=customer_id, text=words)
    return "Note", (await acting.ask("customer", _NOTES, "CreateNote", note)).note.id


async def contact_unsubscribed(acting: Acting, data: Document) -> tuple[str, str]:
    """Somebody wants no more promotion: every contact with data.email gets none from now on."""
    email = model.text(data, "email", r"[^@\s]{1,64}@[^@\s]{1,189}", "li.na@example.com").lower()
    asked = contact_service_pb2.ListContactsRequest(filter=_equals("email", email), page_size=_PAGE)
    asked.read_mask.paths.extend(("id", "version", "archive_time", "do_not_contact"))
    first = ""
    while True:
        answer = await acting.ask("customer", _CONTACTS, "ListContacts", asked)
        for contact in answer.contacts:
            first = first or contact.id
            if not contact.do_not_contact and not contact.HasField("archive_time"):
                await _silence(acting, contact)
        asked.page_token = answer.next_page_token
        if not asked.page_token:
            break
    if not first:
        raise model.unmatched("contact", "data.email")
    return "Contact", first


EFFECTS: Mapping[str, Effect] = {
    "order.fulfilled": order_fulfilled, "invoice.paid": invoice_paid, "contact.unsubscribed": contact_unsubscribed,
}  # fmt: skip


async def _silence(acting: Acting, contact: Any) -> None:
    # The version belongs to the request: after somebody else's change it is another one.
    request = contact_service_pb2.UpdateContactRequest(
        request_id=f"{acting.identity}-{contact.id[-20:]}-{contact.version}", contact_id=contact.id, version=contact.version,
        update_mask=FieldMask(paths=["do_not_contact"]), do_not_contact=True,
    )  # fmt: skip
    await acting.ask("customer", _CONTACTS, "UpdateContact", request)


async def _customer(acting: Acting, data: Document) -> str:
    """The customer that the data names: by its id in the graph, or by its natural key."""
    if "customer_id" in data:
        return _local_id(model.text(data, "customer_id", r"[A-Za-z0-9_-]{1,120}", "Q3VzdG9tZXI6…"))
    key = model.text(data, "customer_source_key", r"\S.{0,299}", "erp:1007")
    asked = customer_service_pb2.ListCustomersRequest(filter=_equals("source_key", key), page_size=1, read_mask=FieldMask(paths=["id"]))
    found = (await acting.ask("customer", _CUSTOMERS, "ListCustomers", asked)).customers
    if not found:
        raise model.unmatched("customer", "data.customer_source_key")
    return str(found[0].id)


def _local_id(given: str) -> str:
    try:
        noun, _, identity = base64.urlsafe_b64decode(given + "=" * (-len(given) % 4)).decode().partition(":")
    except (ValueError, binascii.Error):
        noun = identity = ""
    if noun != "Customer" or not identity:
        raise model.unmatched("customer", "data.customer_id")
    return identity


def _equals(field: str, value: str) -> criteria_pb2.Criteria:
    condition = criteria_pb2.Condition(field=field, operator=criteria_pb2.OPERATOR_EQUALS, values=[criteria_pb2.Value(text=value)])
    return criteria_pb2.Criteria(condition=condition)
