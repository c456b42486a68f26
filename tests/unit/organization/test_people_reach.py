"""Who changes where a person stands, and what: the rules without the right to give roles."""

from __future__ import annotations

from typing import Any

import pytest

from services.organization.people import model

STORED: dict[str, Any] = {
    "_id": "p", "name": "人", "email": "p@example.com", "roles": ["SALES_REP"], "home_department_id": "d", "home_team_id": "t", "skills": ["a"],
    "state": "ACTIVE", "post": "x",
}  # fmt: skip


@pytest.mark.parametrize("caller", ["p", "clerk"])
@pytest.mark.parametrize(
    ("change", "value"),
    [("home_department_id", "e"), ("home_team_id", "u"), ("home_team_id", None), ("manager_id", "m"), ("roles", []), ("roles", ["MANAGER"]),
     ("role_definition_ids", ["r"]), ("email", "q@example.com")],
)  # fmt: skip
def test_what_decides_reach_takes_the_right_to_give_it(caller: str, change: str, value: Any) -> None:
    after = {name: kept for name, kept in {**STORED, change: value}.items() if kept is not None}
    refusal = model.reach_refusal(after, STORED, caller)
    assert refusal is not None
    assert (refusal.code, refusal.field) == ("NOT_ALLOWED", change)


@pytest.mark.parametrize(
    ("change", "own"), [("name", True), ("phone", True), ("locale", True), ("time_zone", True), ("skills", False), ("post", False)]
)
def test_of_oneself_name_telephone_language_and_zone_may_be_changed(change: str, own: bool) -> None:
    after = {**STORED, change: ["b"] if change == "skills" else "other"}
    assert (model.reach_refusal(after, STORED, "p") is None) == own
    assert model.reach_refusal(after, STORED, "clerk") is None


def test_what_the_store_keeps_beside_the_contract_is_no_change() -> None:
    assert model.reach_refusal({**STORED, "role_definition_ids": [], "team_id": "t", "version": 2}, STORED, "p") is None


@pytest.mark.parametrize(
    ("change", "before", "refused"),
    [({"state": "LEFT"}, STORED, True), ({"state": "ACTIVE"}, {**STORED, "state": "LEFT"}, True), ({"state": "LEFT"}, {}, False),
     ({"successor_id": "s"}, STORED, True), ({"successor_id": "s"}, {}, True), ({"deputy_id": "s"}, STORED, True), ({}, STORED, False)],
)  # fmt: skip
def test_what_commands_set_comes_in_by_no_other_door(change: dict[str, Any], before: dict[str, Any], refused: bool) -> None:
    refusal = model.command_refusal({**before, **change}, before)
    assert (refusal is not None and refusal.field == next(iter(change), None)) == refused
