"""Every shape in which a fact was ever published can still be read: `events/<department>.jsonl` holds one of each, and is only added to.

`python -m tests.contract.test_event_shapes` adds the types that are missing. A line is never rewritten: consumers and outboxes hold such facts.
"""

from __future__ import annotations

import base64
import importlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import Default

from chassis.messaging.envelope import decode, encode, know
from chassis.rpc.documents import message_class
from cli.contracts import ROOT, git
from cli.plan import DEPARTMENTS

FOLDER = Path(__file__).parent / "events"
MOMENT = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


def types(department: str) -> dict[str, Any]:
    """Every event type that a department's contract has, by its full name."""
    know(department)
    package = importlib.import_module(f"crm.{department}.v1")
    found: dict[str, Any] = {}
    for path in sorted(Path(package.__path__[0]).glob("*_events_pb2.py")):
        module = importlib.import_module(f"crm.{department}.v1.{path.stem}")
        found |= {message.full_name: message_class(message) for message in module.DESCRIPTOR.message_types_by_name.values()}
    return found


def lines(department: str) -> list[dict[str, Any]]:
    path = FOLDER / f"{department}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def every() -> Iterator[Any]:
    for department in DEPARTMENTS:
        know(department)
        yield from (pytest.param(line, id=line["headers"]["ce-type"]) for line in lines(department))


def shown(body: Mapping[str, Any]) -> Any:
    """A document as JSON has it."""
    return json.loads(orjson.dumps(body, default=str, option=orjson.OPT_SORT_KEYS))


def holds(now: Any, then: Any) -> bool:
    """Whether everything that was said is said still; more may be said by now."""
    if isinstance(then, dict):
        return isinstance(now, dict) and all(name in now and holds(now[name], value) for name, value in then.items())
    if isinstance(then, list):
        return isinstance(now, list) and len(now) == len(then) and all(holds(*pair) for pair in zip(now, then, strict=True))
    return bool(now == then)


@pytest.mark.parametrize("department", DEPARTMENTS)
def test_every_type_of_fact_has_its_shape_on_record(department: str) -> None:
    known = {line["headers"]["ce-type"] for line in lines(department)}
    assert set(types(department)) - known == set(), "run «python -m tests.contract.test_event_shapes» and commit what it adds"


@pytest.mark.parametrize("line", every())
def test_a_fact_of_any_age_is_read_as_it_was_meant(line: dict[str, Any]) -> None:
    payload = base64.b64decode(line["payload"])
    event = decode(line["headers"], payload)
    assert holds(shown(event.body), line["body"])
    assert event.subject == line["subject"]
    # A newer build than this one wrote a field more, number 2047: it is passed over.
    later = decode(line["headers"], payload + b"\xfa\x7f\x03new")
    assert shown(later.body) == shown(event.body)


def filled(descriptor: Descriptor, depth: int = 0) -> dict[str, Any]:
    """A document with every field of a message set."""
    found: dict[str, Any] = {}
    for field in descriptor.fields:
        if field.message_type and field.message_type.GetOptions().map_entry:
            continue
        value = _value(field, depth)
        if value is not None and not (
            field.containing_oneof and field.containing_oneof.fields[0] is not field and len(field.containing_oneof.fields) > 1
        ):
            found[field.name] = [value] if field.is_repeated else value
    return found


def _value(field: FieldDescriptor, depth: int) -> Any:
    if field.message_type:
        if field.message_type.full_name == "google.protobuf.Timestamp":
            return MOMENT
        return filled(field.message_type, depth + 1) if depth < 4 else None
    if field.enum_type:
        prefix = "".join(f"_{letter}" if letter.isupper() else letter for letter in field.enum_type.name).upper().lstrip("_")
        return field.enum_type.values_by_number[1].name.removeprefix(f"{prefix}_")
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return b"bytes" if field.type == FieldDescriptor.TYPE_BYTES else "text 文字"
    return (
        True
        if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL
        else 0.5
        if field.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)
        else 7
    )


def main() -> None:
    """Add what is missing. A line that no commit has yet is made anew, for its contract is still in the making."""
    FOLDER.mkdir(exist_ok=True)
    for department in DEPARTMENTS:
        path = FOLDER / f"{department}.jsonl"
        kept = git("show", f"HEAD:{path.relative_to(ROOT)}").splitlines()
        known = {json.loads(line)["headers"]["ce-type"] for line in kept}
        made = [_line(name, type_) for name, type_ in sorted(types(department).items()) if name not in known]
        path.write_text("".join(f"{line}\n" for line in (*kept, *made)))


def _line(name: str, type_: Any) -> str:
    record = filled(Default().FindMessageTypeByName(name).fields[0].message_type)
    record |= {"_id": "01kc0example", "version": 3}
    event = encode(type_, record, id="01kc0event", time=MOMENT, actor_id="01kc0person", correlation_id="request-0001")
    line = {
        "subject": event.subject, "headers": event.headers(), "payload": base64.b64encode(event.payload).decode(),
        "body": shown(decode(event.headers(), event.payload).body),
    }  # fmt: skip
    return json.dumps(line, ensure_ascii=False, sort_keys=True)


if __name__ == "__main__":
    main()
