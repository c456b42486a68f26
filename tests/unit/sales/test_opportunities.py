"""Opportunities, pipelines and products: completion, stage history, decision and reopening."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chassis.kernel.clock import day
from chassis.kernel.errors import Invalid, WrongState
from services.sales.opportunities import model
from services.sales.pipelines import model as pipelines
from services.sales.products import model as products

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
TODAY = day(NOW)
FIRST, SECOND = {"key": "talk", "name": "Talk", "probability": 10.0}, {"key": "offer", "name": "Offer", "probability": 60.0}


def money(micros: int) -> dict[str, Any]:
    return {"currency_code": "CNY", "amount_micros": micros}


def opportunity(**more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"name": " deal ", **more}
    model.check(found)
    model.begun(found, FIRST, NOW, day(NOW), "p1")
    return found


def test_a_new_one_is_open_in_its_first_stage() -> None:
    assert opportunity() == {
        "name": "deal",
        "state": "OPEN",
        "stage_key": "talk",
        "probability": 10.0,
        "start_date": "2026-03-04",
        "stage_history": [{"stage_key": "talk", "enter_time": NOW, "actor_id": "p1"}],
    }


def test_a_name_of_blanks_is_refused() -> None:
    with pytest.raises(Invalid) as refused:
        model.check({"name": "   "})
    assert refused.value.field == "name"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"amount": money(-1)}, "amount"),
        ({"start_date": "2026-02-30"}, "start_date"),
        ({"expected_close_date": "soon"}, "expected_close_date"),
        ({"state": "WON"}, "close_date"),
        ({"state": "LOST"}, "close_date"),
        ({"state": "WON", "start_date": "2026-03-02", "close_date": "2026-03-01"}, "close_date"),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        model.check({"name": "n", **values})
    assert refused.value.field == field


def test_decided_on_the_day_it_began_is_fine() -> None:
    model.check({"name": "n", "state": "WON", "start_date": "2026-03-01", "close_date": "2026-03-01", "amount": money(0)})


@pytest.mark.parametrize(("state", "chance"), [("WON", 100.0), ("LOST", 0.0)])
def test_an_imported_decision_is_certain(state: str, chance: float) -> None:
    assert opportunity(state=state, close_date="2026-03-01", start_date="2026-02-01")["probability"] == chance


def test_moving_closes_one_stay_and_opens_the_next() -> None:
    found = opportunity()
    later = NOW + timedelta(days=3)
    changes = model.moved(found, SECOND, None, later, "p2")
    assert changes == {
        "stage_key": "offer",
        "probability": 60.0,
        "stage_history": [
            {"stage_key": "talk", "enter_time": NOW, "actor_id": "p1", "leave_time": later},
            {"stage_key": "offer", "enter_time": later, "actor_id": "p2"},
        ],
    }
    assert "leave_time" not in found["stage_history"][0]
    assert model.moved(found, SECOND, 0.0, later, "p2")["probability"] == 0.0


def test_moving_to_where_it_stands_is_refused() -> None:
    with pytest.raises(WrongState) as refused:
        model.moved(opportunity(), FIRST, None, NOW, "p")
    assert refused.value.field == "stage_key"


@pytest.mark.parametrize(("state", "chance"), [("WON", 100.0), ("LOST", 0.0)])
def test_a_decision_ends_the_last_stay(state: str, chance: float) -> None:
    found = opportunity()
    later = NOW + timedelta(days=3)
    changes = model.decided(found, state, "price", "2026-03-07", money(5), later, day(later))
    assert (changes["state"], changes["probability"], changes["close_reason"], changes["close_date"]) == (
        state,
        chance,
        "price",
        "2026-03-07",
    )
    assert changes["amount"] == money(5)
    assert changes["stage_history"] == [{**found["stage_history"][0], "leave_time": later}]


@pytest.mark.parametrize(
    ("reason", "decided_on", "amount", "field"),
    [
        (" ", "2026-03-07", None, "reason"),
        ("r", "2026-03-03", None, "close_date"),
        ("r", "2026-13-01", None, "close_date"),
        ("r", "2026-03-07", money(-1), "amount"),
    ],
)
def test_a_decision_needs_reason_day_and_a_sane_amount(reason: str, decided_on: str, amount: Any, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        model.decided(opportunity(), "WON", reason, decided_on, amount, NOW, TODAY + timedelta(days=9))
    assert refused.value.field == field


@pytest.mark.parametrize("state", ["WON", "LOST"])
def test_what_is_decided_neither_moves_nor_is_decided_again(state: str) -> None:
    found = opportunity(state=state, close_date="2026-03-04")
    for act in (
        lambda: model.moved(found, SECOND, None, NOW, "p"),
        lambda: model.decided(found, "WON", "r", "2026-03-04", None, NOW, TODAY),
    ):
        with pytest.raises(WrongState) as refused:
            act()
        assert refused.value.code == "OPPORTUNITY_CLOSED"


def test_reopening_begins_a_new_stay_and_forgets_the_day_of_the_decision() -> None:
    found = opportunity()
    found |= model.decided(found, "LOST", "price", "2026-03-07", None, NOW + timedelta(days=3), TODAY + timedelta(days=3))
    changes = model.reopened(found, SECOND, NOW + timedelta(days=9), "p2")
    assert (changes["state"], changes["stage_key"], changes["probability"], changes["close_date"]) == ("OPEN", "offer", 60.0, None)
    assert changes["stage_history"] == [
        {"stage_key": "talk", "enter_time": NOW, "actor_id": "p1", "leave_time": NOW + timedelta(days=3)},
        {"stage_key": "offer", "enter_time": NOW + timedelta(days=9), "actor_id": "p2"},
    ]
    with pytest.raises(WrongState) as refused:
        model.reopened(opportunity(), FIRST, NOW, "p")
    assert refused.value.code == "OPPORTUNITY_NOT_CLOSED"


def test_the_history_has_no_gaps_no_overlap_and_at_most_200_stays() -> None:
    found = opportunity()
    for number in range(250):
        found |= model.moved(found, (SECOND, FIRST)[number % 2], None, NOW + timedelta(hours=number + 1), "p")
    history = found["stage_history"]
    assert len(history) == 200
    assert all(before["leave_time"] == after["enter_time"] for before, after in itertools.pairwise(history))
    assert "leave_time" not in history[-1]


def test_an_import_that_tells_of_a_later_stage_extends_the_history() -> None:
    found = opportunity()
    model.begun(found, SECOND, NOW + timedelta(1), day(NOW + timedelta(1)), "p2")
    assert [stay["stage_key"] for stay in found["stage_history"]] == ["talk", "offer"]
    assert found["stage_history"][0]["leave_time"] == NOW + timedelta(1)


def test_an_import_that_tells_of_a_decision_makes_it_certain() -> None:
    found = opportunity()
    found |= {"state": "WON", "close_date": "2026-03-09"}  # a second import sends these over what is stored
    model.check(found)
    model.begun(found, FIRST, NOW + timedelta(5), day(NOW + timedelta(5)), "p2")
    assert found["probability"] == 100.0


def test_a_pipeline_needs_stages_with_keys_of_their_own() -> None:
    pipelines.check({"stages": [FIRST, SECOND]})
    for stages in ([], [FIRST, SECOND, FIRST]):
        with pytest.raises(Invalid) as refused:
            pipelines.check({"stages": stages})
        assert refused.value.field == "stages"


def test_stages_are_found_by_key_and_missed_by_name() -> None:
    pipeline = {"stages": [FIRST, SECOND]}
    assert pipelines.stage(pipeline, "offer") == SECOND
    with pytest.raises(Invalid) as refused:
        pipelines.stage(pipeline, "Offer")
    assert (refused.value.code, refused.value.field) == ("STAGE_UNKNOWN", "stage_key")
    assert "talk, offer" in refused.value.message
    assert pipelines.gone(pipeline, {"stages": [SECOND]}) == {"talk"}
    assert pipelines.gone(pipeline, pipeline) == set()


def test_a_product_needs_code_name_and_a_price_not_below_zero() -> None:
    found = {"code": " A1 ", "name": " GTX Pro ", "list_price": money(0)}
    products.check(found)
    assert found == {"code": "A1", "name": "GTX Pro", "list_price": money(0)}
    for values, field in (({"code": " "}, "code"), ({"name": "\t"}, "name"), ({"list_price": money(-1)}, "list_price")):
        with pytest.raises(Invalid) as refused:
            products.check({"code": "A", "name": "N", **values})
        assert refused.value.field == field


def test_at_a_quarter_past_midnight_in_shanghai_it_is_today_there() -> None:
    late = datetime(2026, 3, 4, 16, 30, tzinfo=UTC)
    found: dict[str, Any] = {"name": "deal"}
    model.check(found)
    model.begun(found, FIRST, late, day(late), "p1")
    assert found["start_date"] == "2026-03-05"
    assert model.decided(found, "WON", "price", None, None, late, day(late))["close_date"] == "2026-03-05"


@pytest.mark.parametrize("decided_on", ["2026-03-05", "2030-01-01", "9999-12-31"])
def test_nothing_is_decided_on_a_day_that_is_still_to_come(decided_on: str) -> None:
    for act in (
        lambda: model.decided(opportunity(), "LOST", "price", decided_on, None, NOW, TODAY),
        lambda: model.check_today({"state": "WON", "close_date": decided_on}, TODAY),
    ):
        with pytest.raises(Invalid) as refused:
            act()
        assert (refused.value.code, refused.value.field) == ("TIME_IN_FUTURE", "close_date")
    model.check_today({"state": "OPEN", "close_date": decided_on}, TODAY)


def test_what_is_expected_before_it_begins_is_refused() -> None:
    with pytest.raises(Invalid) as refused:
        model.check({"name": "deal", "start_date": "2026-03-04", "expected_close_date": "2026-03-03"})
    assert refused.value.field == "expected_close_date"
