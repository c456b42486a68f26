"""Commands are repeatable by request id, over the wire: one record, one event and the same bytes, however often and however at once."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
import pytest_asyncio
from crm.customer.v1 import customer_pb2, customer_service_pb2
from google.protobuf.message import Message

from chassis.kernel.errors import Conflict, CrmError, Invalid, NotAllowed, WrongState
from chassis.kernel.ids import new_id
from tests.support.installation import Installation

SERVICE = "/crm.customer.v1.CustomerService"


async def _raw(crm: Installation, method: str, request: Message) -> bytes:
    """The bytes of the answer, as they came."""
    stub = crm.channels["customer"].channel.unary_unary(f"{SERVICE}/{method}")
    token = crm.tokens["COORDINATOR"]
    return bytes(await stub(request.SerializeToString(), timeout=15, metadata=[("authorization", f"Bearer {token}")]))


async def _told(crm: Installation, method: str, request: Message) -> bytes | str:
    try:
        return await _raw(crm, method, request)
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name}: {error.details()}"


def _create(**values: Any) -> Any:
    return customer_service_pb2.CreateCustomerRequest(**{"request_id": new_id(), "kind": 1, "name": f"firm {new_id()}", **values})


async def _events(crm: Installation, customer_id: str) -> list[tuple[str, str]]:
    rows = crm.suite["customer"].database["outbox"].find({"headers.ce-subject": customer_id}).sort("_id", 1)
    return [(row["headers"]["ce-type"].rsplit(".", 1)[1], row["headers"]["ce-version"]) async for row in rows]


@pytest_asyncio.fixture(loop_scope="session")
async def customer(crm: Installation) -> Any:
    """A customer of the coordinator's."""
    return customer_service_pb2.CreateCustomerResponse.FromString(await _raw(crm, "CreateCustomer", _create())).customer


async def test_repeated_command_gives_the_same_bytes_and_does_nothing(crm: Installation) -> None:
    request = _create()
    answers = [await _raw(crm, "CreateCustomer", request) for _ in range(3)]
    assert answers[1:] == answers[:1] * 2
    made = customer_service_pb2.CreateCustomerResponse.FromString(answers[0]).customer
    assert await crm.suite["customer"].database["customers"].count_documents({"name": request.name}) == 1
    assert await _events(crm, made.id) == [("CustomerCreated", "1")]


async def test_answer_is_the_first_one_also_when_the_record_has_changed_since(crm: Installation) -> None:
    request = _create()
    first = await _raw(crm, "CreateCustomer", request)
    made = customer_service_pb2.CreateCustomerResponse.FromString(first).customer
    await crm.ask(
        "UpdateCustomer", role="COORDINATOR", customer_id=made.id, version=1, update_mask={"paths": ["name"]}, name="another name"
    )
    assert await _raw(crm, "CreateCustomer", request) == first


async def test_request_id_with_other_content_is_refused_and_nothing_changes(crm: Installation) -> None:
    request = _create()
    await _raw(crm, "CreateCustomer", request)
    database = crm.suite["customer"].database
    before = await database["outbox"].count_documents({})
    with pytest.raises(Invalid) as refusal:
        await crm.ask("CreateCustomer", role="COORDINATOR", request_id=request.request_id, kind=1, name="other")
    assert (refusal.value.code, refusal.value.field) == ("REQUEST_ID_REUSED", "request_id")
    assert await database["customers"].count_documents({"name": "other"}) == 0
    assert await database["outbox"].count_documents({}) == before


async def test_request_ids_of_two_callers_and_two_methods_do_not_meet(crm: Installation) -> None:
    identity = new_id()
    made = [
        await crm.ask("CreateCustomer", role=role, request_id=identity, kind=1, name=f"{role} {identity}")
        for role in ("COORDINATOR", "SALES_LEAD")
    ]
    assert made[0].customer.id != made[1].customer.id
    note = await crm.ask("CreateNote", role="COORDINATOR", request_id=identity, customer_id=made[0].customer.id, text="hello")
    assert note.note.text == "hello"


async def test_refused_command_does_not_use_up_its_request_id(crm: Installation) -> None:
    identity = new_id()
    with pytest.raises(CrmError):
        await crm.ask("CreateCustomer", role="COORDINATOR", request_id=identity, kind=1, name="   ")
    made = await crm.ask("CreateCustomer", role="COORDINATOR", request_id=identity, kind=1, name=f"now {identity}")
    assert made.customer.version == 1


