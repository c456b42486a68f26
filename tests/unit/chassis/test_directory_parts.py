"""The parts of the directory: only what changed is sent, builds of other ages get along, and a part at fault harms nothing else."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, cast

import pytest
from crm.common.v1 import access_service_pb2
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import Int64Value, StringValue

from chassis.access.authority import Authority
from chassis.access.parts import Part
from chassis.kernel.errors import CrmError
from chassis.kernel.tasks import settle
from services.organization.access import parts

WORDS = Part("words", StringValue, lambda message: message.value.split(), list[str]())
NUMBER = Part("number", Int64Value, lambda message: 100 // message.value, 0)
PEOPLE = 200


class Organization:
    """What is kept there, and each answer that was sent; `old` is a build that knows nothing of parts, `crowded` one with so many people that
    nothing has room beside them, `busy` one whose people change with every question."""

    def __init__(self, *, old: bool = False, crowded: bool = False, busy: bool = False) -> None:
        self.old, self.away, self.crowded, self.busy = old, False, crowded, busy
        self.revisions = {"revision": 1, "words": 1, "number": 1}
        self.contents: dict[str, Message] = {"words": StringValue(value="a b"), "number": Int64Value(value=5)}
        self.sent: list[access_service_pb2.GetDirectoryResponse] = []
        self.made: list[str] = []
        self.parts = parts.Parts({name: partial(self._load, name) for name in self.contents})

    def change(self, name: str, content: Message | None = None) -> None:
        self.revisions[name] += 1
        if content is not None:
            self.contents[name] = content

    async def _load(self, name: str, _: object) -> Message:
        self.made.append(name)
        await asyncio.sleep(0)
        return self.contents[name]

    async def fetch(self, request: access_service_pb2.GetDirectoryRequest) -> access_service_pb2.GetDirectoryResponse:
        if self.away:
            raise CrmError("the organization is away")
        answer = access_service_pb2.GetDirectoryResponse()
        self.revisions["revision"] += self.busy
        if request.known_revision != self.revisions["revision"]:
            answer.directory.revision = self.revisions["revision"]
            for number in range(PEOPLE):
                answer.directory.members.add(person_id=f"p{number}", active=True)
        if not self.old and not (self.crowded and answer.HasField("directory")):
            answer.parts.extend(await self.parts.differing(cast(Any, None), self.revisions, request.known_parts))
        self.sent.append(answer)
        return answer

    def told(self) -> tuple[int, list[str]]:
        """How many people and which parts were sent since this was asked last."""
        people = sum(len(answer.directory.members) for answer in self.sent)
        names = [part.name for answer in self.sent for part in answer.parts]
        self.sent = []
        return people, names


def authority(organization: Organization, *known: Part[Any]) -> Authority:
    async def keys() -> dict[str, bytes]:
        return {}

    return Authority(organization.fetch, keys, parts=known)


async def test_a_changed_part_sends_that_part_and_no_people() -> None:
    organization = Organization()
    department = authority(organization, WORDS, NUMBER)
    assert await department.refresh()
    assert organization.told() == (PEOPLE, ["number", "words"])
    first = department.directory
    assert (first.parts.get(WORDS), first.parts.get(NUMBER)) == (["a", "b"], 20)

    organization.change("words", StringValue(value="c"))
    await department.refresh()
    assert organization.told() == (0, ["words"])
    assert department.directory.parts.get(WORDS) == ["c"]
    assert department.directory.members is first.members  # and nothing about people is made anew
    assert first.parts.get(WORDS) == ["a", "b"]  # a call in progress keeps what it began with

    organization.change("revision")
    await department.refresh()
    assert organization.told() == (PEOPLE, [])
    assert department.directory.parts.get(WORDS) == ["c"]
    await department.refresh()
    assert organization.told() == (0, [])


async def test_a_department_of_an_older_build_is_sent_only_the_parts_that_it_knows() -> None:
    organization = Organization()
    await authority(organization).refresh()  # knows no parts at all
    assert organization.told() == (PEOPLE, [])
    await authority(organization, WORDS).refresh()
    assert organization.told() == (PEOPLE, ["words"])


async def test_beside_an_organization_of_an_older_build_a_department_works_without_the_parts_and_takes_them_later() -> None:
    organization = Organization(old=True)
    department = authority(organization, WORDS)
    assert await department.refresh()
    assert (len(department.directory.members), department.directory.parts.get(WORDS)) == (PEOPLE, [])
    organization.old = False
    await department.refresh()
    assert organization.told() == (PEOPLE, ["words"])
    assert department.directory.parts.get(WORDS) == ["a", "b"]


async def test_while_the_organization_is_away_the_parts_stay() -> None:
    organization = Organization()
    department = authority(organization, WORDS)
    await department.refresh()
    organization.away = True
    assert await department.refresh()
    assert department.directory.parts.get(WORDS) == ["a", "b"]


async def test_people_who_change_with_every_question_are_taken_once_a_refresh_and_the_parts_come_along() -> None:
    organization = Organization(busy=True)
    department = authority(organization, WORDS)
    await department.refresh()
    assert (len(organization.sent), department.directory.revision) == (2, 2)
    assert department.directory.parts.get(WORDS) == ["a", "b"]


async def test_when_the_organization_fails_in_between_a_department_goes_on_with_what_came() -> None:
    organization = Organization(crowded=True)
    ask = organization.fetch

    async def fails_after_the_people(request: access_service_pb2.GetDirectoryRequest) -> access_service_pb2.GetDirectoryResponse:
        organization.away = request.known_revision > 0
        return await ask(request)

    department = authority(organization, WORDS)
    department.fetch_directory = fails_after_the_people
    assert await department.refresh()
    assert (len(department.directory.members), department.directory.parts.get(WORDS)) == (PEOPLE, [])
    organization.away, department.fetch_directory = False, ask
    await department.refresh()
    assert organization.told() == (PEOPLE, ["words"])


async def test_a_part_at_fault_keeps_what_was_held_is_told_and_not_fetched_in_a_loop(caplog: pytest.LogCaptureFixture) -> None:
    organization = Organization()
    department = authority(organization, WORDS, NUMBER)
    await department.refresh()
    organization.change("number", Int64Value(value=0))  # compile divides by it
    organization.change("words", Int64Value(value=1))  # not what the name stands for
    organization.told()
    await department.refresh()
    assert organization.told() == (0, ["number", "words"])
    assert (department.directory.parts.get(NUMBER), department.directory.parts.get(WORDS)) == (20, ["a", "b"])
    assert [record.message for record in caplog.records].count("part of the directory not taken") == 2
    await department.refresh()
    assert organization.told() == (0, [])
    organization.change("number", Int64Value(value=4))
    await department.refresh()
    assert department.directory.parts.get(NUMBER) == 25


async def test_many_departments_that_ask_at_once_cost_one_making_a_revision() -> None:
    organization = Organization()
    departments = [authority(organization, WORDS) for _ in range(6)]
    await asyncio.gather(*(one.refresh() for one in departments))
    organization.change("words", StringValue(value="c"))
    await asyncio.gather(*(one.refresh() for one in departments))
    assert [one.directory.parts.get(WORDS) for one in departments] == [["c"]] * 6
    assert organization.made == ["words", "words"]


async def test_parts_too_large_for_one_answer_come_in_several() -> None:
    organization = Organization()
    organization.change("words", StringValue(value="w" * (parts.ENOUGH_BYTES + 1)))
    organization.contents["number"] = StringValue(value="n" * (parts.ENOUGH_BYTES + 1))
    letters = Part("number", StringValue, lambda message: len(message.value), 0)
    department = authority(organization, WORDS, letters)
    await asyncio.wait_for(department.refresh(), 5)
    assert [[part.name for part in answer.parts] for answer in organization.sent] == [["number"], ["words"], []]
    assert department.directory.parts.get(letters) == parts.ENOUGH_BYTES + 1


async def test_who_knows_nobody_yet_asks_again_soon() -> None:
    organization = Organization()
    organization.away = True
    department = authority(organization)
    fresh = asyncio.create_task(department.keep_fresh())
    try:
        await asyncio.sleep(0.2)
        organization.away = False
        async with asyncio.timeout(1.5):
            while not department.directory.revision:
                await asyncio.sleep(0.02)
    finally:
        await settle([fresh])
