"""What follows from a noun's contract: its service, its events, its orders, what refers to what. Read once, for every department alike."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import crm
from buf.validate import validate_pb2
from crm.common.v1 import annotations_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor

from chassis.kernel import terms
from chassis.kernel.pages import Sort
from chassis.rpc.documents import enum_names, snake, traits

# Where stores keep by what amounts sort.
BY_CURRENCY = "by_currency"
_LONG = 400  # characters from which on a text has paragraphs
_FOUND_BY = {
    annotations_pb2.FORM_PHONE: terms.PHONE, annotations_pb2.FORM_EMAIL: terms.MAIL, annotations_pb2.FORM_TAX_NUMBER: terms.CODE,
    annotations_pb2.FORM_PARAGRAPHS: terms.TEXT,
}  # fmt: skip
# Verbs that there are for many records at once, too: BulkAssignCustomers.
BULK = ("Update", "Assign", "Archive", "Restore", "Tag")
_ROOTS = tuple(dict.fromkeys(Path(one).resolve() for one in crm.__path__))  # one folder may be on the path twice


@dataclass(frozen=True)
class Searched:
    """A field by which records are found: how (chassis/kernel/terms.py), and with what its terms begin. A personal one's are blind."""

    name: str
    kind: str
    tag: str
    personal: bool

    @classmethod
    def of(cls, field: FieldDescriptor) -> Searched:
        """What the contract makes of a field: by its form; codes are those of which no two records have the same."""
        mark, most = traits(field), field.GetOptions().Extensions[validate_pb2.field].string.max_len
        is_code = bool(mark.unique) or field.name == "source_key"
        kind = _FOUND_BY.get(mark.form) or (terms.CODE if is_code else terms.TEXT if most >= _LONG else terms.NAME)
        return cls(field.name, kind, str(field.number), mark.personal)


@dataclass(frozen=True)
class Contract:
    """A noun as its protos say it. `service` and `events` are None where it has none."""

    record: Descriptor

    @property
    def name(self) -> str:
        """The record's name, e.g. "TicketReply"."""
        return str(self.record.name)

    @property
    def department(self) -> str:
        """The department that owns it."""
        return str(self.record.file.package.split(".")[1])

    @property
    def resource(self) -> str:
        """Its resource as policies name it, which is its collection too; "" where it has none."""
        return str(self.record.GetOptions().Extensions[annotations_pb2.resource])

    @property
    def traits(self) -> annotations_pb2.NounTraits:
        """What the contract says of it beyond its fields."""
        return self.record.GetOptions().Extensions[annotations_pb2.noun]

    @property
    def key(self) -> str:
        """The field that holds its id in requests, e.g. "ticket_reply_id"."""
        return f"{snake(self.name)}_id"

    @cached_property
    def words(self) -> str:
        """Its English name as texts say it, e.g. "ticket reply"."""
        return str(self.traits.name) or snake(self.name).replace("_", " ")

    @cached_property
    def service(self) -> ServiceDescriptor | None:
        """Its service."""
        module = self._module("service")
        found: ServiceDescriptor | None = module.DESCRIPTOR.services_by_name.get(f"{self.name}Service") if module else None
        return found

    @cached_property
    def events(self) -> ModuleType | None:
        """The module of its events."""
        return self._module("events")

    def method(self, name: str) -> MethodDescriptor:
        """A method of its service. Raises RuntimeError where the contract has none of the name."""
        found = self.service.methods_by_name.get(name) if self.service else None
        if found is None:
            raise RuntimeError(f"{self.record.full_name} has no method {name} in its contract")
        return found

    @cached_property
    def bulk(self) -> dict[MethodDescriptor, MethodDescriptor]:
        """Commands on many of its records → the command on one that each of them is judged by."""
        found: dict[MethodDescriptor, MethodDescriptor] = {}
        for method in self.service.methods if self.service else ():
            verb = next((one for one in BULK if method.name.startswith(f"Bulk{one}")), "")
            if verb:
                found[method] = self.method(f"{verb}{self.name}")
        return found

    @cached_property
    def batch_get(self) -> MethodDescriptor | None:
        """The method by which edges to it ask."""
        methods = self.service.methods if self.service else ()
        return next((one for one in methods if one.name.startswith("BatchGet") and "missing_ids" in one.output_type.fields_by_name), None)

    @cached_property
    def lists(self) -> dict[str, MethodDescriptor]:
        """Path of each field by which records hang on others, e.g. "customer_id", "lines.product_id" → the BatchList that asks by it."""
        methods = [one for one in (self.service.methods if self.service else ()) if self._groups(one)]
        return {path: one for one in methods for path in self.keys(one).values()}

    def keys(self, method: MethodDescriptor) -> dict[str, str]:
        """Field of a BatchList's request that holds ids → path of the field by which it asks."""
        return {field.name: self._path(field.name) for field in method.input_type.fields if field.name.endswith("_ids")}

    def _path(self, name: str) -> str:
        for one in (name.removesuffix("s"), name):
            if one in self.record.fields_by_name:
                return one
            inner = (field for field in self.record.fields if field.message_type and one in field.message_type.fields_by_name)
            for field in inner:
                return f"{field.name}.{one}"
        return name.removesuffix("s")

    def leaf(self, path: str) -> FieldDescriptor:
        """The field at the end of a path."""
        first, _, rest = path.partition(".")
        return self.field(first).message_type.fields_by_name[rest] if rest else self.field(first)

    @cached_property
    def backs(self) -> dict[str, FieldDescriptor]:
        """Path of each field by which the contract gives an edge back → the field; those of messages in the record too."""
        found = [(field.name, field) for field in self.record.fields]
        found += [
            (f"{one.name}.{field.name}", field) for one in self.record.fields if one.message_type for field in one.message_type.fields
        ]
        return {path: field for path, field in found if traits(field).back}

    def _groups(self, method: MethodDescriptor) -> bool:
        groups = method.output_type.fields_by_name.get("groups")
        return groups is not None and any(field.message_type is self.record for field in groups.message_type.fields)

    @cached_property
    def sorts(self) -> dict[str, Sort]:
        """The orders of its lists: those of its order enum, e.g. AMOUNT_DESC; newest first where it has none."""
        enum = self.record.file.enum_types_by_name.get(f"{self.name}Order")
        found: dict[str, Sort] = {}
        for name in enum_names(enum).values() if enum else ("CREATE_TIME_DESC",):
            field, _, direction = name.lower().rpartition("_")
            ahead = 1 if direction == "asc" else -1
            found[name] = Sort(f"{BY_CURRENCY}.{field}", ahead, of=field) if self._is_money(field) else Sort(field, ahead)
        return found

    def _is_money(self, field: str) -> bool:
        found = self.record.fields_by_name.get(field)
        return bool(found and found.message_type and found.message_type.full_name == "crm.common.v1.Money")

    @cached_property
    def unique(self) -> dict[str, str]:
        """Fields of which no two records have the same → the code of the refusal."""
        return {field.name: str(traits(field).unique) for field in self.record.fields if traits(field).unique}

    @cached_property
    def immutable(self) -> tuple[str, ...]:
        """Fields that are given once and kept: no update takes them."""
        return tuple(field.name for field in self.record.fields if annotations_pb2.BEHAVIOR_IMMUTABLE in traits(field).behaviors)

    @cached_property
    def references(self) -> dict[str, str]:
        """Fields that hold ids of records → the noun that they refer to."""
        return {field.name: str(traits(field).refers_to) for field in self.record.fields if traits(field).refers_to}

    @cached_property
    def edges(self) -> dict[str, str]:
        """Name of each edge that follows from a reference → the field that holds the id or ids."""
        return edges_of(self.record)

    @cached_property
    def searched(self) -> tuple[Searched, ...]:
        """The fields by which records are found, what a record is called by first."""
        found = [Searched.of(field) for field in self.record.fields if traits(field).searched]
        return tuple(sorted(found, key=lambda one: one.name != self.traits.card.title))

    @cached_property
    def leads(self) -> tuple[str, ...]:
        """Fields that name records which are found by this one's texts too."""
        return tuple(field.name for field in self.record.fields if traits(field).finds)

    @property
    def owned(self) -> bool:
        """Whether records have an owner who decides scope."""
        return "owner_id" in self.record.fields_by_name

    def field(self, name: str) -> FieldDescriptor:
        """A field of the record."""
        return self.record.fields_by_name[name]

    def _module(self, ending: str) -> ModuleType | None:
        name = f"crm.{self.department}.v1.{snake(self.name)}_{ending}_pb2"
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            return None


