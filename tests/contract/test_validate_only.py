"""Every command can be judged without being done, or says why not: nothing is written, told, audited, or kept under the request id."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from chassis.rpc.contract import Contract, nouns
from chassis.rpc.documents import snake
from chassis.rpc.service import policy_of
from chassis.rpc.trials import untried
from chassis.storage.changes import AUDIT, OUTBOX, REQUESTS
from chassis.storage.encryption import VAULT
from tests.contract.test_every_noun import change, each, where
from tests.support.checks import refused
from tests.support.installation import Installation
from tests.support.requests import filled
from tests.support.samples import LONG, part
from tests.support.specimens import Specimens, method_of

KEPT = (OUTBOX, AUDIT, REQUESTS, VAULT)
# Beside what every noun is tried with: fields that a command wants, and is not good without.
SPECIAL: dict[str, dict[str, Any]] = {"MoveCustomerLifecycle": {"lifecycle": 2}, "MoveOpportunityStage": {"stage_key": "second"}}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def specimens(crm: Installation) -> Specimens:
    return Specimens(crm)


async def stored(crm: Installation, noun: Contract, identity: str = "") -> list[Any]:
    """How much the department holds of what a command writes, and the record."""
    await crm.settled()
    database = crm.suite[noun.department].database
    counts = [await database[name].count_documents({}) for name in (noun.resource, *KEPT)]
    return [*counts, await database[noun.resource].find_one({"_id": identity})]


def told(made: Any) -> Any:
    """A record without what is another one each time."""
    copy = type(made)()
    copy.CopyFrom(made)
    for name in (
        "id",
        "create_time",
        "update_time",
        "archive_time",
        "number",
        "stage_history",
        "state_history",
        "start_date",
        "order_time",
    ):
        if name in copy.DESCRIPTOR.fields_by_name:
            copy.ClearField(name)
    return copy


@each("Create")
async def test_what_is_made_on_trial_is_not_made(crm: Installation, specimens: Specimens, noun: Contract) -> None:
    method, fields = method_of(noun, "Create"), await specimens.fields(noun)
    if why := untried(method):
        refusal = await refused(crm, where(noun), crm.ask(method.name, trial=True, **fields), "INVALID_ARGUMENT")
        assert why in refusal.message
        return
    before, twice = await stored(crm, noun), new_id()
    tried = getattr(await crm.ask(method.name, trial=True, request_id=twice, **fields), snake(noun.name))
    assert await stored(crm, noun) == before
    made = getattr(await crm.ask(method.name, request_id=twice, **fields), snake(noun.name))
    assert (told(tried), tried.version) == (told(made), 1), "the same request id is free, and the answer was what the command gives"


@each("Create", "Update")
async def test_a_change_on_trial_is_judged_and_not_made(crm: Installation, specimens: Specimens, noun: Contract) -> None:
    made, method = await specimens.made(noun), method_of(noun, "Update")
    if untried(method):
        return
    before, values = await stored(crm, noun, made.id), change(noun)
    key = {noun.key: made.id}
    tried = getattr(await crm.ask(method.name, trial=True, **key, version=made.version, **values), snake(noun.name))
    late = crm.ask(method.name, trial=True, **key, version=made.version + 1, **values)
    await refused(crm, where(noun), late, "VERSION_CONFLICT", field="version")
    assert await stored(crm, noun, made.id) == before
    done = getattr(await crm.ask(method.name, **key, version=made.version, **values), snake(noun.name))
    assert told(tried) == told(done)


async def test_whatever_a_command_says_on_trial_nothing_is_kept(crm: Installation, specimens: Specimens) -> None:
    asked, good = set(), set()
    for noun in part([one for one in nouns() if one.service and method_of(one, "Create")], 3, "trials"):
        made = await specimens.made(noun)
        before = await stored(crm, noun, made.id)
        for method in (one for one in noun.service.methods if noun.key in one.input_type.fields_by_name):  # type: ignore[union-attr]
            if policy_of(method)[1] in ("read", "public"):
                continue
            fields = filled(method, crm, {noun.key, "owner_id"}) | {noun.key: made.id} | SPECIAL.get(method.name, {})
            known = method.input_type.fields_by_name
            fields |= {"version": made.version} if "version" in known else {}
            fields |= {"owner_id": crm.people["SALES_LEAD"]} if "owner_id" in known and method.name.startswith("Assign") else {}
            try:
                await crm.ask(method.name, trial=True, **fields)
                good.add(method.name)
            except CrmError as refusal:
                assert refusal.code not in ("INTERNAL", "UNAVAILABLE"), f"{method.name}: {refusal.message}"
                assert not untried(method) or refusal.params["rule"] == "validate_only", f"{method.name}: {refusal.message}"
            asked.add(method.name)
        assert await stored(crm, noun, made.id) == before, noun.resource
    assert len(asked) > (60 if LONG else 15)
    done = {"WinOpportunity", "ResolveTicket", "EraseCustomer", "ConfirmOrder", "ArchiveContact", "AssignCustomer"} & asked
    assert done <= good, good


async def test_a_trial_is_refused_by_what_only_the_database_knows(crm: Installation, specimens: Specimens) -> None:
    noun = next(one for one in nouns() if one.name == "Product")
    fields = {**await specimens.fields(noun), "code": f"C{new_id()}"[:20].upper()}
    await crm.ask("CreateProduct", **fields)
    with pytest.raises(CrmError) as taken:
        await crm.ask("CreateProduct", trial=True, **fields)
    assert taken.value.code.endswith("TAKEN"), taken.value.message


async def test_who_may_not_may_not_try(crm: Installation, specimens: Specimens) -> None:
    noun = next(one for one in nouns() if one.name == "Customer")
    made = await specimens.made(noun)
    for role, code in (("MARKETER", ("NOT_ALLOWED", "NOT_FOUND")), ("SALES_REP", ("NOT_ALLOWED", "NOT_FOUND"))):
        with pytest.raises(CrmError) as refusal:
            await crm.ask("AssignCustomer", role=role, trial=True, customer_id=made.id, owner_id=crm.people["SALES_LEAD"])
        assert refusal.value.code in code
