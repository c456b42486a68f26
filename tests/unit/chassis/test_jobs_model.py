"""The rules of jobs."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from chassis.access.directory import Directory, Member
from chassis.jobs import model
from chassis.kernel.errors import Conflict, NotAllowed

STATES = (model.QUEUED, model.RUNNING, model.PAUSED, model.DONE, model.FAILED, model.CANCELLED)
ALLOWED = {
    "pause": {"QUEUED": "PAUSED", "RUNNING": "PAUSED", "PAUSED": None},
    "resume": {"PAUSED": "QUEUED", "FAILED": "QUEUED", "QUEUED": None, "RUNNING": None},
    "cancel": {"QUEUED": "CANCELLED", "RUNNING": "CANCELLED", "PAUSED": "CANCELLED", "FAILED": "CANCELLED", "CANCELLED": None},
    "retry": {"QUEUED": "QUEUED", "RUNNING": "QUEUED", "PAUSED": "QUEUED", "DONE": "QUEUED", "FAILED": "QUEUED"},
}  # fmt: skip


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("verb", ALLOWED)
def test_each_state_knows_what_may_be_done(state: str, verb: str) -> None:
    if state in ALLOWED[verb]:
        assert model.turned({"state": state}, verb) == ALLOWED[verb][state]
    else:
        with pytest.raises(Conflict) as refusal:
            model.turned({"state": state}, verb)
        assert refusal.value.code == "JOB_STATE_NOT_ALLOWED" and not refusal.value.retryable


JOB = some.builds(
    lambda number, owner: {"_id": f"sales-{number:026}", "owner_id": owner},
    some.integers(0, 10**6),
    some.sampled_from(["a", "b", "service-cli"]),
)


@given(some.lists(JOB, max_size=12, unique_by=lambda job: job["_id"]), some.lists(JOB, max_size=4, unique_by=lambda job: job["_id"]))
def test_turns_are_by_age_within_the_limits_and_nobody_waits_for_nothing(queued: list[Any], running: list[Any]) -> None:
    running = [job for job in running if job not in queued]
    chosen = model.next_ones(queued, running)
    held = Counter(job["owner_id"] for job in running)
    owners = {job["_id"]: job["owner_id"] for job in queued}
    after = held + Counter(owners[one] for one in chosen)
    assert len(running) + len(chosen) <= max(model.MOST_AT_ONCE, len(running))
    for owner in ("a", "b"):
        assert after[owner] <= max(model.MOST_OF_PERSON, held[owner])
    assert chosen == sorted(chosen)
    for job in queued:
        if job["_id"] not in chosen:  # there was no place, or older ones of the same person have them
            full = len(running) + len(chosen) == model.MOST_AT_ONCE or len(running) >= model.MOST_AT_ONCE
            theirs = job["owner_id"] != "service-cli" and after[job["owner_id"]] >= model.MOST_OF_PERSON
            assert full or theirs
            assert full or all(one < job["_id"] for one in chosen if owners[one] == job["owner_id"])


def test_rows_are_the_next_ones_or_came_before() -> None:
    job = {"state": "RUNNING", "appended": 10, "closed": False, "cursor": 4}
    assert model.takes_rows(job, 10, 5)
    assert not model.takes_rows(job, 5, 5)
    for wrong, number in ((job, 11), (job, 8), (job | {"closed": True}, 10), (job | {"state": "CANCELLED"}, 10)):
        with pytest.raises(Conflict):
            model.takes_rows(wrong, number, 5)
    with pytest.raises(Conflict) as refusal:
        model.takes_rows(job | {"appended": model.MOST_WAITING + 4}, model.MOST_WAITING + 4, 5)
    assert refusal.value.retryable


def test_a_job_runs_as_who_started_it_is_now() -> None:
    member = Member("p", "d", "t", frozenset(), True, frozenset(("COORDINATOR",)))
    directory = Directory(members={"p": member, "gone": Member("gone", "", "", frozenset(), False, frozenset(("COORDINATOR",)))})
    assert model.starter({"owner_id": "p"}, directory).roles == {"COORDINATOR"}
    assert model.starter({"owner_id": "service-cli"}, directory).is_service
    for nobody in ("gone", "never"):
        with pytest.raises(NotAllowed):
            model.starter({"owner_id": nobody}, directory)


def test_an_import_is_through_when_nothing_can_come() -> None:
    whole = {"closed": True, "cursor": 3, "appended": 3, "retrying": 0}
    assert model.stands(whole)
    assert not any(model.stands(whole | change) for change in ({"closed": False}, {"cursor": 2}, {"retrying": 1}))


def test_jobs_and_their_rows_are_bounded_for_a_person_and_for_the_department() -> None:
    model.has_room_for_a_job("p", model.OPEN_OF_PERSON - 1, model.OPEN_AT_ALL - 1)
    model.has_room_for_a_job("service-cli", model.OPEN_OF_PERSON, model.OPEN_OF_PERSON)
    model.has_room_for_rows("p", 10, model.HELD_OF_PERSON - 10, model.HELD_AT_ALL - 10)
    model.has_room_for_rows("service-cli", 10, model.HELD_OF_PERSON, model.HELD_OF_PERSON)
    for whose, theirs, all_, words in (
        ("p", 100, 100, "of yours"),
        ("p", 1, 1_000, "of this department"),
        ("service-cli", 0, 1_000, "of this"),
    ):
        with pytest.raises(Conflict, match=words) as refusal:
            model.has_room_for_a_job(whose, theirs, all_)
        assert (refusal.value.code, refusal.value.retryable) == ("JOBS_FULL", False)
    for whose, theirs, all_, words in (("p", 2**28, 2**28, "your jobs hold 256 MiB"), ("service-cli", 0, 2**31, "hold 2,048 MiB")):
        with pytest.raises(Conflict, match=words) as refusal:
            model.has_room_for_rows(whose, 1, theirs, all_)
        assert (refusal.value.code, refusal.value.retryable) == ("JOBS_FULL", True)
