"""The handlers that every noun has alike: reads from a store, writes through an action, upserts of whole batches.

A noun's `api.py` puts them in a table; only what is special to it is written there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from chassis.kernel.errors import Invalid
from chassis.rpc.call import Call
from chassis.rpc.documents import enum_names, message_class, to_document, to_message
from chassis.rpc.service import Handler, response_class
from chassis.storage.pages import Page
from chassis.storage.records import Document, Records

Action = Callable[..., Awaitable[Document]]
_WHOLE = {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64}
_META = frozenset(("request_id", "update_mask"))


def reads(records: Records, service: ServiceDescriptor) -> dict[str, Handler]:
    """Get, BatchGet, List and every BatchList of the service whose rows are this noun's."""
    found: dict[str, Handler] = {}
    for method in service.methods:
        rows = _rows_field(method, records)
        if rows is None:
            continue
        if method.name == f"Get{records.noun}":
            found[method.name] = _get(records, method)
        elif method.name.startswith("BatchGet"):
            found[method.name] = _batch_get(records, method, rows)
        elif method.name.startswith("BatchList"):
            found[method.name] = _batch_list(records, method)
        elif method.name.startswith("List"):
            found[method.name] = _list(records, method, rows)
    return found


def _rows_field(method: MethodDescriptor, records: Records) -> str | None:
    fields = method.output_type.fields
    if "groups" in method.output_type.fields_by_name:
        fields = method.output_type.fields_by_name["groups"].message_type.fields
    return next((field.name for field in fields if field.message_type is records.descriptor), None)


def _get(records: Records, method: MethodDescriptor) -> Handler:
    key = next(field.name for field in method.input_type.fields if field.name.endswith("_id"))

    async def handle(call: Call, request: Any) -> Message:
        return answer(method, await records.read(call, getattr(request, key), request.read_mask.paths))

    return handle


def _batch_get(records: Records, method: MethodDescriptor, rows: str) -> Handler:
    make = response_class(method)

    async def handle(call: Call, request: Any) -> Message:
        found = await records.batch_get(call, request.ids, request.read_mask.paths)
        messages = [to_message(document, records.descriptor) for document in found.values()]
        return make(**{rows: messages, "missing_ids": [identity for identity in dict.fromkeys(request.ids) if identity not in found]})

    return handle


def listing(request: Any) -> dict[str, Any]:
    """The arguments of a page that a List or BatchList request carries."""
    fields = request.DESCRIPTOR.fields_by_name
    asked: dict[str, Any] = {"size": request.page_size, "token": request.page_token}
    if "filter" in fields and request.HasField("filter"):
        asked["criteria"] = to_document(request.filter)
    if "order_by" in fields and request.order_by:
        asked["order"] = enum_names(fields["order_by"].enum_type)[request.order_by]
    if "sort_by" in fields and request.sort_by:
        asked["sort_by"] = [to_document(one) for one in request.sort_by]
    if "archived" in fields and request.archived:
        asked["archived"] = enum_names(fields["archived"].enum_type)[request.archived]
    if "row_tokens" in fields:
        asked["row_tokens"] = request.row_tokens
    asked |= {name: getattr(request, name) for name in ("skip", "backward", "count_up_to") if name in fields}
    if "read_mask" in fields:
        asked["fields"] = list(request.read_mask.paths)
    return asked


def _list(records: Records, method: MethodDescriptor, rows: str) -> Handler:
    make = response_class(method)

    async def handle(call: Call, request: Any) -> Message:
        found = await records.page(call, **listing(request))
        messages = [to_message(document, records.descriptor) for document in found.rows]
        return make(**{rows: messages, "next_page_token": found.next_token, "row_tokens": found.row_tokens}, **_total(found))

    return handle


def _total(page: Page) -> dict[str, Any]:
    """How many there are, where that was asked for."""
    return {"total": {"count": page.total.count, "exact": page.total.exact}} if page.total else {}


def _batch_list(records: Records, method: MethodDescriptor) -> Handler:
    keys = records.contract.keys(method)

    async def handle(call: Call, request: Any) -> Message:
        name = _asked_by(request, keys)
        ids = list(getattr(request, name))
        return groups(method, records.descriptor, ids, await records.batch_page(call, keys[name], ids, **listing(request)))

    return handle


