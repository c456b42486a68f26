"""What must be true once a run is over: every invariant of the design, judged from the ledgers, the databases and the streams.

It stands on no code of the product but the names of facts: what it compares, it reckons for itself.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import nats

from chassis.messaging.broker import servers
from chassis.storage.client import connect
from cli.plan import DEPARTMENTS
from gateway.graph.contract import to_global
from tests.chaos.ledger import ACKNOWLEDGED, REFUSED, UNKNOWN, Command
from tests.support.installation import Installation
from tests.support.stream import held

# Whose facts appear on a customer, and in which department's outbox they are.
TOLD = {
    "customer": ("Customer", "Contact", "Note", "SegmentMember", "CustomerMerge"), "sales": ("Opportunity", "Order"), "marketing": ("CampaignMessage",),
    "support": ("Ticket", "TicketReply"),
}  # fmt: skip
# Nouns that the workers write: each of their facts has an audit entry.
AUDITED = frozenset(("Customer", "CustomerMerge", "Opportunity", "Order", "Ticket", "TicketReply", "Note", "Person"))
# What names customers, and which customer counts with a merge.
NAMING = {
    "customer": ("contacts", "notes", "timeline_entries", "open_work", "customer_merges"), "sales": ("opportunities", "orders", "order_totals"),
    "marketing": ("campaign_messages",), "support": ("tickets", "ticket_replies"),
}  # fmt: skip
SWEPT_SECONDS = 75.0  # the last sweep after an alias, and something more
OPEN_STATES = {"Opportunity": ("OPEN",), "Order": ("PLACED", "CONFIRMED"), "Ticket": ("NEW", "OPEN", "PENDING")}
COLLECTIONS = {"Opportunity": ("sales", "opportunities"), "Order": ("sales", "orders"), "Ticket": ("support", "tickets")}
MOST_TOLD = 5


@dataclass(frozen=True)
class Fact:
    """A row of an outbox."""

    id: str
    department: str
    noun: str
    record: str
    version: int
    correlation: str
    customer: str
    subject: str
    pending: bool


@dataclass
class Findings:
    """What was checked, and what was not as it must be."""

    counts: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def must(self, name: str, wrong: Iterable[Any], checked: int) -> None:
        """Note an invariant: `wrong` are its exceptions."""
        self.counts[name] = self.counts.get(name, 0) + checked
        found = [str(one) for one in wrong]
        self.violations += [f"{name}: {one}" for one in found[:MOST_TOLD]]
        if len(found) > MOST_TOLD:
            self.violations.append(f"{name}: … and {len(found) - MOST_TOLD} more")


class Checker:
    """Looks at an installation that has come to rest."""

    def __init__(self, crm: Installation) -> None:
        self.crm = crm
        self.databases = {name: connect(crm.plan.mongo_uri, f"{crm.plan.database_prefix}_{name}") for name in DEPARTMENTS}
        self.facts: list[Fact] = []
        self.into: dict[str, str] = {}
        self.found = Findings()

    async def close(self) -> None:
        """Let the databases go."""
        for database in self.databases.values():
            await database.client.close()

    async def judge(self, commands: list[Command]) -> Findings:
        """Everything; the findings."""
        self.found = Findings()
        await self._read()
        self._versions()
        await self._records()
        self._commands(commands)
        await self._audit()
        await self._merged()
        await self._timeline()
        await self._segments()
        await self._work()
        await self._holders()
        await self._totals()
        await self._money(commands)
        await self._campaigns()
        await self._timers()
        await self._streams()
        await self._visible([command for command in commands if command.outcome == ACKNOWLEDGED])
        return self.found

    async def _read(self) -> None:
        self.facts = []
        for name, database in self.databases.items():
            async for row in database["outbox"].find({}, {"payload": 0}):
                heads = row["headers"]
                self.facts.append(Fact(
                    row["_id"], name, heads["ce-aggregate"].rsplit(".", 1)[1], heads["ce-subject"], int(heads["ce-version"]),
                    heads.get("ce-correlation", ""), heads.get("ce-customer", ""), row["subject"], bool(row.get("pending")),
                ))  # fmt: skip

    def counts(self, customer: str) -> str:
        """The customer that an id leads to, by what the customers say that they are part of."""
        while customer in self.into:
            customer = self.into[customer]
        return customer

    async def _merged(self) -> None:
        """Every record of each group is found under the survivor, in every department, and after an undone merge where it was. A write that was
        under way in the moment of a merge is brought over by a later sweep: then that one is waited for."""
        rows = self.databases["customer"]["customers"].find({"merged_into_id": {"$exists": True}}, {"merged_into_id": 1})
        self.into = {row["_id"]: row["merged_into_id"] async for row in rows}
        for name in NAMING:
            known = self.databases[name]["customer_aliases"].find({"undone": False}, {"into": 1})
            stored = {row["_id"]: row["into"] async for row in known}
            self.found.must(
                "every department knows every alias", [f"{name}: {one}" for one in _differences(self.into, stored)], len(self.into)
            )
        end = time.monotonic() + SWEPT_SECONDS
        while (found := await self._misplaced())[0] and await self._sweeps() and time.monotonic() < end:
            await asyncio.sleep(1.0)
        self.found.must("records are found under who counts", *found)

    async def _sweeps(self) -> int:
        due = [await database["customer_aliases"].count_documents({"due_time": {"$exists": True}}) for database in self.databases.values()]
        return sum(due)

    async def _misplaced(self) -> tuple[list[str], int]:
        wrong, checked = [], 0
        for department, collections in NAMING.items():
            for name in collections:
                named = {"customer_id": {"$exists": True}}
                async for row in self.databases[department][name].find(named, {"customer_id": 1, "customer_alias": 1}):
                    checked += 1
                    origin = row.get("customer_alias") or row["customer_id"]
                    if row["customer_id"] != self.counts(origin) or row.get("customer_alias") == row["customer_id"]:
                        wrong.append(f"{department} {name} {row}")
        return wrong, checked

    async def published(self, department: str, noun: str) -> list[str]:
        """Ids of the facts about a kind of record, in the order in which they were first published."""
        query = {"headers.ce-aggregate": f"crm.{department}.v1.{noun}", "position": {"$exists": True}}
        rows = self.databases[department]["outbox"].find(query, {"_id": 1}).sort([("position", 1), ("_id", 1)])
        return [row["_id"] async for row in rows]

    def _of_records(self) -> dict[tuple[str, str, str], list[int]]:
        found: dict[tuple[str, str, str], list[int]] = defaultdict(list)
        for fact in self.facts:
            found[fact.department, fact.noun, fact.record].append(fact.version)
        return found

    def _versions(self) -> None:
        records = self._of_records()
        wrong = [f"{key}: {sorted(seen)}" for key, seen in records.items() if sorted(seen) != list(range(1, len(seen) + 1))]
        self.found.must("facts of a record are 1…n", wrong, len(records))
        self.found.must("every fact is published", [fact for fact in self.facts if fact.pending], len(self.facts))

    async def _records(self) -> None:
        """Each stored record is at the version of its last fact."""
        last = {(noun, record): max(seen) for (_, noun, record), seen in self._of_records().items()}
        wrong, checked = [], 0
        for noun, (department, collection) in {**COLLECTIONS, "Customer": ("customer", "customers")}.items():
            async for row in self.databases[department][collection].find({}, {"version": 1}):
                checked += 1
                if last.get((noun, row["_id"])) != row["version"]:
                    wrong.append(f"{noun} {row['_id']} is at {row['version']}, its facts at {last.get((noun, row['_id']))}")
        self.found.must("records are where their facts are", wrong, checked)

    def _commands(self, commands: list[Command]) -> None:
        """Acknowledged: exactly once, as told. Refused: never. Unknown: at most once."""
        caused: dict[tuple[str, str], list[Fact]] = defaultdict(list)
        for fact in self.facts:
            caused[fact.correlation, fact.noun].append(fact)
        acknowledged, refused, unknown = [], [], []
        for command in commands:
            effects = caused[command.request_id, command.record[0] or noun_of(command.kind)]
            if command.outcome == ACKNOWLEDGED:
                if [(fact.record, fact.version) for fact in effects] != [(command.record[1], command.version)]:
                    acknowledged.append(f"{command.kind} {command.request_id} told {command.record} {command.version}, did {effects}")
            elif command.outcome == REFUSED and effects:
                refused.append(f"{command.kind} {command.request_id} {command.details}: {effects}")
            elif command.outcome == UNKNOWN and len(effects) > 1:
                unknown.append(f"{command.kind} {command.request_id}: {effects}")
        count = Counter(command.outcome for command in commands)
        self.found.must("acknowledged is done exactly once, as told", acknowledged, count[ACKNOWLEDGED])
        self.found.must("refused has no effect", refused, count[REFUSED])
        self.found.must("unknown is done at most once", unknown, count[UNKNOWN])
        told = Counter((command.record, command.version) for command in commands if command.outcome == ACKNOWLEDGED)
        self.found.must("no version was told to two", [key for key, many in told.items() if many > 1], len(told))

    async def _audit(self) -> None:
        """Each fact of the workers' nouns has exactly one audit entry; each entry is sealed."""
        entries: Counter[tuple[str, int]] = Counter()
        unsealed = []
        for database in self.databases.values():
            async for row in database["audit_entries"].find({"version": {"$gt": 0}}, {"record_id": 1, "version": 1, "block": 1}):
                entries[row["record_id"], row["version"]] += 1
                if not row.get("block"):
                    unsealed.append(row["_id"])
        audited = [fact for fact in self.facts if fact.noun in AUDITED]
        wrong = [f"{fact.noun} {fact.record} {fact.version}: {entries[fact.record, fact.version]} entries"
                 for fact in audited if entries[fact.record, fact.version] != 1]  # fmt: skip
        self.found.must("audit is complete", wrong, len(audited))
        self.found.must("audit is sealed", unsealed, sum(entries.values()))

    async def _timeline(self) -> None:
        wanted = {fact.id: (self.counts(fact.customer), fact.record, fact.version) for fact in self.facts
                  if fact.customer and fact.noun in TOLD.get(fact.department, ())}  # fmt: skip
        rows = self.databases["customer"]["timeline_entries"].find({})
        stored = {row["_id"]: (row["customer_id"], row["record_id"], row["record_version"]) async for row in rows}
        self.found.must("timeline = fold of the facts", _differences(wanted, stored), len(wanted))

    async def _segments(self) -> None:
        database = self.databases["customer"]
        customers = [row async for row in database["customers"].find({"archive_time": None}, {"region": 1, "create_time": 1})]
        wrong, checked, now = [], 0, datetime.now(UTC)
        async for segment in database["segments"].find({"archive_time": None}):
            wanted = {row["_id"] for row in customers if _within(segment["criteria"], row, now)}
            members = database["segment_members"].find({"segment_id": segment["_id"], "leave_time": None}, {"customer_id": 1})
            inside = {row["customer_id"] async for row in members}
            checked += len(wanted)
            wrong += [f"{segment['name']}: {identity}" for identity in wanted ^ inside]
        self.found.must("segments = their criteria over the customers", wrong, checked)

    async def _work(self) -> None:
        """Open work and accesses of the customer department, from the records of sales and support."""
        wanted: dict[str, tuple[str, str]] = {}
        for noun, (department, collection) in COLLECTIONS.items():
            async for row in self.databases[department][collection].find({"archive_time": None}):
                if row["state"] in OPEN_STATES[noun] and row.get("owner_id") and row.get("customer_id"):
                    wanted[row["_id"]] = (row["customer_id"], row["owner_id"])
        database = self.databases["customer"]
        stored = {row["_id"]: (row["customer_id"], row["person_id"]) async for row in database["open_work"].find({})}
        self.found.must("open work = the open records", _differences(wanted, stored), len(wanted))
        people: dict[str, set[str]] = defaultdict(set)
        for customer, person in wanted.values():
            people[customer].add(person)
        customers = {row["_id"]: row async for row in database["customers"].find({})}
        for identity, row in customers.items():  # who works with a part works with what it is part of
            head = customers[self.counts(identity)]
            if not head.get("archive_time"):
                owner = {row["owner_id"]} - {head.get("owner_id")} if row.get("merged_into_id") and row.get("owner_id") else set()
                people[head["_id"]] |= owner.union(row.get("collaborator_ids", ()))
        people = {identity: found for identity, found in people.items() if found}
        rows = {row["_id"]: set(row["person_ids"]) async for row in database["customer_accesses"].find({}) if row["person_ids"]}
        self.found.must("accesses = who works with a customer", _differences(people, rows), len(people))
        tickets = self.databases["support"]["tickets"].find({"archive_time": None, "state": {"$in": list(OPEN_STATES["Ticket"])}})
        loads = Counter([row["owner_id"] async for row in tickets if row.get("owner_id")])
        kept = {row["_id"]: row["open"] async for row in self.databases["support"]["agent_loads"].find({}) if row.get("open")}
        self.found.must("loads of agents = their open tickets", _differences(dict(loads), kept), len(loads))

    async def _holders(self) -> None:
        """Whoever holds open work works here."""
        active = {row["_id"] async for row in self.databases["organization"]["people"].find({"state": "ACTIVE"}, {"_id": 1})}
        wrong, checked = [], 0
        for noun, (department, collection) in COLLECTIONS.items():
            async for row in self.databases[department][collection].find({"archive_time": None}, {"state": 1, "owner_id": 1}):
                if row["state"] in OPEN_STATES[noun] and row.get("owner_id"):
                    checked += 1
                    wrong += [] if row["owner_id"] in active else [f"{noun} {row['_id']} of {row['owner_id']}"]
        self.found.must("open work is with people who are there", wrong, checked)

    async def _totals(self) -> None:
        wanted: Counter[tuple[str, str]] = Counter()
        async for row in self.databases["sales"]["orders"].find({}):
            if row["state"] != "CANCELLED" and row.get("customer_id"):
                sign = -1 if row["kind"] == "RETURN" else 1
                wanted[row["customer_id"], row["total"]["currency_code"]] += sign * row["total"]["amount_micros"]
        rows = self.databases["sales"]["order_totals"].find({})
        stored: Counter[tuple[str, str]] = Counter()
        async for row in rows:  # what is part of a customer has sums of its own
            stored[row["customer_id"], row["currency_code"]] += row.get("net_micros", 0)
        self.found.must("totals of customers = sum of their orders", _differences(dict(wanted), dict(stored)), len(wanted))

    async def _money(self, commands: list[Command]) -> None:
        """To the cent: an order is worth what its client reckoned, and so are all of them together."""
        cents = {command.tag: command.details["cents"] for command in commands if "cents" in command.details}
        rows = self.databases["sales"]["orders"].find({"number": {"$in": list(cents)}}, {"number": 1, "total": 1})
        stored = {row["number"]: row["total"]["amount_micros"] // 10_000 async for row in rows}
        wrong = [f"{number}: {amount} cents, ordered {cents[number]}" for number, amount in stored.items() if amount != cents[number]]
        self.found.must("money is conserved to the cent", wrong, len(stored))

    async def _campaigns(self) -> None:
        """Planned and sent mails are counted as they are."""
        database, wrong, checked = self.databases["marketing"], [], 0
        async for campaign in database["campaigns"].find({}):
            states = Counter([row["state"] async for row in database["campaign_messages"].find({"campaign_id": campaign["_id"]})])
            checked += states.total()
            if states["SENT"] != campaign.get("sent_count", 0) or states["PLANNED"]:
                wrong.append(f"{campaign['name']} counts {campaign.get('sent_count', 0)} sent, its messages are {dict(states)}")
        self.found.must("counts of campaigns = their messages", wrong, checked)

    async def _timers(self) -> None:
        """Each wait that ended by itself had been begun or moved since the last one that did; none that is over still waits."""
        steps: dict[str, list[str]] = defaultdict(list)
        for fact in sorted(self.facts, key=lambda fact: fact.version):
            if fact.noun == "Ticket":
                steps[fact.record].append(fact.subject.split(".")[4])
        wrong, fired = [], 0
        for ticket, kinds in steps.items():
            waits = False
            for kind in kinds:
                fired += kind == "wait_ended"
                if kind == "wait_ended" and not waits:
                    wrong.append(f"{ticket}: {kinds}")
                waits = kind == "waiting" or (waits and kind in ("assigned", "updated"))  # what an agent says ends no wait
        self.found.must("each timer fired once", wrong, fired)
        late = self.databases["support"]["tickets"].find({"state": "PENDING", "wait_until_time": {"$lt": datetime.now(UTC)}}, {"_id": 1})
        self.found.must("no timer is overdue", [row["_id"] async for row in late], len(steps))

    async def _streams(self) -> None:
        """Each stream holds each fact, and nothing else; each consumer has heard each record to its end; nothing is set aside."""
        connection = await nats.connect(servers(self.crm.plan.nats_url))
        context = connection.jetstream()
        for owner in DEPARTMENTS:
            facts = {fact.id: fact for fact in self.facts if fact.department == owner}
            stored = await held(context, owner)
            self.found.must("streams = outboxes", [f"{owner}: {identity}" for identity in set(facts) ^ stored], len(facts))
            for consumer in await context.consumers_info(f"CRM_{owner.upper()}"):
                if consumer.config.durable_name:
                    await self._heard(consumer, list(facts.values()))
        for name, database in self.databases.items():
            rows = [f"{name}: {row['_id']} {row['reason']}" async for row in database["parked_events"].find({"done": None})]
            self.found.must("nothing is parked", rows, 1)
        await connection.close()

    async def _heard(self, consumer: Any, facts: list[Fact]) -> None:
        durable = consumer.config.durable_name
        aggregates = consumer.config.metadata["aggregates"].lower().split(",")
        wanted: dict[str, int] = {}
        for fact in facts:
            if aggregates == [""] or fact.subject.split(".")[3] in aggregates:
                wanted[fact.record] = max(fact.version, wanted.get(fact.record, 0))
        inbox = self.databases[durable.split("-", 1)[0]]["inbox"].find({"_id": {"$regex": f"^{durable}\\|"}})
        seen = {row["_id"].rsplit("|", 1)[1]: row["version"] async for row in inbox}
        self.found.must("consumers heard 1…n", [f"{durable}: {one}" for one in _differences(wanted, seen)], len(wanted))

    async def _visible(self, commands: list[Command]) -> None:
        """What was acknowledged can be seen through the graph, by somebody who may see everything."""
        last: dict[tuple[str, str], int] = {}
        for command in commands:
            last[command.record] = max(command.version, last.get(command.record, 0))
        last = {record: version for record, version in last.items() if record[0] in ("Customer", "Opportunity", "Order", "Ticket")}
        wrong = []
        for (noun, identity), version in last.items():
            field = noun[0].lower() + noun[1:]
            answer: dict[str, Any] = {}
            for _ in range(5):  # a busy machine may miss a deadline; that is not what is judged here
                answer = await self.crm.graph(f'{{ found: {field}(id: "{to_global(noun, identity)}") {{ id version }} }}')
                if seen := (answer.get("data") or {}).get("found") or {}:
                    break
            merged = noun == "Customer" and identity in self.into  # then the one that it is part of is shown
            good = seen.get("id") == to_global(noun, self.counts(identity)) if merged else seen.get("version", 0) >= version
            if not good:
                wrong.append(f"{noun} {identity} told at {version}, seen {answer}")
        self.found.must("acknowledged is visible in the graph", wrong, len(last))


def noun_of(mutation: str) -> str:
    """The noun of a mutation, e.g. "TicketReply" of "ticketReplyCreate"."""
    if mutation in ("customersMerge", "customerUnmerge"):
        return "CustomerMerge"
    nouns = ("Customer", "Opportunity", "Order", "TicketReply", "Ticket", "Note", "Person")
    return next(noun for noun in nouns if mutation.lower().startswith(noun.lower()))


def _within(criteria: dict[str, Any], customer: dict[str, Any], now: datetime) -> bool:
    """Whether a customer is of the region of a segment and, where it counts from now, made long enough ago or not."""
    region, *ages = [item["condition"] for item in criteria.get("all", {}).get("items", [criteria])]
    made = [(age["operator"], now + timedelta(seconds=age["values"][0]["relative_seconds"])) for age in ages]
    return customer.get("region") == region["values"][0]["text"] and all(
        (customer["create_time"] < edge) is (operator == "LESS") for operator, edge in made
    )


def _differences(wanted: dict[Any, Any], stored: dict[Any, Any]) -> list[str]:
    keys = [key for key in wanted.keys() | stored.keys() if wanted.get(key) != stored.get(key)]
    return [f"{key}: should be {wanted.get(key)}, is {stored.get(key)}" for key in keys]