@cache
def edges_of(message: Descriptor) -> dict[str, str]:
    """Name of each edge that follows from a reference of a message → the field that holds the id or ids: owner ← owner_id,
    collaborators ← collaborator_ids, lost_opportunities ← lost_opportunity_ids."""
    held = [field for field in message.fields if traits(field).refers_to and field.name.endswith(("_id", "_ids"))]
    return {_edge(field.name, str(traits(field).refers_to)): field.name for field in held}


def _edge(field: str, target: str) -> str:
    if not field.endswith("_ids"):
        return field.removesuffix("_id")
    stem, one = field.removesuffix("_ids"), snake(target)
    many = next((noun.resource for noun in nouns() if noun.name == target), f"{one}s")
    return f"{stem.removesuffix(one)}{many}" if stem.endswith(one) else f"{stem}s"


@cache
def contract_of(record: Descriptor) -> Contract:
    """The contract of a record."""
    return Contract(record)


def done_by(method: MethodDescriptor) -> str:
    """Until when its field stays in the graph and what does it better; "" for a method that is not deprecated."""
    return str(method.GetOptions().Extensions[annotations_pb2.done_by])


def shown_as(method: MethodDescriptor) -> str:
    """The name that a method's field in the graph has by its contract; "" for the standard one."""
    return str(method.GetOptions().Extensions[annotations_pb2.shown_as])


@cache
def departments() -> tuple[str, ...]:
    """Every department that has contracts."""
    return tuple(
        sorted(folder.name for root in _ROOTS for folder in root.iterdir() if (folder / "v1").is_dir() and folder.name != "common")
    )


def modules(department: str, ending: str = "") -> Iterator[ModuleType]:
    """The generated modules of a department's contracts ("common" for those of all), by name; those with an ending, e.g. "_events"."""
    for root in _ROOTS:
        for path in sorted((root / department / "v1").glob(f"*{ending}_pb2.py")):
            yield importlib.import_module(f"crm.{department}.v1.{path.stem}")


@cache
def nouns(department: str = "") -> tuple[Contract, ...]:
    """Every noun, of one department or all: what has a resource and a service."""
    found = (contract_of(message) for name in ([department] if department else departments()) for message in messages(name))
    return tuple(one for one in found if one.resource and one.service)


def messages(department: str) -> Iterator[Any]:
    """Every message of a department's contracts."""
    for module in modules(department):
        yield from module.DESCRIPTOR.message_types_by_name.values()