def _asked_by(request: Any, keys: Mapping[str, str]) -> str:
    """The field of a request that has the ids. Raises Invalid where not one has."""
    given = [name for name in keys if getattr(request, name)]
    if len(given) != 1:
        words = f"give ids of one kind, in {' or '.join(keys)}; each kind is a call of its own"
        raise Invalid(words, field=given[1] if given else next(iter(keys)), params={"rule": "keys.one"})
    return given[0]


def groups(method: MethodDescriptor, row: Descriptor, ids: list[str], pages: Mapping[str, Page]) -> Message:
    """The answer of a BatchList: one group a key, in the order asked."""
    group = method.output_type.fields_by_name["groups"].message_type
    rows = next(field.name for field in group.fields if field.message_type is row)
    make = message_class(group)
    built = []
    for identity in dict.fromkeys(ids):
        found = pages[identity]
        messages = [to_message(document, row) for document in found.rows]
        built.append(
            make(**{"key": identity, rows: messages, "next_page_token": found.next_token, "row_tokens": found.row_tokens}, **_total(found))
        )
    return response_class(method)(**{"groups": built})


def answer(method: MethodDescriptor, document: Document) -> Message:
    """The answer of a method that gives one record."""
    field = method.output_type.fields[0]
    return response_class(method)(**{field.name: to_message(document, field.message_type)})


def writes(service: ServiceDescriptor, name: str, action: Action) -> Handler:
    """A handler that calls the action with the request's fields by name and answers with the record it returns.

    For a request with an update_mask the named fields arrive as `values` (None where cleared).
    """
    method = service.methods_by_name[name]
    masked = "update_mask" in method.input_type.fields_by_name

    async def handle(call: Call, request: Any) -> Message:
        values = {key: value for key, value in to_document(request).items() if key not in _META}
        if masked:
            values = _masked(request, values)
        call.changes.reason = values.get("reason") or ""  # whatever is done with it, the history tells what was said
        return answer(method, await action(call, **values))

    return handle


def _masked(request: Any, given: Document) -> Document:
    fields = request.DESCRIPTOR.fields_by_name
    keys = [name for name in fields if name not in _META][:2]  # the record's id and the version seen
    changeable = [name for name in fields if name not in _META and name not in keys]
    required = _required_at_create(request.DESCRIPTOR)
    values: Document = {}
    for path in request.update_mask.paths:
        if path not in changeable:
            raise Invalid(f"«{path}» cannot be changed here; update_mask may name {', '.join(changeable)}", field="update_mask")
        values[path] = given.get(path)
        if path in required and values[path] in (None, ""):
            raise Invalid(f"{path} cannot be cleared; give it a value or leave it out of update_mask", field=path)
    return {name: given[name] for name in keys if name in given} | {"values": values}


@cache
def _required_at_create(update: Descriptor) -> frozenset[str]:
    """The fields that the noun's Create request requires: they cannot be cleared later."""
    name = update.full_name.replace(".Update", ".Create")
    try:
        create = update.file.pool.FindMessageTypeByName(name)
    except KeyError:
        return frozenset()
    return frozenset(field.name for field in create.fields if is_required(field))


def _refuses_zero(rules: Any) -> bool:
    """Whether a whole number without presence, which is 0 when it is not given, is refused as 0."""
    found = rules.int64 if rules.HasField("int64") else rules.int32
    return bool(0 in found.not_in or (found.HasField("gte") and found.gte > 0) or (found.HasField("gt") and found.gt >= 0))


def is_required(field: FieldDescriptor) -> bool:
    """Whether the contract's rules refuse a message without this field."""
    rules = field.GetOptions().Extensions[validate_pb2.field]
    if field.has_presence and field.message_type is None:  # «optional»: its rules hold where it is given
        return bool(rules.required)
    if field.cpp_type in _WHOLE and not field.is_repeated and _refuses_zero(rules):
        return True
    return bool(rules.required or rules.string.min_len or (0 in rules.enum.not_in and not field.is_repeated) or rules.repeated.min_items)
