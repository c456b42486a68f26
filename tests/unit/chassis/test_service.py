"""A service is refused when its table has a gap; settings and errors tell everything, at once and in bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from crm.common.v1 import annotations_pb2
from crm.customer.v1 import customer_service_pb2, note_service_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pool import Default
from google.rpc import error_details_pb2

from chassis.kernel.errors import AlreadyExists, Conflict, CrmError, Invalid, NotAllowed, NotFound, WrongState
from chassis.rpc.errors import status_of
from chassis.rpc.service import Service, policy_of
from chassis.rpc.validation import validate
from chassis.runtime.settings import Settings, SettingsError, env

NOTES = note_service_pb2.DESCRIPTOR.services_by_name["NoteService"]
NEEDED = {"CRM_MONGO_URI": "mongodb://m", "CRM_NATS_URL": "nats://n", "CRM_SERVICE_SECRET": "s", "CRM_MASTER_KEYS": "A" * 43}


async def _handler(*_: Any) -> Any:
    return None


def _full(service: ServiceDescriptor) -> dict[str, Any]:
    return {method.name: _handler for method in service.methods}


def _made(name: str, access: str) -> ServiceDescriptor:
    file = descriptor_pb2.FileDescriptorProto(name=f"test/{name}.proto", package=f"test.{name}", syntax="proto3")
    file.dependency.append("crm/common/v1/annotations.proto")
    file.message_type.add(name="Ask")
    method = file.service.add(name="Thing").method.add(name="Do", input_type=f".test.{name}.Ask", output_type=f".test.{name}.Ask")
    if access:
        method.options.Extensions[annotations_pb2.access] = access
    return Default().AddSerializedFile(file.SerializeToString()).services_by_name["Thing"]


def test_service_without_a_handler_is_not_built() -> None:
    handlers = _full(NOTES)
    del handlers["CreateNote"], handlers["GetNote"]
    with pytest.raises(RuntimeError, match=r"crm\.customer\.v1\.NoteService: no handler for CreateNote, GetNote"):
        Service(NOTES, handlers, {})


def test_service_with_a_handler_too_many_is_not_built() -> None:
    with pytest.raises(RuntimeError, match="the contract has no EatNote"):
        Service(NOTES, {**_full(NOTES), "EatNote": _handler}, {})


@pytest.mark.parametrize("access", ["", "notes", "notes.", ".read", "."])
def test_service_whose_method_has_no_policy_is_not_built(access: str) -> None:
    service = _made(f"p{abs(hash(access))}", access)
    with pytest.raises(RuntimeError, match="has no policy"):
        Service(service, _full(service), {})


def test_policy_is_read_from_the_contract() -> None:
    assert policy_of(NOTES.methods_by_name["CreateNote"]) == ("notes", "create")
    assert policy_of(_made("open", "public").methods[0]) == ("", "public")
    assert Service(NOTES, _full(NOTES), {}).descriptor is NOTES


def test_first_broken_rule_names_its_field() -> None:
    request = customer_service_pb2.BatchGetCustomersRequest(ids=["a", "b" * 65])
    with pytest.raises(Invalid) as refusal:
        validate(request)
    assert (refusal.value.code, refusal.value.field) == ("INVALID_ARGUMENT", "ids[1]")


@dataclass(frozen=True, kw_only=True)
class Example(Settings):
    """Settings of every kind."""

    must: str = env("CRM_MUST", ..., "must be set")
    seconds: int = env("CRM_WAIT_SECONDS", 5, "a whole number")
    share: float = env("CRM_SHARE", 0.5, "a number")
    eager: bool = env("CRM_EAGER", False, "true or false")


def test_everything_missing_or_wrong_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as wrong:
        Example.from_env({"CRM_WAIT_SECONDS": "soon", "CRM_SHARE": "half", "CRM_EAGER": "perhaps", "CRM_NATS_URL": ""})
    assert str(wrong.value).splitlines() == [
        "CRM_MONGO_URI is not set (MongoDB replica set, e.g. mongodb://127.0.0.1:27017/?replicaSet=crm)",
        "CRM_NATS_URL is not set (NATS server with JetStream, e.g. nats://127.0.0.1:4222; several of a cluster with commas between)",
        "CRM_SERVICE_SECRET is not set (secret by which this department gets its own token)",
        "CRM_MASTER_KEYS is not set (base64url keys of 32 bytes joined by commas, this department's own; the first encrypts)",
        "CRM_MUST is not set (must be set)",
        "CRM_WAIT_SECONDS='soon' is no int (a whole number)",
        "CRM_SHARE='half' is no float (a number)",
        "CRM_EAGER='perhaps' is no bool (true or false)",
    ]


def test_settings_are_typed_and_defaulted() -> None:
    found = Example.from_env({**NEEDED, "CRM_MUST": "x", "CRM_EAGER": "TRUE", "CRM_WAIT_SECONDS": "7"})
    assert (found.must, found.eager, found.seconds, found.share, found.database_prefix) == ("x", True, 7, 0.5, "crm")


@pytest.mark.parametrize(
    ("name", "value"),
    [("CRM_LOG_LEVEL", "LOUD"), ("CRM_ENVIRONMENT", "prodution"), ("CRM_GRPC_ADDRESS", "nowhere"), ("CRM_OPS_ADDRESS", "a:b")],
)
def test_value_that_cannot_work_is_told_with_the_others(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_env({**NEEDED, name: value})


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (Invalid("m"), 3), (NotFound("m"), 5), (AlreadyExists("m"), 6), (NotAllowed("m"), 7), (NotAllowed("m", code="UNAUTHENTICATED"), 16),
        (WrongState("m"), 9), (Conflict("m"), 10), (NotAllowed("m", code="RATE_LIMITED"), 8), (CrmError("m"), 13),
    ],
)  # fmt: skip
def test_every_refusal_has_one_status(error: CrmError, number: int) -> None:
    status = status_of(error, "r1")
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    retryable = "true" if isinstance(error, Conflict) else "false"
    assert (status.code, info.reason, dict(info.metadata)) == (
        number,
        error.code,
        {"field": "", "retryable": retryable, "request_id": "r1"},
    )


def test_refusal_stays_within_what_grpc_carries() -> None:
    status = status_of(Invalid("«" + "中" * 5000 + "» cannot be changed here", field="update_mask"), "r1")
    assert len(status.SerializeToString()) + 3 * len(status.message.encode()) < 8000  # trailers are refused from 8 KiB on
