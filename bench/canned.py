"""Canned departments on one port: `python -m bench.canned PORT`. The same records always; answers are joined from bytes made at start.

No access, no read masks, no filters: they stand behind gateways whose own cost is measured.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta

import grpc
from crm.common.v1.money_pb2 import Money
from crm.customer.v1.customer_pb2 import Customer, CustomerKind, CustomerLevel, CustomerLifecycle
from crm.customer.v1.customer_service_pb2 import BatchGetCustomersRequest, ListCustomersRequest
from crm.marketing.v1.campaign_message_pb2 import CampaignMessage, CampaignMessageState
from crm.marketing.v1.campaign_message_service_pb2 import BatchListCampaignMessagesRequest
from crm.sales.v1.opportunity_pb2 import Opportunity, OpportunityState
from crm.sales.v1.opportunity_service_pb2 import BatchListOpportunitiesRequest
from crm.support.v1.ticket_pb2 import Ticket, TicketChannel, TicketPriority, TicketState
from crm.support.v1.ticket_service_pb2 import BatchListTicketsRequest
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from chassis.rpc.service import response_class
from gateway.departments.merging import Merging

CUSTOMERS, OPPORTUNITIES, TICKETS, MESSAGES, DEFAULT_PAGE = 50, 5, 3, 4, 20
START = datetime(2026, 1, 5, 8, 30, 15, 250_000, tzinfo=UTC)
STAGES = ("lead", "qualified", "proposal", "negotiation", "won")
Rows = list[Message]


# ---- records


def customer_id(number: int) -> str:
    """Id of a customer, 0 to 49."""
    return f"cust-{number:04d}"


def customers() -> Rows:
    """The fifty customers."""
    return [
        Customer(
            id=customer_id(n), version=n % 7 + 1, owner_id=f"pers-{n % 9:02d}", kind=CustomerKind.CUSTOMER_KIND_COMPANY,
            name=f"Customer {n:02d} 客户", level=CustomerLevel.Name(n % 4 + 1), lifecycle=CustomerLifecycle.Name(n // 4 % 4 + 1),
        )
        for n in range(CUSTOMERS)
    ]  # fmt: skip


def opportunities(n: int) -> Rows:
    """The opportunities of a customer."""
    return [
        Opportunity(
            id=f"oppo-{n:04d}-{i}", version=i + 1, owner_id=f"pers-{n % 9:02d}", customer_id=customer_id(n), name=f"Deal {n:02d}/{i}",
            stage_key=STAGES[(n + i) % 5], state=OpportunityState.OPPORTUNITY_STATE_OPEN, probability=(n * 5 + i) % 101 + (0.5 if i == 3 else 0),
            amount=Money(currency_code=("CNY", "EUR")[i % 2], amount_micros=(1000 + n * 100 + i) * 1_000_000 + (0, 500_000, 250_000, 125_000, 0)[i]),
        )
        for i in range(OPPORTUNITIES)
    ]  # fmt: skip


def tickets(n: int) -> Rows:
    """The tickets of a customer."""
    return [
        Ticket(
            id=f"tick-{n:04d}-{i}", version=i + 1, owner_id=f"pers-{n % 9:02d}", customer_id=customer_id(n), subject=f"Question {n:02d}/{i}",
            channel=TicketChannel.TICKET_CHANNEL_EMAIL, state=TicketState.Name((n + i) % 5 + 1), priority=TicketPriority.Name((n + i) % 4 + 1),
            create_time=START + timedelta(days=n, hours=i, milliseconds=n),
        )
        for i in range(TICKETS)
    ]  # fmt: skip


def messages(n: int) -> Rows:
    """The messages of a customer; the last one was not sent yet."""
    return [
        CampaignMessage(
            id=f"mess-{n:04d}-{i}", version=i + 1, owner_id=f"pers-{n % 9:02d}", customer_id=customer_id(n), subject=f"News {i}",
            state=CampaignMessageState.Name((1, 4, 3, 2)[3 - i] if i < 3 else 1), sent_time=START + timedelta(days=i, minutes=n) if i < 3 else None,
        )
        for i in range(MESSAGES)
    ]  # fmt: skip


# ---- bytes


def varint(value: int) -> bytes:
    """A base-128 number."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def entry(field: int, payload: bytes) -> bytes:
    """A length-delimited field."""
    return varint(field << 3 | 2) + varint(len(payload)) + payload


