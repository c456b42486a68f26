"""The clients: people of several departments who send commands through the graph, repeat what got no answer, and write down what they were told."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from chassis.kernel.ids import new_id
from gateway.graph.contract import from_global, to_global
from tests.chaos.checker import noun_of
from tests.chaos.ledger import ACKNOWLEDGED, REFUSED, UNKNOWN, Command, Ledger
from tests.chaos.stack import Stack
from tests.support.installation import PASSWORD

TOKEN_SECONDS = 120
MOST_TRIES = 5
# Codes after which nobody knows whether the command took effect.
OPEN = frozenset(("UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "BUSY", "UNAUTHENTICATED", "NOT_ALLOWED", "RATE_LIMITED", "IN_FLIGHT"))
STAGES = ("first", "second")
PIPELINE = {"name": "way", "stages": [{"key": key, "name": key} for key in STAGES], "is_default": True}
SHARED, OWN_RECORDS = 4, 40


class Worker:
    """One client. `shared` are opportunities (id, version, stage) for which several workers compete."""

    def __init__(self, number: int, stack: Stack, folder: Path, seed: int, shared: list[dict[str, Any]]) -> None:
        self.stack, self.shared = stack, shared
        self.dice = random.Random(f"{seed}:{number}")
        self.ledger = Ledger(folder / f"worker-{number}.jsonl")
        self.role = ("COORDINATOR", "SALES_LEAD")[number % 2]
        self.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{stack.plan.gateway_port}", timeout=4, trust_env=False)
        self.known: dict[str, list[dict[str, Any]]] = {
            "Customer": [],
            "Opportunity": [],
            "Order": [],
            "Ticket": [],
            "CustomerMerge": [],
            "Person": [],
        }
        self.repeated = 0
        self.differed: list[str] = []
        self.unexpected: list[str] = []
        self._tokens: dict[str, tuple[str, float]] = {}

    async def run(self, ended: asyncio.Event) -> None:
        """Until told to end; what is under way then is brought to its outcome."""
        try:
            while not ended.is_set():
                await self._one()
                await asyncio.sleep(self.dice.uniform(0, 0.1))
        finally:
            await self.http.aclose()
            self.ledger.close()

    async def _one(self) -> None:
        if self.dice.random() < 0.1 and (record := self._any("Opportunity")):
            made = [self._moved(record) for _ in range(3)]  # three colleagues who press the button at once: one of them is first
            await asyncio.gather(*(self._command(*one) for one in made if one))
            return
        if (made := self._choice()) is not None:
            await self._command(*made)

    def _choice(self) -> tuple[str, dict[str, Any]] | None:
        """What to ask for next."""
        choices: list[tuple[int, Callable[[], tuple[str, dict[str, Any]] | None]]] = [
            (4, self._customer), (3, self._opportunity), (6, self._move), (6, self._move_shared), (2, self._order), (2, self._confirm),
            (3, self._ticket), (2, self._reply), (2, self._resolve), (2, self._wait), (2, self._note), (2, self._nonsense), (1, self._assign),
            (2, self._merge), (2, self._unmerge),
        ]  # fmt: skip
        return self.dice.choices([make for _, make in choices], [weight for weight, _ in choices])[0]()

    async def _command(self, mutation: str, fields: dict[str, Any]) -> None:
        command = Command(new_id(), mutation, self._tag_of(fields), details=fields.pop("_details", {}))
        fields["requestId"] = command.request_id
        self.ledger.tried(command, fields)
        noun = noun_of(mutation)
        query = (
            f"mutation Do($i: {mutation[0].upper()}{mutation[1:]}Input!) {{ answer: {mutation}(input: $i) "
            f"{{ record: {noun[0].lower()}{noun[1:]} {{ id version {_MORE.get(noun, '')} }} errors {{ code message retryable }} }} }}"
        )
        for _ in range(self.dice.randint(1, MOST_TRIES)):
            answer = await self._ask(query, fields)
            if answer is None:
                await asyncio.sleep(self.dice.uniform(0.05, 0.6))
                continue
            self._note_answer(command, noun, answer, fields)
            if command.outcome == ACKNOWLEDGED and self.dice.random() < 0.15:
                again = await self._ask(query, fields)
                self.repeated += again is not None
                if again is not None and again != answer:
                    self.differed.append(f"{command.request_id}: first {answer}, then {again}")
            return
        self.ledger.told(command, UNKNOWN)

    def _note_answer(self, command: Command, noun: str, answer: dict[str, Any], fields: dict[str, Any]) -> None:
        if answer["errors"]:
            self.ledger.told(command, REFUSED, code=answer["errors"][0]["code"])
            self._forget(fields)
            return
        record = answer["record"]
        command.record, command.version = from_global(record["id"]), record["version"]
        self.ledger.told(command, ACKNOWLEDGED)
        self._remember(noun, record)

    def _remember(self, noun: str, record: dict[str, Any]) -> None:
        for place in (self.known.get(noun, []), self.shared):
            for known in place:
                if known["id"] == record["id"]:
                    known.update(record)
                    return
        if noun in self.known:
            self.known[noun] = [*self.known[noun][-OWN_RECORDS:], record]

    def _forget(self, fields: dict[str, Any]) -> None:
        """A record that is not as we thought: another one is taken next time."""
        for noun, records in self.known.items():
            self.known[noun] = [record for record in records if record["id"] not in fields.values()]
        for record in self.shared:
            if record["id"] in fields.values():
                record["stale"] = True

    async def _ask(self, query: str, fields: dict[str, Any]) -> dict[str, Any] | None:
        """The answer; None when nobody knows what became of the command."""
        try:
            token = await self._signed_in()
            response = await self.http.post(
                "/graphql",
                json={"query": query, "variables": {"i": fields}},
                headers={"Authorization": f"Bearer {token}", "X-Request-Id": fields.get("requestId") or new_id()},
            )
            body = response.json()
        except (httpx.HTTPError, ValueError, LookupError):
            return None
        answer = (body.get("data") or {}).get("answer")
        if body.get("errors") or not answer:
            codes = {error.get("extensions", {}).get("code") for error in body.get("errors", [])}
            if "UNAUTHENTICATED" in codes:
                self._tokens.clear()
            if not codes <= OPEN:
                self.unexpected.append(str(body.get("errors"))[:400])
            return None
        if any(error["code"] in OPEN for error in answer["errors"]):
            return None
        return dict(answer)

    async def _signed_in(self) -> str:
        if self.role not in self._tokens or time.monotonic() > self._tokens[self.role][1]:
            await self._sign_in()
        return self._tokens[self.role][0]

    async def _sign_in(self) -> None:
        query = "mutation In($i: SessionCreateInput!) { answer: sessionCreate(input: $i) { tokens { accessToken } errors { code } } }"
        email = f"{self.role.lower()}@example.com"
        body = {"query": query, "variables": {"i": {"email": email, "password": PASSWORD}}}
        answer = ((await self.http.post("/graphql", json=body)).json().get("data") or {}).get("answer") or {}
        if not answer.get("tokens"):
            raise LookupError("not signed in")
        self._tokens[self.role] = answer["tokens"]["accessToken"], time.monotonic() + TOKEN_SECONDS

    # ---- commands: (mutation, fields), or None when there is nothing to do it to

    def _tag(self) -> str:
        return f"chaos-{new_id()}"

    @staticmethod
    def _tag_of(fields: dict[str, Any]) -> str:
        return next((str(fields[key]) for key in ("name", "subject", "text", "number") if key in fields), "")

    def _any(self, noun: str) -> dict[str, Any] | None:
        return self.dice.choice(self.known[noun]) if self.known[noun] else None

    def _customer(self) -> tuple[str, dict[str, Any]]:
        region = self.dice.choice(("chaos-north", "chaos-south"))
        return "customerCreate", {"kind": "COMPANY", "name": self._tag(), "region": region}

    def _opportunity(self) -> tuple[str, dict[str, Any]] | None:
        customer = self._any("Customer")
        amount = {"amount": f"{self.dice.randint(1, 10**6)}.{self.dice.randint(0, 99):02}", "currencyCode": "CNY"}
        return customer and ("opportunityCreate", {"name": self._tag(), "customerId": customer["id"], "amount": amount})

    def _move(self) -> tuple[str, dict[str, Any]] | None:
        return self._moved(self._any("Opportunity"))

    def _move_shared(self) -> tuple[str, dict[str, Any]] | None:
        record = self.dice.choice(self.shared)
        if record.pop("stale", False):  # somebody was faster whose answer nobody saw; read what is there by the next guess
            record["version"] += 1
            record["stageKey"] = STAGES[record["stageKey"] == STAGES[0]]
        return self._moved(record)

    def _moved(self, record: dict[str, Any] | None) -> tuple[str, dict[str, Any]] | None:
        if record is None:
            return None
        target = STAGES[record["stageKey"] == STAGES[0]]
        return "opportunityMoveStage", {"opportunityId": record["id"], "stageKey": target, "version": record["version"]}

    def _order(self) -> tuple[str, dict[str, Any]] | None:
        customer = self._any("Customer")
        if customer is None:
            return None
        lines = [(self.dice.randint(1, 9), self.dice.randint(1, 10**7)) for _ in range(self.dice.randint(1, 4))]
        total = sum(quantity * cents for quantity, cents in lines)
        made = [
            {"quantity": quantity, "description": "x", "unitPrice": {"amount": f"{cents // 100}.{cents % 100:02}", "currencyCode": "CNY"}}
            for quantity, cents in lines
        ]
        return "orderCreate", {"number": self._tag(), "customerId": customer["id"], "lines": made, "_details": {"cents": total}}

    def _confirm(self) -> tuple[str, dict[str, Any]] | None:
        order = self._any("Order")
        return order and ("orderConfirm", {"orderId": order["id"], "version": order["version"]})

    def _ticket(self) -> tuple[str, dict[str, Any]] | None:
        customer = self._any("Customer")
        return customer and ("ticketCreate", {"subject": self._tag(), "channel": "PHONE", "customerId": customer["id"]})

    def _reply(self) -> tuple[str, dict[str, Any]] | None:
        ticket = self._any("Ticket")
        return ticket and ("ticketReplyCreate", {"ticketId": ticket["id"], "author": "AGENT", "text": self._tag()})

    def _resolve(self) -> tuple[str, dict[str, Any]] | None:
        ticket = self._any("Ticket")
        return ticket and ("ticketResolve", {"ticketId": ticket["id"], "version": ticket["version"], "resolution": "done"})

    def _wait(self) -> tuple[str, dict[str, Any]] | None:
        ticket = self._any("Ticket")
        until = datetime.now(UTC) + timedelta(seconds=self.dice.uniform(0.5, 5))
        return ticket and ("ticketWait", {"ticketId": ticket["id"], "version": ticket["version"], "untilTime": until.isoformat()})

    def _note(self) -> tuple[str, dict[str, Any]] | None:
        customer = self._any("Customer")
        return customer and ("noteCreate", {"customerId": customer["id"], "text": self._tag()})

    def _assign(self) -> tuple[str, dict[str, Any]] | None:
        customer = self._any("Customer")
        role = self.dice.choice(("SALES_REP", "SALES_LEAD"))
        person = to_global("Person", self.stack.people[role])
        return customer and ("customerAssign", {"customerId": customer["id"], "ownerId": person, "version": customer["version"]})

    def _merge(self) -> tuple[str, dict[str, Any]] | None:
        if len(self.known["Customer"]) < 2:
            return None
        survivor, loser = self.dice.sample(self.known["Customer"], 2)
        return "customersMerge", {"survivorId": survivor["id"], "loserId": loser["id"]}

    def _unmerge(self) -> tuple[str, dict[str, Any]] | None:
        merge = self._any("CustomerMerge")
        return merge and ("customerUnmerge", {"customerMergeId": merge["id"], "version": merge["version"]})

    def _nonsense(self) -> tuple[str, dict[str, Any]]:
        return "customerCreate", {"kind": "COMPANY", "name": self._tag(), "countryCode": "xx"}


_MORE = {"Opportunity": "stageKey", "Order": "total { amount }"}
