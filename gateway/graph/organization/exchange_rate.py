"""What a currency is worth in another, on a day."""

from __future__ import annotations

import datetime
from typing import Any

import strawberry
from crm.organization.v1 import exchange_rate_pb2, exchange_rate_service_pb2
from strawberry.types import Info

from chassis.kernel.errors import CrmError
from gateway.departments.context import Context
from gateway.departments.errors import field_error
from gateway.graph.arguments import signed
from gateway.graph.contract import finish, output_class
from gateway.graph.inputs import checked_text
from gateway.graph.judged import by
from gateway.graph.noun import NOUNS
from gateway.graph.questions import question


def queries() -> dict[str, Any]:
    """The rate of a pair on a day, and an amount in another currency."""
    noun = NOUNS["ExchangeRate"]
    conversion = finish(output_class(exchange_rate_pb2.AmountConversion.DESCRIPTOR))
    convert = question("organization", noun.method("ConvertAmount"), conversion | None, lambda answer: answer.conversion)
    return {"exchangeRateOfDay": _of_day(), "amountInCurrency": convert}


def _of_day() -> Any:
    noun = NOUNS["ExchangeRate"]
    rate, method = finish(output_class(exchange_rate_pb2.RateOfDay.DESCRIPTOR)), noun.method("BatchGetRates")

    async def resolve(info: Info, from_currency: str, to_currency: str, date: datetime.date | None = None) -> Any:
        context: Context = info.context
        try:
            codes = {name: checked_text(code, name) for name, code in (("from_currency", from_currency), ("to_currency", to_currency))}
            request = exchange_rate_service_pb2.BatchGetRatesRequest(
                pairs=[exchange_rate_service_pb2.CurrencyPair(**codes)], date=date.isoformat() if date else None
            )
            answer = await context.clients.read("organization", noun.service, method.name, request, context.token, context.request_id)
        except CrmError as error:
            raise field_error(error, "organization") from None
        return next(iter(answer.rates), None)

    words = "The rate of two currencies on a day, and how it came about; null where there is none, never 1 or 0."
    arguments = {"from_currency": (str, ...), "to_currency": (str, ...), "date": (datetime.date | None, None)}
    return strawberry.field(resolver=signed(resolve, arguments, rate | None), description=words, metadata=by(method))
