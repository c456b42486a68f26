"""Who has no account: a finance system that posts signed webhooks, and readers of the public FAQ who vote."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
from crm.organization.v1 import person_pb2
from standardwebhooks import Webhook

from chassis.kernel.ids import new_id
from gateway.graph.contract import to_global
from tests.chaos.checker import Findings
from tests.chaos.ledger import ACKNOWLEDGED, UNKNOWN, Command, Ledger
from tests.chaos.links import HOST
from tests.chaos.stack import Stack

MOST_TRIES, TITLE = 6, "How it works"
# What a sender may be answered meanwhile: not verified (a clock is wrong), not known yet, too much, a full disk, nobody there.
RETRY = frozenset((401, 422, 429, 500, 502, 503, 504))
TOKEN = re.compile(r'name="token" value="([^"]+)"')


@dataclass(frozen=True)
class Opened:
    """What is there for them: the customer of whom finance tells, its source and secret, the article."""

    customer_id: str
    source_id: str
    secret: str
    article_id: str


async def open_edges(stack: Stack, customer_id: str) -> Opened:
    """A webhook source and a published article."""
    roles = [person_pb2.ROLE_COORDINATOR]
    source = await stack.ask("CreateWebhookSource", role="ADMINISTRATOR", display_name="finance", event_types=["invoice.paid"], roles=roles)
    article = (await stack.ask("CreateArticle", role="COORDINATOR", title=TITLE, body="so", category="x", language=2)).article
    await stack.ask("PublishArticle", role="COORDINATOR", article_id=article.id)
    return Opened(customer_id, source.webhook_source.id, source.secret, article.id)


class Edges:
    """Both at once. `commands` are the ledger's; `unexpected` what no stranger should be answered, whatever is down."""

    def __init__(self, stack: Stack, folder: Path, seed: int, opened: Opened) -> None:
        self.stack, self.opened, self.dice = stack, opened, random.Random(f"{seed}:edges")
        self.ledger = Ledger(folder / "edges.jsonl")
        self.unexpected: list[str] = []
        gateway, faq = (f"http://{HOST}:{port}" for port in (stack.plan.gateway_port, stack.plan.faq_port))
        self.door = httpx.AsyncClient(base_url=gateway, timeout=4, trust_env=False)
        self.faq = faq

    async def run(self, ended: asyncio.Event) -> None:
        """Until told to end; what is under way then is brought to its outcome."""
        try:
            await asyncio.gather(self._until(ended, self._invoice), self._until(ended, self._reader))
        finally:
            await self.door.aclose()
            self.ledger.close()

    async def _until(self, ended: asyncio.Event, act: Any) -> None:
        while not ended.is_set():
            await act()
            await asyncio.sleep(self.dice.uniform(0.2, 1))

    # ---- finance

    async def _invoice(self) -> None:
        """One message, sent until it is taken or we give up; now and then once more."""
        command = Command(new_id(), "invoice.paid", f"I-{new_id()}")
        data = {
            "customer_id": to_global("Customer", self.opened.customer_id), "number": command.tag, "amount": "1.50", "currency_code": "CNY",
        }  # fmt: skip
        body = json.dumps({"type": "invoice.paid", "timestamp": datetime.now(UTC).isoformat(), "data": data})
        self.ledger.tried(command, data)
        taken = 0
        for _ in range(self.dice.randint(1, MOST_TRIES)):
            taken += await self._post(command.request_id, body)
            if taken and (taken == 2 or self.dice.random() < 0.8):
                break
            await asyncio.sleep(self.dice.uniform(0.05, 0.6))
        self.ledger.told(command, ACKNOWLEDGED if taken else UNKNOWN)

    async def _post(self, webhook_id: str, body: str) -> bool:
        """Whether it was taken."""
        moment = datetime.now(UTC)
        headers = {
            "content-type": "application/json", "webhook-id": webhook_id, "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": Webhook(self.opened.secret).sign(webhook_id, moment, body),
        }  # fmt: skip
        try:
            answer = await self.door.post(f"/webhooks/{to_global('WebhookSource', self.opened.source_id)}", content=body, headers=headers)
        except httpx.HTTPError:
            return False
        taken = answer.status_code == 200 and answer.json().get("state") == "ACCEPTED"
        if not taken and answer.status_code not in RETRY:
            self._note(f"webhook {webhook_id}", answer)
        return taken

    # ---- readers

    async def _reader(self) -> None:
        """Somebody new, from an address of their own, looks at the list, opens the article and votes, as often as that takes."""
        address = {"X-Forwarded-For": str(ip_address(self.dice.randrange(2**32)))}
        async with httpx.AsyncClient(base_url=self.faq, timeout=4, trust_env=False, headers=address) as http:
            listed = await self._page(http, "GET", "/faq?lang=en")
            if listed is not None and TITLE not in listed.text:
                self.unexpected.append("the FAQ's list lacks what is published")
            shown = await self._page(http, "GET", f"/faq/{self.opened.article_id}")
            token = TOKEN.search(shown.text) if shown is not None else None
            if token is None:
                return
            command = Command(new_id(), "vote", "")
            form = {"token": token[1], "helpful": self.dice.choice(("yes", "no"))}
            self.ledger.tried(command, form)
            for _ in range(self.dice.randint(1, MOST_TRIES)):
                if await self._page(http, "POST", f"/faq/{self.opened.article_id}/vote", form) is not None:
                    self.ledger.told(command, ACKNOWLEDGED)
                    return
                await asyncio.sleep(self.dice.uniform(0.05, 0.6))
            self.ledger.told(command, UNKNOWN)

    async def _page(self, http: httpx.AsyncClient, method: str, path: str, form: dict[str, str] | None = None) -> httpx.Response | None:
        """A page that was shown, or a vote that was taken; None where nobody can be asked just now."""
        try:
            answer = await http.request(method, path, data=form)
        except httpx.HTTPError:
            return None
        if answer.status_code in (200, 303):
            return answer
        if answer.status_code not in (502, 503, 504):
            self._note(f"{method} {path}", answer)
        return None

    def _note(self, what: str, answer: httpx.Response) -> None:
        self.unexpected.append(f"{time.strftime('%X')} {what}: {answer.status_code} {answer.text[:300]}")


