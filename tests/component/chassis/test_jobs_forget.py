"""What rows of imports say of a customer is known to who asks for it, and forgotten with the customer, whatever becomes of the rows."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from crm.customer.v1 import customer_pb2
from crm.support.v1 import ticket_pb2, ticket_reply_pb2

from chassis.jobs.store import ROWS
from gateway.graph.contract import to_global
from tests.support.installation import Installation
from tests.support.trials import CREATED, REFUSED, Trial, at_hand

SECRET, PHONE = "王秘密", "13800001234"
_DISCLOSURE = "query($id: ID!) { customerDisclosure(customerId: $id) { department place recordCount } }"


@pytest.fixture
def trial(crm: Installation) -> Trial:
    return Trial(crm)


def secret(trial: Trial, number: int, **more: Any) -> bytes:
    """A row that tells of a person."""
    key = f"{trial.mark}:{number}"
    return customer_pb2.Customer(source_key=key, name=SECRET, kind=1, phone=f"+86{PHONE}", **more).SerializeToString()


def nameless(trial: Trial, number: int) -> bytes:
    """A row that is refused."""
    return customer_pb2.Customer(source_key=f"{trial.mark}:{number}", kind=1, phone=f"+86{PHONE}").SerializeToString()


async def batch_of(trial: Trial, first: int) -> dict[str, Any]:
    found: dict[str, Any] | None = await trial.crm.suite[trial.department].database[ROWS].find_one({"job_id": trial.id, "first": first})
    assert found is not None
    return found


def said(batch: dict[str, Any]) -> list[int]:
    """The places of which something is kept that a row said."""
    waiting = [index for index, one in enumerate(batch.get("waiting", ())) if "row" in one]
    return waiting + [index for index, one in enumerate(batch["results"]) if {"kept", "text"} & set(one) and one.get("code") != "ERASED"]


async def disclosed(trial: Trial, customer: str) -> int:
    places = (await trial.crm.data(_DISCLOSURE, id=to_global("Customer", customer)))["customerDisclosure"]
    return int(sum(row["recordCount"] for row in places if row["place"] == "job_rows" and row["department"] == trial.department))


async def erase(trial: Trial, customer: str) -> None:
    await trial.crm.ask("EraseCustomer", role="COORDINATOR", customer_id=customer, reason="请求")


async def counted(trial: Trial, **wanted: int) -> bool:
    job = await trial.job()
    return all(getattr(job, name) == number for name, number in wanted.items())


async def test_what_rows_say_is_sealed_and_that_of_refused_ones_forgotten_with_their_customer(trial: Trial) -> None:
    await trial.start()
    customer = (await trial.append(0, [trial.row(0)])).rows[0].record_id
    bad = secret(trial, 0, parent_id=customer)
    assert SECRET.encode() in bad and PHONE.encode() in bad
    await trial.ask("PauseJob")
    await trial.append(1, [bad], wait=0)
    assert said(await batch_of(trial, 1)) == [0] and await disclosed(trial, customer) == 1
    waiting = bson.encode(await batch_of(trial, 1))
    await trial.ask("ResumeJob")
    await trial.crm.until(lambda: counted(trial, refused=1))
    refused = bson.encode(await batch_of(trial, 1))
    for stored in (waiting, refused):
        assert trial.id.encode() in stored and SECRET.encode() not in stored and PHONE.encode() not in stored
    assert said(await batch_of(trial, 1)) == [0] and await disclosed(trial, customer) == 1
    await erase(trial, customer)
    assert said(await batch_of(trial, 1)) == [] and await disclosed(trial, customer) == 0
    assert (await trial.ask("RetryJobRows")).count == 0
    await trial.ask("CancelJob")


async def test_rows_that_wait_or_come_later_make_nothing_of_who_was_erased(trial: Trial) -> None:
    await trial.start()
    customer = (await trial.append(0, [trial.row(0)])).rows[0].record_id
    await trial.ask("PauseJob")
    await trial.append(1, [secret(trial, 0), trial.row(1), secret(trial, 2)], wait=0)
    assert said(await batch_of(trial, 1)) == [0, 1, 2]
    await erase(trial, customer)
    assert said(await batch_of(trial, 1)) == [1, 2]
    await trial.append(4, [secret(trial, 0), trial.row(3)], wait=0)
    assert said(await batch_of(trial, 4)) == [1]
    await trial.ask("ResumeJob")
    await trial.crm.until(lambda: counted(trial, cursor=6))
    rows = await trial.listed()
    assert [row.result for row in rows] == [CREATED, REFUSED, CREATED, CREATED, REFUSED, CREATED]
    assert {row.error_code for row in rows if row.result == REFUSED} == {"ERASED"}
    for first in (1, 4):
        assert said(await batch_of(trial, first)) == []
    stored = (await trial.stored())[f"{trial.mark}:0"]
    assert SECRET.encode() not in bson.encode(stored) and "phone" not in stored
    assert (await trial.ask("RetryJobRows")).count == 0
    await trial.ask("CancelJob")


async def test_a_row_that_is_refused_while_its_customer_is_erased_keeps_nothing(trial: Trial) -> None:
    await trial.start()
    customer = (await trial.append(0, [trial.row(0)])).rows[0].record_id
    async with at_hand(trial, 1, [nameless(trial, 0), nameless(trial, 1)]):
        await erase(trial, customer)
    await trial.crm.until(lambda: counted(trial, cursor=3))
    assert [row.error_code for row in await trial.listed(REFUSED)] == ["ERASED", "INVALID_ARGUMENT"]
    assert said(await batch_of(trial, 1)) == [1]
    assert (await trial.ask("RetryJobRows")).count == 1
    await trial.ask("CancelJob")


async def test_rows_of_a_merged_customer_are_found_and_forgotten_in_each_department(crm: Installation) -> None:
    ids = [(await crm.ask("CreateCustomer", role="COORDINATOR", kind=1, name=f"合并 {number}")).customer.id for number in range(2)]
    ticket = (await crm.ask("CreateTicket", role="COORDINATOR", subject="坏了", channel=1, customer_id=ids[1])).ticket
    mark = Trial(crm).mark
    asked = ticket_pb2.Ticket(source_key=f"{mark}:t", subject=SECRET, customer_id=ids[1])
    reply = ticket_reply_pb2.TicketReply(source_key=f"{mark}:r", ticket_id=ticket.id, author=1, text=SECRET)
    trials = []
    for resource, row in (("tickets", asked), ("ticket_replies", reply)):
        trial = Trial(crm, department="support")
        trial.id = (await trial.ask("StartImport", resource=resource)).job.id
        await trial.ask("PauseJob")
        await trial.append(0, [row.SerializeToString()], wait=0)
        trials.append(trial)
    await crm.ask("MergeCustomers", role="COORDINATOR", survivor_id=ids[0], loser_id=ids[1], reason="重复")
    await crm.settled()
    await crm.until(lambda: ids[1] in crm.suite["support"].aliases.group(ids[0]))
    for identity in ids:
        assert await disclosed(trials[0], identity) == 2
    await erase(trials[0], ids[0])

    async def forgotten() -> bool:
        return [said(await batch_of(trial, 0)) for trial in trials] == [[], []]

    await crm.until(forgotten)
    for trial in trials:
        await trial.ask("ResumeJob")
        await crm.until(lambda trial=trial: counted(trial, cursor=1))  # type: ignore[misc]
        assert [row.error_code for row in await trial.listed()] == ["ERASED"]
        await trial.ask("CancelJob")
    for collection, key in (("tickets", "t"), ("ticket_replies", "r")):
        assert await crm.suite["support"].database[collection].find_one({"source_key": f"{mark}:{key}"}) is None
