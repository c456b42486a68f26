"""ExchangeRateService."""

from __future__ import annotations

from typing import Any

from crm.organization.v1 import exchange_rate_pb2, exchange_rate_service_pb2

from chassis.kernel.clock import read_day
from chassis.kernel.rates import Rate
from chassis.rpc.call import Call
from chassis.rpc.documents import to_document, to_message
from chassis.rpc.noun import Noun, handler
from chassis.rpc.service import Service
from services.organization.exchange_rates import model
from services.organization.exchange_rates.store import ExchangeRates

_WAYS = exchange_rate_pb2.ExchangeRateWay.DESCRIPTOR.values_by_name


def service(exchange_rates: ExchangeRates, base: str) -> Service:
    """The handlers of exchange rates; `base` is the company's currency."""

    @handler
    async def rates(call: Call, request: exchange_rate_service_pb2.BatchGetRatesRequest) -> Any:
        day = read_day(request.date, "date") if request.HasField("date") else call.today
        known = await exchange_rates.on(call, [(pair.from_currency, pair.to_currency) for pair in request.pairs], base, day)
        answer = exchange_rate_service_pb2.BatchGetRatesResponse()
        for pair in request.pairs:
            found = known.of_day(pair.from_currency, pair.to_currency, day)
            if found is None:
                answer.missing.append(pair)
            else:
                answer.rates.append(told(found))
        return answer

    @handler
    async def convert(call: Call, request: exchange_rate_service_pb2.ConvertAmountRequest) -> Any:
        day = read_day(request.date, "date") if request.HasField("date") else call.today
        pair = request.amount.currency_code, request.to_currency
        known = await exchange_rates.on(call, [pair], base, day)
        conversion = exchange_rate_pb2.AmountConversion(amount=request.amount)
        if found := known.of_day(*pair, day):
            conversion.rate.CopyFrom(told(found))
        if converted := known.convert(to_document(request.amount), request.to_currency, day):
            conversion.converted.CopyFrom(to_message(converted, conversion.converted.DESCRIPTOR))
        return exchange_rate_service_pb2.ConvertAmountResponse(conversion=conversion)

    return Noun(exchange_rates, model.check).serve(BatchGetRates=rates, ConvertAmount=convert)


def told(rate: Rate) -> exchange_rate_pb2.RateOfDay:
    """A rate as the contract tells it."""
    return exchange_rate_pb2.RateOfDay(
        from_currency=rate.source, to_currency=rate.target, date=rate.day.isoformat(), rate=rate.text,
        way=_WAYS[f"EXCHANGE_RATE_WAY_{rate.way}"].number, age_days=rate.age_days,
        first_date=rate.first_day.isoformat() if rate.first_day else None,
        stored=[
            exchange_rate_pb2.StoredRate(
                from_currency=one.source, to_currency=one.target, rate=one.text,
                first_date=one.first_day.isoformat() if one.first_day else "",
            )
            for one in rate.stored
        ],
    )  # fmt: skip