async def test_a_refusal_is_not_followed_by_the_effect_of_a_twin_that_was_under_way(
    crm: Installation, customer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (notes,) = [found for found in crm.suite["customer"].served if found.descriptor.name == "NoteService"]
    real, reached, told = notes.handlers["CreateNote"], asyncio.Event(), asyncio.Event()

    async def slow_then_refused(call: Any, request: Any) -> Any:
        if reached.is_set():
            raise WrongState("too late by now")
        reached.set()
        response = await real(call, request)
        await told.wait()
        return response

    monkeypatch.setitem(notes.handlers, "CreateNote", slow_then_refused)  # type: ignore[arg-type]
    fields = {"role": "COORDINATOR", "request_id": new_id(), "customer_id": customer.id, "text": "once"}
    twin = asyncio.create_task(crm.ask("CreateNote", **fields))
    await reached.wait()
    with pytest.raises(WrongState, match="too late"):
        await crm.ask("CreateNote", **fields)
    told.set()
    with pytest.raises(Conflict) as refusal:
        await twin
    assert (refusal.value.code, refusal.value.retryable) == ("REQUEST_REFUSED", False)
    stored = crm.suite["customer"].database["notes"]
    assert await stored.count_documents({"customer_id": customer.id}) == 0
    monkeypatch.setitem(notes.handlers, "CreateNote", real)  # type: ignore[arg-type]
    made = await crm.ask("CreateNote", **fields)  # a new try begins behind the refusal
    assert (await crm.ask("CreateNote", **fields)).SerializeToString() == made.SerializeToString()
    assert await stored.count_documents({"customer_id": customer.id}) == 1


async def test_who_is_refused_while_a_twin_commits_gets_its_answer(
    crm: Installation, customer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (notes,) = [found for found in crm.suite["customer"].served if found.descriptor.name == "NoteService"]
    real, reached, done = notes.handlers["CreateNote"], asyncio.Event(), asyncio.Event()

    async def refused_late(call: Any, request: Any) -> Any:
        if reached.is_set():
            return await real(call, request)
        reached.set()
        await done.wait()
        raise WrongState("too late by now")

    monkeypatch.setitem(notes.handlers, "CreateNote", refused_late)  # type: ignore[arg-type]
    fields = {"role": "COORDINATOR", "request_id": new_id(), "customer_id": customer.id, "text": "once"}
    late = asyncio.create_task(crm.ask("CreateNote", **fields))
    await reached.wait()
    answer = await crm.ask("CreateNote", **fields)
    done.set()
    assert (await late).SerializeToString() == answer.SerializeToString()


async def test_twenty_identical_creates_at_once_make_one_record_and_one_event(crm: Installation) -> None:
    request = _create(tax_number=new_id().upper())
    answers = await asyncio.gather(*(_told(crm, "CreateCustomer", request) for _ in range(20)))
    assert set(answers) == {answers[0]}
    made = customer_service_pb2.CreateCustomerResponse.FromString(answers[0]).customer
    assert await crm.suite["customer"].database["customers"].count_documents({"name": request.name}) == 1
    assert await _events(crm, made.id) == [("CustomerCreated", "1")]


@pytest.mark.parametrize("pause", [0.0, 0.002, 0.005])
async def test_twenty_identical_updates_at_once_all_get_the_one_answer(crm: Installation, customer: Any, pause: float) -> None:
    request = customer_service_pb2.UpdateCustomerRequest(request_id=new_id(), customer_id=customer.id, version=1, name="同一个名字")
    request.update_mask.paths.append("name")

    async def later(index: int) -> bytes | str:
        await asyncio.sleep(pause * index)
        return await _told(crm, "UpdateCustomer", request)

    answers = await asyncio.gather(*(later(index) for index in range(20)))
    assert {str(answer) for answer in answers} == {str(answers[0])}
    assert customer_service_pb2.UpdateCustomerResponse.FromString(answers[0]).customer.version == 2
    assert await _events(crm, customer.id) == [("CustomerCreated", "1"), ("CustomerUpdated", "2")]


@pytest.mark.parametrize("pause", [0.0, 0.002, 0.005])
async def test_twenty_identical_transitions_at_once_all_get_the_one_answer(crm: Installation, customer: Any, pause: float) -> None:
    request = customer_service_pb2.MoveCustomerLifecycleRequest(
        request_id=new_id(), customer_id=customer.id, lifecycle=customer_pb2.CUSTOMER_LIFECYCLE_CONVERT, reason="answered the call"
    )

    async def later(index: int) -> bytes | str:
        await asyncio.sleep(pause * index)
        return await _told(crm, "MoveCustomerLifecycle", request)

    answers = await asyncio.gather(*(later(index) for index in range(20)))
    assert {str(answer) for answer in answers} == {str(answers[0])}
    assert await _events(crm, customer.id) == [("CustomerCreated", "1"), ("CustomerLifecycleMoved", "2")]


async def test_of_twenty_different_updates_of_one_version_one_wins_and_the_rest_are_told(crm: Installation, customer: Any) -> None:
    async def attempt(index: int) -> str:
        try:
            mask = {"paths": ["name"]}
            await crm.ask("UpdateCustomer", role="COORDINATOR", customer_id=customer.id, version=1, update_mask=mask, name=f"name {index}")
        except Conflict as conflict:
            return conflict.code
        return "won"

    told = await asyncio.gather(*(attempt(index) for index in range(20)))
    assert sorted(told) == ["VERSION_CONFLICT"] * 19 + ["won"]
    assert await _events(crm, customer.id) == [("CustomerCreated", "1"), ("CustomerUpdated", "2")]


async def test_commands_without_a_version_are_tried_again_and_each_is_done_once(crm: Installation, customer: Any) -> None:
    ask = [
        crm.ask("AssignCustomer", role="COORDINATOR", customer_id=customer.id, owner_id=crm.people[role])
        for role in ("SALES_REP", "SALES_LEAD", "COORDINATOR", "SALES_REP", "SALES_LEAD")
    ]
    answers = await asyncio.gather(*ask)
    assert sorted(answer.customer.version for answer in answers) == [2, 3, 4, 5, 6]
    assert [version for _, version in await _events(crm, customer.id)] == ["1", "2", "3", "4", "5", "6"]


async def test_repeat_after_the_state_moved_on_still_gives_the_first_answer(crm: Installation, customer: Any) -> None:
    request = customer_service_pb2.MoveCustomerLifecycleRequest(
        request_id=new_id(), customer_id=customer.id, lifecycle=customer_pb2.CUSTOMER_LIFECYCLE_CHURN, reason="gone"
    )
    first = await _raw(crm, "MoveCustomerLifecycle", request)
    with pytest.raises(WrongState):
        await crm.ask("MoveCustomerLifecycle", role="COORDINATOR", customer_id=customer.id, lifecycle=4, reason="gone")
    assert await _raw(crm, "MoveCustomerLifecycle", request) == first


async def test_repeat_does_not_help_who_may_no_longer_call(crm: Installation) -> None:
    request = _create()
    await _raw(crm, "CreateCustomer", request)
    for role, code in (("", "UNAUTHENTICATED"), ("not.a.token", "UNAUTHENTICATED")):
        with pytest.raises(NotAllowed) as refusal:
            await crm.ask("CreateCustomer", role=role, request_id=request.request_id, kind=1, name=request.name)
        assert refusal.value.code == code


async def test_restoring_what_is_in_use_changes_and_announces_nothing(crm: Installation, customer: Any) -> None:
    restored = await crm.ask("RestoreCustomer", role="COORDINATOR", customer_id=customer.id)
    assert restored.customer.version == 1
    assert await _events(crm, customer.id) == [("CustomerCreated", "1")]


async def test_read_mask_of_a_single_get_is_obeyed(crm: Installation, customer: Any) -> None:
    found = await crm.ask("GetCustomer", role="COORDINATOR", customer_id=customer.id, read_mask={"paths": ["kind"]})
    assert (found.customer.kind, found.customer.name) == (1, "")


@pytest.mark.parametrize("path", ["x" * 9000, "中" * 6000])
async def test_refusal_of_an_endless_value_still_arrives(crm: Installation, customer: Any, path: str) -> None:
    with pytest.raises(Invalid) as refusal:
        await crm.ask("UpdateCustomer", role="COORDINATOR", customer_id=customer.id, version=1, update_mask={"paths": [path]})
    assert refusal.value.field == "update_mask"


@pytest.mark.parametrize("seconds", [10**12, -(10**12)])
async def test_moment_that_no_calendar_has_is_refused_as_invalid(crm: Installation, seconds: int) -> None:
    condition = {"field": "create_time", "operator": 5, "values": [{"time": {"seconds": seconds}}]}
    with pytest.raises(Invalid):
        await crm.ask("ListCustomers", role="COORDINATOR", filter={"condition": condition})


@pytest.mark.parametrize("path", ["", "$name"])
async def test_read_mask_with_a_name_that_is_no_field_is_refused_as_invalid(crm: Installation, customer: Any, path: str) -> None:
    with pytest.raises(Invalid):
        await crm.ask("BatchGetCustomers", role="COORDINATOR", ids=[customer.id], read_mask={"paths": [path]})