async def judge_edges(edges: Edges, found: Findings) -> None:
    """Each message that was taken stands on the customer once, any other at most once; each reader's vote counts once."""
    notes = await _notes(edges)
    invoices = [one for one in edges.ledger.commands.values() if one.kind == "invoice.paid"]
    wrong = [
        f"{one.request_id} ({one.outcome}) stands on the customer {notes[one.tag]} times" for one in invoices if not _right(one, notes)
    ]
    found.must("webhooks have their effect once", wrong, len(invoices))
    votes = [one for one in edges.ledger.commands.values() if one.kind == "vote"]
    least = sum(one.outcome == ACKNOWLEDGED for one in votes)
    article = (await edges.stack.ask("GetArticle", role="COORDINATOR", article_id=edges.opened.article_id)).article
    counted = article.helpful_count + article.unhelpful_count
    told = [] if least <= counted <= len(votes) else [f"{counted} are counted, {least} were acknowledged, {len(votes)} tried"]
    found.must("readers' votes count once", told, len(votes))
    found.must("strangers are told what they should be", edges.unexpected, len(edges.ledger.commands))


def _right(command: Command, notes: Counter[str]) -> bool:
    return notes[command.tag] == 1 if command.outcome == ACKNOWLEDGED else notes[command.tag] <= 1


async def _notes(edges: Edges) -> Counter[str]:
    """How many notes of the customer tell of each invoice."""
    seen: Counter[str] = Counter()
    fields: dict[str, Any] = {"customer_ids": [edges.opened.customer_id], "page_size": 100}
    while True:
        (group,) = (await edges.stack.ask("BatchListNotes", role="COORDINATOR", **fields)).groups
        seen.update(word for note in group.notes for word in note.text.split() if word.startswith("I-"))
        fields["page_token"] = group.next_page_token
        if not group.next_page_token:
            return seen
