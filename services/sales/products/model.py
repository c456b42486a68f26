"""A product: what makes one complete. No I/O."""

from __future__ import annotations

from typing import Any

from chassis.kernel.errors import Invalid
from chassis.kernel.money import micros


def check(product: dict[str, Any]) -> None:
    """Complete a product: code and name without outer blanks, price not negative."""
    for name in ("code", "name"):
        product[name] = product[name].strip()
        if not product[name]:
            raise Invalid(f"{name} consists of blanks; give it letters or digits", field=name)
    if micros(product.get("list_price")) < 0:
        raise Invalid("the price is negative; give 0 or more", field="list_price")
