"""What a department keeps about a customer, for the person whom it is about: every record, in every place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from crm.common.v1 import disclosure_service_pb2

from chassis.rpc.call import Call
from chassis.rpc.documents import to_message
from chassis.rpc.service import Service
from chassis.storage.changes import AUDIT
from chassis.storage.records import Document, Records

DESCRIPTOR = disclosure_service_pb2.DESCRIPTOR.services_by_name["DisclosureService"]
MOST = 500
_SEALED = "as long as the record; personal fields encrypted under the customer's key until it is erased"
_AUDIT = "for good, sealed in a chain; personal values masked"
_UNSEEN = frozenset(("id", "version", "update_time"))


def service(department: str, stores: Sequence[Records]) -> Service:
    """The handler of DiscloseSubject. Who may ask for it sees what the person may see of themselves: everything."""
    about = [
        store
        for store in stores
        if (store.customer_key and "customer_id" in store.descriptor.fields_by_name) or store.customer_key == "_id"
    ]

    async def disclose(call: Call, request: Any) -> Any:
        places = []
        touched = [request.customer_id]
        for store in about:
            count, rows = await _read(call, store, request.customer_id)
            touched += [row["_id"] for row in rows]
            if count:
                places.append(_place(department, store.resource, count, [_record(store, row) for row in rows], _SEALED))
        audited = await call.database[AUDIT].count_documents({"record_id": {"$in": touched}}, maxTimeMS=call.milliseconds_left)
        if audited:
            places.append(_place(department, AUDIT, audited, [], _AUDIT))
        return disclosure_service_pb2.DiscloseSubjectResponse(places=places)

    return Service(DESCRIPTOR, {"DiscloseSubject": disclose}, {})


async def _read(call: Call, store: Records, customer_id: str) -> tuple[int, list[Document]]:
    """How many records a store holds about a customer, and the newest of them."""
    table, query = call.database[store.resource], {store.customer_key: customer_id}
    count = await table.count_documents(query, maxTimeMS=call.milliseconds_left)
    cursor = table.find(query, max_time_ms=call.milliseconds_left).sort("_id", -1).limit(MOST)
    return count, await store.opened(call, await cursor.to_list()) if count else []


def _record(store: Records, row: Document) -> Document:
    names = [field.name for field in store.descriptor.fields if field.name not in _UNSEEN and row.get(field.name) is not None]
    values = [{"field": name, "value": orjson.dumps(row[name], default=str).decode(), "personal": name in store.personal} for name in names]
    return {"record_id": row["_id"], "create_time": row.get("create_time"), "values": values}


def _place(department: str, place: str, count: int, records: list[Document], retention: str) -> Any:
    found = {"department": department, "place": place, "record_count": count, "records": records, "retention": retention}
    return to_message(found, disclosure_service_pb2.DisclosedPlace.DESCRIPTOR)
