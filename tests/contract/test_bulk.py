"""Commands on many records do on each what the command on one does: outcome by outcome, fact by fact, once however often they are sent."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import pytest_asyncio

from chassis.kernel.errors import Conflict, CrmError
from chassis.kernel.ids import new_id
from chassis.rpc import bulk
from chassis.rpc.contract import BULK, Contract, nouns
from chassis.rpc.documents import snake
from chassis.rpc.trials import untried
from chassis.storage.together import Together
from tests.contract.test_every_noun import audited, change, told
from tests.support.installation import Installation
from tests.support.samples import part
from tests.support.specimens import Specimens, method_of

PARTICIPLES = {"Update": "Updated", "Assign": "Assigned", "Archive": "Archived", "Restore": "Restored", "Tag": "Updated"}
NOUNS = [noun for noun in nouns() if noun.bulk and method_of(noun, "Create") and not untried(noun.method(f"Create{noun.name}"))]
DRAWN = part(NOUNS, 3, "bulk")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def specimens(crm: Installation) -> Specimens:
    return Specimens(crm)


def customer() -> Contract:
    return next(one for one in nouns() if one.name == "Customer")


async def version(crm: Installation, noun: Contract, identity: str) -> int:
    found: int = getattr(await crm.ask(f"Get{noun.name}", **{noun.key: identity}), snake(noun.name)).version
    return found


def test_every_noun_has_for_many_what_it_has_for_one() -> None:
    lacking = []
    for noun in nouns():
        for verb in BULK:
            single = noun.service.methods_by_name.get(f"{verb}{noun.name}") if noun.service else None
            if single is not None and not untried(single) and f"Bulk{verb}" not in noun.traits.without:
                many = [method for method, one in noun.bulk.items() if one is single]
                lacking += [] if many else [single.name]
                assert untried(many[0]) == ""
    assert lacking == []
    assert len(NOUNS) > 10


@pytest.mark.parametrize("noun", DRAWN, ids=[noun.resource for noun in DRAWN])
async def test_each_record_is_judged_alone_and_once(crm: Installation, specimens: Specimens, noun: Contract) -> None:
    for method, single in noun.bulk.items():
        verb = single.name.removesuffix(noun.name)
        made = [await specimens.made(noun) for _ in range(2)]
        if verb == "Restore":
            for one in made:
                await crm.ask(f"Archive{noun.name}", **{noun.key: one.id})
        seen = [await version(crm, noun, one.id) for one in made]
        value = {
            "Update": lambda: change(noun),
            "Assign": lambda: {"owner_id": crm.people["SALES_LEAD"]},
            "Tag": lambda: {"add_tags": [new_id()]},
        }.get(verb, dict)
        values = value()
        ids = [made[0].id, "nobody", made[1].id]
        given = {"ids": ids, "versions": [seen[0], 0, seen[1] + 7], **values}
        twice = new_id()
        answer = await crm.ask(method.name, request_id=twice, **given)
        assert [one.record_id for one in answer.outcomes] == ids
        assert [one.done for one in answer.outcomes] == [True, False, False], answer
        assert [[each.code for each in one.refusals] for one in answer.outcomes] == [[], ["NOT_FOUND"], ["VERSION_CONFLICT"]]
        assert answer.outcomes[0].version == await version(crm, noun, made[0].id) == seen[0] + 1
        assert await version(crm, noun, made[1].id) == seen[1]
        assert await crm.ask(method.name, request_id=twice, **given) == answer
        facts = await told(crm, noun, made[0].id)
        assert [kind for at, kind in facts if at > seen[0]] == [f"{noun.name}{PARTICIPLES[verb]}"]
        assert set(await audited(crm, noun, made[0].id)) >= {seen[0] + 1}
        unseen = await crm.ask(method.name, ids=[made[1].id], **value())
        assert [one.done for one in unseen.outcomes] == [True], f"the version seen may be left out: {unseen}"


async def stopped(crm: Installation, monkeypatch: pytest.MonkeyPatch, ask: Callable[[], Any], after: int) -> None:
    """The command, broken off when so many records were begun."""
    begun, real = 0, bulk._one

    async def failing(*given: Any) -> Any:
        nonlocal begun
        begun += 1
        if begun > after:
            raise Conflict("broken off", code="BUSY")
        return await real(*given)

    monkeypatch.setattr(bulk, "_one", failing)
    with pytest.raises(CrmError) as broken:
        await ask()
    assert (broken.value.code, broken.value.retryable) == ("BUSY", True)
    monkeypatch.setattr(bulk, "_one", real)


async def test_what_was_broken_off_goes_on_where_it_was(crm: Installation, specimens: Specimens, monkeypatch: pytest.MonkeyPatch) -> None:
    noun = customer()
    ids = [(await specimens.made(noun)).id for _ in range(12)]
    given = {"request_id": new_id(), "ids": ids, "owner_id": crm.people["SALES_LEAD"]}
    monkeypatch.setattr(bulk, "AT_ONCE", 4)  # so that some were committed, and the next ones are under way
    await stopped(crm, monkeypatch, lambda: crm.ask("BulkAssignCustomers", **given), 5)
    done = [await version(crm, noun, one) for one in ids]
    assert 0 < done.count(2) < 12
    answer = await crm.ask("BulkAssignCustomers", **given)
    assert [(one.done, one.version) for one in answer.outcomes] == [(True, 2)] * 12
    assert [await version(crm, noun, one) for one in ids] == [2] * 12
    assert [len(await told(crm, noun, one)) for one in ids] == [2] * 12


async def test_a_stale_version_brings_the_present_one(crm: Installation, specimens: Specimens) -> None:
    made = await specimens.made(customer())
    await crm.ask("UpdateCustomer", customer_id=made.id, version=1, update_mask={"paths": ["industry"]}, industry="x")
    mask = {"update_mask": {"paths": ["name"]}, "name": "y"}
    (outcome,) = (await crm.ask("BulkUpdateCustomers", ids=[made.id], versions=[1], **mask)).outcomes
    assert outcome.refusals[0].details == '{"version":2,"changed_fields":["industry"]}'


async def test_what_is_wrong_with_all_of_it_is_refused_as_one(crm: Installation, specimens: Specimens) -> None:
    made = await specimens.made(customer())
    for given, field in (
        ({"ids": []}, "ids"), ({"ids": [made.id, made.id]}, "ids"), ({"ids": [made.id], "versions": [1, 1]}, "versions"),
        ({"ids": [new_id() for _ in range(501)]}, "ids"),
    ):  # fmt: skip
        with pytest.raises(CrmError) as refusal:
            await crm.ask("BulkArchiveCustomers", **given)
        assert (refusal.value.code, refusal.value.field) == ("INVALID_ARGUMENT", field), refusal.value.message
    assert await version(crm, customer(), made.id) == 1


async def test_on_trial_nothing_is_done(crm: Installation, specimens: Specimens) -> None:
    noun = customer()
    made, twice = await specimens.made(noun), new_id()
    for trial, after in ((True, 1), (False, 2)):
        (outcome,) = (await crm.ask("BulkArchiveCustomers", trial=trial, request_id=twice, ids=[made.id])).outcomes
        assert (outcome.done, outcome.version) == (True, 2)
        assert await version(crm, noun, made.id) == after


async def test_five_hundred_are_few_commits(crm: Installation, specimens: Specimens, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"source_key": f"bulk:{new_id()}", "kind": 1, "name": f"bulk {number}"} for number in range(500)]
    ids = [one.id for one in (await crm.ask("BatchUpsertCustomers", customers=rows)).outcomes]
    write, batches = Together._write, []

    async def counted(together: Together, batch: Any) -> None:
        batches.append(len(batch))
        await write(together, batch)

    monkeypatch.setattr(Together, "_write", counted)
    began = time.perf_counter()
    answer = await crm.ask("BulkAssignCustomers", ids=ids, owner_id=crm.people["SALES_LEAD"])
    print(f"500 records assigned in {time.perf_counter() - began:.2f} s, beside the reactions to their making, with {len(batches)} commits")
    assert all(one.done for one in answer.outcomes)
    assert sum(batches) == 500
    assert len(batches) <= 3 * 500 / bulk.AT_ONCE


async def test_of_those_that_cannot_all_be_each_is_told_alone(crm: Installation, specimens: Specimens) -> None:
    noun = next(one for one in nouns() if one.name == "Competitor")
    ids, name = [(await specimens.made(noun)).id for _ in range(6)], f"same {new_id()}"
    answer = await crm.ask("BulkUpdateCompetitors", ids=ids, update_mask={"paths": ["name"]}, name=name)
    assert [one.done for one in answer.outcomes].count(True) == 1
    assert {each.code for one in answer.outcomes for each in one.refusals} == {"ALREADY_EXISTS"}
    assert sorted([await version(crm, noun, one) for one in ids]) == [1, 1, 1, 1, 1, 2]
