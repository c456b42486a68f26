"""Where jobs and their rows lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm.common.v1 import job_pb2
from pymongo import ASCENDING, DESCENDING, DeleteMany, DeleteOne, IndexModel, UpdateMany, UpdateOne

from chassis.jobs import model
from chassis.kernel.ids import new_id
from chassis.rpc.call import Call
from chassis.storage.changes import Changes
from chassis.storage.encryption import VAULT
from chassis.storage.records import Document, Records

JOBS, ROWS = "jobs", "job_rows"
ONE = "one_open"
_NEWEST = [("create_time", DESCENDING), ("_id", DESCENDING)]


class JobStore(Records):
    """The jobs of a department. Whose they are decides who sees them: `owner_id` is who started them, with team and department."""

    def __init__(self) -> None:
        owners = [IndexModel([(name, ASCENDING), *_NEWEST], name=f"by_{name}") for name in ("owner_id", "team_id", "department_id")]
        by_state = IndexModel([("state", ASCENDING), ("update_time", ASCENDING)], name="by_state")
        mark = IndexModel([("owner_id", ASCENDING), ("fingerprint", ASCENDING)], name="by_fingerprint", sparse=True)
        one = IndexModel([("mark", ASCENDING)], name=ONE, unique=True, partialFilterExpression={"mark": {"$gt": ""}})
        held = IndexModel([("held", ASCENDING), ("owner_id", ASCENDING)], name="by_held", partialFilterExpression={"held": {"$gt": 0}})
        super().__init__(job_pb2.Job, indexes=[*owners, by_state, mark, one, held])

    @property
    def duplicate_codes(self) -> dict[str, tuple[str, str]]:
        """Who starts the job that another call has just started finds that one."""
        return super().duplicate_codes | {ONE: ("BUSY", "")}


def row_indexes() -> list[IndexModel]:
    """What rows are found by beside their place: refused ones, ones to be tried again, those about a customer."""
    return [
        IndexModel([("job_id", ASCENDING), ("_id", ASCENDING)], name="refused", partialFilterExpression={"refused": {"$gt": 0}}),
        IndexModel([("job_id", ASCENDING), ("_id", ASCENDING)], name="again", partialFilterExpression={"again": {"$exists": True}}),
        IndexModel([("customer_ids", ASCENDING)], name="customers", sparse=True),
    ]


def start(call: Call, department: str, kind: str, resource: str, **values: Any) -> Document:
    """A new job of the caller's, with the commit. `held` are the bytes of its rows that wait or were refused; while it is open there is no other
    one with its `mark`."""
    caller = call.caller
    job: Document = {
        "_id": f"{department}-{new_id()}", "version": 1, "create_time": call.now, "update_time": call.now, "kind": kind, "resource": resource,
        "state": model.QUEUED, "starter_id": caller.person_id, "owner_id": caller.person_id, "done": 0, "refused": 0, "created": 0, "updated": 0,
        "unchanged": 0, "cursor": 0, "held": 0, "appended": 0, "closed": False, "retrying": 0, "due": False, "rate": 0.0, "busy_seconds": 0.0,
        "findings": [], **values,
    }  # fmt: skip
    job |= {name: place for name, place in (("team_id", caller.team_id), ("department_id", caller.department_id)) if place}
    call.changes.insert(JOBS, job)
    note(call.changes, job, "JobStarted", {"state": [None, job["state"]], "resource": [None, resource]}, call)
    return job


def appended(job: Mapping[str, Any], count: int) -> Document:
    """The values of a job that has so many rows now."""
    return {"appended": count} | ({"total": count} if job.get("total") is not None and job["total"] < count else {})


async def open_jobs(call: Call) -> tuple[int, int]:
    """How many jobs have not ended: of the caller, and of all."""
    return await _sums(call, {"state": {"$in": list(model.UNENDED)}}, "by_state", 1)


async def held_bytes(call: Call) -> tuple[int, int]:
    """How many bytes of rows are held: in the caller's jobs, and in all."""
    return await _sums(call, {"held": {"$gt": 0}}, "by_held", "$held")


