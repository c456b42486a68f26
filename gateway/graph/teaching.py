"""What the schema teaches beyond comments: how long, how much and in which form an input is taken, from the rules that refuse it otherwise;
and the codes by which a command may be refused, as far as contracts give them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from buf.validate import validate_pb2
from crm.common.v1 import annotations_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from chassis.kernel.rules import PATTERNS, RULES
from chassis.rpc.contract import Contract
from chassis.rpc.documents import traits

# Forms whose sentence says with an example what is wanted, behind what is wrong.
_FORM = annotations_pb2.Form.DESCRIPTOR


def limits(field: FieldDescriptor) -> str:
    """Sentences about a field of a request; "" where it has no limits."""
    rules: Any = field.GetOptions().Extensions[validate_pb2.field]
    found = [*_many(rules.repeated)] if field.is_repeated else []
    one = rules.repeated.items if field.is_repeated else rules
    found += [*_text(one.string, field)] if field.cpp_type == FieldDescriptor.CPPTYPE_STRING else [*_number(one)]
    return " ".join(found)


def _many(rules: Any) -> Iterator[str]:
    if rules.max_items:
        yield f"{rules.min_items} to {rules.max_items:,} of them." if rules.min_items else f"At most {rules.max_items:,} of them."


def _text(rules: Any, field: FieldDescriptor) -> Iterator[str]:
    named = PATTERNS.get(rules.pattern, "") if rules.pattern and not traits(field).refers_to else ""
    form = f"form.{_FORM.values_by_number[traits(field).form].name.removeprefix('FORM_').lower()}"
    words = RULES.get(named or form, ("",))[0].rpartition("; ")[2]
    if words and form != "form.name":
        yield f"{words[0].upper()}{words[1:]}."
    elif rules.max_len and not traits(field).refers_to:
        yield f"{rules.min_len} to {rules.max_len:,} characters." if rules.min_len else f"At most {rules.max_len:,} characters."


def _number(rules: Any) -> Iterator[str]:
    kind = rules.WhichOneof("type")
    if kind not in ("int32", "int64", "double"):
        return
    own = getattr(rules, kind)
    least = own.gte if own.HasField("gte") else own.gt + 1 if own.HasField("gt") and kind != "double" else None
    most = own.lte if own.HasField("lte") else own.lt - 1 if own.HasField("lt") and kind != "double" else None
    if least is not None and most is not None:
        yield f"{least:,} to {most:,}."
    elif least is not None:
        yield f"{least:,} or more."
    elif most is not None:
        yield f"{most:,} at most."


def refusals(method: MethodDescriptor, contract: Contract) -> str:
    """The codes that a command may be refused with by its contract alone; its own rules may have more."""
    return f"May be refused with {', '.join(codes(method.input_type, method.name, contract))}."


def codes(request: Descriptor, name: str, contract: Contract) -> list[str]:
    """The codes, sorted."""
    found = {"NOT_ALLOWED"}
    others = [field for field in request.fields if traits(field).refers_to and field.name != contract.key]
    found |= {"INVALID_ARGUMENT"} if [one for one in request.fields if one.name not in ("request_id", contract.key, "version")] else set()
    found |= {"NOT_FOUND"} if contract.key in request.fields_by_name else set()
    found |= {"VERSION_CONFLICT"} if "version" in request.fields_by_name else set()
    found |= {"REFERENCE_NOT_FOUND"} if others else set()
    found |= {code for field, code in contract.unique.items() if field in request.fields_by_name}
    in_use = "archive_time" in contract.record.fields_by_name and name.startswith(("Update", "Assign", "Archive"))
    return sorted(found | ({"ARCHIVED"} if in_use else set()))
