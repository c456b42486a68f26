"""Exchange rates: the rules of their own; what holds for every noun is tested elsewhere (tests/contract), the arithmetic in test_rates."""

from __future__ import annotations

from typing import Any

import pytest

from chassis.kernel.errors import Invalid
from services.organization.exchange_rates import model

GOOD = {"from_currency": "USD", "to_currency": "CNY", "rate": "07.10", "first_date": "2026-11-27"}


def test_a_rate_is_completed_with_its_key_and_where_it_comes_from() -> None:
    exchange_rate = dict(GOOD)
    model.check(exchange_rate)
    assert exchange_rate == {**GOOD, "rate": "7.1", "key": "USD-CNY-2026-11-27", "source": "MANUAL"}
    imported = {**GOOD, "source": "IMPORT"}
    model.check(imported)
    assert imported["source"] == "IMPORT"


@pytest.mark.parametrize(
    ("values", "code", "field"),
    [
        ({"to_currency": "USD"}, "INVALID_ARGUMENT", "to_currency"),
        ({"rate": "0"}, "RATE_INVALID", "rate"),
        ({"rate": "-7"}, "RATE_INVALID", "rate"),
        ({"rate": "1234567890123456789"}, "RATE_INVALID", "rate"),
        ({"first_date": "2026-02-29"}, "INVALID_ARGUMENT", "first_date"),
    ],
)
def test_what_is_no_rate_is_refused(values: dict[str, Any], code: str, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        model.check({**GOOD, **values})
    assert (refused.value.code, refused.value.field) == (code, field)
