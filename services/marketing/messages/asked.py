"""What campaigns ask of the other departments, with marketing's own token and in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from crm.common.v1 import criteria_pb2
from crm.customer.v1 import contact_service_pb2, customer_service_pb2, segment_pb2, segment_service_pb2
from crm.support.v1 import ticket_service_pb2
from google.protobuf.field_mask_pb2 import FieldMask

from chassis.access.link import OrganizationLink
from chassis.rpc.channels import Channel
from chassis.rpc.documents import to_document
from services.marketing.messages.model import address_key, unwanted

Document = dict[str, Any]
_SEGMENTS = segment_service_pb2.DESCRIPTOR.services_by_name["SegmentService"]
_CONTACTS = contact_service_pb2.DESCRIPTOR.services_by_name["ContactService"]
_CUSTOMERS = customer_service_pb2.DESCRIPTOR.services_by_name["CustomerService"]
_TICKETS = ticket_service_pb2.DESCRIPTOR.services_by_name["TicketService"]
BATCH = 50  # twice as many spellings of their addresses are what a filter takes
_OPEN = ("NEW", "OPEN", "PENDING")


@dataclass(frozen=True)
class Addressees:
    """Contacts, their customers and what stands against telling them, as they are now."""

    campaign: Document
    contacts: dict[str, Document]
    customers: dict[str, Document]
    members: frozenset[str]
    complaining: frozenset[str]
    opted_out: frozenset[str]

    def unwanted(self, message: Document) -> tuple[str, str] | None:
        """Why the contact of a message is not to be told after all; None when it is."""
        customer = message["customer_id"]
        return unwanted(
            self.campaign, self.contacts.get(message.get("contact_id", "")), self.customers.get(customer),
            inside=customer in self.members, complaint=customer in self.complaining,
        )  # fmt: skip


@dataclass
class Departments:
    """The ways to the customer department and to support. Each method raises Unavailable when one does not answer."""

    customer: Channel
    support: Channel
    link: OrganizationLink

    async def _ask(self, channel: Channel, service: Any, method: str, request: Any) -> Any:
        return await channel.call(service, method, request, token=await self.link.token())

    # ---- whom a campaign goes to

    async def members(self, segment_id: str, token: str) -> tuple[list[str], str]:
        """A page of customers in a segment, and the token of the next."""
        request = segment_service_pb2.BatchListSegmentMembersRequest(segment_ids=[segment_id], page_size=100, page_token=token)
        group = (await self._ask(self.customer, _SEGMENTS, "BatchListSegmentMembers", request)).groups[0]
        return [member.customer_id for member in group.segment_members], group.next_page_token

    async def is_built(self, segment_id: str) -> bool:
        """Whether the members of a segment are complete."""
        request = segment_service_pb2.GetSegmentRequest(segment_id=segment_id)
        answer = await self._ask(self.customer, _SEGMENTS, "GetSegment", request)
        return bool(answer.segment.state == segment_pb2.SEGMENT_STATE_READY)

    async def contacts_of(self, customer_ids: list[str]) -> list[Any]:
        """All contacts of customers; a customer with more than a page of them is asked again alone."""
        request = contact_service_pb2.BatchListContactsRequest(customer_ids=customer_ids, page_size=100)
        answer = await self._ask(self.customer, _CONTACTS, "BatchListContacts", request)
        found = [contact for group in answer.groups for contact in group.contacts]
        for group in answer.groups:
            token = group.next_page_token
            while token:
                more = contact_service_pb2.BatchListContactsRequest(customer_ids=[group.key], page_size=100, page_token=token)
                page = (await self._ask(self.customer, _CONTACTS, "BatchListContacts", more)).groups[0]
                found += page.contacts
                token = page.next_page_token
        return found

    # ---- whether they are still to be told

    async def addressees(self, campaign: Document, messages: list[Document]) -> Addressees:
        """Everything that decides about the next messages of a campaign, as it is now. At most BATCH of them."""
        customers = list(dict.fromkeys(message["customer_id"] for message in messages))
        contacts, kept, members, complaining = await asyncio.gather(
            self._contacts([message["contact_id"] for message in messages if message.get("contact_id")]),
            self._customers(customers),
            self._inside(campaign.get("segment_id", ""), customers),
            self._complaining(customers),
        )
        opted_out = await self._opted_out(contact["email"] for contact in contacts.values() if contact.get("email"))
        return Addressees(campaign, contacts, kept, members, complaining, opted_out)

    async def _contacts(self, ids: list[str]) -> dict[str, Document]:
        if not ids:
            return {}
        answer = await self._ask(self.customer, _CONTACTS, "BatchGetContacts", contact_service_pb2.BatchGetContactsRequest(ids=ids))
        return {contact.id: to_document(contact) for contact in answer.contacts}

    async def _customers(self, ids: list[str]) -> dict[str, Document]:
        mask = FieldMask(paths=["id", "archive_time", "erase_time", "lifecycle"])
        request = customer_service_pb2.BatchGetCustomersRequest(ids=ids, read_mask=mask)
        answer = await self._ask(self.customer, _CUSTOMERS, "BatchGetCustomers", request)
        found = {customer.id: to_document(customer) for customer in answer.customers}
        return found | {asked: found[counts] for asked, counts in answer.resolved_ids.items()}

    async def _inside(self, segment_id: str, customer_ids: list[str]) -> frozenset[str]:
        """Those of the customers that belong to a segment now."""
        if not segment_id:
            return frozenset()
        request = segment_service_pb2.BatchListCustomerSegmentsRequest(customer_ids=customer_ids, page_size=100)
        groups = list((await self._ask(self.customer, _SEGMENTS, "BatchListCustomerSegments", request)).groups)
        found: set[str] = set()
        while groups:
            group = groups.pop()
            if any(member.segment_id == segment_id for member in group.segment_members):
                found.add(group.key)
            elif group.next_page_token:  # a customer in more than a hundred segments
                more = segment_service_pb2.BatchListCustomerSegmentsRequest(
                    customer_ids=[group.key], page_size=100, page_token=group.next_page_token
                )
                groups += (await self._ask(self.customer, _SEGMENTS, "BatchListCustomerSegments", more)).groups
        return frozenset(found)

    async def _complaining(self, customer_ids: list[str]) -> frozenset[str]:
        """Those of the customers that have an urgent complaint which is not answered yet."""
        wanted = _all(_one_of("kind", ["COMPLAINT"]), _one_of("priority", ["URGENT"]), _one_of("state", _OPEN))
        request = ticket_service_pb2.BatchListTicketsRequest(
            customer_ids=customer_ids, filter=wanted, page_size=1, read_mask=FieldMask(paths=["id"])
        )
        answer = await self._ask(self.support, _TICKETS, "BatchListTickets", request)
        return frozenset(group.key for group in answer.groups if group.tickets)

    async def _opted_out(self, addresses: Iterable[str]) -> frozenset[str]:
        """Those of the addresses (their keys) whose owner wants no promotion as any contact of ours, archived ones included."""
        spelled = list(dict.fromkeys(form for address in addresses for form in (address, address_key(address))))
        refuses, known = criteria_pb2.Criteria(), criteria_pb2.Criteria()
        _condition(refuses, "do_not_contact", criteria_pb2.OPERATOR_EQUALS).add().flag = True
        for there in (True, False):  # who names archive_time is shown archived ones too
            _condition(known.any.items.add(), "archive_time", criteria_pb2.OPERATOR_IS_SET).add().flag = there
        mask, found, token = FieldMask(paths=["email", "customer_id"]), set[str](), ""
        while spelled:
            request = contact_service_pb2.ListContactsRequest(
                filter=_all(_one_of("email", spelled), refuses, known), page_size=100, page_token=token, read_mask=mask
            )
            answer = await self._ask(self.customer, _CONTACTS, "ListContacts", request)
            found |= {address_key(contact.email) for contact in answer.contacts}
            if not (token := answer.next_page_token):
                break
        return frozenset(found)


def _condition(criteria: criteria_pb2.Criteria, field: str, operator: Any) -> Any:
    criteria.condition.field, criteria.condition.operator = field, operator
    return criteria.condition.values


def _one_of(field: str, texts: Iterable[str]) -> criteria_pb2.Criteria:
    criteria = criteria_pb2.Criteria()
    values = _condition(criteria, field, criteria_pb2.OPERATOR_IN)
    for text in texts:
        values.add().text = text
    return criteria


def _all(*parts: criteria_pb2.Criteria) -> criteria_pb2.Criteria:
    found = criteria_pb2.Criteria()
    found.all.items.extend(parts)
    return found
