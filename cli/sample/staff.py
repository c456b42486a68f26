"""The sample company's own side: units, people, products, pipeline, campaigns, articles. The same for every size."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from chassis.kernel.ids import from_source
from chassis.kernel.money import MICROS
from cli.batches import targets
from cli.sample import words
from services.organization.work_calendars.model import SHIPPED_ID

STAGES = (("new", "初步接触", 10), ("needs", "需求确认", 25), ("offer", "方案报价", 50), ("talks", "商务谈判", 75))
UNITS = (
    ("group", "协同集团", "GROUP", ""), ("company", "协同科技有限公司", "COMPANY", "group"), ("crm", "CRM管理部", "DEPARTMENT", "company"),
    ("sales", "销售部", "DEPARTMENT", "company"), ("marketing", "市场部", "DEPARTMENT", "company"), ("support", "客服部", "DEPARTMENT", "company"),
    ("sales-north", "销售一组", "TEAM", "sales"), ("sales-south", "销售二组", "TEAM", "sales"), ("sales-world", "海外组", "TEAM", "sales"),
    ("support-1", "客服一组", "TEAM", "support"),
)  # fmt: skip
SKILLS = (
    ("account", "billing"),
    ("billing", "delivery"),
    ("hardware",),
    ("account", "hardware"),
    ("delivery", "account"),
    ("billing", "hardware"),
)


@dataclass
class Staff:
    """Ids of the people by post; every id follows from seed and key."""

    seed: int
    reps: list[str] = field(default_factory=list)
    agents: list[str] = field(default_factory=list)
    marketers: list[str] = field(default_factory=list)
    skills: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def key(self, kind: str, name: object) -> str:
        """Natural key of a sample record."""
        return f"sample:{self.seed}:{kind}:{name}"

    def id(self, resource: str, kind: str, name: object) -> str:
        """Id of a sample record."""
        return from_source(resource, self.key(kind, name))


def record(resource: str, **values: Any) -> Any:
    """A message of a resource; enum values by name without prefix, times as datetimes, money as (currency, units)."""
    made = targets()[resource].record()
    fill(made, values)
    return made


def fill(message: Any, values: dict[str, Any]) -> None:
    """Put values into a message."""
    from chassis.rpc.documents import to_message

    document = {name: _plain(value) for name, value in values.items() if value is not None}
    message.CopyFrom(to_message(document, message.DESCRIPTOR))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int | float):
        return {"currency_code": value[0], "amount_micros": round(value[1] * MICROS)}
    if isinstance(value, list):
        return [{key: _plain(item) for key, item in entry.items()} if isinstance(entry, dict) else _plain(entry) for entry in value]
    return value


def calendars(staff: Staff) -> list[Any]:
    """When customer service works: early and late, on Saturdays too, in the night from Friday; holidays as everybody, but for one on duty."""
    shifts = [
        {"weekday": day, "start": start, "end": end} for day in range(1, 6) for start, end in (("08:00", "12:00"), ("12:30", "20:00"))
    ]
    shifts += [{"weekday": 5, "start": "22:00", "end": "06:00"}, {"weekday": 6, "start": "09:00", "end": "17:00"}]
    days = [
        {"date": "2026-02-17", "kind": "SHIFTS", "shifts": [{"start": "10:00", "end": "16:00"}], "label": "春节值班", "source": "OWN"},
        {"date": "2026-10-01", "kind": "SHIFTS", "shifts": [{"start": "10:00", "end": "16:00"}], "label": "国庆节值班", "source": "OWN"},
        {"date": "2026-12-31", "kind": "WORKDAY", "as_weekday": 6, "label": "年终盘点", "source": "OWN"},
    ]
    return [
        record(
            "work_calendars", source_key=staff.key("calendar", "support"), name="客服排班日历", time_zone="Asia/Shanghai", shifts=shifts, days=days,
            base_calendar_id=SHIPPED_ID,
        )
    ]  # fmt: skip


def units(staff: Staff) -> list[Any]:
    """The tree, parents first."""
    return [
        record(
            "departments", source_key=staff.key("unit", key), name=name, kind=kind, parent_id=staff.id("departments", "unit", above) if above else None,
            own_work_calendar_id=staff.id("work_calendars", "calendar", "support") if key == "support" else None,
        )
        for key, name, kind, above in UNITS
    ]  # fmt: skip


def people(staff: Staff, demo_email: str = "", administrator_email: str = "") -> Iterator[Any]:
    """Everybody with a login name; passwords are not given to sample people, but to the demo user and the administrator."""
    rng = random.Random(f"{staff.seed}:people")
    posts = [("rep", 12, "SALES_REP", "销售代表", "sales"), ("lead", 3, "SALES_LEAD", "销售主管", "sales"), ("marketer", 3, "MARKETER", "市场专员", "marketing"),
             ("agent", 6, "SUPPORT_AGENT", "客服专员", "support"), ("coordinator", 1, "COORDINATOR", "CRM协调员", "crm")]  # fmt: skip
    for key, count, role, post, unit in posts:
        for number in range(count):
            name = rng.choice(words.SURNAMES) + rng.choice(words.GIVEN)
            team = {"sales": ("sales-north", "sales-south", "sales-world")[number % 3], "support": "support-1"}.get(unit)
            skills = SKILLS[number % len(SKILLS)] if key == "agent" else ()
            identity = staff.id("people", key, number)
            {"rep": staff.reps, "agent": staff.agents, "marketer": staff.marketers}.get(key, []).append(identity)
            staff.skills[identity] = skills
            made = _person(staff, key, number, name, role, post, unit, team, skills, f"{key}{number}@xietong.example")
            if key != "coordinator":  # whoever leaves has somebody who takes over
                made.manager_id = staff.id("people", *(("lead", number % 3) if key == "rep" else ("coordinator", 0)))
            yield made
    if demo_email:
        yield _person(staff, "demo", 0, "演示用户 Demo", "COORDINATOR", "CRM协调员", "crm", None, (), demo_email)
    if administrator_email:
        yield _person(staff, "administrator", 0, "系统管理员", "ADMINISTRATOR", "系统管理员", "crm", None, (), administrator_email)


def _person(
    staff: Staff, key: str, number: int, name: str, role: str, post: str, unit: str, team: str | None, skills: tuple[str, ...], email: str
) -> Any:
    return record(
        "people", source_key=staff.key(key, number), name=name, email=email, roles=[role], post=post, skills=list(skills), state="ACTIVE",
        home_department_id=staff.id("departments", "unit", unit), home_team_id=staff.id("departments", "unit", team) if team else None,
        locale="zh-CN", time_zone="Asia/Shanghai",
    )  # fmt: skip


def catalogue(staff: Staff) -> tuple[list[Any], list[Any]]:
    """(products, pipelines)."""
    products = [
        record(
            "products", source_key=staff.key("product", code), code=code, name=name, category=category, unit="件", list_price=("CNY", price)
        )
        for code, name, category, price in words.PRODUCTS
    ]
    stages = [{"key": key, "name": name, "probability": float(chance)} for key, name, chance in STAGES]
    return products, [record("pipelines", source_key=staff.key("pipeline", 1), name="标准销售流程", stages=stages, is_default=True)]


def campaigns(staff: Staff, start: datetime) -> list[Any]:
    """One campaign every two months; the last one runs, the others are over."""
    found = []
    for number, name in enumerate(words.CAMPAIGNS):
        begin = start + timedelta(days=60 * number + 10)
        found.append(record(
            "campaigns", source_key=staff.key("campaign", number), name=name, channel="EMAIL", objective="提高复购", owner_id=staff.marketers[number % 3],
            state="COMPLETED", start_time=begin, end_time=begin + timedelta(days=20), create_time=begin - timedelta(days=14),
            budget=("CNY", 20_000 + 5_000 * number), cost=("CNY", 15_000 + 4_000 * number), subject=name, body="{name}，您好！",
        ))  # fmt: skip
    return found


def competitors(staff: Staff, lost: Sequence[str]) -> list[Any]:
    """Who else sells to our customers; of the opportunities `lost` (ids) each gets its share, up to 100."""
    return [
        record(
            "competitors", source_key=staff.key("competitor", number), name=name, former_names=list(former), website=website, price_level=price,
            strengths=strengths, weaknesses=weaknesses, owner_id=staff.marketers[number % len(staff.marketers)],
            lost_opportunity_ids=list(lost[number :: len(words.COMPETITORS)][:100]),
        )
        for number, (name, former, website, price, strengths, weaknesses) in enumerate(words.COMPETITORS)
    ]  # fmt: skip


def articles(staff: Staff) -> list[Any]:
    """The published FAQ."""
    moment = datetime(2026, 1, 5, 8, tzinfo=UTC)
    return [
        record("articles", source_key=staff.key("article", number), title=title, category=category, language=language, body=body, state="PUBLISHED", publish_time=moment)
        for number, (title, category, language, body) in enumerate(words.ARTICLES)
    ]  # fmt: skip
