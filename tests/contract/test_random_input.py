"""Random inputs for every command and random messages for every RPC: refusals, never a fault of ours."""

from __future__ import annotations

import asyncio
import random
import string
from typing import Any

import pytest
from crm.common.v1 import access_service_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import DecodeError, Message
from graphql import GraphQLEnumType, GraphQLInputObjectType, GraphQLList, GraphQLNonNull, get_nullable_type
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from chassis.rpc.service import request_class
from gateway.bootstrap import shared_schema
from gateway.graph.contract import to_global
from gateway.graph.noun import NOUNS
from tests.support.installation import Installation
from tests.support.samples import part, rounds

SCHEMA = shared_schema()._schema
MUTATIONS = sorted(SCHEMA.mutation_type.fields)  # type: ignore[union-attr]
ROUNDS = rounds(3, 12, "random input")
TEXTS = (
    "", " ", "a", "名", "a\0b", "x" * 300, "9" * 60, "\u202e", "😀" * 50, "$where", "../..", "2026-02-30", "a@b.cn", "CNY", "-1", "\n", "ÿ" * 5001, "key",
)  # fmt: skip
NUMBERS = (0, 1, -1, 7, 100, 101, 10**6, 2**31 - 1, -(2**31), 2**53 - 1, -(2**53) + 1)
SERVICES = [(noun.department, noun.service) for noun in NOUNS.values()] + [
    ("organization", access_service_pb2.DESCRIPTOR.services_by_name["AccessService"])
]
METHODS = [(department, method) for department, service in SERVICES for method in service.methods]
DRAWN = part(METHODS, 3, "methods")


