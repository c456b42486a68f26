"""A read model folded anew from the facts beside live traffic, in one step in the place of the old one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo import DeleteOne, UpdateOne

from chassis.jobs import rebuild as rebuilding
from chassis.jobs.rebuild import Outcome, Rebuild, fold_anew
from chassis.kernel.errors import Conflict
from chassis.messaging.models import is_aside
from chassis.messaging.relay import publish_again
from chassis.storage.lease import Lease
from cli import rebuild
from cli.engines import EngineError
from tests.support.installation import Installation
from tests.support.trials import CANCELLED, DONE, FAILED, PAUSED, Trial

Document = dict[str, Any]
PAST = datetime(1970, 1, 1, tzinfo=UTC)


async def populated(crm: Installation, deals: int = 3) -> list[str]:
    """Customers with work of several departments, some of it over."""
    stages = [{"key": key, "name": key} for key in ("first", "second")]
    await crm.ask("CreatePipeline", name="way", stages=stages, is_default=True, request_id="the-one-way")
    firms = [(await crm.ask("CreateCustomer", role="COORDINATOR", kind=1, name=f"firm {number}")).customer for number in range(2)]
    for number in range(deals):
        made = await crm.ask("CreateOpportunity", role="SALES_LEAD", customer_id=firms[number % 2].id, name=f"deal {number}")
        if number % 3 == 0:
            await crm.ask("MoveOpportunityStage", opportunity_id=made.opportunity.id, stage_key="second")
        ticket = await crm.ask("CreateTicket", role="SUPPORT_AGENT", subject="坏了", channel=1, customer_id=firms[number % 2].id)
        if number % 2:
            await crm.ask("ResolveTicket", ticket_id=ticket.ticket.id, resolution="done")
    await crm.ask("AssignCustomer", customer_id=firms[0].id, owner_id=crm.people["SALES_REP"])
    await crm.settled()
    return [firm.id for firm in firms]


async def stored(crm: Installation, collection: str) -> dict[str, Document]:
    rows = crm.suite["customer"].database[collection].find()
    return {row["_id"]: {name: value for name, value in row.items() if value is not None} async for row in rows}


async def folded(crm: Installation, name: str) -> Outcome:
    """A model folded anew by its department, without a job."""

    async def tell(done: int, total: int) -> None:
        assert done <= total

    async def placing() -> None:
        """Nothing stops it."""

    return await fold_anew(crm.suite["customer"].stand(), name, tell, placing)


async def left_over(crm: Installation, collection: str) -> dict[str, int]:
    """What collections that were folded into still hold."""
    database = crm.suite["customer"].database
    names = [name for name in await database.list_collection_names() if is_aside(name) and name.startswith(collection)]
    assert names
    return {name: count for name in names if (count := await database[name].count_documents({}))}


async def test_a_model_where_nothing_was_wrong_is_equal_and_stays(file_crm: Installation) -> None:
    await populated(file_crm)
    for name, collection in (("timeline", "timeline_entries"), ("work", "open_work")):
        before = await stored(file_crm, collection)
        first, second = await folded(file_crm, name), await folded(file_crm, name)
        assert (first.equal, first.documents, first.digest) == (True, len(before), second.digest)
        assert await stored(file_crm, collection) == before
        assert await left_over(file_crm, collection) == {}


async def test_what_is_missing_too_many_or_other_is_put_right(file_crm: Installation) -> None:
    await populated(file_crm)
    database = file_crm.suite["customer"].database
    right = {name: await stored(file_crm, name) for name in ("timeline_entries", "open_work", "customer_accesses")}
    lost, other = sorted(right["timeline_entries"])[:2]
    entries = database["timeline_entries"]
    await entries.bulk_write([DeleteOne({"_id": lost}), UpdateOne({"_id": other}, {"$set": {"subject": "wrong"}})])
    await entries.insert_one({**right["timeline_entries"][lost], "_id": "zzz"})
    found = await folded(file_crm, "timeline")
    assert (found.missing, found.extra, found.other) == ([lost], ["zzz"], [other])
    assert await stored(file_crm, "timeline_entries") == right["timeline_entries"]
    wanted = {index.document["name"] for index in file_crm.suite["customer"].wanted_indexes()["timeline_entries"]} | {"_id_"}
    assert set(await entries.index_information()) == wanted
    # Somebody whose work was forgotten gets the customer back, by a fact of its own.
    gone = next(iter(right["open_work"].values()))
    await database["open_work"].delete_one({"_id": gone["_id"]})
    await database["customer_accesses"].update_one({"_id": gone["customer_id"]}, {"$set": {"person_ids": []}})
    assert (await folded(file_crm, "work")).missing == [gone["_id"]]
    assert await stored(file_crm, "open_work") == right["open_work"]
    (access,) = [row for row in (await stored(file_crm, "customer_accesses")).values() if row["_id"] == gone["customer_id"]]
    assert access["person_ids"] == right["customer_accesses"][gone["customer_id"]]["person_ids"]
    await file_crm.settled()
    facts = database["outbox"].find({"headers.ce-subject": gone["customer_id"], "headers.ce-aggregate": {"$regex": "CustomerAccess$"}})
    assert max([int(row["headers"]["ce-version"]) async for row in facts]) == access["version"]


async def test_what_was_made_of_the_model_is_mended_by_the_next_one_where_one_was_killed_before_that(
    file_crm: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    await populated(file_crm)
    database = file_crm.suite["customer"].database
    gone = next(row for row in (await stored(file_crm, "open_work")).values())
    right = (await stored(file_crm, "customer_accesses"))[gone["customer_id"]]["person_ids"]
    await database["open_work"].delete_one({"_id": gone["_id"]})
    await database["customer_accesses"].update_one({"_id": gone["customer_id"]}, {"$set": {"person_ids": []}})

    async def killed(self: Rebuild) -> None:
        raise Conflict("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Rebuild, "_after", killed)
        with pytest.raises(Conflict, match="killed"):
            await folded(file_crm, "work")
    assert gone["_id"] in await stored(file_crm, "open_work"), "the new model is in place"
    assert (await folded(file_crm, "work")).equal, "and nothing differs any more"
    assert (await stored(file_crm, "customer_accesses"))[gone["customer_id"]]["person_ids"] == right
    assert await database[rebuilding.REST].count_documents({}) == 0


async def test_beside_live_traffic_nothing_is_missed_or_entered_twice(file_crm: Installation) -> None:
    firms = await populated(file_crm, 6)
    database, ended, seen = file_crm.suite["customer"].database, asyncio.Event(), set()
    await database["timeline_entries"].delete_many({"department": "support"})  # so that the models differ, and names are changed

    async def write(number: int) -> None:
        while not ended.is_set():
            await file_crm.ask("CreateNote", role="COORDINATOR", customer_id=firms[number % 2], text="x")

    async def read() -> None:
        while not ended.is_set():
            seen.add(await database["timeline_entries"].count_documents({"department": "support"}))
            await asyncio.sleep(0.002)

    writers = [asyncio.create_task(write(number)) for number in range(4)]
    reader = asyncio.create_task(read())
    found = await folded(file_crm, "timeline")
    await asyncio.sleep(0.3)
    ended.set()
    await asyncio.gather(*writers, reader)
    await file_crm.settled()
    assert len(found.missing) == max(seen) > 0
    assert seen == {0, max(seen)}  # never half a model
    facts = await database["outbox"].count_documents({"headers.ce-type": "crm.customer.v1.NoteCreated"})
    assert facts > 20
    assert await database["timeline_entries"].count_documents({"resource": "notes"}) == facts
    assert await database["parked_events"].count_documents({}) == 0
    assert (await folded(file_crm, "timeline")).equal


@pytest.mark.parametrize("version", ["1", "2"])  # one with successors, the last of its record
async def test_facts_that_are_not_all_there_leave_the_model_as_it_is(file_crm: Installation, version: str) -> None:
    await populated(file_crm)
    before = await stored(file_crm, "timeline_entries")
    sales = file_crm.suite["sales"]
    row = await sales.database["outbox"].find_one({"headers.ce-type": {"$regex": "Opportunity"}, "headers.ce-version": version})
    assert row is not None
    await sales.jetstream.delete_msg("CRM_SALES", row["sequence"])
    with pytest.raises(Conflict, match="no longer holds every fact of 1 records"):
        await folded(file_crm, "timeline")
    assert await stored(file_crm, "timeline_entries") == before
    made = await file_crm.ask("CreateCustomer", role="COORDINATOR", kind=1, name="later")  # and the consumers go on

    async def entered() -> bool:
        return bool(await file_crm.suite["customer"].database["timeline_entries"].find_one({"record_id": made.customer.id}))

    await file_crm.until(entered, 5)
    assert await publish_again(sales.database, {"_id": row["_id"]}) == 1
    await file_crm.settled()


async def test_what_was_erased_does_not_come_back(file_crm: Installation) -> None:
    firm, _ = await populated(file_crm)
    await file_crm.ask("EraseCustomer", role="COORDINATOR", customer_id=firm, reason="asked for")
    await file_crm.settled()
    before = await stored(file_crm, "timeline_entries")
    assert {row.get("subject") for row in before.values() if row["customer_id"] == firm} == {None}
    sales = file_crm.suite["sales"]
    late = await sales.database["outbox"].find_one({"headers.ce-customer": firm})  # a fact from before that comes late
    assert late is not None
    lost = await file_crm.suite["customer"].database["timeline_entries"].find_one_and_delete({"_id": late["_id"]})
    assert lost is not None
    assert (await folded(file_crm, "timeline")).missing == [late["_id"]]
    assert await stored(file_crm, "timeline_entries") == before


async def test_facts_that_stand_behind_their_successors_are_folded_in_their_order(file_crm: Installation) -> None:
    await populated(file_crm)
    before = await stored(file_crm, "timeline_entries")
    sales = file_crm.suite["sales"]
    row = await sales.database["outbox"].find_one({"headers.ce-version": "1", "headers.ce-aggregate": "crm.sales.v1.Opportunity"})
    assert row is not None
    await sales.jetstream.delete_msg("CRM_SALES", row["sequence"])
    assert await publish_again(sales.database, {"_id": row["_id"]}) == 1
    await file_crm.settled()
    assert (await folded(file_crm, "timeline")).equal
    assert await stored(file_crm, "timeline_entries") == before


async def test_what_no_build_can_read_is_passed_over_as_by_the_reactions(file_crm: Installation) -> None:
    await populated(file_crm)
    sales = file_crm.suite["sales"]
    row = await sales.database["outbox"].find_one({"headers.ce-type": "crm.sales.v1.OpportunityCreated"})
    assert row is not None
    headers = {
        **row["headers"],
        "ce-id": "01dream",
        "Nats-Msg-Id": "01dream",
        "ce-subject": "01dream",
    }
    await sales.jetstream.publish(
        "crm.sales.v1.opportunity.dreamt.01dream", row["payload"], headers={key: value for key, value in headers.items() if value}
    )

    async def parked() -> bool:
        return await file_crm.suite["customer"].database["parked_events"].count_documents({"reaction": "timeline"}) == 1

    await file_crm.until(parked, 60)
    found = await folded(file_crm, "timeline")
    assert (found.equal, found.unreadable) == (True, 1)


async def test_two_at_once_are_one(file_crm: Installation) -> None:
    await populated(file_crm)
    before = await stored(file_crm, "timeline_entries")
    found = await asyncio.gather(*(folded(file_crm, "timeline") for _ in range(3)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in found) == ["Conflict", "Conflict", "Outcome"]
    assert await stored(file_crm, "timeline_entries") == before


async def test_a_model_that_there_is_not_is_refused_with_those_that_there_are(file_crm: Installation) -> None:
    with pytest.raises(EngineError, match=r"there is no model «timelines»: .*timeline, work"):
        await rebuild.rebuild(file_crm.plan, "timelines")


async def test_a_rebuild_that_loses_its_lease_begins_from_nothing_when_it_has_it_again(
    file_crm: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    await populated(file_crm)
    before, held, swap = await stored(file_crm, "timeline_entries"), Lease._held, rebuilding.Rebuild._swap
    turns: list[int] = []

    async def lost_once(self: Lease) -> bool:  # as while MongoDB is away
        return await held(self) if self.name != "rebuild" or len(turns) != 1 else turns.append(0) or False

    async def late(self: rebuilding.Rebuild, total: int) -> None:
        turns.append(self.lease.term)
        if len(turns) == 1:
            await asyncio.sleep(60)
        await swap(self, total)

    monkeypatch.setattr(Lease, "_held", lost_once)
    monkeypatch.setattr(rebuilding.Rebuild, "_swap", late)
    found = await folded(file_crm, "timeline")
    assert (len(turns), found.equal, found.documents) == (3, True, len(before))
    assert await stored(file_crm, "timeline_entries") == before
    assert await left_over(file_crm, "timeline_entries") == {}


async def test_one_that_lost_its_lease_and_does_not_know_it_takes_nothing_from_the_next(
    file_crm: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    await populated(file_crm)
    before, swap = await stored(file_crm, "timeline_entries"), rebuilding.Rebuild._swap
    first: list[asyncio.Task[Outcome]] = []
    reached = asyncio.Event()

    async def met(self: rebuilding.Rebuild, total: int) -> None:
        if not reached.is_set():
            reached.set()
            await asyncio.sleep(60)
        first[0].cancel()  # it cleans up behind itself, while the other one is about to compare
        await asyncio.gather(*first, return_exceptions=True)
        await swap(self, total)

    monkeypatch.setattr(rebuilding.Rebuild, "_swap", met)
    first.append(asyncio.create_task(folded(file_crm, "timeline")))
    await reached.wait()
    await file_crm.suite["customer"].database["leases"].update_one({"_id": "rebuild"}, {"$set": {"holder": "", "until": PAST}})
    found = await folded(file_crm, "timeline")
    assert (found.equal, found.documents) == (True, len(before))
    assert await stored(file_crm, "timeline_entries") == before


# ---- as a job


class Turn:
    """A rebuild of the timeline that waits, after its first batch, for `go`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.go, fold = asyncio.Event(), asyncio.Event(), rebuilding.Rebuild._fold

        async def slow(rebuild: rebuilding.Rebuild, *given: Any) -> None:
            await fold(rebuild, *given)
            self.reached.set()
            await self.go.wait()

        monkeypatch.setattr(rebuilding.Rebuild, "_fold", slow)
        monkeypatch.setattr(rebuilding, "SAY_SECONDS", 0.0)


