"""A proposal measured: customers that carry the keys by which they are seen (owner, team, department and those above, who works with
them), one index of these keys for each order. `python -m bench.mended FOLDER`, after `bench.scopes` filled the folder.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from pymongo import ASCENDING, IndexModel

from bench.million import PEOPLE, PER_DEPARTMENT, SCOPES, place, some_customers
from bench.scopes import Questions, Recorder
from chassis.rpc.call import Call
from chassis.storage.client import connect
from cli.engines import free_port, start_mongo
from cli.words import say
from services.customer.customers.store import Customers

BELOW = 8
Document = dict[str, Any]


class Keyed(Customers):
    """Customers whose scope is one field."""

    def _query(self, call: Call, opening: Any, criteria: Any, after: Document, *asked: str) -> Document:
        query = super()._query(call, opening, criteria, after, *asked)
        person, scope = call.caller, next(iter(call.caller.roles))
        keys = [person.person_id, *(f"with-{len(found)}" for found in call.customers.values())]
        keys += {"team": [person.team_id], "department": [person.department_id], "department and below": [person.department_id]}.get(
            scope, []
        )
        parts = query["$and"] if scope == "all" else [{"scope_keys": {"$in": keys}}, *query["$and"][1:]]
        return {"$and": parts}


async def prepare(source: Any, target: Any) -> dict[int, tuple[str, ...]]:
    """Copy with keys, then the indexes; who works with which customers, by how many."""
    working = {count: await some_customers(source, count) for count in (0, 200, 2000)}
    areas = {place(n)[2]: f"area-{n // PER_DEPARTMENT // BELOW}" for n in range(0, PEOPLE, PER_DEPARTMENT)}
    area = {"$switch": {"branches": [{"case": {"$eq": ["$department_id", unit]}, "then": above} for unit, above in areas.items()]}}
    keys = {"$set": {"scope_keys": ["$owner_id", "$team_id", "$department_id", area]}}
    await (await source.customers.aggregate([keys, {"$out": {"db": target.name, "coll": "customers"}}])).to_list()
    for count, ids in working.items():
        await target.customers.update_many({"_id": {"$in": list(ids)}}, {"$push": {"scope_keys": f"with-{count}"}})
    store = Customers()
    orders = [sort for name, sort in store.sorts.items() if name != "CREATE_TIME_ASC"]
    models = [IndexModel([("scope_keys", ASCENDING), *sort.keys], name=f"keys_{sort.field}") for sort in orders]
    models += [IndexModel(sort.keys, name=f"by_{sort.field}") for sort in orders]
    await target.customers.create_indexes(models)
    return working


async def main(folder: Path) -> None:
    """The same questions as `bench.scopes`, searches aside."""
    child, uri = await start_mongo(folder / "mongo", free_port(), folder / "mongod.log")
    recorder = Recorder()
    source, target = connect(uri, "bench_scopes"), connect(uri, "bench_mended", [recorder])
    try:
        begun = time.monotonic()
        working = await prepare(source, target)
        say(f"copied and indexed in {time.monotonic() - begun:.0f} s")
        for database in (source, target):
            sizes = (await database.command("collStats", "customers"))["indexSizes"]
            say(f"{database.name}: " + ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in sizes.items()))
        questions = Questions(target, recorder, Keyed())
        for scope in SCOPES[:4]:
            for count, ids in working.items():
                for words, ask in questions.asked(scope):
                    if not words.startswith("search"):
                        say((await questions.explain(f"{scope} + {count}: {words}", scope, ids, ask)).line())
    finally:
        await source.client.close()
        await target.client.close()
        await child.stop()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