class Maker:
    """Values by chance, the same for a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def text(self) -> str:
        chance = self.random
        return chance.choice(TEXTS) if chance.random() < 0.7 else "".join(chance.choices(string.printable, k=chance.randint(0, 40)))

    # ---- inputs of the graph

    def input(self, shape: Any, depth: int = 0) -> Any:
        """A value that fits the schema, mostly."""
        if not isinstance(shape, GraphQLNonNull) and self.random.random() < 0.05:
            return None
        inner = get_nullable_type(shape)
        if isinstance(inner, GraphQLList):
            return [self.input(inner.of_type, depth + 1) for _ in range(self.random.choice((0, 1, 1, 2, 3)))]
        if isinstance(inner, GraphQLEnumType):
            return self.random.choice(list(inner.values))
        if isinstance(inner, GraphQLInputObjectType):
            odds = 0.6 if depth < 2 else 0.15
            return {
                name: self.input(field.type, depth + 1)
                for name, field in inner.fields.items()
                if isinstance(field.type, GraphQLNonNull) or self.random.random() < odds
            }
        return self.scalar(inner.name)

    def scalar(self, name: str) -> Any:
        chance = self.random
        if name == "ID":
            return chance.choice(
                (to_global(chance.choice(list(NOUNS)), chance.choice((new_id(), "x", "A B", "a\0", "é"))), "zz", "", self.text())
            )
        if name in ("Int", "Long"):
            return chance.choice(NUMBERS)
        if name == "Decimal":
            return chance.choice(("0", "-1", "1.5", "1e9", "1e-6", "1e-7", "8999999999", "-0", "0e5", "1E+9", "00012"))
        if name == "DateTime":
            return chance.choice(
                ("2026-11-22T10:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.5+14:00")
            )
        if name == "Date":
            return chance.choice(("2026-11-22", "0001-01-01", "9999-12-31", "2024-02-29"))
        return {"Boolean": chance.random() < 0.5, "Float": chance.choice((0.0, -1.5, 1e308, 55.5))}.get(name, self.text())

    # ---- messages of the contract

    def message(self, descriptor: Descriptor, depth: int = 0) -> Message:
        """A message of any content that the wire can carry."""
        from chassis.rpc.documents import message_class

        made = message_class(descriptor)()
        for field in descriptor.fields:
            if self.random.random() > (0.6 if depth < 2 else 0.3) or (field.message_type and depth > 4):
                continue
            count = self.random.choice((1, 2, 3)) if field.is_repeated else 1
            for _ in range(count):
                self._set(made, field, depth)
        return made

    def _set(self, made: Message, field: FieldDescriptor, depth: int) -> None:
        value: Any
        if field.message_type is not None:
            value = self.message(field.message_type, depth + 1)
            target = getattr(made, field.name)
            if field.message_type.GetOptions().map_entry:
                target[value.key] = value.value
                return
            target.add().CopyFrom(value) if field.is_repeated else target.CopyFrom(value)
            return
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            value = self.random.choice((self.text(), new_id(), new_id())) if field.type != FieldDescriptor.TYPE_BYTES else b"\0\xff"
        elif field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            value = self.random.random() < 0.5
        elif field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
            value = self.random.choice((0.0, -1.0, 1e308, float("inf"), float("nan")))
        elif field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
            value = self.random.choice([*[item.number for item in field.enum_type.values], 99])
        else:
            bits = 63 if field.cpp_type == FieldDescriptor.CPPTYPE_INT64 else 31
            value = self.random.choice((0, 1, -1, 50, 10**6, 2**bits - 1, -(2**bits)))
        getattr(made, field.name).append(value) if field.is_repeated else setattr(made, field.name, value)


def faults(body: dict[str, Any]) -> list[Any]:
    """Errors of an answer that are faults of ours."""
    told = list(body.get("errors", ()))
    found = [error for error in told if error.get("extensions", {}).get("code") in (None, "INTERNAL", "DEADLINE_EXCEEDED")]
    payloads = [payload for payload in (body.get("data") or {}).values() if isinstance(payload, dict)]
    for payload in payloads:
        found += [error for error in payload.get("errors", ()) if error["code"] in ("INTERNAL", "DEADLINE_EXCEEDED", "UNAVAILABLE")]
    return found


async def command(crm: Installation, name: str, maker: Maker) -> list[Any]:
    """What went wrong when a command got a random input."""
    arguments = SCHEMA.mutation_type.fields[name].args  # type: ignore[union-attr]
    argument = arguments["input"]
    value = maker.input(argument.type)
    trial = ", validateOnly: true" if "validateOnly" in arguments and maker.random.random() < 0.5 else ""
    query = f"mutation($input: {argument.type}) {{ {name}(input: $input{trial}) {{ errors {{ code message path }} }} }}"
    response = await crm.http.post("/graphql", json={"query": query, "variables": {"input": value}}, headers=crm.bearer("ADMINISTRATOR"))
    if response.status_code != 200:
        return [(name, value, response.status_code, response.text[:300])]
    return [(name, value, fault) for fault in faults(response.json())]


async def rpc(crm: Installation, department: str, method: MethodDescriptor, maker: Maker, token: str) -> list[Any]:
    """What went wrong when a method got a random message."""
    request = maker.message(method.input_type)
    assert type(request) is request_class(method)
    try:
        await crm.channels[department].call(method.containing_service, method.name, request, token=token)
    except CrmError as refusal:
        if refusal.code in ("INTERNAL", "DEADLINE_EXCEEDED", "UNAVAILABLE"):
            return [(method.name, str(request)[:600], refusal.code, refusal.message)]
    return []


@pytest.mark.parametrize("name", part(MUTATIONS, 3, "commands"))
async def test_a_command_refuses_random_inputs_without_a_fault(crm: Installation, name: str) -> None:
    found = [await command(crm, name, Maker(seed)) for seed in ROUNDS]
    assert [fault for faults_ in found for fault in faults_] == []


@pytest.mark.parametrize(("department", "method"), DRAWN, ids=[method.name for _, method in DRAWN])
async def test_a_method_refuses_random_messages_without_a_fault(crm: Installation, department: str, method: MethodDescriptor) -> None:
    token = await crm.link.token()
    found = [await rpc(crm, department, method, Maker(seed), crm.tokens["COORDINATOR"] if seed % 2 else token) for seed in ROUNDS]
    assert [fault for faults_ in found for fault in faults_] == []


def is_message(method: MethodDescriptor, raw: bytes) -> bool:
    try:
        request_class(method).FromString(raw)
    except DecodeError:
        return False
    return True


@pytest.mark.parametrize(("department", "method"), METHODS[::10], ids=[method.name for _, method in METHODS[::10]])
async def test_bytes_that_are_no_message_are_refused_without_a_fault(crm: Installation, department: str, method: MethodDescriptor) -> None:
    import grpc

    call = crm.channels[department].channel.unary_unary(f"/{method.containing_service.full_name}/{method.name}")
    token = await crm.link.token()
    for raw in (b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x02\xff\xfe", bytes(range(256))):
        if is_message(method, raw):  # a message without fields takes any as one that a later build knows
            continue
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(raw, metadata=[("authorization", f"Bearer {token}")], timeout=5)
        assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.text(max_size=80))
async def test_random_texts_are_never_a_fault_of_the_parser_or_the_search(crm: Installation, text: str) -> None:
    body: dict[str, Any] = {"query": text or " "}
    first, second = await asyncio.gather(
        crm.http.post("/graphql", json=body),
        crm.http.post(
            "/graphql", json={"query": "query($q: String!) { customerSearch(query: $q) { id } articleSearch(query: $q) { id } node(id: \"x\") { id } }", "variables": {"q": text}},
            headers=crm.bearer("COORDINATOR"),
        ),
    )  # fmt: skip
    assert first.status_code in (200, 400)
    assert second.status_code == 200
    assert faults(second.json()) == []