START = 'mutation($model: String!) { jobRebuildStart(input: {department: "customer", model: $model}) { job { id state } errors { code } } }'


async def test_an_administrator_has_a_model_folded_anew_and_nobody_else(file_crm: Installation) -> None:
    await populated(file_crm)
    entries = file_crm.suite["customer"].database["timeline_entries"]
    lost = await entries.find_one_and_delete({})
    assert lost is not None
    for role in ("COORDINATOR", "SALES_LEAD"):
        refused = (await file_crm.data(START, role, model="timeline"))["jobRebuildStart"]
        assert [error["code"] for error in refused["errors"]] == ["NOT_ALLOWED"]
    made = (await file_crm.data(START, "ADMINISTRATOR", model="timeline"))["jobRebuildStart"]["job"]["id"]
    query = "query($id: ID!) { job(id: $id) { state findings total done starter { name } } }"

    async def done() -> bool:
        return bool((await file_crm.data(query, "ADMINISTRATOR", id=made))["job"]["state"] == "DONE")

    await file_crm.until(done)
    job = (await file_crm.data(query, "ADMINISTRATOR", id=made))["job"]
    assert job["findings"][-1] == "the new model is in place" and f"1 were missing: {lost['_id']}" in job["findings"]
    assert job["total"] == job["done"] > 0 and job["starter"] == {"name": "人 ADMINISTRATOR"}
    assert await entries.find_one({"_id": lost["_id"]})


