"""EventService, which every department serves: its published facts, the facts that it set aside, and what it has not heard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from crm.common.v1 import event_service_pb2 as contract
from pymongo import ASCENDING, DeleteOne

from chassis.kernel.errors import NotFound
from chassis.messaging.envelope import decode
from chassis.messaging.reactions import PARKED, Consumer
from chassis.messaging.reconciler import Reconciler
from chassis.messaging.relay import publish_again
from chassis.rpc.call import Call
from chassis.rpc.documents import to_message
from chassis.rpc.service import Service
from chassis.storage.changes import OUTBOX
from chassis.storage.records import Document

DESCRIPTOR = contract.DESCRIPTOR.services_by_name["EventService"]
_HEADERS = {"headers.ce-aggregate": 1, "headers.ce-subject": 1, "headers.ce-version": 1}
_PAGE, _PARKED_PAGE = 1000, 50


def service(wake: Callable[[int], None], consumers: Mapping[str, Consumer], reconciler: Callable[[], Reconciler]) -> Service:
    """The handlers. `consumers` by durable; `wake` tells the relay that there is something to publish."""

    async def republish(call: Call, request: Any) -> Any:
        count = await publish_again(call.database, {"_id": {"$in": list(request.event_ids)}})
        wake(count)
        return contract.RepublishEventsResponse(count=count)

    async def retry(call: Call, request: Any) -> Any:
        outcomes = []
        for identity in request.parked_ids:
            row = await call.database[PARKED].find_one({"_id": identity})
            outcomes.append(contract.RetryOutcome(parked_id=identity, refusal=await _replay(consumers, identity, row)))
        return contract.RetryParkedEventsResponse(outcomes=outcomes)

    async def reconcile(call: Call, request: Any) -> Any:
        found = await reconciler().reconcile(from_beginning=request.from_beginning)
        return contract.ReconcileEventsResponse(
            reconciliations=[
                contract.Reconciliation(owner=one.owner, compared_count=one.compared, missing_count=one.missing, refusal=one.refusal)
                for one in found
            ]
        )

    handlers = {
        "ListPublishedEvents": _list_published, "RepublishEvents": republish, "ListParkedEvents": _list_parked, "RetryParkedEvents": retry,
        "DropParkedEvents": _drop, "ReconcileEvents": reconcile,
    }  # fmt: skip
    return Service(DESCRIPTOR, handlers, {})


async def _list_published(call: Call, request: Any) -> Any:
    cursor = call.database[OUTBOX].find({"_id": {"$gt": request.after_id}}, _HEADERS, max_time_ms=call.milliseconds_left)
    rows = await cursor.sort("_id", ASCENDING).limit(request.page_size or _PAGE).to_list()
    events = [
        contract.PublishedEvent(
            event_id=row["_id"], aggregate=row["headers"]["ce-aggregate"], aggregate_id=row["headers"]["ce-subject"],
            version=int(row["headers"]["ce-version"]),
        )
        for row in rows
    ]  # fmt: skip
    return contract.ListPublishedEventsResponse(events=events)


async def _list_parked(call: Call, request: Any) -> Any:
    which: Document = {"$in": list(request.parked_ids)} if request.parked_ids else {"$gt": request.after_id}
    cursor = call.database[PARKED].find({"_id": which, "done": None}, max_time_ms=call.milliseconds_left).sort("_id", ASCENDING)
    rows = await cursor.limit(request.page_size or _PARKED_PAGE).to_list()
    return contract.ListParkedEventsResponse(parked_events=[_parked(row) for row in rows])


def _parked(row: Document) -> Any:
    try:
        content = orjson.dumps(decode(row["headers"], row["payload"]).body, default=str).decode()
    except (KeyError, ValueError):
        content = ""
    values = {**row, "parked_id": row["_id"], "park_time": row["time"], "payload_bytes": len(row["payload"]), "content": content}
    headers = values.pop("headers")
    message = to_message(values, contract.ParkedEvent.DESCRIPTOR)
    message.headers.update(headers)
    return message


async def _replay(consumers: Mapping[str, Consumer], identity: str, row: Document | None) -> str:
    """Why a parked fact did not take effect; "" when it did."""
    if row is None:
        return "there is no such parked fact; somebody else has dealt with it"
    consumer = consumers.get(identity.partition("|")[0])
    if consumer is None:
        return f"this build has no reaction «{row['reaction']}» any more; drop it"
    try:
        await consumer.replay(row)
    except Exception as error:  # whatever it is, the fact stays where it is and the operator reads why
        return f"{type(error).__name__}: {error}"[:1000]
    return ""


async def _drop(call: Call, request: Any) -> Any:
    rows = await call.database[PARKED].find({"_id": {"$in": list(request.parked_ids)}}, {"subject": 1}).to_list()
    if not rows:
        raise NotFound("none of these facts is parked; look at `xietong events parked`", field="parked_ids")
    call.changes.reason = request.reason
    for row in rows:
        call.changes.write(PARKED, DeleteOne({"_id": row["_id"]}))
        call.changes.audit("parked_events", row["_id"], 0, "ParkedEventDropped", {"subject": [row["subject"], None]}, call.now)
    return contract.DropParkedEventsResponse(count=len(rows))
