"""One sample customer with a year of work in every department. Each customer has its own random numbers, so any size begins alike."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cli.sample import words
from cli.sample.staff import STAGES, Staff, record

DAYS = 365


@dataclass
class Life:
    """Everything about some customers, by resource."""

    records: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, resource: str, **values: Any) -> None:
        """One more record."""
        self.records.setdefault(resource, []).append(record(resource, **values))


class Maker:
    """Makes customer number 0, 1, 2 … of a seed. `until` is the day at which the year ends."""

    def __init__(self, staff: Staff, until: datetime) -> None:
        self.staff, self.until = staff, until
        self.start = until - timedelta(days=DAYS)

    def make(self, number: int, life: Life) -> None:
        """The customer with contacts, notes, opportunities, orders, messages and tickets."""
        rng = random.Random(f"{self.staff.seed}:{number}")
        company = rng.random() < 0.72
        chinese = rng.random() < 0.7
        born = self.start + timedelta(days=rng.random() * 300)
        identity = self.staff.id("customers", "customer", number)
        rep = self.staff.reps[number % len(self.staff.reps)]
        values = self._company(rng, number, chinese) if company else self._private(rng, number, chinese)
        stage = rng.choices(("CONTACT", "CONVERT", "MAINTAIN", "CHURN"), (3, 3, 5, 1))[0]
        parent = self.staff.id("customers", "customer", number - 1) if company and number % 25 == 1 else None
        life.add(
            "customers", source_key=self.staff.key("customer", number), owner_id=rep, lifecycle=stage, source=rng.choice(words.SOURCES),
            level=rng.choices(("KEY", "A", "B", "C"), (1, 3, 6, 8))[0], create_time=born, parent_id=parent,
            tags=words.TAGS[number % 7 : number % 7 + number % 3], **values,
        )  # fmt: skip
        contacts = self._contacts(rng, number, identity, values, company, chinese, life, born)
        self._notes(rng, number, identity, life, born)
        self._sales(rng, number, identity, rep, stage, life, born)
        self._messages(rng, number, identity, contacts, life, born)
        self._tickets(rng, number, identity, contacts, life, born)

    def _company(self, rng: random.Random, number: int, chinese: bool) -> dict[str, Any]:
        found: dict[str, Any] = {"kind": "COMPANY", "employee_count": int(10 ** rng.uniform(0.7, 3.8))}
        if chinese:
            city, region, country = rng.choice(words.CITIES)
            trade, industry = rng.choice(words.TRADES)
            found |= {
                "name": f"{city}{rng.choice(words.STEMS)}{rng.choice(words.STEMS)}{trade}有限公司",
                "region": region,
                "industry": industry,
            }
            found |= {
                "country_code": country,
                "phone": f"+86 {rng.randrange(10, 99)} {rng.randrange(10**7, 10**8)}",
                "tax_number": _tax(number),
            }
            return found
        form, country, region = rng.choice(words.FORMS)
        kind, industry = rng.choice(words.KINDS)
        found |= {"name": f"{rng.choice(words.FIRMS)} {rng.choice(words.LAST)} {kind} {form}", "region": region, "industry": industry}
        return found | {"country_code": country, "phone": f"+{rng.randrange(31, 65)} {rng.randrange(10**8, 10**9)}"}

    def _private(self, rng: random.Random, number: int, chinese: bool) -> dict[str, Any]:
        found: dict[str, Any] = {"kind": "PERSON", "name": _name(rng, chinese), "email": f"person{number}@mail.example"}
        if chinese:
            city, region, country = rng.choice(words.CITIES)
            return found | {
                "region": region,
                "country_code": country,
                "phone": f"+86 1{rng.randrange(30, 99)} {rng.randrange(10**7, 10**8)}",
                "address": city,
            }
        _, country, region = rng.choice(words.FORMS)
        return found | {"region": region, "country_code": country}

    def _contacts(
        self,
        rng: random.Random,
        number: int,
        identity: str,
        values: dict[str, Any],
        company: bool,
        chinese: bool,
        life: Life,
        born: datetime,
    ) -> list[tuple[str, str]]:
        found = []
        for index in range(rng.randrange(1, 4) if company else 1):
            name = _name(rng, chinese) if company else values["name"]
            email = f"c{number}.{index}@mail.example" if company else values["email"]
            life.add(
                "contacts", source_key=self.staff.key("contact", f"{number}.{index}"), customer_id=identity, name=name, email=email,
                title=rng.choice(words.TITLES) if company else None, decision_role=rng.choice(("DECIDER", "INFLUENCER", "USER", "BUYER")),
                preferred_channel=rng.choice(("PHONE", "EMAIL", "WECHAT")), is_primary=index == 0, create_time=born + timedelta(hours=index + 1),
            )  # fmt: skip
            found.append((self.staff.id("contacts", "contact", f"{number}.{index}"), name))
        return found

    def _notes(self, rng: random.Random, number: int, identity: str, life: Life, born: datetime) -> None:
        for index in range(rng.randrange(0, 3)):
            moment = self._after(rng, born)
            life.add(
                "notes",
                source_key=self.staff.key("note", f"{number}.{index}"),
                customer_id=identity,
                text=rng.choice(words.NOTES),
                create_time=moment,
            )

    def _sales(self, rng: random.Random, number: int, identity: str, rep: str, stage: str, life: Life, born: datetime) -> None:
        for index in range({"CONTACT": 0, "CONVERT": 1, "MAINTAIN": 2, "CHURN": 1}[stage] + rng.randrange(0, 2)):
            begun = self._after(rng, born)
            product = rng.randrange(len(words.PRODUCTS))
            amount = words.PRODUCTS[product][3] * rng.randrange(1, 20)
            state = rng.choices(("OPEN", "WON", "LOST"), {"MAINTAIN": (2, 6, 2), "CHURN": (0, 1, 4)}.get(stage, (7, 0, 3)))[0]
            length = rng.randrange(5, 90)
            decided = begun + timedelta(days=length)
            if decided > self.until:
                state = "OPEN"
            values = self._path(rng, state, begun, decided, rep)
            key = f"{number}.{index}"
            life.add(
                "opportunities", source_key=self.staff.key("opportunity", key), customer_id=identity, owner_id=rep, create_time=begun,
                name=rng.choice(words.DEALS), pipeline_id=self.staff.id("pipelines", "pipeline", 1), amount=("CNY", amount),
                product_id=self.staff.id("products", "product", words.PRODUCTS[product][0]), start_date=begun.date().isoformat(),
                expected_close_date=decided.date().isoformat(), state=state, **values,
            )  # fmt: skip
            if state == "WON":
                self._orders(rng, key, identity, rep, decided, life)

    def _path(self, rng: random.Random, state: str, begun: datetime, decided: datetime, rep: str) -> dict[str, Any]:
        """The stages that it went through, in order, up to the decision or to the last one before the year's end."""
        reached = len(STAGES) if state == "WON" else rng.randrange(1, len(STAGES) + 1)
        step = (decided - begun) / (reached + 1)
        stays: list[dict[str, Any]] = []
        for index in range(reached):
            moment = begun + step * index
            if moment > self.until:
                break
            if stays:
                stays[-1]["leave_time"] = moment
            stays.append({"stage_key": STAGES[index][0], "enter_time": moment, "actor_id": rep})
        found: dict[str, Any] = {"stage_key": stays[-1]["stage_key"], "stage_history": stays}
        if state == "OPEN":
            return found | {"probability": float(STAGES[len(stays) - 1][2])}
        stays[-1]["leave_time"] = decided
        reasons = words.WON if state == "WON" else words.LOST
        return found | {
            "probability": 100.0 if state == "WON" else 0.0,
            "close_date": decided.date().isoformat(),
            "close_reason": rng.choice(reasons),
        }

    def _orders(self, rng: random.Random, key: str, identity: str, rep: str, decided: datetime, life: Life) -> None:
        for index in range(rng.randrange(1, 4)):
            moment = min(decided + timedelta(days=index * rng.randrange(10, 40), hours=2), self.until)
            lines = []
            for _ in range(rng.randrange(1, 5)):
                code, name, _category, price = rng.choice(words.PRODUCTS)
                lines.append({
                    "product_id": self.staff.id("products", "product", code), "product_code": code, "description": name,
                    "quantity": rng.randrange(1, 12), "unit_price": ("CNY", price),
                })  # fmt: skip
            common = {"customer_id": identity, "owner_id": rep, "country_code": "CN"}
            number = f"S{self.staff.seed}-{key}-{index}"
            life.add(
                "orders", source_key=self.staff.key("order", f"{key}.{index}"), number=number, kind="SALE", lines=lines, order_time=moment, create_time=moment,
                state="FULFILLED" if moment < self.until - timedelta(days=14) else "CONFIRMED",
                opportunity_id=self.staff.id("opportunities", "opportunity", key), **common,
            )  # fmt: skip
            back = moment + timedelta(days=6)
            if rng.random() < 0.06 and back < self.until:
                life.add(
                    "orders", source_key=self.staff.key("order", f"{key}.{index}r"), number=f"{number}-R", kind="RETURN", state="FULFILLED", reason="质量问题",
                    lines=[{**lines[0], "quantity": 1}], order_time=back, create_time=back,
                    returned_order_id=self.staff.id("orders", "order", f"{key}.{index}"), **common,
                )  # fmt: skip

    def _messages(
        self, rng: random.Random, number: int, identity: str, contacts: list[tuple[str, str]], life: Life, born: datetime
    ) -> None:
        for index, name in enumerate(words.CAMPAIGNS):
            sent = self.start + timedelta(days=60 * index + 10 + rng.random() * 5)
            if sent < born or sent > self.until or rng.random() < 0.5:
                continue
            contact, contact_name = contacts[0]
            reaction = rng.choices(("SENT", "OPENED", "CLICKED", "UNSUBSCRIBED"), (50, 35, 14, 1))[0]
            opened = sent + timedelta(hours=rng.randrange(1, 40))
            values: dict[str, Any] = {"opened_time": opened} if reaction != "SENT" else {}
            if reaction == "CLICKED":
                values["clicked_time"] = opened + timedelta(minutes=2)
            if reaction == "UNSUBSCRIBED":
                values["unsubscribed_time"] = opened + timedelta(minutes=1)
            life.add(
                "campaign_messages", source_key=self.staff.key("message", f"{index}.{number}"), campaign_id=self.staff.id("campaigns", "campaign", index),
                customer_id=identity, contact_id=contact, contact_name=contact_name, state=reaction, planned_time=sent - timedelta(hours=3), sent_time=sent,
                owner_id=self.staff.marketers[index % 3], subject=name, create_time=sent - timedelta(hours=3), **values,
            )  # fmt: skip

    def _tickets(self, rng: random.Random, number: int, identity: str, contacts: list[tuple[str, str]], life: Life, born: datetime) -> None:
        for index in range(rng.choices((0, 1, 2, 3), (5, 4, 2, 1))[0]):
            opened = self._after(rng, born)
            subject, skill, kind = rng.choice(words.SUBJECTS)
            able = [agent for agent in self.staff.agents if skill in self.staff.skills[agent]]
            agent, key = rng.choice(able), f"{number}.{index}"
            answered, resolved = opened + timedelta(minutes=rng.randrange(5, 600)), opened + timedelta(hours=rng.randrange(12, 200))
            done = resolved < self.until and rng.random() < 0.92
            stays = [
                {"state": "NEW", "enter_time": opened, "leave_time": answered},
                {"state": "OPEN", "enter_time": answered, "actor_id": agent},
            ]
            values: dict[str, Any] = {"state": "OPEN"}
            if answered > self.until:
                stays, values = [{"state": "NEW", "enter_time": opened}], {"state": "NEW"}
            elif done:
                stays[-1]["leave_time"] = resolved
                stays.append({"state": "RESOLVED", "enter_time": resolved, "actor_id": agent})
                values = {"state": "RESOLVED", "resolution": rng.choice(words.ANSWERED), "resolve_time": resolved}
            if values["state"] != "NEW":
                values |= {"first_reply_time": answered, "reply_count": 2}
            life.add(
                "tickets", source_key=self.staff.key("ticket", key), number=f"T{self.staff.seed}-{key}", customer_id=identity, contact_id=contacts[0][0],
                subject=subject, description=rng.choice(words.ASKED), skill=skill, kind=kind, owner_id=agent, create_time=opened, state_history=stays,
                channel=rng.choice(("PHONE", "EMAIL", "WEB", "WECHAT")), priority=rng.choices(("LOW", "NORMAL", "HIGH", "URGENT"), (2, 6, 2, 1))[0], **values,
            )  # fmt: skip
            if values["state"] != "NEW":
                for turn, (author, text, moment) in enumerate(
                    (("CUSTOMER", rng.choice(words.ASKED), opened), ("AGENT", rng.choice(words.ANSWERED), answered))
                ):
                    life.add(
                        "ticket_replies", source_key=self.staff.key("reply", f"{key}.{turn}"), ticket_id=self.staff.id("tickets", "ticket", key),
                        author=author, text=text, create_time=moment,
                    )  # fmt: skip

    def _after(self, rng: random.Random, moment: datetime) -> datetime:
        return moment + (self.until - moment) * (0.02 + rng.random() * 0.95)


def _name(rng: random.Random, chinese: bool) -> str:
    return rng.choice(words.SURNAMES) + rng.choice(words.GIVEN) if chinese else f"{rng.choice(words.FIRST)} {rng.choice(words.LAST)}"


def _tax(number: int) -> str:
    return f"91{number:08d}MA{number % 97:02d}{(number * 7) % 10000:04d}"


def year_end(now: datetime) -> datetime:
    """The end of the sample's year: last midnight, UTC."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
