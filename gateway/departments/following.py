"""One subscription's way through the facts: heard as they happen, and asked of the departments where it missed some.

A cursor says where a subscription stands: the last fact of each department that it looked at, or when it began to look. Nothing is lost
behind it; what happened while the subscription began or the broker was away may come twice, under the same id.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC

from crm.common.v1 import history_service_pb2
from crm.customer.v1 import customer_service_pb2
from google.protobuf.field_mask_pb2 import FieldMask

from chassis.kernel.errors import CrmError, Invalid, NotFound
from gateway.departments.context import Context
from gateway.departments.ids import opened, sealed
from gateway.departments.live import Fact, Mark, heard

_HISTORIES = history_service_pb2.DESCRIPTOR.services_by_name["HistoryService"]
_CUSTOMERS = customer_service_pb2.DESCRIPTOR.services_by_name["CustomerService"]
OWNER, CUSTOMER = "customer", "Customer"
# Since these the id of a customer may lead to another one.
_LEADING = frozenset(("crm.customer.v1.CustomerAbsorbed", "crm.customer.v1.CustomerRestored"))
MOST_IDS = 100  # that ListFacts takes
_PLACE = re.compile(r"[0-9a-z]{1,64}|@[0-9]{1,15}")
# The clocks of departments may be behind by so much, seconds.
SKEW_SECONDS = 60
AGAIN_SECONDS = 2.0
# A department is asked for at most so many stretches of 1,000 facts; who was away for longer reads anew.
MOST_STRETCHES = 50
REMEMBERED = 2_000


@dataclass(frozen=True)
class Wanted:
    """Which facts a subscription is about; "" for any. `departments` are those that announce them, `records` (noun, id) those it keeps to.
    `counts` is the customer that `customer_id` leads to since a merge."""

    departments: tuple[str, ...]
    noun: str = ""
    customer_id: str = ""
    records: frozenset[tuple[str, str]] = frozenset()
    counts: str = ""

    @property
    def customers(self) -> frozenset[str]:
        """Ids of the customers that it names."""
        named = {identity for noun, identity in self.records if noun == CUSTOMER}
        return frozenset(named | {self.customer_id} if self.customer_id else named)

    def led(self, leads: Mapping[str, str]) -> Wanted:
        """The same, with the customers beside it that those it names are part of."""
        beside = {(CUSTOMER, leads[identity]) for noun, identity in self.records if noun == CUSTOMER and identity in leads}
        return replace(self, records=self.records | beside, counts=leads.get(self.customer_id, ""))

    def takes(self, fact: Fact) -> bool:
        """Whether it is one of them."""
        return (
            fact.department in self.departments
            and self.keeps(fact)
            and self.noun in ("", fact.noun)
            and (not self.customer_id or fact.customer_id in (self.customer_id, self.counts or self.customer_id))
        )

    def keeps(self, fact: Fact) -> bool:
        """Whether it is about one of the records, where it keeps to some."""
        return not self.records or (fact.noun, fact.record_id) in self.records


class Following:
    """One subscription. `after` is the cursor behind which it goes on. Raises Invalid for one that is none."""

    def __init__(self, context: Context, wanted: Wanted, after: str | None) -> None:
        self.context, self.wanted, self._named = context, wanted, wanted
        now = f"@{int((time.time() - SKEW_SECONDS) * 1000)}"
        self._places = _read(after, wanted.departments) if after else dict.fromkeys(wanted.departments, now)
        # Departments whose facts are to be asked for before those that are heard are told.
        self._behind = set(wanted.departments) if after else set()
        self._caught: dict[str, None] = {}

    @property
    def cursor(self) -> str:
        """Where it stands."""
        return sealed(self._places)

    async def facts(self, still: Callable[[], Awaitable[None]]) -> AsyncIterator[Fact]:
        """The facts, until the token ends. Raises what `heard` raises, and a department's refusal to say what was missed. One that is away
        holds up nobody else: it is asked again when it is heard of, and every two seconds."""
        with self.context.live.listening() as queue:
            if not self._behind:
                await self._look()
            async for fact in self._missed(self._behind):
                yield fact
            asked, old, lost, again = set(self._behind), queue.qsize(), False, time.monotonic() + AGAIN_SECONDS
            async for item in heard(queue, self.context.token, still):
                old -= 1
                if item in (Mark.LOST, Mark.BACK):
                    lost, again, self._behind = item is Mark.LOST, 0.0, set(self.wanted.departments)
                if isinstance(item, Fact) and item.event_type in _LEADING and not lost:
                    await self._look()
                due = self._behind if time.monotonic() >= again else self._behind & {getattr(item, "department", "")}
                if due and not lost:
                    asked = set(due)
                    async for fact in self._missed(due):
                        yield fact
                    old, again = queue.qsize(), time.monotonic() + AGAIN_SECONDS
                if not isinstance(item, Mark) and not lost and self._new(item, moves=old < 0 or item.department not in asked):
                    yield item

    def _new(self, fact: Fact, *, moves: bool) -> bool:
        """Whether a fact that was heard is to be told. With those that were in the queue while their department was asked what was missed
        the subscription does not move: it may stand behind them already. Nor does it for a department that must be asked first."""
        if fact.department in self._behind or fact.department not in self.wanted.departments:
            return False
        if moves:
            self._places[fact.department] = fact.event_id
        return fact.event_id not in self._caught and self.wanted.takes(fact)

    async def _missed(self, behind: set[str]) -> AsyncIterator[Fact]:
        """What departments that are behind have announced since; one that does not answer stays behind."""
        if behind:
            await self._look()
        for department in sorted(behind):
            for _ in range(MOST_STRETCHES):
                answer = await self._ask(department)
                for fact in answer.facts if answer else ():
                    self._places[department] = fact.event_id
                    told = Fact(
                        fact.event_id, fact.event_type, department, fact.noun, fact.record_id, fact.customer_id, fact.time.ToDatetime(UTC)
                    )
                    # A department of an older build does not keep to the records that were asked for.
                    if fact.event_id not in self._caught and self.wanted.keeps(told):
                        self._remember(fact.event_id)
                        yield told
                if answer:
                    self._places[department] = answer.position or self._places[department]
                if answer and not answer.more:
                    self._behind.discard(department)
                if not answer or not answer.more:
                    break
            else:
                raise NotFound(
                    "too much has happened since this cursor; read what you need and subscribe without one",
                    code="CURSOR_EXPIRED",
                    field="after",
                )

    async def _look(self) -> None:
        """Which customers those lead to that it names. Where nobody says so, everything from here on is asked for once somebody does."""
        if not self._named.customers:
            return
        request = customer_service_pb2.BatchGetCustomersRequest(ids=sorted(self._named.customers), read_mask=FieldMask(paths=["id"]))
        context = self.context
        try:
            answer = await context.clients.read(
                OWNER, _CUSTOMERS, "BatchGetCustomers", request, context.token, context.request_id, by_roles=True
            )
        except CrmError as error:
            if error.retryable:
                self._behind = set(self._named.departments)
            elif error.code != "NOT_ALLOWED":  # who may not read customers hears of none
                raise
            return
        self.wanted = self._named.led(answer.resolved_ids)

    def _remember(self, event_id: str) -> None:
        self._caught[event_id] = None
        if len(self._caught) > REMEMBERED:
            del self._caught[next(iter(self._caught))]

    async def _ask(self, department: str) -> history_service_pb2.ListFactsResponse | None:
        """A stretch of what a department announced since; None where it does not answer."""
        wanted, context = self.wanted, self.context
        ids = sorted(identity for _, identity in wanted.records)
        request = history_service_pb2.ListFactsRequest(
            after_id=self._places[department], noun=wanted.noun, record_ids=ids if len(ids) <= MOST_IDS else (), customer_id=wanted.customer_id,
            customer_ids=[wanted.customer_id, wanted.counts] if wanted.counts else (),
        )  # fmt: skip
        try:
            answer: history_service_pb2.ListFactsResponse = await context.clients.read(
                department, _HISTORIES, "ListFacts", request, context.token, context.request_id
            )
        except CrmError as error:
            if error.retryable:
                return None
            raise
        return answer


def _read(cursor: str, departments: tuple[str, ...]) -> dict[str, str]:
    try:
        found = opened(cursor)
        good = set(found) == set(departments) and all(_PLACE.fullmatch(value) for value in found.values())
    except (ValueError, TypeError, AttributeError):
        good = False
    if not good:
        raise Invalid(
            "«after» is no cursor of this subscription; give the cursor of a change that it delivered, or leave it out", field="after"
        )
    return dict(found)
