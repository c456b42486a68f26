"""The records by which access is tried: of each role's own, of the team, the department, one below, of strangers, nobody's, and shared."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from crm.common.v1 import access_pb2, access_service_pb2

from chassis.rpc.contract import nouns
from chassis.rpc.documents import traits
from gateway.graph.contract import to_global
from tests.e2e.world import upsert
from tests.support.checks import cny, equals
from tests.support.files import PDF, attach
from tests.support.installation import ROLES, STARTED, Installation
from tests.support.oracle import Person, Question, World, decide_all
from tests.support.specimens import Specimens, method_of

COLLEAGUES = {"TEAM": "sales", "DEPARTMENT": "near", "BELOW": "below", "FOREIGN": "other"}
OTHERS = (*COLLEAGUES, "NONE", "SHARED")
SLOTS = (*ROLES, *OTHERS)
# What a stranger does with each role's own customer: who answers for a customer reads it.
AT = tuple(f"AT {role}" for role in ROLES)
# Somebody of another trade stands in for a colleague who is away.
DEPUTY, AWAY = "DEPUTY", "DEPARTMENT"
READERS = (*ROLES, DEPUTY)
# Texts of a record into which a word is put that stands nowhere else.
TEXTS = ("name", "subject", "text", "description", "resolution", "close_reason", "lifecycle_reason", "reason", "title", "failure")
CANARY = re.compile("canary[0-9]{4}x")
INDUSTRY = "矩阵"
# What is asked of every kind of record, whether a role has such a right on it or not.
EXPLAINED = frozenset(("read", "create", "update", "assign", "archive", "import"))
Record = dict[str, Any]


class Matrix:
    """What there is (`records`: resource → slot → what decides access to it), and the second opinion on it (`may`)."""

    def __init__(self, crm: Installation) -> None:
        self.crm = crm
        self.records: dict[str, dict[str, Record]] = {}
        self.about: dict[str, str] = {}  # timeline entry → the resource that it tells of
        self.emails: dict[str, str] = {}
        self.decided: dict[tuple[str, str, str, str], bool] = {}
        self.words: dict[str, tuple[str, str]] = {}  # canary → the resource and slot of the record in which it stands
        self.readable: set[tuple[str, str]] = set()  # reader and canary

    # ---- questions

    def relations(self, role: str, resource: str) -> list[str]:
        """The slots by which a role is tried on a resource."""
        return [slot for slot in (role, *OTHERS, f"AT {role}") if slot in self.records[resource]]

    def keys(self, resource: str) -> dict[str, str]:
        """Slot → natural key of the record in it; of those that were put in together, in the order of the slots."""
        return {slot: f"world:{resource}:{place}" for place, slot in enumerate(self.records[resource])}

    def may(self, role: str, resource: str, action: str, slot: str) -> bool:
        """The second opinion."""
        return self.decided[role, resource, action, slot]

    def granted(self, role: str, resource: str, action: str) -> bool:
        """Whether the role may do this to anything at all."""
        return self.world.granted(self.crm.people[role], resource, action)

    def owner(self, slot: str) -> str:
        """Who owns what lies in a slot; "" for nobody."""
        return "" if slot == "NONE" else self.crm.people[holder(slot)]

    def place(self, slot: str) -> Record:
        """What decides access to a record of the slot's owner."""
        if slot == "NONE":
            return {}
        unit = COLLEAGUES.get(holder(slot), "sales")
        return {"owner_id": self.owner(slot), "team_id": self.crm.units[f"{unit}-team"], "department_id": self.crm.units[unit]}

    def word(self, resource: str, slot: str) -> str:
        """A new word that stands in this record alone."""
        found = f"canary{len(self.words):04}x"
        self.words[found] = (resource, slot)
        return found

    def leaked(self, reader: str, text: str) -> list[str]:
        """The words in an answer that stand in records which its reader may not read, with these."""
        found = set(CANARY.findall(text)) & set(self.words)
        return [f"{word} of {' '.join(self.words[word])}" for word in sorted(found) if (reader, word) not in self.readable]

    def decide(self, questions: Iterable[Question]) -> list[bool]:
        """The second opinion on records that are not there yet."""
        return decide_all(self.world, list(questions))

    # ---- making it

    async def build(self) -> Matrix:
        """Everything, and the opinion on each record for each role and action."""
        await self._people()
        await self._customers()
        await self._work()
        await self._unowned()
        await self._rest()
        await self._files()
        await self.crm.settled()
        await self._derived()
        await self._policy()
        return self

    async def _people(self) -> None:
        crm, sales = self.crm, self.crm.units["sales"]
        near = await crm.ask("CreateDepartment", name="二组", kind=5, parent_id=sales)
        below = await crm.ask("CreateDepartment", name="分部", kind=4, parent_id=sales)
        team = await crm.ask("CreateDepartment", name="分部一组", kind=5, parent_id=below.department.id)
        crm.units |= {"near": sales, "near-team": near.department.id, "below": below.department.id, "below-team": team.department.id}
        for role in ROLES:
            if role not in STARTED:
                await crm.person(role, role)
        for slot, unit in COLLEAGUES.items():
            await crm.person(slot, "SALES_REP", unit=unit)
        await crm.person(DEPUTY, "FIELD_ENGINEER", unit="other")
        wanted = set(crm.people.values())
        await crm.until(lambda: all(wanted <= set(crm.suite[name].authority.directory.members) for name in crm.channels))
        await crm.ask("SetAbsence", person_id=crm.people[AWAY], deputy_id=crm.people[DEPUTY])
        self.records["people"] = {slot: {"id": crm.people[slot], "owner_id": crm.people[slot]} for slot in (*ROLES, *COLLEAGUES, DEPUTY)}
        everybody = (await crm.ask("ListPeople", page_size=100)).people
        self.emails = {person.id: person.email for person in everybody}
        slots = {person: slot for slot, person in crm.people.items()}
        sessions = (await crm.ask("ListSessions", page_size=100)).sessions
        self.records["sessions"] = {slots[one.person_id]: {"id": one.id, "owner_id": one.person_id} for one in sessions}

    def _rows(self, slots: Sequence[str] = SLOTS, **more: Any) -> list[Record]:
        """One row a slot with its owner; of what is given, a function of the slot gives its value."""
        return [
            ({"owner_id": self.owner(slot)} if self.owner(slot) else {}) | {name: value(slot) for name, value in more.items()}
            for slot in slots
        ]  # fmt: skip

    async def _put(self, resource: str, rpc: str, rows: list[Record], slots: Sequence[str] = SLOTS) -> None:
        """Put in one record a slot, with words that stand in it alone, and note what decides access to each."""
        record = next(noun.record for noun in nouns() if noun.resource == resource)
        texts = [name for name in TEXTS if name in record.fields_by_name and not traits(record.fields_by_name[name]).copy_of]
        marked = [
            row | {name: f"{row.get(name, '')} {self.word(resource, slot)}".strip() for name in texts}
            for slot, row in zip(slots, rows, strict=True)
        ]
        ids = await upsert(self.crm, rpc, resource, marked)
        self.records[resource] = {
            slot: {"id": identity} | self.place(slot) | ({"customer_id": row["customer_id"]} if "customer_id" in row else {})
            for slot, identity, row in zip(slots, ids, rows, strict=True)
        }  # fmt: skip

    def _customer(self, slot: str) -> str:
        return str(self.records["customers"][about(slot)]["id"])

    async def _customers(self) -> None:
        (self.top,) = await upsert(self.crm, "BatchUpsertCustomers", "customers", [{"name": "最上", "kind": 1}], key="top")
        rows = self._rows(name=lambda slot: f"矩阵 {slot}", kind=lambda _: 1, parent_id=lambda _: self.top, industry=lambda _: INDUSTRY)
        rows[SLOTS.index("SHARED")]["collaborator_ids"] = [self.crm.people[role] for role in ROLES]
        await self._put("customers", "BatchUpsertCustomers", rows)
        for resource, rpc, text in (("contacts", "BatchUpsertContacts", "name"), ("notes", "BatchUpsertNotes", "text")):
            await self._put(resource, rpc, [{"customer_id": self._customer(slot), text: f"属 {slot}"} for slot in SLOTS])
        await self._merges()
        self.records["segments"] = {}
        for slot in SLOTS:
            owner = {"owner_id": self.owner(slot)} if self.owner(slot) else {}
            named = f"人群 {slot} {self.word('segments', slot)}"
            made = await self.crm.ask("CreateSegment", name=named, criteria=equals("industry", INDUSTRY), **owner)
            self.records["segments"][slot] = {"id": made.segment.id} | self.place(slot)

    async def _merges(self) -> None:
        """What became part of each customer, and what could."""
        rows = self._rows(name=lambda slot: f"并入 {slot}", kind=lambda _: 1)
        losers, spares = [await upsert(self.crm, "BatchUpsertCustomers", "customers", rows, key=key) for key in ("losers", "spares")]
        self.spares = dict(zip(SLOTS, spares, strict=True))
        self.records["customer_merges"] = {}
        for slot, loser in zip(SLOTS, losers, strict=True):
            both = {"survivor_id": self._customer(slot), "loser_id": loser}
            made = await self.crm.ask("MergeCustomers", role="COORDINATOR", **both, reason=self.word("customer_merges", slot))
            place = self.place(slot) | {"customer_id": self._customer(slot)}
            self.records["customer_merges"][slot] = {"id": made.customer_merge.id} | place

    async def _work(self) -> None:
        """Closed work: whoever held open work would work with its customer."""
        stages = [{"key": "first", "name": "第一", "probability": 10}]
        (pipeline,) = await upsert(self.crm, "BatchUpsertPipelines", "pipelines", [{"name": "标准", "stages": stages}])
        self.records["pipelines"] = {"NONE": {"id": pipeline}}
        line = {"quantity": 1, "unit_price": cny(5), "description": "P"}
        slots = (*SLOTS, *AT)
        work: dict[str, Any] = {"customer_id": self._customer}
        await self._put("opportunities", "BatchUpsertOpportunities", self._rows(
            slots, **work, name=lambda slot: f"商机 {slot}", pipeline_id=lambda _: pipeline, stage_key=lambda _: "first", state=lambda _: 3,
            close_date=lambda _: "2026-01-01", close_reason=lambda _: "x",
        ), slots)  # fmt: skip
        await self._put("orders", "BatchUpsertOrders", self._rows(
            slots, **work, number=lambda slot: f"M-{slot}", kind=lambda _: 1, state=lambda _: 3, lines=lambda _: [line],
            order_time=lambda _: {"seconds": 1_790_000_000},
        ), slots)  # fmt: skip
        await self._put("tickets", "BatchUpsertTickets", self._rows(
            slots, **work, number=lambda slot: f"M-{slot}", subject=lambda slot: f"工单 {slot}", channel=lambda _: 1, kind=lambda _: 1,
            priority=lambda _: 1, state=lambda _: 4, resolution=lambda _: "x",
        ), slots)  # fmt: skip
        replies = [{"ticket_id": self.records["tickets"][slot]["id"], "text": "答", "author": 1} for slot in slots]
        await self._put("ticket_replies", "BatchUpsertTicketReplies", replies, slots)  # a conversation follows its ticket's owner
        for slot in slots:
            self.records["ticket_replies"][slot]["customer_id"] = self._customer(slot)
        await self._put("campaigns", "BatchUpsertCampaigns", self._rows(name=lambda s: f"活动 {s}", channel=lambda _: 1, state=lambda _: 1))
        await self._put("campaign_messages", "BatchUpsertCampaignMessages", self._rows(
            slots, **work, campaign_id=lambda slot: self.records["campaigns"][holder(slot)]["id"], state=lambda _: 2,
            address=lambda slot: f"{self.word('contacts', about(slot))}@example.com",
            contact_name=lambda slot: self.word("contacts", about(slot)),
            contact_id=lambda slot: self.records["contacts"][about(slot)]["id"], planned_time=lambda _: {"seconds": 1_790_000_000},
            sent_time=lambda _: {"seconds": 1_790_000_100},
        ), slots)  # fmt: skip

    async def _unowned(self) -> None:
        """One of each noun whose records have no owner."""
        ask = self.crm.ask
        (product,) = await upsert(self.crm, "BatchUpsertProducts", "products", [{"code": "P", "name": "产品"}])
        article = (await ask("CreateArticle", title="矩阵文章", body="矩阵", category="x", language=1)).article
        role = (await ask("CreateRoleDefinition", name="自建", permissions=[])).role_definition
        ends = {"seconds": int(datetime.now(UTC).timestamp()) + 86_400}
        key = (await ask("CreateApiKey", name="矩阵", roles=[1], expire_time=ends)).api_key
        provider = (await ask(
            "CreateIdentityProvider", display_name="矩阵", issuer="https://id.example.com", client_id="crm", client_secret="x",
            redirect_uris=["https://crm.example.com/back"],
        )).identity_provider  # fmt: skip
        sides = {"provider_department_id": self.crm.units["sales"], "consumer_department_id": self.crm.units["other"]}
        later = {"start_time": ends, "end_time": {"seconds": ends["seconds"] + 1}}  # it opens nothing yet, itself neither
        contract = (
            await ask("CreateSharingContract", display_name="矩阵", purpose="矩阵", resource="orders", fields=["number"], **sides, **later)
        ).sharing_contract
        endpoint = (
            await ask("CreateWebhookEndpoint", display_name="矩阵", url="https://hooks.invalid/", event_types=["crm.sales.v1.OrderCreated"])
        ).webhook_endpoint
        delivery = (await ask("SendWebhookEndpointTest", webhook_endpoint_id=endpoint.id)).webhook_delivery
        source = (await ask("CreateWebhookSource", display_name="矩阵", event_types=["order.fulfilled"], roles=[1])).webhook_source
        unsigned = {"content-type": "application/json", "webhook-id": "x", "webhook-timestamp": "1", "webhook-signature": "v1,x"}
        await self.crm.http.post(f"/webhooks/{to_global('WebhookSource', source.id)}", content="{}", headers=unsigned)
        (receipt,) = (await ask("ListWebhookReceipts", filter=equals("webhook_source_id", source.id))).webhook_receipts
        found = {
            "webhook_sources": source.id,
            "webhook_receipts": receipt.id,
            "api_keys": key.id,
            "webhook_endpoints": endpoint.id,
            "webhook_deliveries": delivery.id,
            "identity_providers": provider.id,
            "sharing_contracts": contract.id,
            "products": product,
            "articles": article.id,
            "role_definitions": role.id,
            "departments": self.crm.units["other"],
        }
        self.records |= {resource: {"NONE": {"id": identity}} for resource, identity in found.items()}

    async def _rest(self) -> None:
        """Every noun of which nothing was made by hand: from its contract."""
        self.records["departments"] = {"NONE": {"id": self.crm.units["sales-team"]}}
        specimens = Specimens(self.crm)
        for noun in nouns():
            if noun.resource in self.records or noun.resource == "timeline_entries":
                continue
            if not noun.owned:
                self.records[noun.resource] = {"NONE": {"id": (await specimens.made(noun)).id}}
                continue
            customer = {"customer_id": self._customer} if "customer_id" in noun.record.fields_by_name else {}
            slots = (*SLOTS, *AT) if customer and noun.department != "customer" else SLOTS
            fixed = [await specimens.fields(noun) for _ in slots]
            rows = [{**fields, **row} for fields, row in zip(fixed, self._rows(slots, **customer), strict=True)]
            await self._put(noun.resource, method_of(noun, "BatchUpsert").name, rows, slots)

    async def _files(self) -> None:
        """A file at each record that can have one, whose name has a word that stands nowhere else."""
        for noun in nouns():
            for slot, record in self.records[noun.resource].items() if noun.traits.attachable else ():
                name = f"{self.word(noun.resource, slot)}.pdf"
                await attach(self.crm, noun.department, noun.resource, str(record["id"]), name, PDF)

    async def _derived(self) -> None:
        """The entry that each customer's making left on its timeline."""
        slots = {self._customer(slot): slot for slot in SLOTS}
        answer = await self.crm.ask("BatchListTimelineEntries", customer_ids=list(slots), page_size=50)
        self.records["timeline_entries"] = {}
        for group in answer.groups:
            entry = next(entry for entry in group.timeline_entries if entry.resource == "contacts")
            self.about[entry.id] = entry.resource
            slot = slots[group.key]
            self.records["timeline_entries"][slot] = {"id": entry.id, "customer_id": group.key} | self.place(slot)

    async def _policy(self) -> None:
        """The policy as the organization tells it; the people as they were made."""
        service = access_service_pb2.DESCRIPTOR.services_by_name["AccessService"]
        request = access_service_pb2.ListGrantsRequest()
        told = await self.crm.channels["organization"].call(service, "ListGrants", request, token=await self.crm.link.token())
        grants = told.grants
        lines = [(one.role, one.resource, one.action, access_pb2.Scope.Name(one.scope).removeprefix("SCOPE_")) for one in grants]
        shared = frozenset([self._customer("SHARED")])
        people = [
            Person(
                self.crm.people[slot], frozenset([slot if slot in ROLES else "SALES_REP"]), self.place(slot)["department_id"],
                self.place(slot)["team_id"], customers=shared if slot in ROLES else frozenset(),
                deputy_id=self.crm.people[DEPUTY] if slot == AWAY else "",
            )
            for slot in (*ROLES, *COLLEAGUES)
        ]  # fmt: skip
        people.append(Person(self.crm.people[DEPUTY], frozenset(["FIELD_ENGINEER"]), self.crm.units["other"], self.crm.units["other-team"]))
        customers = {self._customer(slot): self.place(slot) for slot in SLOTS}
        units = (await self.crm.ask("ListDepartments", page_size=100)).departments
        self.world = World(
            [line for line in lines if line[0] in ROLES], people, datetime.now(UTC), {u.id: u.parent_id for u in units}, customers=customers
        )
        keys = [
            (role, resource, action, slot)
            for role in ROLES for resource in self.records for action in sorted(EXPLAINED | {line[2] for line in lines if line[1] == resource})
            for slot in self.relations(role, resource)
        ]  # fmt: skip
        answers = self.decide(
            (self.crm.people[role], resource, action, self.records[resource][slot]) for role, resource, action, slot in keys
        )
        self.decided = dict(zip(keys, answers, strict=True))
        asked = [(reader, word) for reader in READERS for word in self.words]
        told = self.decide(
            (self.crm.people[reader], self.words[word][0], "read", self.records[self.words[word][0]][self.words[word][1]])
            for reader, word in asked
        )
        self.readable = {one for one, right in zip(asked, told, strict=True) if right}


def holder(slot: str) -> str:
    """Whose the records of a slot are."""
    return "FOREIGN" if slot == "SHARED" or slot.startswith("AT ") else slot


def about(slot: str) -> str:
    """At whose customer they are."""
    return slot.removeprefix("AT ")
