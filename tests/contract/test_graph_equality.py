"""The gateway's graph by plans and by graphql-core: random queries over departments that answer anything give the same."""

from __future__ import annotations

import asyncio
import base64
import json
import zlib
from random import Random
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from graphql import ExecutionResult, execute, parse, validate

from chassis.kernel.errors import NotAllowed
from chassis.rpc.documents import message_class, traits
from chassis.rpc.errors import Unavailable
from gateway.bootstrap import shared_schema
from gateway.departments.context import Context
from gateway.engine import Engine
from gateway.graph.contract import to_global
from gateway.graph.noun import NOUNS
from gateway.graph.readings import Readings
from tests.support.operations import Operations
from tests.support.samples import rounds, sample
from tests.unit.engine.test_equality import assert_equal, told

try:
    from gateway.departments.merging import Merging
except ImportError:  # calls are not merged between operations
    Merging = None  # type: ignore[assignment, misc]

SHARED = shared_schema()
SCHEMA = SHARED._schema
IDS = ("a", "b", "c", "d", "e", "f", "g")
CHUNKS, SIZE = 6, 90
# Seconds after which an answer hangs, and is not only slow on a busy machine.
HANG = 60
TOKEN = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (b'{"alg":"HS256"}', b'{"sub":"a"}', b"none"))


