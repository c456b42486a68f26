"""RecordService of every department: its records among others, described in the words of their nouns, and found by what stands in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from crm.common.v1 import record_service_pb2 as contract
from google.protobuf.descriptor import FieldDescriptor

from chassis.access.caller import READ
from chassis.access.fields import told
from chassis.kernel.errors import NotAllowed
from chassis.kernel.money import MICROS
from chassis.rpc.call import Call
from chassis.rpc.documents import to_message
from chassis.rpc.service import Service
from chassis.storage.finding import Finder, Hit
from chassis.storage.records import Document, Records

DESCRIPTOR = contract.DESCRIPTOR.services_by_name["RecordService"]
_BESIDE = ("owner_id", "customer_id", "update_time", "archive_time")


def service(stores: Sequence[Records]) -> Service:
    """The handlers over the records of these stores that have cards."""
    known = {store.resource: store for store in stores if store.contract.traits.HasField("card")}
    finder = Finder(known.values())

    async def search(call: Call, request: Any) -> Any:
        _open_contracts(call, known)
        found = await finder.find(
            call, request.query, resources=list(request.resources) or list(known), size=request.page_size, archived=request.archived
        )
        return contract.SearchResponse(hits=[_hit(call, hit) for hit in found])

    async def describe(call: Call, request: Any) -> Any:
        _open_contracts(call, known)
        wanted: dict[str, list[str]] = {}
        for key in request.keys:
            wanted.setdefault(key.resource, []).append(key.record_id)
        cards = {resource: await _cards(call, known[resource], ids) for resource, ids in wanted.items() if resource in known}
        told_of = [(key, cards.get(key.resource, {}).get(key.record_id)) for key in request.keys]
        return contract.BatchDescribeRecordsResponse(
            records=[contract.DescribedRecord(key=key, card=card) for key, card in told_of if card is not None]
        )

    return Service(DESCRIPTOR, {"Search": search, "BatchDescribeRecords": describe}, {})


def _open_contracts(call: Call, known: Mapping[str, Records]) -> None:
    """What is shown by contracts is told of here too, of every kind by its own."""
    if not call.by_roles:
        call.contracts = tuple(one for resource in known for one in call.directory.contracts_for(call.caller, resource))


async def _cards(call: Call, store: Records, ids: Sequence[str]) -> dict[str, Any]:
    try:
        found = await store.found_as(call, ids)
    except NotAllowed:
        return {}
    return {identity: card(call, store, document) for identity, document in found.items()}


def card(call: Call, store: Records, document: Document) -> Any:
    """The card of a record, with what the caller gets of it. Notes what of it is personal."""
    limits, shape = call.limits(store.resource), store.contract.traits.card
    told_of = {
        name: told(document.get(name), limits.get(name, READ), store.contract.field(name)) for name in (shape.title, *shape.subtitle)
    }
    personal = tuple(name for name in told_of if name in store.personal and told_of[name] and limits.get(name, READ) >= READ)
    if personal and document["_id"] != call.caller.person_id:
        call.seen.append((store.resource, document["_id"], personal))
    texts = {name: _text(value) for name, value in told_of.items()}
    made: Document = {"resource": store.resource, "record_id": document["_id"], "title": texts[shape.title]}
    made["subtitle"] = " · ".join(texts[name] for name in shape.subtitle if texts[name])
    fields = store.descriptor.fields_by_name
    made |= {name: told(document.get(name), limits.get(name, READ), fields[name]) for name in _BESIDE if name in fields}
    if "state" in fields and fields["state"].enum_type is not None:
        made["state"] = _state(document, limits, fields["state"])
    return to_message(made, contract.RecordCard.DESCRIPTOR)


def _state(document: Document, limits: Mapping[str, int], field: FieldDescriptor) -> str | None:
    found = told(document.get("state"), limits.get("state", READ), field)
    return str(found) if found else None


def _text(value: Any) -> str:
    """A value of a card in words."""
    if isinstance(value, Mapping):
        return f"{Decimal(value['amount_micros']) / MICROS:,.2f} {value['currency_code']}"
    return "" if value is None else str(value)


def _hit(call: Call, hit: Hit) -> Any:
    """A hit. Notes what of its texts is personal: they leave outside of their record."""
    store, record_id = hit.by or (hit.store, hit.document["_id"])
    personal = tuple(match.field for match in hit.matched if match.field in store.personal)
    if personal and record_id != call.caller.person_id:
        call.seen.append((store.resource, record_id, personal))
    where = "" if store is hit.store else f"{store.resource}."
    matched = [
        contract.SearchMatch(field=f"{where}{one.field}", before=one.before, match=one.match, after=one.after) for one in hit.matched
    ]
    return contract.SearchHit(card=card(call, hit.store, hit.document), rank=hit.rank, matched=matched)
