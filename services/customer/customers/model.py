"""A customer: what makes one complete, which stage follows which, who may stand below whom. No I/O."""

from __future__ import annotations

from typing import Any

from chassis.kernel.errors import Conflict, Invalid, WrongState
from chassis.kernel.money import micros
from chassis.kernel.rules import sentence

Document = dict[str, Any]
DEEPEST = 10
# 接触 → 转化 → 维护 → 流失; a lost customer can be approached again.
ALLOWED: dict[str, tuple[str, ...]] = {
    "CONTACT": ("CONVERT", "CHURN"),
    "CONVERT": ("CONTACT", "MAINTAIN", "CHURN"),
    "MAINTAIN": ("CHURN",),
    "CHURN": ("CONTACT", "MAINTAIN"),
}


def check(customer: Document) -> None:
    """Complete a customer: names without outer blanks, first stage, mail address in small letters."""
    customer["name"] = " ".join(customer["name"].split())
    if not customer["name"]:
        raise Invalid("the name consists of blanks; give the customer's name", field="name")
    customer.setdefault("lifecycle", "CONTACT")
    if customer.get("email"):
        customer["email"] = customer["email"].strip().lower()
    if customer.get("tax_number"):
        customer["tax_number"] = customer["tax_number"].replace(" ", "").upper()
    if micros(customer.get("annual_revenue")) < 0:
        raise Invalid("the revenue is negative; give 0 or more", field="annual_revenue")
    if customer.get("parent_id") and customer["parent_id"] == customer.get("_id"):
        raise below_itself()


def moved(customer: Document, lifecycle: str, reason: str) -> Document:
    """The changes when a customer moves to another stage."""
    present = customer["lifecycle"]
    if lifecycle not in ALLOWED[present]:
        allowed = ", ".join(ALLOWED[present])
        raise WrongState(f"{lifecycle} cannot follow {present}; allowed are {allowed}", code="LIFECYCLE_NOT_ALLOWED", field="lifecycle")
    return {"lifecycle": lifecycle, "lifecycle_reason": reason}


def below_itself() -> Invalid:
    """The refusal of a hierarchy that bites its tail."""
    return Invalid("a customer cannot stand below itself; choose another parent", code="HIERARCHY_CYCLE", field="parent_id")


def check_line(customer_id: str | None, line: list[str], below: int = 0) -> None:
    """Refuse a line of parents (nearest first) that comes back to the customer, or is too long with the levels `below` it."""
    if customer_id in line:
        raise below_itself()
    if len(line) + below >= DEEPEST:
        raise Invalid(
            f"the hierarchy may have {DEEPEST} levels at most; choose a parent further up", code="HIERARCHY_TOO_DEEP", field="parent_id"
        )


def meanwhile(customer: Document, field: str) -> Conflict:
    """The refusal to change what is part of another customer."""
    params = {"rule": "customer.merged", "id": customer["merged_into_id"]}
    return Conflict(sentence(params), code="MERGED_MEANWHILE", field=field, retryable=False, params=params)