class Departments:
    """Stands in for gateway.departments.clients.Clients. What a row holds follows from its id, so that it does not matter who asks with whom."""

    def __init__(self, seed: int, faults: float, pauses: int = 1) -> None:
        self.seed, self.faults, self.pauses, self.calls = seed, faults, pauses, 0
        self.merging = Merging() if Merging else None

    async def read(
        self, department: str, service: ServiceDescriptor, name: str, request: Any, token: str, request_id: str, *, by_roles: bool = False
    ) -> Any:
        """The answer of any method."""
        self.calls += 1
        assert token == TOKEN
        method = service.methods_by_name[name]
        for _ in range(Random(self.calls).randint(0, self.pauses) if self.pauses > 1 else self.pauses):
            await asyncio.sleep(0)
        chance = self._random(name).random()
        if chance < self.faults:
            raise Unavailable(department, timeout=chance < self.faults / 2)
        if chance < self.faults * 1.3:
            raise NotAllowed("not for you", field="filter.first_name")
        answer: Any = message_class(method.output_type)()
        fields = method.output_type.fields_by_name
        if "missing_ids" in fields:
            rows = next(field for field in method.output_type.fields if field.message_type is not None)
            assert len(set(request.ids)) == len(request.ids) <= 100
            for identity in request.ids:
                if self._random(name, identity, "found").random() > 0.15:
                    getattr(answer, rows.name).append(self._row(rows.message_type, identity, request))
        elif "groups" in fields:
            key = next(
                field.name for field in method.input_type.fields if field.name.endswith("_ids") and len(getattr(request, field.name))
            )
            keys = list(getattr(request, key))
            assert len(set(keys)) == len(keys) <= 100
            for identity in keys:
                self._page(answer.groups.add(key=identity), request, (name, identity, self._question(request, key)))
        elif name == "CheckRights":
            for identity in request.record_ids or [""]:
                if self._random(name, identity, "found").random() > 0.15:
                    record = self.message(fields["records"].message_type, self._random(name, request.resource, identity), 2)
                    record.record_id = identity  # type: ignore[attr-defined]
                    answer.records.append(record)
        elif name == "BatchGetOrderTotals":
            for identity in request.customer_ids:
                random = self._random(name, identity)
                for _ in range(random.randint(0, 2)):
                    row: Any = self.message(fields["order_totals"].message_type, random, 2)
                    row.customer_id = identity
                    answer.order_totals.append(row)
        else:
            self._page(answer, request, (name, self._question(request, "")))
        return answer

    async def write(self, *given: object) -> Any:
        """No command is asked."""
        raise AssertionError(given)

    def _question(self, request: Message, key: str) -> bytes:
        bare = type(request)()
        bare.CopyFrom(request)
        if key:
            bare.ClearField(key)  # type: ignore[arg-type]
        return bare.SerializeToString(deterministic=True)

    def _page(self, page: Any, request: Any, mark: tuple[object, ...]) -> None:
        random = self._random(*mark)
        for field in page.DESCRIPTOR.fields:
            if field.name == "key":
                continue
            if field.is_repeated and field.message_type is not None:
                for identity in random.sample(IDS, random.randint(0, 3)):
                    getattr(page, field.name).append(self._row(field.message_type, identity, request))
                if "row_tokens" in page.DESCRIPTOR.fields_by_name and request.row_tokens:
                    page.row_tokens.extend(f"{field.name}{number}" for number in range(len(getattr(page, field.name))))
            elif field.name == "next_page_token":
                page.next_page_token = random.choice(("", "more"))
            elif field.name != "row_tokens":
                self._fill(page, field, random, 2)

    def _row(self, descriptor: Descriptor, identity: str, request: Any) -> Message:
        row = self.message(descriptor, self._random(descriptor.full_name, identity), 2)
        if "id" in descriptor.fields_by_name:
            row.id = identity  # type: ignore[attr-defined]
        if "read_mask" in request.DESCRIPTOR.fields_by_name and request.read_mask.paths:
            for field in descriptor.fields:
                if field.name not in request.read_mask.paths:
                    row.ClearField(field.name)  # type: ignore[arg-type]
        return row

    def _random(self, *mark: object) -> Random:
        return Random(zlib.crc32(repr((self.seed, mark)).encode()))

    def message(self, descriptor: Descriptor, random: Random, deep: int) -> Message:
        """A message of any content; most of it makes sense."""
        made = message_class(descriptor)()
        for field in descriptor.fields:
            if (field.has_presence and random.random() < 0.25) or (field.message_type is not None and deep < 0):
                continue
            self._fill(made, field, random, deep)
        return made

    def _fill(self, made: Message, field: FieldDescriptor, random: Random, deep: int) -> None:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            getattr(made, field.name)["text"] = random.choice(("", "text"))  # what refusals are about: texts by names
            return
        for _ in range(random.choice((0, 1, 2)) if field.is_repeated else 1):
            value = self._value(field, random, deep)
            target = getattr(made, field.name)
            if field.message_type is not None:
                (target.add() if field.is_repeated else target).CopyFrom(value)
                if not field.is_repeated:
                    target.SetInParent()
            elif field.is_repeated:
                target.append(value)
            else:
                setattr(made, field.name, value)

    def _value(self, field: FieldDescriptor, random: Random, deep: int) -> Any:
        wrong = random.random() < self.faults
        if field.message_type is not None:
            if field.message_type.full_name == "google.protobuf.Timestamp":
                extreme = random.choice((-(10**14), 10**14, -62135596800, 253402300799))
                return field.message_type._concrete_class(
                    seconds=extreme if wrong else random.randrange(2**31), nanos=random.randrange(10**9)
                )
            return self.message(field.message_type, random, deep - 1)
        if field.enum_type is not None:
            return random.choice((0, 99)) if wrong else random.choice([value.number for value in field.enum_type.values if value.number])
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            if traits(field).refers_to:
                return "" if wrong else random.choice(IDS)
            if traits(field).date:
                return "2026-02-30" if wrong else random.choice(("2026-11-22", "0001-01-01", "9999-12-31"))
            if field.name == "record_id":
                return random.choice(IDS)
            if field.name == "resource":
                return random.choice(("customers", "contacts", "notes", "opportunities", "orders", "tickets", "unknown"))
            return random.choice(("", "é中😀", "{row} {0}", "text"))
        if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            return random.random() < 0.5
        if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
            return random.choice((float("nan"), float("inf"))) if wrong else random.choice((0.0, -0.0, 1.5, 1e300))
        bits = 63 if field.cpp_type == FieldDescriptor.CPPTYPE_INT64 else 31
        return random.choice((2**bits - 1, -(2**bits))) if wrong else random.choice((0, 1, -1, 10_000, 123_456_789))


