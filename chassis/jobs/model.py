"""The rules of jobs: in which state what may be done, whose turn it is, as whom one runs. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from chassis.access.caller import Caller
from chassis.access.directory import Directory
from chassis.kernel.errors import Conflict, NotAllowed

Document = dict[str, Any]
QUEUED, RUNNING, PAUSED, DONE, FAILED, CANCELLED = "QUEUED", "RUNNING", "PAUSED", "DONE", "FAILED", "CANCELLED"
OPEN = (QUEUED, RUNNING)
# Somebody may still go on with these.
UNENDED = (QUEUED, RUNNING, PAUSED, FAILED)
MOST_OF_PERSON, MOST_AT_ONCE = 2, 4
# How long a job that ended is kept, and after how long one that nobody goes on with is cancelled.
KEPT, LEFT = timedelta(days=30), timedelta(days=7)
MOST_WAITING = 50_000
# How many jobs may be open, and how many bytes of rows that wait or were refused may be held: of a person, and in the department.
OPEN_OF_PERSON, OPEN_AT_ALL = 100, 1_000
HELD_OF_PERSON, HELD_AT_ALL = 256 * 2**20, 2 * 2**30
_TURNS: dict[str, tuple[tuple[str, ...], str]] = {
    "pause": ((QUEUED, RUNNING), PAUSED),
    "resume": ((PAUSED, FAILED), QUEUED),
    "cancel": (UNENDED, CANCELLED),
    "retry": ((QUEUED, RUNNING, PAUSED, FAILED, DONE), QUEUED),
}
_HINTS = {
    DONE: "it is through; start another one", CANCELLED: "it was cancelled; start another one",
    FAILED: "it has failed; resume it first",
}  # fmt: skip


def turned(job: Mapping[str, Any], verb: str) -> str | None:
    """The state that a verb brings a job to; None where it is there already. Raises Conflict JOB_STATE_NOT_ALLOWED, or BUSY where it is beyond
    recall and over in a moment."""
    before, after = _TURNS[verb]
    state = job["state"]
    if state in before:
        if state == RUNNING and job.get("placing"):
            raise Conflict("the new model is being put in place, which is all or nothing; look at the job in a moment", code="BUSY")
        return after
    if state == after or (verb == "resume" and state == RUNNING):
        return None
    raise refused(state, verb)


def refused(state: str, verb: str) -> Conflict:
    """The refusal to do something to a job in this state."""
    words = f"a job that is {state} cannot be told to {verb}: {_HINTS.get(state, 'look at its state')}"
    return Conflict(words, code="JOB_STATE_NOT_ALLOWED", retryable=False)


def takes_rows(job: Mapping[str, Any], number: int, count: int) -> bool:
    """Whether rows are the next ones; False where they came before. Raises Conflict where the job takes no more, or these are not next."""
    if number + count <= job["appended"]:
        return False
    if job["state"] not in UNENDED or job["closed"]:
        raise (
            refused(job["state"], "take further rows")
            if job["state"] not in UNENDED
            else Conflict(
                "it was said that no further rows would come; start another import", code="JOB_STATE_NOT_ALLOWED", retryable=False
            )
        )
    if number != job["appended"]:
        raise Conflict(
            f"the next row has number {job['appended']}, not {number}; go on there", code="JOB_ROWS_DIFFER", field="first_number",
            retryable=False,
        )  # fmt: skip
    if number + count - job["cursor"] > MOST_WAITING:
        raise Conflict(f"{MOST_WAITING:,} rows wait already; send these when some have their outcome", code="BUSY")
    return True


def takes_offers(job: Mapping[str, Any], number: int) -> bool:
    """Whether rows from a number on may be done as they come: nothing waits before them."""
    return bool(job["state"] == RUNNING and number == job["appended"] == job["cursor"] and not job["retrying"] and not job["closed"])


def has_room_for_a_job(person_id: str, theirs: int, all_: int) -> None:
    """Raise Conflict JOBS_FULL where so many jobs are open that no other may be started. Tools are nobody: for them only the department counts."""
    if theirs >= OPEN_OF_PERSON and not is_tool(person_id):
        raise _full(f"{theirs:,} jobs of yours have not ended, and a person may have {OPEN_OF_PERSON:,}; let some end, or cancel them")
    if all_ >= OPEN_AT_ALL:
        raise _full(f"{all_:,} jobs of this department have not ended, which is the most; let some end, or cancel them")


def has_room_for_rows(person_id: str, size: int, theirs: int, all_: int) -> None:
    """Raise Conflict JOBS_FULL where rows of so many bytes would be too many beside those that are held."""
    bounds = [(all_, HELD_AT_ALL, "jobs of this department")]
    if not is_tool(person_id):
        bounds.insert(0, (theirs, HELD_OF_PERSON, "your jobs"))
    for held, most, whose in bounds:
        if held + size > most:
            words = (
                f"{whose} hold {held // 2**20:,} MiB of rows that wait or were refused, of {most // 2**20:,}; send these when some have their "
                "outcome, or cancel a job"
            )
            raise _full(words, retryable=True)


def _full(words: str, *, retryable: bool = False) -> Conflict:
    return Conflict(words, code="JOBS_FULL", retryable=retryable)


def is_tool(person_id: str) -> bool:
    """Whether who starts a job is a tool and no person."""
    return person_id.startswith("service-")


def next_ones(queued: Sequence[Document], running: Sequence[Document]) -> list[str]:
    """Ids of the queued jobs whose turn it is, the oldest first: at most four at once, two of one person. Tools are nobody: for them only
    the four count."""
    held = Counter(job["owner_id"] for job in running)
    found: list[str] = []
    for job in sorted(queued, key=lambda one: one["_id"].rpartition("-")[2]):
        owner = job["owner_id"]
        if len(running) + len(found) >= MOST_AT_ONCE:
            break
        if held[owner] < MOST_OF_PERSON or is_tool(owner):
            held[owner] += 1
            found.append(job["_id"])
    return found


def starter(job: Mapping[str, Any], directory: Directory) -> Caller:
    """As whom a job runs now: who started it, with the roles of this moment. Raises NotAllowed where they have left."""
    person_id = str(job["owner_id"])
    if is_tool(person_id):
        return Caller(person_id, frozenset((person_id,)))
    member = directory.members.get(person_id)
    if member is None or not member.active:
        raise NotAllowed("who started it works here no more, so it has no rights left; let somebody else start it anew")
    return Caller(person_id, member.roles, member.department_id, member.team_id)


def is_found(kind: str, state: str) -> bool:
    """Whether who starts such a job gets the one that is in this state in place of another: a rebuild that failed is begun anew."""
    return state in UNENDED and (state != FAILED or kind != "REBUILD")


def stands(job: Mapping[str, Any]) -> bool:
    """Whether an import is through: all rows were sent, each has its outcome, none is to be tried again."""
    return bool(job["closed"]) and job["cursor"] == job["appended"] and not job["retrying"]
