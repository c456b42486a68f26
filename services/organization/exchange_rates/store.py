"""Exchange rates in MongoDB; each change reaches departments as a part of the directory."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from crm.common.v1 import rates_pb2
from crm.organization.v1 import exchange_rate_pb2
from pymongo import ASCENDING, DESCENDING, IndexModel

from chassis.access.parts import RATES
from chassis.kernel.pages import Sort
from chassis.kernel.rates import DAYS_BACK, MOST_CURRENCIES, Pair, Rates
from chassis.rpc.call import Call
from chassis.storage.client import Database
from chassis.storage.pages import Reading, rows_by_key
from chassis.storage.records import Document, Records
from services.organization.access.store import touch
from services.organization.exchange_rates.model import pair_key

log = logging.getLogger("crm.organization")
COLLECTION = "exchange_rates"
MOST_RATES = MOST_CURRENCIES * (DAYS_BACK + 1)
_FIELDS = {"from_currency": 1, "to_currency": 1, "rate": 1, "first_date": 1}
_MILLISECONDS = 10_000


class ExchangeRates(Records):
    """Rates of pairs of currencies, each from a day on."""

    def __init__(self) -> None:
        newest = IndexModel([("pair", ASCENDING), ("first_date", DESCENDING)], name="by_pair")
        super().__init__(exchange_rate_pb2.ExchangeRate, indexes=[newest])

    def derive(self, call: Call, document: Document) -> None:
        """By which rates of a pair are found."""
        document["pair"] = pair_key(document["from_currency"], document["to_currency"])

    def project(self, call: Call, before: Document | None, after: Document) -> None:
        """A new revision of this part of the directory."""
        touch(call, RATES.name)

    async def on(self, call: Call, pairs: Iterable[Pair], base: str, day: date) -> Rates:
        """All that the rates of these pairs on a day can stand on, however long ago it was stored."""
        legs = {leg for one, other in pairs for leg in ((one, other), (one, base), (base, other))}
        keys = sorted({pair_key(*pair) for leg in legs for pair in (leg, leg[::-1]) if pair[0] != pair[1]})
        if not keys:
            return Rates(base)
        query = {"$and": [{"archive_time": None, "first_date": {"$lte": day.isoformat()}}, self.reach(call, "read").filter()]}
        newest = Reading(query, Sort("first_date", -1), 0, {**_FIELDS, "pair": 1})
        found = await rows_by_key(call.database, self.resource, "pair", keys, newest, call.milliseconds_left)
        return Rates(base, {_pair(row): ((_number(row),), (row["rate"],)) for rows in found.values() for row in rows})


async def part(database: Database, base: str, today: date, most: int = MOST_RATES) -> rates_pb2.RateTable:
    """The rates as departments hold them: all of the last 400 days, and of each pair the newest before them.

    Where there are more than `most`, 80,000, they begin as much later, and the newest before that are told.
    """
    collection, since = database[COLLECTION], (today - timedelta(DAYS_BACK)).isoformat()
    query = {"archive_time": None, "first_date": {"$gte": since}}
    rows = await collection.find(query, _FIELDS).sort("first_date", DESCENDING).limit(most + 1).max_time_ms(_MILLISECONDS).to_list()
    if len(rows) > most:
        since = (date.fromisoformat(rows[-1]["first_date"]) + timedelta(1)).isoformat()
        rows = [row for row in rows if row["first_date"] >= since]
        log.warning("rates told from a later day on, for there are too many", extra={"first_day": since, "most": most})
    pairs = sorted(await collection.distinct("pair"))
    before = {"archive_time": None, "first_date": {"$lt": since}}
    newest = Reading(before, Sort("first_date", -1), 0, _FIELDS)
    older = await rows_by_key(database, COLLECTION, "pair", pairs, newest, _MILLISECONDS) if pairs else {}
    return _table(base, [*reversed(rows), *(row for found in older.values() for row in found)])


def _table(base: str, rows: list[dict[str, Any]]) -> rates_pb2.RateTable:
    table, series = rates_pb2.RateTable(base_currency=base), {}
    for row in sorted(rows, key=lambda row: str(row["first_date"])):
        pair = _pair(row)
        if pair not in series:
            series[pair] = table.series.add(from_currency=pair[0], to_currency=pair[1])
        series[pair].first_days.append(_number(row))
        series[pair].rates.append(row["rate"])
    return table


def _pair(row: Document) -> Pair:
    return row["from_currency"], row["to_currency"]


def _number(row: Document) -> int:
    return date.fromisoformat(row["first_date"]).toordinal()