def literal(random: Random, name: str) -> tuple[str, Any]:
    """A value of one of the graph's scalars; now and then a wrong one."""
    value: Any = {
        "ID": lambda: to_global(random.choice([*NOUNS, "Nothing"]), random.choice(IDS)), "Int": lambda: random.choice((1, 5, 20, 0)),
        "Long": lambda: random.randrange(2**40), "Decimal": lambda: "12.50", "Date": lambda: "2026-11-22", "Boolean": lambda: True,
        "DateTime": lambda: "2026-11-22T10:00:00+08:00", "Float": lambda: 1.5, "JSON": lambda: "j",
    }.get(name, lambda: random.choice(("text", "{row}", 'quo"te')))()  # fmt: skip
    return json.dumps(value), "wrong" if random.random() < 0.01 else value


async def both(
    text: str, variables: dict[str, Any], departments: tuple[Departments, Departments]
) -> tuple[ExecutionResult, ExecutionResult]:
    """The answers of the engine and of graphql-core."""
    document = parse(text)
    node: Any = document.definitions[0]
    reasons: list[str] = []
    operation = Engine(SCHEMA, Readings(SHARED), reasons.append).prepare(document, node)
    live: Any = None
    ours_from, core_from = departments
    clients: Any = core_from
    core: Any = execute(SCHEMA, document, None, Context(clients, live, TOKEN, "request"), variables)
    core = core if isinstance(core, ExecutionResult) else await asyncio.wait_for(core, HANG)
    clients = ours_from
    ours = await asyncio.wait_for(operation.execute(Context(clients, live, TOKEN, "request"), variables), HANG)
    again = await asyncio.wait_for(operation.execute(Context(clients, live, TOKEN, "request"), variables), HANG)
    assert json.dumps(again.data) == json.dumps(ours.data), text
    assert told(again) == told(ours), text
    assert reasons == []
    return ours, core


@pytest.mark.parametrize("chunk", sample(range(CHUNKS), 3, "graph equality"))
def test_random_queries_over_random_departments_give_what_graphql_core_gives(chunk: int) -> None:
    faults = (0.0, 0.01, 0.06)[chunk % 3]
    made = Operations(SCHEMA, literal, deep=5)

    async def run() -> tuple[int, int]:
        valid = rows = 0
        for seed in range(chunk * SIZE, (chunk + 1) * SIZE):
            text, variables = made.make(seed)
            if validate(SCHEMA, parse(text)):
                continue
            ours, core = await both(text, variables, (Departments(seed, faults), Departments(seed, faults)))
            assert_equal(ours, core, text)
            valid += 1
            rows += len(json.dumps(core.data))
        return valid, rows

    valid, rows = asyncio.run(run())
    assert valid > SIZE / 2
    assert rows > 5_000


CROSSED = """{ customers { nodes { id owner { id name } parent { owner { id name } }
  opportunities { nodes { owner { id name } customer { owner { id name } parent { owner { id name } } } } }
  tickets { nodes { owner { id name } order { owner { id name } customer { owner { id name } } } } } } }
  people { nodes { id manager { id name manager { id name } } } } }"""


@pytest.mark.parametrize("seed", rounds(25, 80, "late departments"))
def test_departments_that_answer_late_and_out_of_order_change_nothing(seed: int) -> None:
    assert validate(SCHEMA, parse(CROSSED)) == []
    late, prompt = Departments(seed, 0.0, pauses=100), Departments(seed, 0.0)
    ours, core = asyncio.run(both(CROSSED, {}, (late, prompt)))
    assert_equal(ours, core, CROSSED)


def test_records_of_every_noun_are_met_behind_the_interface() -> None:
    text = "{ customers { nodes { timeline { nodes { record { __typename id ... on Ticket { customer { id } } ... on Customer { owner { id } } } } } } } }"
    seen: set[str] = set()
    for seed in range(30):
        ours, core = asyncio.run(both(text, {}, (Departments(seed, 0.01), Departments(seed, 0.01))))
        assert_equal(ours, core, text)
        seen |= {word for word in ("Customer", "Contact", "Ticket", "Order") if f'"{word}"' in json.dumps(ours.data)}
    assert seen == {"Customer", "Contact", "Ticket", "Order"}
