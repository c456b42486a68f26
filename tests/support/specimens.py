"""Good records of any noun, made from its contract: what is required is there, and what it refers to is made first."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from chassis.rpc.contract import Contract, contract_of, nouns, shown_as
from chassis.rpc.documents import message_class, snake, traits
from chassis.rpc.handlers import is_required
from cli.standard.shape import Words, verbs
from tests.support.installation import Installation
from tests.support.requests import filled, given

# What the model asks for beyond the contract.
NEEDED = {"opportunities": ("pipeline_id",)}
# What its own department goes on with once it is made.
GROWS = frozenset(("segments",))


def standard(verb: str) -> list[Contract]:
    """The nouns that have a verb in the standard's shape."""
    return [noun for noun in nouns() if method_of(noun, verb) is not None]


def method_of(noun: Contract, verb: str) -> Any:
    """The method of a standard verb; None where the noun has none of the standard's shape."""
    found = next((one for one in verbs(Words.of(noun, "x")) if one.verb == verb), None)
    method = noun.service.methods_by_name.get(found.method) if found and noun.service else None
    return None if method is None or is_special(method) else method


def is_special(method: Any) -> bool:
    """Whether a method says that it has another shape than the standard's."""
    from crm.common.v1 import annotations_pb2

    return bool(method.GetOptions().Extensions[annotations_pb2.special])


class Specimens:
    """Makes records in an installation, and remembers one of each noun for others to refer to."""

    def __init__(self, crm: Installation) -> None:
        self.crm = crm
        self._known: dict[str, str] = {}

    async def fields(self, noun: Contract) -> dict[str, Any]:
        """What a create of the noun takes: a good request."""
        method = noun.method(f"Create{noun.name}")
        found = filled(method, self.crm, {"owner_id"})
        for field in method.input_type.fields:
            target = traits(field).refers_to
            if target and target not in ("Person", "Department") and (is_required(field) or field.name in NEEDED.get(noun.resource, ())):
                found[field.name] = await self.reference(target)
        return found

    async def made(self, noun: Contract, **more: Any) -> Any:
        """A new record."""
        answer = await self.crm.ask(f"Create{noun.name}", **{**await self.fields(noun), **more})
        made = getattr(answer, snake(noun.name))
        if noun.resource in GROWS:
            await self.crm.settled()
            made = getattr(await self.crm.ask(f"Get{noun.name}", **{noun.key: made.id}), snake(noun.name))
        return made

    async def reference(self, target: str) -> str:
        """The id of a record of a noun."""
        if target not in self._known:
            self._known[target] = str((await self.made(next(noun for noun in nouns() if noun.name == target))).id)
        return self._known[target]

    async def row(self, noun: Contract, key: str) -> Message:
        """A record as the noun's BatchUpsert takes it."""
        made = await self.fields(noun) if method_of(noun, "Create") else given(noun, self.crm)
        for name, target in noun.references.items():
            if name in made or not (name.endswith("_id") and noun.field(name).has_presence) or target in ("Person", "Department"):
                continue
            if noun.resource == "campaign_messages":  # what marketing's workers make needs all that it is about
                made[name] = await self.reference(target)
        known = noun.record.fields_by_name
        return message_class(noun.record)(source_key=key, **{name: value for name, value in made.items() if name in known})


def wrong_values(field: FieldDescriptor) -> list[Any]:
    """Values that break one rule of a field each."""
    from buf.validate import validate_pb2

    rules = field.GetOptions().Extensions[validate_pb2.field]
    found: list[Any] = []
    if field.is_repeated or field.message_type is not None:
        return [[]] if field.is_repeated and rules.repeated.min_items else []
    if field.enum_type is not None:
        return [99] if rules.enum.defined_only else []
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        found += ["" for _ in [1] if rules.string.min_len and not field.has_presence]
        found += ["x" * (rules.string.max_len + 1) for _ in [1] if rules.string.max_len]
        found += ["!«no id»" for _ in [1] if rules.string.pattern]
        found += ["nobody at nowhere" for _ in [1] if rules.string.email]
    for kind in ("int32", "int64", "double"):
        bounds = getattr(rules, kind)
        found += [getattr(bounds, name) - 1 for name in ("gte",) if bounds.HasField(name) and getattr(bounds, name) > -(2**31)]
        found += [getattr(bounds, name) + 1 for name in ("lte",) if bounds.HasField(name) and getattr(bounds, name) < 2**31 - 1]
    return found


__all__ = ["Specimens", "contract_of", "method_of", "shown_as", "standard", "wrong_values"]
