"""What a department keeps about a customer, for the person whom it is about: every record, in every place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from crm.common.v1 import disclosure_service_pb2

from chassis.access.caller import READ, refused
from chassis.access.fields import told
from chassis.jobs.rows import count_about
from chassis.jobs.store import ROWS
from chassis.kernel.errors import Invalid
from chassis.rpc import audits
from chassis.rpc.call import Call
from chassis.rpc.documents import to_message
from chassis.rpc.reads import ACTION
from chassis.rpc.service import Service
from chassis.storage.changes import AUDIT
from chassis.storage.records import Document, Records

DESCRIPTOR = disclosure_service_pb2.DESCRIPTOR.services_by_name["DisclosureService"]
MOST = 500
_SEALED = "as long as the record; personal fields encrypted under the customer's key until it is erased"
_AUDIT = "for good, sealed in a chain; personal values masked"
_ROWS = "until their turn; of refused ones 30 days after the end of the import; sealed under the import's key, and dropped when the customer is erased"
_READS = {"action": ACTION}
_UNSEEN = frozenset(("id", "version", "update_time"))


def service(department: str, stores: Sequence[Records]) -> Service:
    """The handler of DiscloseSubject. Who may ask for it sees what the person may see of themselves: every record, and of it the fields that
    their own roles show."""
    about = [
        store
        for store in stores
        if (store.customer_key and "customer_id" in store.descriptor.fields_by_name) or store.customer_key == "_id"
    ]

    async def disclose(call: Call, request: Any) -> Any:
        _whole(call)
        places = []
        group = call.aliases.group(request.customer_id)
        touched = list(group)
        for store in about:
            count, rows = await _read(call, store, request.customer_id)
            touched += [row["_id"] for row in rows]
            limits = call.limits(store.resource)
            clear = [name for name in store.personal if limits.get(name, READ) >= READ]
            call.seen += [(store.resource, row["_id"], names) for row in rows if (names := tuple(name for name in clear if row.get(name)))]
            if count:
                places.append(_place(department, store.resource, count, [_record(store, row, limits) for row in rows], _SEALED))
        kept = await count_about(call.database, group, call.milliseconds_left)
        if kept:
            places.append(_place(department, ROWS, kept, [], _ROWS))
        audited = await call.database[AUDIT].count_documents({"record_id": {"$in": touched}}, maxTimeMS=call.milliseconds_left)
        audited += await call.database[AUDIT].count_documents({"read_ids": {"$in": touched}, **_READS}, maxTimeMS=call.milliseconds_left)
        if audited:
            places.append(_place(department, AUDIT, audited, [], _AUDIT))
        return disclosure_service_pb2.DiscloseSubjectResponse(places=places)

    async def list_reads(call: Call, request: Any) -> Any:
        _whole(call)
        resource = store_of(stores, request.resource).resource
        rows, tokens = await audits.page_of(call, request, "reads", {"read_ids": request.record_id, "resource": resource, **_READS})
        reads = [to_message(_told(row), disclosure_service_pb2.PersonalDataRead.DESCRIPTOR) for row in rows]
        return disclosure_service_pb2.ListPersonalDataReadsResponse(reads=reads, **tokens)

    return Service(DESCRIPTOR, {"DiscloseSubject": disclose, "ListPersonalDataReads": list_reads}, {})


def _whole(call: Call) -> None:
    """Refuse a right that does not reach everything: half an answer would pass for the truth."""
    if not call.reach("disclosures", "read").everything:
        raise refused("disclosures", "read")


def store_of(stores: Sequence[Records], resource: str) -> Records:
    """The store of a resource. Raises Invalid where the department owns none."""
    found = next((store for store in stores if store.resource == resource), None)
    if found is None:
        owned = ", ".join(sorted(store.resource for store in stores))
        raise Invalid(f"this department owns no {resource}; ask about one of {owned}", field="resource")
    return found


def _told(row: Document) -> Document:
    return row | {
        "read_id": row["_id"],
        "purpose": row["reason"],
        "record_count": len(row["read_ids"]),
        "sharing_contract_ids": row.get("contract_ids", []),
    }


async def _read(call: Call, store: Records, customer_id: str) -> tuple[int, list[Document]]:
    """How many records a store holds about a customer, and the newest of them."""
    table, query = call.database[store.resource], {store.customer_key: {"$in": call.aliases.group(customer_id)}}
    count = await table.count_documents(query, maxTimeMS=call.milliseconds_left)
    cursor = table.find(query, max_time_ms=call.milliseconds_left).sort("_id", -1).limit(MOST)
    return count, await store.opened(call, await cursor.to_list()) if count else []


def _record(store: Records, row: Document, limits: Mapping[str, int]) -> Document:
    values = []
    for field in store.descriptor.fields:
        value = told(row.get(field.name), limits.get(field.name, READ), field)
        if field.name not in _UNSEEN and value is not None:
            text = orjson.dumps(value, default=str).decode()
            values.append({"field": field.name, "value": text, "personal": field.name in store.personal})
    return {"record_id": row["_id"], "create_time": row.get("create_time"), "values": values}


def _place(department: str, place: str, count: int, records: list[Document], retention: str) -> Any:
    found = {"department": department, "place": place, "record_count": count, "records": records, "retention": retention}
    return to_message(found, disclosure_service_pb2.DisclosedPlace.DESCRIPTOR)
