"""The handler of Suggest, the same for every noun whose contract says `taggable`; Tag is a verb like others (chassis/rpc/noun.py)."""

from __future__ import annotations

from typing import Any

from crm.common.v1 import tag_pb2
from google.protobuf.message import Message

from chassis.rpc.call import Call
from chassis.rpc.service import Handler, response_class
from chassis.storage.records import Records

LIMIT = 20


def suggestions(records: Records) -> dict[str, Handler]:
    """Suggest, where the noun has it."""
    if not records.contract.traits.taggable:
        return {}
    method = records.contract.method(f"Suggest{records.noun}Tags")
    make = response_class(method)

    async def handle(call: Call, request: Any) -> Message:
        found = await records.tags(call, request.contains, request.limit or LIMIT)
        return make(tags=[tag_pb2.TagCount(tag=one, count=count) for one, count in found])

    return {method.name: handle}
