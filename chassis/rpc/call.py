"""One call in progress: who asks, until when, what it wants to write. Every store method takes one, so nothing is read without a caller."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from google.protobuf.message import Message

from chassis.access.caller import Caller, Reach
from chassis.access.contracts import Contract
from chassis.access.directory import NO_LIMITS, Customers, Directory, Owned
from chassis.access.parts import FISCAL_CALENDARS, RATES
from chassis.kernel.clock import HOME, day, now
from chassis.kernel.fiscal import Calendar
from chassis.kernel.rates import Rates
from chassis.kernel.relative import When
from chassis.storage.aliases import Aliases
from chassis.storage.changes import Changes
from chassis.storage.client import Database
from chassis.storage.encryption import Vault


@dataclass
class Call:
    """`request_id` joins log lines, audit and events of one operation; `deadline` is in time.monotonic() seconds; `customers` are those
    with whom the caller works, and each person for whom the caller stands in, `owned` those whose owner their scopes reach; `deputy_for`
    names, by record, in whose reach it is changed; `seal` is the department's secret in page tokens; `address` the client's network address
    where the gateway told it; `calling` the service that calls, by its certificate ("" without TLS); `seen` are (resource, record id, fields)
    of personal data that leaves by another way than in its record.

    `contracts` are those that open records of the method's own resource, in a question only; none where `by_roles` says that only roles
    and collaboration count. `zone` is the company's time zone. `shown_by` has, of each record that was shown by contracts alone, which these were.
    `meant` has the ids of merged customers by which a command named those that count: what it writes was written for them;
    `asked` is the request as it was sent. `attempt` counts how often the call was begun anew after it met others; `drawn` names collection and
    index of numbers that were drawn for new records, `brought` the numbers that a batch brings itself."""

    caller: Caller
    directory: Directory
    database: Database
    changes: Changes
    method: str = ""
    request_id: str = ""
    deadline: float | None = None
    now: datetime = field(default_factory=now)
    customers: Customers = field(default_factory=dict)
    owned: Owned = field(default_factory=dict)
    seal: str = ""
    address: str = ""
    calling: str = ""
    deputy_for: dict[str, str] = field(default_factory=dict)
    seen: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)
    contracts: tuple[Contract, ...] = ()
    by_roles: bool = False
    shown_by: dict[str, tuple[Contract, ...]] = field(default_factory=dict)
    zone: str = HOME
    meant: Mapping[str, str] = field(default_factory=dict)
    asked: Message | None = None
    attempt: int = 0
    drawn: set[tuple[str, str]] = field(default_factory=set)
    brought: frozenset[str] = frozenset()

    def reach(self, resource: str, action: str, customer_key: str = "") -> Reach:
        """How far the caller's right reaches; raises NotAllowed when there is none.

        `customer_key` is the field of a record that names its customer: to answer for it, or to work with it, opens it too.
        """
        return self.directory.reach(self.caller, resource, action, customer_key, self.customers, self.owned)

    def limits(self, resource: str) -> Mapping[str, int]:
        """Fields of which the caller gets less than all, with how much."""
        return NO_LIMITS if self.caller.is_service else self.directory.limits(self.caller, resource)

    @property
    def aliases(self) -> Aliases:
        """Which customer an id leads to."""
        return self.changes.aliases

    @property
    def today(self) -> date:
        """The day that it is for the company."""
        return day(self.now, self.zone)

    def day_of(self, moment: datetime) -> date:
        """The day on which a moment falls for the company."""
        return day(moment, self.zone)

    @property
    def person_today(self) -> date:
        """The day that it is for the caller, in the person's own time zone: for queues, reminders and agendas of people, never for what is
        stored or counted. The company's, for who has no zone."""
        return self.today_of(self.caller.person_id)

    def today_of(self, person_id: str) -> date:
        """The day that it is for a person."""
        member = self.directory.members.get(person_id)
        return day(self.now, (member.time_zone if member else "") or self.zone)

    @property
    def rates(self) -> Rates:
        """The exchange rates of the last 400 days, kept while the organization is away. Of earlier days the organization tells (BatchGetRates)."""
        return self.directory.parts.get(RATES)

    def fiscal(self, unit_id: str = "") -> Calendar:
        """The fiscal calendar of a unit; the company's where none is named or it has none, kept while the organization is away."""
        units = (unit_id, *self.directory.above.get(unit_id, ())) if unit_id else ()
        return self.directory.parts.get(FISCAL_CALENDARS).of(units)

    @property
    def when(self) -> When:
        """The moment at which criteria are judged, and the zone of their days."""
        return When(self.now, self.zone)

    @property
    def vault(self) -> Vault:
        """The keys under which personal data lies. A fault of ours where somebody who reads it was given none."""
        if self.changes.vault is None:
            raise RuntimeError("personal data cannot be read without a vault; give the call's changes one")
        return self.changes.vault

    @property
    def milliseconds_left(self) -> int:
        """Time until the deadline, at least 1, at most 30 s; what MongoDB may take."""
        if self.deadline is None:
            return 30_000
        return max(1, min(30_000, int((self.deadline - time.monotonic()) * 1000)))