async def _sums(call: Call, query: Document, index: str, each: int | str) -> tuple[int, int]:
    theirs = {"$sum": {"$cond": [{"$eq": ["$owner_id", {"$literal": call.caller.person_id}]}, each, 0]}}
    stages: list[Document] = [{"$match": query}, {"$group": {"_id": None, "theirs": theirs, "all": {"$sum": each}}}]
    rows = await (await call.database[JOBS].aggregate(stages, hint=index, maxTimeMS=call.milliseconds_left)).to_list()
    return (int(rows[0]["theirs"]), int(rows[0]["all"])) if rows else (0, 0)


def turn(call: Call, job: Document, state: str, action: str, **values: Any) -> Document:
    """The job in another state, with the commit; a conflict where it has changed since it was read, or cannot be turned back any more."""
    after = {**job, "state": state, "version": job["version"] + 1, "update_time": call.now, **values}
    if state == model.CANCELLED:
        after |= {"end_time": call.now, "held": 0}
        forget_waiting(call.changes, job["_id"])
    elif job["state"] in (model.DONE, model.FAILED):
        after |= {"end_time": None, "error_code": None, "error_message": None}
    changed = {name: value for name, value in after.items() if value is not None and value != job.get(name)}
    gone = {name: "" for name, value in after.items() if value is None and job.get(name) is not None}
    if not model.is_found(job["kind"], state):
        gone["mark"] = ""
    operation: Document = {"$set": changed} | ({"$unset": gone} if gone else {})
    same = {name: job[name] for name in ("_id", "version", "state")}
    recalled = {"placing": None} if job["state"] == model.RUNNING and not job.get("placing") else {}
    call.changes.must_match(JOBS, UpdateOne({**same, **recalled}, operation))
    told = {"state": [job["state"], state]} | ({"error_code": [None, code]} if (code := after.get("error_code")) else {})
    note(call.changes, after, action, told, call)
    return after


def note(changes: Changes, job: Mapping[str, Any], action: str, changed: Document, call: Call) -> None:
    """A line of the audit."""
    changes.audit(JOBS, job["_id"], job["version"], action, changed, call.now)


def forget_waiting(changes: Changes, job_id: str) -> None:
    """Drop what rows say, with the commit; what became of them stays."""
    gone = {"waiting": "", "again": "", "results.$[].kept": ""}
    changes.write(ROWS, UpdateMany(span(job_id), {"$unset": gone, "$inc": {"forgotten": 1}}))


def forget_customer(changes: Changes, customer_id: str) -> None:
    """Drop what rows say of a customer who is erased, with the commit: of such that wait and of refused ones. A batch that is at hand meanwhile
    is done anew, for `forgotten` counts."""
    about = {"customer_ids": customer_id}
    theirs: list[Mapping[str, Any]] = [{"one.customer_id": customer_id}]
    waiting = {**about, "waiting": {"$exists": True}}
    changes.write(ROWS, UpdateMany(waiting, {"$unset": {"waiting.$[one].row": ""}}, array_filters=theirs))
    gone = {"results.$[one].kept": "", "results.$[one].text": "", "results.$[one].params": ""}
    changes.write(ROWS, UpdateMany(about, {"$unset": gone, "$inc": {"forgotten": 1}}, array_filters=theirs))


def delete(call: Call, job: Mapping[str, Any]) -> None:
    """Delete a job that has ended, with its rows and their key, with the commit; the audit stays."""
    call.changes.write(ROWS, DeleteMany(span(job["_id"])))
    call.changes.write(JOBS, DeleteOne({"_id": job["_id"]}))
    call.changes.write(VAULT, DeleteOne({"_id": job["_id"]}))
    note(call.changes, job, "JobDeleted", {"state": [job["state"], None]}, call)


def place(job_id: str, number: int) -> str:
    """Id of the batch that begins with a row; ids are in the order of the rows."""
    return f"{job_id}:{number:010d}"


def span(job_id: str) -> Document:
    """The filter of all batches of a job."""
    return {"_id": {"$gt": f"{job_id}:", "$lt": f"{job_id};"}}
