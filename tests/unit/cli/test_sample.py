"""The sample company: the same seed makes the same ids, states are reachable, dates are in order."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

from chassis.rpc.documents import to_document
from cli.sample.company import exchange_rates, fiscal_calendars
from cli.sample.customers import Life, Maker
from cli.sample.staff import Staff, calendars, people, units
from services.organization.exchange_rates import model as rates
from services.organization.fiscal_calendars import model as fiscal
from services.organization.work_calendars import model as work_calendars
from services.sales.opportunities import model as opportunities
from services.sales.orders import model as orders
from services.support.tickets import model as tickets

UNTIL = datetime(2026, 11, 1, tzinfo=UTC)


def lives(seed: int, count: int) -> dict[str, list[dict[str, object]]]:
    """Documents of the first customers of a seed, by resource."""
    staff = Staff(seed)
    list(people(staff))
    maker, life = Maker(staff, UNTIL), Life()
    for number in range(count):
        maker.make(number, life)
    return {resource: [to_document(message) for message in messages] for resource, messages in life.records.items()}


def test_the_same_seed_makes_the_same_company_and_another_seed_another_one() -> None:
    assert lives(7, 40) == lives(7, 40)
    assert lives(7, 40)["customers"][0]["source_key"] != lives(8, 40)["customers"][0]["source_key"]


def test_a_larger_company_begins_with_the_smaller_one() -> None:
    assert lives(3, 60)["customers"][:20] == lives(3, 20)["customers"]


def test_the_calendar_of_customer_service_obeys_the_model_and_is_used() -> None:
    (calendar,) = [to_document(message) for message in calendars(Staff(1))]
    work_calendars.check(calendar)
    assert {day["date"][:4] for day in calendar["days"]} == {"2026"} and len(calendar["shifts"]) == 12
    assert [unit.name for unit in units(Staff(1)) if unit.own_work_calendar_id] == ["客服部"]


def test_every_opportunity_obeys_the_model_and_went_forward_in_time() -> None:
    for opportunity in lives(1, 300)["opportunities"]:
        opportunities.check(opportunity)
        history = opportunity["stage_history"]
        moments = [moment for stay in history for moment in (stay["enter_time"], stay.get("leave_time", UNTIL))]
        assert moments == sorted(moments)
        assert opportunity["create_time"] <= history[0]["enter_time"]
        assert (opportunity["state"] == "OPEN") == ("close_date" not in opportunity)


def test_every_order_obeys_the_model_and_returns_come_after_their_sale() -> None:
    found = lives(1, 300)["orders"]
    times = {}
    for order in found:
        orders.check(order)
        assert order["order_time"] <= UNTIL
        if order["kind"] == "SALE":
            times[order["number"]] = order["order_time"]
        else:
            assert order["order_time"] > times[order["number"].removesuffix("-R")]
    assert any(order["kind"] == "RETURN" for order in found)


def test_rates_and_fiscal_calendars_obey_the_model_and_every_day_of_the_year_has_a_rate() -> None:
    staff, maker = Staff(1), Maker(Staff(1), UNTIL)
    first, last = maker.start.date(), maker.until.date()
    found = [to_document(one) for one in exchange_rates(staff, first, last)]
    assert found == [to_document(one) for one in exchange_rates(staff, first, last)]
    for rate in found:
        rates.check(rate)
    days = [rate["first_date"] for rate in found if rate["from_currency"] == "USD"]
    assert len(days) == len(set(days)) >= 52
    assert min(days) <= first.isoformat()
    for calendar in fiscal_calendars(staff):
        fiscal.check(to_document(calendar))


def test_every_ticket_was_in_states_that_can_follow_each_other() -> None:
    for ticket in lives(1, 300)["tickets"]:
        tickets.check(ticket)
        stays = ticket["state_history"]
        assert [stay["state"] for stay in stays] == ["NEW", "OPEN", "RESOLVED"][: len(stays)]
        assert stays[-1]["state"] == ticket["state"]
        assert all(first["leave_time"] == second["enter_time"] for first, second in itertools.pairwise(stays))


def test_messages_were_sent_after_the_customer_came_and_opened_after_they_were_sent() -> None:
    found = lives(1, 300)
    born = {customer["source_key"].split(":")[-1]: customer["create_time"] for customer in found["customers"]}
    for message in found["campaign_messages"]:
        assert born[message["source_key"].split(".")[-1]] <= message["sent_time"]
        assert message.get("opened_time", message["sent_time"]) >= message["sent_time"]