def entries(field: int, rows: Rows) -> list[bytes]:
    """One entry a row, to be joined."""
    return [entry(field, row.SerializeToString()) for row in rows]


class Groups:
    """The bytes of one edge: the group entry of every customer, at every page size that cuts it."""

    def __init__(self, make: Callable[[int], Rows], most: int) -> None:
        self.most = most
        self.at = [{customer_id(n): self._group(customer_id(n), make(n)[:size]) for n in range(CUSTOMERS)} for size in range(most + 1)]

    @staticmethod
    def _group(key: str, rows: Rows) -> bytes:
        return entry(1, entry(1, key.encode()) + b"".join(entries(2, rows)))

    def join(self, keys: Iterable[str], size: int) -> bytes:
        """The answer for the keys; an empty group for those unknown."""
        table = self.at[min(size or DEFAULT_PAGE, self.most)]
        return b"".join([table.get(key) or self._group(key, []) for key in keys])


# ---- answers

Answer = Callable[[Message], bytes]


def answers() -> dict[str, tuple[type[Message], Answer]]:
    """What is asked, and how it is answered, by "service/method"."""
    found = entries(1, customers())
    by_id = {customer_id(n): row for n, row in enumerate(found)}
    table: dict[str, tuple[type[Message], Answer]] = {
        "crm.customer.v1.CustomerService/BatchGetCustomers": (
            BatchGetCustomersRequest, lambda request: b"".join([by_id.get(key) or entry(2, key.encode()) for key in request.ids]),  # type: ignore[attr-defined]
        ),
        "crm.customer.v1.CustomerService/ListCustomers": (
            ListCustomersRequest, lambda request: b"".join(found[: request.page_size or DEFAULT_PAGE]),  # type: ignore[attr-defined]
        ),
    }  # fmt: skip
    for path, shape, groups in (
        ("crm.sales.v1.OpportunityService/BatchListOpportunities", BatchListOpportunitiesRequest, Groups(opportunities, OPPORTUNITIES)),
        ("crm.support.v1.TicketService/BatchListTickets", BatchListTicketsRequest, Groups(tickets, TICKETS)),
        ("crm.marketing.v1.CampaignMessageService/BatchListCampaignMessages", BatchListCampaignMessagesRequest, Groups(messages, MESSAGES)),
    ):
        table[path] = (shape, _of_groups(groups))
    return table


def _of_groups(groups: Groups) -> Answer:
    return lambda request: groups.join(request.customer_ids, request.page_size)  # type: ignore[attr-defined]


class Canned:
    """The same answers without a wire, in the place of the gateway's Clients."""

    def __init__(self) -> None:
        self._answers = answers()
        self.merging = Merging()
        self.ids = [customer_id(number) for number in range(CUSTOMERS)]
        self._known: dict[tuple[str, bytes], Message] = {}

    async def read(
        self,
        department: str,
        service: ServiceDescriptor,
        method: str,
        request: Message,
        token: str,
        request_id: str,
        *,
        by_roles: bool = False,
    ) -> Message:
        """A message made once for each question: the wire is not what is measured."""
        key = (f"{service.full_name}/{method}", request.SerializeToString())
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = response_class(service.methods_by_name[method]).FromString(self._answers[key[0]][1](request))
        return found


# ---- server


async def main(port: int) -> None:
    """Serve until SIGTERM or SIGINT; SIGUSR1 prints the calls counted since the last time, as JSON."""
    calls: Counter[str] = Counter()
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    for path, (shape, answer) in answers().items():
        service, name = path.split("/")
        handler = grpc.unary_unary_rpc_method_handler(_counted(name, answer, calls), request_deserializer=shape.FromString)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: handler}),))
    if server.add_insecure_port(f"127.0.0.1:{port}") != port:
        raise SystemExit(f"port {port} is taken")
    stop = asyncio.Event()

    def tell() -> None:
        print(json.dumps(calls), flush=True)
        calls.clear()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, tell)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await server.start()
    print(f"canned on 127.0.0.1:{port}", flush=True)
    await stop.wait()
    await server.stop(0)


def _counted(name: str, answer: Answer, calls: Counter[str]) -> Callable[[Message, object], Awaitable[bytes]]:
    async def handle(request: Message, _: object) -> bytes:
        calls[name] += 1
        return answer(request)

    return handle


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
