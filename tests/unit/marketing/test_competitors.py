"""Competitors: the rules of their own; what holds for every noun is tested elsewhere (tests/contract)."""

from __future__ import annotations

from typing import Any

import pytest

from chassis.kernel.errors import Invalid
from services.marketing.competitors import model


def checked(**values: Any) -> dict[str, Any]:
    competitor = {"name": "甲公司", **values}
    model.check(competitor)
    return competitor


def test_names_have_no_outer_blanks() -> None:
    assert checked(name="  甲   公司 ")["name"] == "甲 公司"


@pytest.mark.parametrize(("values", "field"), [
    ({"name": " \u3000 "}, "name"), ({"former_names": ["乙公司", " "]}, "former_names[1]"),
])  # fmt: skip
def test_a_name_of_blanks_is_none(values: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        checked(**values)
    assert refused.value.field == field


def test_former_names_are_told_once_in_their_order_and_not_the_present_one() -> None:
    found = checked(name="Acme", former_names=["Bolt", "acme", " bolt ", "Crate"])
    assert found["former_names"] == ["Bolt", "Crate"]


@pytest.mark.parametrize(
    "website", ["www.example.com", "ftp://example.com", "https://", "http://[", "javascript:alert(1)", "mailto:a@b.cn", "https://a b.cn"]
)
def test_a_website_is_a_whole_address(website: str) -> None:
    with pytest.raises(Invalid) as refused:
        checked(website=website)
    assert refused.value.field == "website"
    assert "https://" in refused.value.message


def test_a_website_is_kept_as_it_is_written() -> None:
    assert checked(website=" https://例子.公司/产品?x=1 ")["website"] == "https://例子.公司/产品?x=1"


def test_an_opportunity_is_linked_once() -> None:
    assert checked(lost_opportunity_ids=["o2", "o1", "o2"])["lost_opportunity_ids"] == ["o2", "o1"]


@pytest.mark.parametrize(("state", "fits"), [("LOST", True), ("WON", False), ("OPEN", False), ("", False)])
def test_only_what_was_lost_was_lost_to_somebody(state: str, fits: bool) -> None:
    refusal = model.must_be_lost({"_id": "o1", "state": state, "name": "大单"}, "lost_opportunity_ids")
    assert (refusal is None) is fits
    assert fits or (refusal.field == "lost_opportunity_ids" and "大单" in refusal.message)  # type: ignore[union-attr]
