"""Products in MongoDB."""

from __future__ import annotations

from collections.abc import Collection

from crm.sales.v1 import product_pb2

from chassis.rpc.call import Call
from chassis.storage.records import Document, Records


class Products(Records):
    """What can be sold."""

    def __init__(self) -> None:
        super().__init__(product_pb2.Product)

    async def by_codes(self, call: Call, codes: Collection[str]) -> dict[str, Document]:
        """Products that the caller may see, by their codes."""
        query = {"$and": [{"code": {"$in": list(codes)}}, self.reach(call, "read").filter()]}
        rows = call.database[self.resource].find(query, {"code": 1, "archive_time": 1}, max_time_ms=call.milliseconds_left)
        return {row["code"]: row async for row in rows}