async def test_one_that_is_paused_changes_nothing_and_begins_anew(file_crm: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    await populated(file_crm)
    before, trial = await stored(file_crm, "timeline_entries"), Trial(file_crm, "ADMINISTRATOR")
    turn = Turn(monkeypatch)
    trial.id = (await trial.ask("StartRebuild", model="timeline")).job.id
    assert (await trial.ask("StartRebuild", model="timeline")).job.id == trial.id  # one at a time
    await turn.reached.wait()
    await trial.ask("PauseJob")
    turn.go.set()
    await asyncio.sleep(0.5)
    assert (await trial.job()).state == PAUSED
    assert await stored(file_crm, "timeline_entries") == before
    await trial.ask("ResumeJob")
    findings = list((await trial.until(DONE)).findings)
    assert findings[-1].startswith("equal to"), findings
    assert await left_over(file_crm, "timeline_entries") == {}


async def test_one_that_is_cancelled_in_its_last_step_leaves_the_model_or_cannot_be_cancelled_any_more(
    file_crm: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    await populated(file_crm)
    entries = file_crm.suite["customer"].database["timeline_entries"]
    lost = await entries.find_one_and_delete({})
    assert lost is not None
    for step, placed in (("_compare", False), ("_put_in_place", True)):
        reached, go, real = asyncio.Event(), asyncio.Event(), getattr(rebuilding.Rebuild, step)

        async def waiting(rebuild: rebuilding.Rebuild, reached: Any = reached, go: Any = go, real: Any = real) -> None:
            reached.set()
            await go.wait()
            await real(rebuild)

        monkeypatch.setattr(rebuilding.Rebuild, step, waiting)
        trial = Trial(file_crm, "ADMINISTRATOR")
        trial.id = (await trial.ask("StartRebuild", model="timeline")).job.id
        await reached.wait()
        if placed:
            for method in ("CancelJob", "PauseJob"):
                with pytest.raises(Conflict, match="being put in place") as refusal:
                    await trial.ask(method)
                assert refusal.value.code == "BUSY" and refusal.value.retryable
        else:
            await trial.ask("CancelJob")
        go.set()
        if placed:
            assert (await trial.until(DONE)).findings[-1] == "the new model is in place"
        else:
            await file_crm.until(lambda job=trial.id: job not in file_crm.suite["customer"].jobs._tasks)  # type: ignore[misc]
            assert (await trial.job()).state == CANCELLED
        assert (await entries.find_one({"_id": lost["_id"]}) is not None) == placed


async def test_one_whose_starter_lost_the_right_fails(file_crm: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    await populated(file_crm)
    await file_crm.person("FOLDER", "ADMINISTRATOR")
    directory = file_crm.suite["customer"].authority
    await file_crm.until(lambda: file_crm.people["FOLDER"] in directory.directory.members)
    trial, turn = Trial(file_crm, "FOLDER"), Turn(monkeypatch)
    trial.id = (await trial.ask("StartRebuild", model="work")).job.id
    await turn.reached.wait()
    person = (await file_crm.ask("GetPerson", person_id=file_crm.people["FOLDER"])).person
    await file_crm.ask("UpdatePerson", person_id=person.id, version=person.version, roles=[3], update_mask={"paths": ["roles"]})
    await file_crm.until(lambda: "ADMINISTRATOR" not in directory.directory.members[person.id].roles)
    turn.go.set()
    assert (await trial.until(FAILED)).error_code == "NOT_ALLOWED"


async def test_the_command_line_starts_one_and_tells_what_was_found(file_crm: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    await populated(file_crm)
    assert (await rebuild.rebuild(file_crm.plan, "work")).state == DONE
    told = capsys.readouterr().out
    assert "rebuild work" in told and "equal to the model that there was" in told
