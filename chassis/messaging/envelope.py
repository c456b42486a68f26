"""An event on its way: CloudEvents attributes, the contract's message as body, and the headers that NATS carries."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from crm.common.v1 import annotations_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import DecodeError, Message

from chassis.observe.traces import traceparent
from chassis.rpc.documents import message_class, naming_fields, personal_fields, to_document, to_message
from chassis.storage.aliases import CUSTOMER_ALIAS, CUSTOMER_ID, origin_of

# What names a record for people, the first that it has.
LABELS = ("name", "subject", "title", "number", "text")
LONGEST_LABEL = 100
SURVIVOR = "ce-survivor"


@dataclass(frozen=True)
class Event:
    """One fact about one aggregate. `version` is the aggregate's version after it: 1, 2, 3 … without gaps.

    `customer_id` names the customer whom the fact concerns, "" for none, as the record was written; `survivor_id` the one that this one was
    part of when it was announced, "" for none. `label` is the record's name for people. `shape` is the version of
    the contract's meaning in which it was written.
    """

    id: str
    type: str
    aggregate: str
    aggregate_id: str
    version: int
    time: datetime
    actor_id: str
    payload: bytes
    customer_id: str = ""
    survivor_id: str = ""
    label: str = ""
    correlation_id: str = ""
    causation_id: str = ""
    traceparent: str = ""
    shape: int = 1
    body: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def department(self) -> str:
        """The department that announced it."""
        return self.type.split(".")[1]

    @property
    def name(self) -> str:
        """The type without its package, e.g. "OpportunityWon"."""
        return self.type.rsplit(".", 1)[1]

    @property
    def subject(self) -> str:
        """Where it is published."""
        return f"{subject_of(Default().FindMessageTypeByName(self.type))}.{self.aggregate_id}"

    @property
    def record(self) -> dict[str, Any]:
        """The document of the record as it was right after the fact."""
        return next(iter(self.body.values()))

    def headers(self) -> dict[str, str]:
        """CloudEvents attributes as headers (binary mode), with the broker's own key for repeats."""
        return {
            "Nats-Msg-Id": self.id, "ce-id": self.id, "ce-specversion": "1.0", "ce-source": f"crm.{self.department}",
            "ce-type": self.type, "ce-subject": self.aggregate_id, "ce-time": self.time.isoformat(),
            "ce-datacontenttype": "application/protobuf", "ce-schemaversion": str(self.shape),
            "ce-aggregate": self.aggregate, "ce-version": str(self.version), "ce-actor": self.actor_id,
            "ce-customer": self.customer_id, "ce-label": self.label.encode("unicode_escape").decode(),
            "ce-correlation": self.correlation_id, "ce-causation": self.causation_id, "traceparent": self.traceparent,
            **({SURVIVOR: self.survivor_id} if self.survivor_id else {}),
        }  # fmt: skip


def know(department: str) -> list[Descriptor]:
    """Load every event type that a department announces, so that `decode` can read them. Raises RuntimeError when there are none."""
    if importlib.util.find_spec(f"crm.{department}") is None:  # a stream without a contract of its own: nothing to load
        return []
    package = importlib.import_module(f"crm.{department}.v1")
    names = [module.name for module in pkgutil.iter_modules(package.__path__) if module.name.endswith("_events_pb2")]
    if not names:
        raise RuntimeError(f"crm.{department}.v1 has no event modules; run «make protos»")
    modules = [importlib.import_module(f"crm.{department}.v1.{name}") for name in names]
    return [event for module in modules for event in module.DESCRIPTOR.message_types_by_name.values()]


def subject_of(descriptor: Descriptor) -> str:
    """The subject that the contract gives an event type."""
    subject = descriptor.GetOptions().Extensions[annotations_pb2.subject]
    if not subject:
        raise ValueError(f"{descriptor.full_name} is no event: it has no (crm.common.v1.subject)")
    return str(subject)


def encode(type_: type[Message], record: Mapping[str, Any], **attributes: Any) -> Event:
    """A new event of the type about the record (a document). Personal data stays behind: who needs it asks the department that owns it."""
    descriptor = type_.DESCRIPTOR
    first = descriptor.fields[0]
    origin = origin_of(record)
    survivor = record[CUSTOMER_ID] if record.get(CUSTOMER_ALIAS) else ""
    if survivor:
        record = {**record, CUSTOMER_ID: origin}
    if personal := personal_fields(first.message_type):
        record = {name: value for name, value in record.items() if name not in personal}
    payload = type_(**{first.name: to_message(record, first.message_type)}).SerializeToString()
    label = next((record[name] for name in LABELS if record.get(name)), "")
    customer = record["_id"] if first.name == "customer" else origin
    return Event(
        type=descriptor.full_name, aggregate=first.message_type.full_name, aggregate_id=record["_id"], version=record["version"],
        payload=payload, label=str(label)[:LONGEST_LABEL], customer_id=customer, survivor_id=survivor,
        **({"shape": int(descriptor.GetOptions().Extensions[annotations_pb2.schema_version]) or 1} | attributes),
    )  # fmt: skip


def forgotten(headers: Mapping[str, str], payload: bytes) -> tuple[str, bytes] | None:
    """Label header and body of a fact without what names the person whom it is about; None where nothing does."""
    try:
        descriptor = Default().FindMessageTypeByName(headers["ce-type"])
        message: Any = message_class(descriptor).FromString(payload)
    except (KeyError, DecodeError):  # of another build: then the label alone can be judged
        return ("", payload) if headers.get("ce-label") else None
    record = getattr(message, descriptor.fields[0].name)
    names = [name for name in (*naming_fields(record.DESCRIPTOR), *personal_fields(record.DESCRIPTOR)) if getattr(record, name)]
    for name in names:
        record.ClearField(name)
    return ("", message.SerializeToString()) if names or headers.get("ce-label") else None


def decode(headers: Mapping[str, str], payload: bytes) -> Event:
    """The event that a message carries. Raises KeyError for a type that this build does not know, ValueError for a broken body."""
    descriptor = Default().FindMessageTypeByName(headers["ce-type"])
    try:
        message = message_class(descriptor).FromString(payload)
    except DecodeError as error:
        raise ValueError(f"the body is no {descriptor.full_name}") from error
    return Event(
        id=headers["ce-id"], type=headers["ce-type"], aggregate=headers["ce-aggregate"], aggregate_id=headers["ce-subject"],
        version=int(headers["ce-version"]), time=datetime.fromisoformat(headers["ce-time"]).astimezone(UTC),
        actor_id=headers.get("ce-actor", ""), payload=payload, customer_id=headers.get("ce-customer", ""),
        survivor_id=headers.get(SURVIVOR, ""), label=headers.get("ce-label", "").encode().decode("unicode_escape"), correlation_id=headers.get("ce-correlation", ""),
        causation_id=headers.get("ce-causation", ""), traceparent=headers.get("traceparent", ""),
        shape=int(headers.get("ce-schemaversion") or 1), body=to_document(message),
    )  # fmt: skip


def to_row(event: Event) -> dict[str, Any]:
    """The outbox row of an event; its trace goes on from the span that commits it."""
    return {
        "_id": event.id,
        "subject": event.subject,
        "headers": event.headers() | {"traceparent": traceparent()},
        "payload": event.payload,
        "create_time": event.time,
        "pending": True,
    }


def with_cause(event: Event, cause: Event) -> Event:
    """The event as an effect of another."""
    return replace(event, causation_id=cause.id, correlation_id=cause.correlation_id or cause.id)
