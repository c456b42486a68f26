"""Exchange rates over gRPC and in the graph: what a day's rate is, who may write one, and that departments convert while the organization is away."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from crm.common.v1 import access_service_pb2

from chassis.access.link import SERVICE
from chassis.access.parts import RATES
from chassis.kernel.clock import read_day
from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from chassis.kernel.money import of_micros
from services.organization.exchange_rates import store
from tests.support.checks import mask, refused
from tests.support.installation import Installation

RESOURCE = "organization.exchange_rates"
STORED, INVERSE, THROUGH_BASE = 2, 3, 4
# Currencies that nobody else asks for, so that no test of another file stands in the way.
ONE, TWO, NONE = "NOK", "SEK", "ISK"


async def make(crm: Installation, pair: tuple[str, str], rate: str, first_date: str, role: str = "COORDINATOR") -> Any:
    answer = await crm.ask("CreateExchangeRate", role=role, from_currency=pair[0], to_currency=pair[1], rate=rate, first_date=first_date)
    return answer.exchange_rate


@pytest.fixture(scope="module")
def pairs() -> list[dict[str, str]]:
    wanted = [(ONE, "CNY"), ("CNY", ONE), (ONE, TWO), (ONE, NONE)]
    return [{"from_currency": one, "to_currency": other} for one, other in wanted]


async def test_the_rates_of_a_day_tell_how_they_came_about_and_what_is_missing(crm: Installation, pairs: list[dict[str, str]]) -> None:
    for rate, day in (("0.61", "2019-01-01"), ("0.65", "2025-03-01"), ("0.66", "2025-03-05")):
        await make(crm, (ONE, "CNY"), rate, day)
    await make(crm, (TWO, "CNY"), "0.68", "2025-03-02")
    answer = await crm.ask("BatchGetRates", role="SALES_REP", pairs=pairs, date="2025-03-04")
    assert [(one.rate, one.way, one.first_date, one.age_days) for one in answer.rates] == [
        ("0.65", STORED, "2025-03-01", 3),
        ("1.53846153846153846", INVERSE, "2025-03-01", 3),
        ("0.955882352941176471", THROUGH_BASE, "2025-03-01", 3),
    ]
    assert [(one.from_currency, one.to_currency) for one in answer.missing] == [(ONE, NONE)]
    assert [(one.from_currency, one.rate, one.first_date) for one in answer.rates[2].stored] == [
        (ONE, "0.65", "2025-03-01"),
        (TWO, "0.68", "2025-03-02"),
    ]
    long_ago = await crm.ask("BatchGetRates", pairs=pairs[:1], date="2019-06-01")
    assert [(one.rate, one.age_days) for one in long_ago.rates] == [("0.61", 151)]
    assert [one.to_currency for one in (await crm.ask("BatchGetRates", pairs=pairs[:1], date="2018-12-31")).missing] == ["CNY"]
    today = (await crm.ask("BatchGetRates", pairs=pairs[:1])).rates[0]
    assert (today.rate, today.first_date) == ("0.66", "2025-03-05")
    await refused(crm, RESOURCE, crm.ask("BatchGetRates", pairs=pairs, date="2025-02-29"), "INVALID_ARGUMENT", field="date")


async def test_a_rate_out_of_use_counts_no_more_and_a_corrected_one_at_once(crm: Installation) -> None:
    pair = [{"from_currency": "DKK", "to_currency": "CNY"}]
    made = [await make(crm, ("DKK", "CNY"), rate, day) for rate, day in (("1.00", "2025-01-01"), ("9.00", "2025-01-02"))]
    key = {"exchange_rate_id": made[1].id}
    await crm.ask("UpdateExchangeRate", role="COORDINATOR", version=1, update_mask=mask("rate"), rate="0.9", **key)
    assert (await crm.ask("BatchGetRates", pairs=pair)).rates[0].rate == "0.9"
    await crm.ask("ArchiveExchangeRate", role="COORDINATOR", **key)
    assert (await crm.ask("BatchGetRates", pairs=pair)).rates[0].rate == "1"


async def test_there_is_one_rate_of_a_pair_and_day_and_not_everybody_writes_one(crm: Installation) -> None:
    await make(crm, ("HUF", "CNY"), "0.02", "2025-01-01", "ADMINISTRATOR")
    again = make(crm, ("HUF", "CNY"), "0.03", "2025-01-01")
    await refused(crm, RESOURCE, again, "EXCHANGE_RATE_TAKEN", field="key")
    for role in ("SALES_REP", "SUPPORT_AGENT"):
        await refused(crm, RESOURCE, make(crm, ("HUF", "CNY"), "0.03", "2025-01-02", role), "NOT_ALLOWED")


async def test_an_import_refuses_the_rows_at_fault_alone(crm: Installation) -> None:
    days = ("2025-02-28", "2025-02-29", "2025-03-01", "2025-03-02")
    rows = [
        {"source_key": f"t:{day}:{new_id()}", "from_currency": "CZK", "to_currency": "CNY", "rate": "0.31", "first_date": day, "source": 2}
        for day in days
    ]
    rows[2]["rate"] = "0"
    rows[3]["first_date"] = days[0]
    answer = await crm.ask("BatchUpsertExchangeRates", role="COORDINATOR", exchange_rates=rows)
    assert [(one.error_code, one.error_field) for one in answer.outcomes] == [
        ("", ""),
        ("INVALID_ARGUMENT", "first_date"),
        ("RATE_INVALID", "rate"),
        ("EXCHANGE_RATE_TAKEN", "key"),
    ]


async def test_a_person_sees_rates_and_converts_in_the_graph(crm: Installation) -> None:
    await make(crm, ("JPY", "CNY"), "0.045612", "2025-04-01")
    found = await crm.data(
        """{ exchangeRates(filter: {fromCurrency: {eq: "JPY"}}) { nodes { fromCurrency toCurrency rate firstDate source key } }
             rate: exchangeRateOfDay(fromCurrency: "CNY", toCurrency: "JPY", date: "2025-04-03") { rate way ageDays stored { rate } }
             amountInCurrency(amount: {currencyCode: "CNY", amount: "100"}, toCurrency: "JPY", date: "2025-04-03") {
               converted { currencyCode amount } rate { way } }
             none: amountInCurrency(amount: {currencyCode: "ISK", amount: "5"}, toCurrency: "JPY") { amount { amount } converted { amount } rate { way } }
             missing: exchangeRateOfDay(fromCurrency: "ISK", toCurrency: "JPY") { rate } }""",
        crm.tokens["SALES_REP"],
    )
    assert {
        "fromCurrency": "JPY", "toCurrency": "CNY", "rate": "0.045612", "firstDate": "2025-04-01", "source": "MANUAL", "key": "JPY-CNY-2025-04-01",
    } in found["exchangeRates"]["nodes"]  # fmt: skip
    assert found["rate"] == {"rate": "21.9240550732263439", "way": "INVERSE", "ageDays": 2, "stored": [{"rate": "0.045612"}]}
    assert found["amountInCurrency"] == {"converted": {"currencyCode": "JPY", "amount": "2192.00"}, "rate": {"way": "INVERSE"}}
    assert found["none"] == {"amount": {"amount": "5.00"}, "converted": None, "rate": None}
    assert found["missing"] is None


async def test_a_changed_rate_resends_the_rates_and_no_people_and_departments_keep_them(crm: Installation) -> None:
    day = crm.suite["sales"].own_call("test").today
    await make(crm, ("PLN", "CNY"), "1.8", (day - timedelta(3)).isoformat())
    known = crm.suite["sales"].authority

    async def answer(known_revision: int, **parts: int) -> Any:
        request = access_service_pb2.GetDirectoryRequest(known_revision=known_revision, known_parts=parts)
        return await crm.channels["organization"].call(SERVICE, "GetDirectory", request, token=await crm.link.token())

    def converted() -> Any:
        return crm.suite["sales"].own_call("test").rates.convert(of_micros("PLN", 10_000_000), "CNY", day)

    await crm.until(lambda: converted() == of_micros("CNY", 18_000_000))
    before = known.directory
    held = dict(before.parts.revisions)
    made = await make(crm, ("PLN", "CNY"), "1.9", day.isoformat())
    sent = await answer(before.revision, **held)
    assert not sent.HasField("directory")  # nobody is told of people again
    assert [(part.name, part.revision) for part in sent.parts] == [(RATES.name, held[RATES.name] + 1)]
    old = await answer(before.revision)  # a department of a build that knows no parts
    assert (old.HasField("directory"), len(old.parts)) == (False, 0)
    await crm.until(lambda: converted() == of_micros("CNY", 19_000_000))
    assert known.directory.members is before.members or known.directory.revision > before.revision
    await crm.ask("ArchiveExchangeRate", role="COORDINATOR", exchange_rate_id=made.id)
    await crm.until(lambda: converted() == of_micros("CNY", 18_000_000))


async def test_departments_hold_400_days_and_the_newest_before_them(crm: Installation) -> None:
    database, day = crm.suite["organization"].database, read_day("2025-06-30", "date")
    for number in (500, 450, 399, 10):
        await make(crm, ("MXN", "CNY"), f"0.{number}", (day - timedelta(number)).isoformat())
    table = await store.part(database, "CNY", day)
    found = next(one for one in table.series if one.from_currency == "MXN")
    assert list(zip(found.first_days, found.rates, strict=True)) == [
        ((day - timedelta(450)).toordinal(), "0.45"),
        ((day - timedelta(399)).toordinal(), "0.399"),
        ((day - timedelta(10)).toordinal(), "0.1"),
    ]
    assert table.base_currency == "CNY"


async def test_where_there_are_too_many_rates_they_begin_later_and_no_day_gets_a_wrong_one(crm: Installation) -> None:
    database, day = crm.suite["organization"].database, read_day("2024-06-30", "date")
    for number in range(5):
        await make(crm, ("THB", "CNY"), f"0.2{number + 1}", (day + timedelta(number)).isoformat())
    rates = {
        (one.from_currency, one.to_currency): one
        for one in (await store.part(database, "CNY", crm.suite["organization"].own_call("test").today)).series
    }
    assert len(rates["THB", "CNY"].rates) == 1  # all of them more than 400 days ago
    later = await database["exchange_rates"].count_documents(
        {"archive_time": None, "first_date": {"$gt": (day + timedelta(4)).isoformat()}}
    )
    told = await store.part(database, "CNY", day + timedelta(300), most=later + 2)
    table = {(one.from_currency, one.to_currency): one for one in told.series}
    assert list(table["THB", "CNY"].rates) == ["0.23", "0.24", "0.25"]


async def test_who_asks_without_a_token_gets_no_rate(crm: Installation, pairs: list[dict[str, str]]) -> None:
    with pytest.raises(CrmError) as refusal:
        await crm.ask("BatchGetRates", role="", pairs=pairs)
    assert refusal.value.code == "UNAUTHENTICATED"
