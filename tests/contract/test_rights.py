"""What is told beforehand of a command is what it is refused for when it is sent, in every state of every noun; access is in the matrix."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio
from crm.common.v1 import rights_service_pb2

from chassis.kernel.errors import CrmError
from chassis.rpc.contract import Contract, nouns
from chassis.rpc.documents import snake
from chassis.rpc.rights import DESCRIPTOR
from chassis.rpc.service import policy_of
from chassis.rpc.trials import untried
from tests.support.installation import PATIENCE, Installation
from tests.support.requests import filled
from tests.support.samples import part
from tests.support.specimens import Specimens, method_of

# Commands by which a record comes into its other states, each behind the one before.
WAYS: dict[str, tuple[tuple[str, ...], ...]] = {
    "Opportunity": (("WinOpportunity",), ("LoseOpportunity", "ReopenOpportunity"), ("LoseOpportunity", "ArchiveOpportunity")),
    "Ticket": (("WaitTicket",), ("ResolveTicket",), ("ResolveTicket", "CloseTicket")),
    "Order": (("ConfirmOrder",), ("ConfirmOrder", "FulfillOrder"), ("CancelOrder",)),
    "Article": (("PublishArticle",), ("PublishArticle", "ArchiveArticle")),
    "Campaign": (("CancelCampaign",),),
    "Customer": (("ArchiveCustomer",),), "Contact": (("ArchiveContact",),), "Product": (("ArchiveProduct",),),
}  # fmt: skip
# Refused for a state that no rule of the record alone tells: of other records, of the values sent, or of who asks.
BEYOND = frozenset((
    "LIFECYCLE_NOT_ALLOWED", "CUSTOMER_IN_USE", "ROLE_IN_USE", "CALENDAR_IN_USE", "WEBHOOK_DISABLED", "DEPARTMENT_IN_USE", "OPEN_WORK",
    "CHANNEL_WITHOUT_SENDER", "CAMPAIGN_INCOMPLETE",
))  # fmt: skip
VALUES = {
    ("MoveOpportunityStage", "WRONG_STATE"),
    ("WaitTicket", "TICKET_STATE_NOT_ALLOWED"),
}  # to the stage where it stands; on without a time


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def specimens(crm: Installation) -> Specimens:
    return Specimens(crm)


async def rights(crm: Installation, noun: Contract, ids: list[str], methods: list[str], role: str = "cli") -> list[Any]:
    """What is told of each record."""
    token = await crm.link.token() if role == "cli" else crm.tokens[role]
    request = rights_service_pb2.CheckRightsRequest(resource=noun.resource, record_ids=ids, methods=methods, fields=True)
    answer = await crm.channels[noun.department].call(DESCRIPTOR, "CheckRights", request, token=token, seconds=PATIENCE)
    return list(answer.records)


def on_a_record(noun: Contract) -> list[Any]:
    """Its commands on one record that can be tried."""
    methods = noun.service.methods if noun.service else ()
    known = (one for one in methods if noun.key in one.input_type.fields_by_name)
    return [one for one in known if policy_of(one)[1] not in ("read", "public") and not untried(one)]


async def compare(crm: Installation, noun: Contract, identity: str) -> None:
    """Each command told, and tried."""
    methods = on_a_record(noun)
    (told,) = await rights(crm, noun, [identity], [one.name for one in methods])
    version = getattr(await crm.ask(f"Get{noun.name}", **{noun.key: identity}), snake(noun.name)).version
    for method, right in zip(methods, told.rights, strict=True):
        fields = filled(method, crm, {noun.key, "owner_id"}) | {noun.key: identity}
        fields |= {"owner_id": crm.people["SALES_LEAD"]} if method.name.startswith("Assign") else {}
        fields |= {"version": version} if "version" in method.input_type.fields_by_name else {}
        code = ""
        try:
            await crm.ask(method.name, trial=True, **fields)
        except CrmError as refusal:
            code, kind = refusal.code, type(refusal).__name__
            if right.allowed and kind == "WrongState":
                assert code in BEYOND or (method.name, code) in VALUES, f"{method.name}: {refusal.message}"
        if not right.allowed:
            assert code == right.code, f"{method.name} is told as {right.code}, and refused as {code or 'nothing'}"
        assert code != "ARCHIVED" or not right.allowed, f"{method.name} is told as allowed, and refused as archived"


NOUNS = [noun for noun in nouns() if noun.service and method_of(noun, "Create") and method_of(noun, "Get") and on_a_record(noun)]
DRAWN = part(NOUNS, 2, "rights")


@pytest.mark.parametrize("noun", DRAWN, ids=[noun.resource for noun in DRAWN])
async def test_what_is_told_is_what_happens(crm: Installation, specimens: Specimens, noun: Contract) -> None:
    made = await specimens.made(noun)
    await compare(crm, noun, made.id)
    for way in WAYS.get(noun.name, ()):
        identity = (await specimens.made(noun)).id
        for name in way:
            method = noun.method(name)
            await crm.ask(name, **{**filled(method, crm, {noun.key, "version"}), noun.key: identity})
        await compare(crm, noun, identity)


async def test_a_refusal_is_told_by_its_code(crm: Installation, specimens: Specimens) -> None:
    noun = next(one for one in nouns() if one.name == "Opportunity")
    made = await specimens.made(noun)
    methods = ["WinOpportunity", "ReopenOpportunity", "UpdateOpportunity"]
    (told,) = await rights(crm, noun, [made.id], methods)
    assert [(one.allowed, one.code) for one in told.rights] == [(True, ""), (False, "OPPORTUNITY_NOT_CLOSED"), (True, "")]
    await crm.ask("WinOpportunity", opportunity_id=made.id, reason="x")
    await crm.ask("ArchiveOpportunity", opportunity_id=made.id)
    (told,) = await rights(crm, noun, [made.id], methods)
    assert [one.code for one in told.rights] == ["ARCHIVED"] * 3
    (told,) = await rights(crm, noun, [made.id], methods, "SUPPORT_AGENT")
    assert {one.code for one in told.rights} <= {"NOT_ALLOWED", "NOT_FOUND"}
    assert [one.code for one in (await rights(crm, noun, ["nobody"], ["WinOpportunity"]))[0].rights] == ["NOT_FOUND"]
    with pytest.raises(CrmError) as unknown:
        await rights(crm, noun, [made.id], ["CloseTicket"])
    assert (unknown.value.code, unknown.value.field) == ("INVALID_ARGUMENT", "methods")
