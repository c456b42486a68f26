"""Of which customers the rows of an import tell: by that they are found, and forgotten, when one is erased."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from crm.common.v1 import annotations_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError

from chassis.kernel.ids import from_source
from chassis.rpc.contract import contract_of, nouns
from chassis.rpc.documents import message_class, traits
from chassis.storage.aliases import CUSTOMER_ALIAS, CUSTOMER_ID, origin_of
from chassis.storage.client import Database

CUSTOMERS = "customers"


def tells_of_customers(record: Descriptor) -> bool:
    """Whether records of this kind are customers, or hang on one."""
    return contract_of(record).resource == CUSTOMERS or CUSTOMER_ID in record.fields_by_name


async def customers_of(database: Database, record: Descriptor, sent: Sequence[bytes]) -> list[str]:
    """Id of the customer of whom each row tells, as it was written for: the one that it names, or that of the record that it changes, or of one of
    this department to which it refers; "" for none."""
    if not tells_of_customers(record):
        return [""] * len(sent)
    messages = [_message(row, record) for row in sent]
    resource, keys = contract_of(record).resource, [str(getattr(message, "source_key", "")) for message in messages]
    if resource == CUSTOMERS:
        stored = await _origins(database, resource, "source_key", keys)
        return [stored.get(key) or (from_source(resource, key) if key else "") for key in keys]
    given = annotations_pb2.BEHAVIOR_OUTPUT_ONLY not in traits(record.fields_by_name[CUSTOMER_ID]).behaviors
    found = [str(getattr(message, CUSTOMER_ID, "")) if given else "" for message in messages]
    for place, field in ((resource, "source_key"), *_links(record)):
        values = [str(getattr(message, field, "")) if not known else "" for message, known in zip(messages, found, strict=True)]
        stored = await _origins(database, place, "source_key" if field == "source_key" else "_id", values)
        found = [known or stored.get(value, "") for known, value in zip(found, values, strict=True)]
    return found


def _message(row: bytes, record: Descriptor) -> Any:
    try:
        return message_class(record).FromString(row)
    except DecodeError:
        return None


def _links(record: Descriptor) -> list[tuple[str, str]]:
    """(resource, field) of what a record refers to in its own department, where that hangs on a customer."""
    own = contract_of(record)
    known = {noun.name: noun for noun in nouns() if noun.department == own.department and CUSTOMER_ID in noun.record.fields_by_name}
    return [
        (known[name].resource, field)
        for field, name in own.references.items()
        if name in known and not record.fields_by_name[field].is_repeated
    ]


async def _origins(database: Database, resource: str, by: str, values: Iterable[str]) -> dict[str, str]:
    """Customers for whom records were written, by a unique value of theirs; of customers they themselves."""
    wanted = sorted(set(values) - {""})
    if not wanted:
        return {}
    fields = dict.fromkeys((by, CUSTOMER_ID, CUSTOMER_ALIAS), 1)
    rows = await database[resource].find({by: {"$in": wanted}}, fields).to_list()
    return {row[by]: row["_id"] if resource == CUSTOMERS else origin_of(row) for row in rows}
