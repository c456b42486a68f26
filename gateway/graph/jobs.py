"""Long work of every department in the graph: lists over all of them, commands on one, rows that come in, and progress as it happens."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any

import strawberry
from crm.common.v1 import job_pb2, outcome_pb2
from crm.common.v1 import job_service_pb2 as contract
from google.protobuf.descriptor import MethodDescriptor
from strawberry.types import Info

from chassis.access.tokens import claims_of
from chassis.kernel.errors import CrmError, Invalid, unauthenticated
from chassis.rpc.contract import nouns
from chassis.rpc.errors import Unavailable
from gateway.departments.clients import DEPARTMENTS
from gateway.departments.context import Context
from gateway.departments.errors import field_error
from gateway.departments.ids import opened, sealed
from gateway.departments.language import told
from gateway.departments.spelling import graph_name, spelled
from gateway.graph.arguments import signed
from gateway.graph.connections import Page, connection_type, first_of
from gateway.graph.contract import Json, Long, comment, enum_type, finish, from_global, output_class, to_global
from gateway.graph.edges import to_one
from gateway.graph.inputs import filter_type, input_type, to_criteria, to_request
from gateway.graph.job_rows import record_of, row_of
from gateway.graph.judged import by
from gateway.graph.noun import commanded, cursor_of, payload_type

_SERVICE = contract.DESCRIPTOR.services_by_name["JobService"]
_JOB = job_pb2.Job.DESCRIPTOR
NAME, BY_ID = _JOB.name, _SERVICE.methods_by_name["GetJob"]
LOOK_SECONDS = 1.0
ENDED = frozenset((job_pb2.JOB_STATE_DONE, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED))
# Mutations that name a job, by method.
_COMMANDS = {
    "CloseJob": "importClose", "PauseJob": "jobPause", "ResumeJob": "jobResume", "CancelJob": "jobCancel", "RetryJobRows": "jobRetryRows",
}  # fmt: skip


def _method(name: str) -> MethodDescriptor:
    found: MethodDescriptor = _SERVICE.methods_by_name[name]
    return found


def department_of(job_id: str) -> str:
    """The department that does a job: its id begins with it. Raises Invalid."""
    department = job_id.partition("-")[0]
    if department not in DEPARTMENTS:
        raise Invalid("this is the id of no job; use an id that `jobs` gave you", field="id")
    return department


def _type() -> Any:
    kind = output_class(_JOB)
    if not hasattr(kind, "starter"):
        kind.starter = to_one("Person", "starter_id", "Who started it; null for a tool.")  # type: ignore[attr-defined]
    return finish(kind)


# ---- questions


def queries() -> dict[str, Any]:
    """The top-level fields."""
    return {"job": _one(), "jobs": _list(), "jobRows": _rows()}


async def _read(context: Context, job_id: str) -> Any:
    request = contract.GetJobRequest(job_id=job_id)
    department = department_of(job_id)
    return (await context.clients.read(department, _SERVICE, "GetJob", request, context.token, context.request_id)).job


async def loaded(context: Context, job_id: str) -> Any:
    """A job; None when there is none that the caller may see."""
    try:
        return await _read(context, job_id)
    except CrmError as error:
        if error.code == "NOT_FOUND":
            return None
        raise field_error(error, job_id.partition("-")[0]) from None


def _one() -> Any:
    async def resolve(info: Info, id: strawberry.ID) -> Any:
        try:
            identity = from_global(str(id), NAME)[1]
        except CrmError as error:
            raise field_error(error, "gateway") from None
        return await loaded(info.context, identity)

    words = "One job; null when there is none that you may see."
    return strawberry.field(resolver=signed(resolve, {"id": (strawberry.ID, ...)}, _type() | None), description=words, metadata=by(BY_ID))


def _list() -> Any:
    async def resolve(
        info: Info, department: str | None = None, filter: Any = None, first: int | None = 20, after: str | None = None
    ) -> Any:
        context: Context = info.context
        try:
            if department is not None and department not in DEPARTMENTS:
                raise Invalid(f"there is no department «{department[:50]}»; there are {', '.join(DEPARTMENTS)}", field="department")
            rows, places = first_of(first), _places(after)
        except CrmError as error:
            raise field_error(error, "gateway") from None

        async def ask(name: str) -> Any:
            request = contract.ListJobsRequest(page_size=rows, page_token=places.get(name, ""), row_tokens=True)
            try:
                if filter is not None:
                    request.filter.CopyFrom(to_criteria(filter, _JOB))
                return await context.clients.read(name, _SERVICE, "ListJobs", request, context.token, context.request_id)
            except CrmError as error:
                if isinstance(error, Unavailable) and department is None:
                    return error
                raise field_error(error, name) from None

        names = [department] if department else list(DEPARTMENTS)
        answers = dict(zip(names, await asyncio.gather(*map(ask, names)), strict=True))
        away = [name for name, answer in answers.items() if isinstance(answer, Unavailable)]
        if len(away) == len(names):
            raise field_error(answers[away[0]], away[0])
        return _merged({name: answer for name, answer in answers.items() if name not in away}, places, rows, away)

    arguments = {
        "department": (str | None, None), "filter": (filter_type(_JOB) | None, None), "first": (int | None, 20), "after": (str | None, None),
    }  # fmt: skip
    words = (
        "Long work, the newest first: your own, and of everybody for who looks after it. Of one department, or of all that answer; the "
        "others are named in `missingDepartments`."
    )
    shape = connection_type(_type(), over_departments=True) | None
    return strawberry.field(resolver=signed(resolve, arguments, shape), description=words, metadata=by(_method("ListJobs")))


def _places(after: str | None) -> dict[str, str]:
    """Where each department's list goes on."""
    if not after:
        return {}
    try:
        found = opened(cursor_of(after))
        if isinstance(found, dict) and found and set(found) <= set(DEPARTMENTS) and all(isinstance(token, str) for token in found.values()):
            return found
    except ValueError:
        pass
    words = "after is no cursor of this list; use pageInfo.endCursor of the page before"
    raise Invalid(words, code="PAGE_TOKEN_INVALID", field="after")


def _merged(answers: Mapping[str, Any], places: Mapping[str, str], size: int, away: Sequence[str]) -> Page:
    """One page of several departments' pages. The cursor of a row says where each of them goes on behind it; who is away goes on where it
    stood, so that a later page has what this one lacks."""
    found = [
        (job.create_time.ToNanoseconds(), job.id, name, token, job)
        for name, answer in answers.items() for job, token in zip(answer.jobs, answer.row_tokens, strict=True)
    ]  # fmt: skip
    found.sort(key=lambda row: row[:2], reverse=True)
    standing, cursors = dict(places), []
    for _, _, name, token, _ in found[:size]:
        standing[name] = token
        cursors.append(sealed(standing))
    more = len(found) > size or any(answer.next_page_token for answer in answers.values())
    return Page([row[4] for row in found[:size]], "more" if more else "", cursors, bool(places), away)


def _rows() -> Any:
    line = finish(output_class(contract.ListJobRowsResponse.DESCRIPTOR))

    async def resolve(info: Info, job_id: strawberry.ID, result: Any = None, first: int | None = 100, from_number: int | None = 0) -> Any:
        context: Context = info.context
        department = "gateway"
        try:
            identity = from_global(str(job_id), "Job", "jobId")[1]
            department = department_of(identity)
            request = contract.ListJobRowsRequest(job_id=identity, page_size=first_of(first), from_number=max(0, from_number or 0))
            if result is not None:
                request.result = outcome_pb2.UpsertResult.Value(f"UPSERT_RESULT_{result.value}")
            answer = await context.clients.read(department, _SERVICE, "ListJobRows", request, context.token, context.request_id)
        except CrmError as error:
            raise field_error(error, department) from None
        return await _named(context, answer, answer.rows, answer.resource)

    results = enum_type(outcome_pb2.UpsertResult.DESCRIPTOR)
    arguments = {
        "job_id": (strawberry.ID, ...), "result": (results | None, None), "first": (int | None, 100), "from_number": (Long | None, 0),
    }  # fmt: skip
    words = "Rows of an import by number, each with what became of it."
    return strawberry.field(resolver=signed(resolve, arguments, line | None), description=words, metadata=by(_method("ListJobRows")))


async def _named(context: Context, answer: Any, rows: Sequence[Any], resource: str) -> Any:
    """The answer with ids and names of the graph in its rows, and why some were refused in the caller's language."""
    language = await context.language() if any(row.error_code for row in rows) else ""
    name = next((noun.name for noun in nouns() if noun.resource == resource), "")
    for row in rows:
        row.record_id = to_global(name, row.record_id) if row.record_id and name else ""
        row.changed_fields[:] = map(graph_name, row.changed_fields)
        if row.error_code:
            refusal = spelled(CrmError(row.error_message, code=row.error_code, field=row.error_field, params=dict(row.error_params)))
            row.error_message = told(row.error_code, refusal.message, refusal.params, row.error_field, language)
            row.error_field = graph_name(row.error_field)
    return answer


# ---- commands


def mutations() -> dict[str, Any]:
    """The mutations."""
    found = {shown: _command(_method(name), shown) for name, shown in _COMMANDS.items()}
    return found | {"importStart": _import_start(), "importAppend": _import_append(), "jobRebuildStart": _rebuild_start()}


def _mutation(method: MethodDescriptor, name: str, takes: Any, ask: Callable[[Any], tuple[str, Any]]) -> Any:
    async def resolve(info: Info, input: Any) -> Any:
        return await commanded(info, method, lambda: ask(input))

    _type()
    returns = payload_type(method, f"{name[0].upper()}{name[1:]}")
    return strawberry.field(
        resolver=signed(resolve, {"input": (takes, ...)}, returns), description=comment(method.full_name), metadata=by(method)
    )


def _command(method: MethodDescriptor, name: str) -> Any:
    def ask(value: Any) -> tuple[str, Any]:
        request: Any = to_request(value, method.input_type)
        return department_of(request.job_id), request

    return _mutation(method, name, input_type(method.input_type, f"{name[0].upper()}{name[1:]}Input"), ask)


def _import_start() -> Any:
    method = _method("StartImport")

    def ask(value: Any) -> tuple[str, Any]:
        request: Any = to_request(value, method.input_type)
        return str(record_of(request.resource).file.package.split(".")[1]), request

    return _mutation(method, "importStart", input_type(method.input_type, "ImportStartInput"), ask)


@strawberry.input(description="Rows of an import.")
class ImportAppendInput:
    """What importAppend takes."""

    job_id: strawberry.ID = strawberry.field(description="Id of the job.")
    first_number: Long = strawberry.field(description="Number of the first of these rows: as many as were sent before.")
    rows: list[Json] = strawberry.field(
        description='Records of the job\'s resource, 1 to 500: objects with the fields of its type and a `sourceKey`. A reference is an id, or {"key": '
        "the sourceKey of the record}."
    )
    resource: str = strawberry.field(description="The job's resource.")
    wait_milliseconds: int | None = strawberry.field(default=None, description="How long to wait for their outcomes, at most 2,000.")


MOST_MILLISECONDS = 2_000


def _import_append() -> Any:
    method = _method("AppendJobRows")

    def ask(value: Any) -> tuple[str, Any]:
        identity = from_global(str(value.job_id), "Job", "job_id")[1]
        record, wait = record_of(value.resource), value.wait_milliseconds or 0
        if not 0 <= wait <= MOST_MILLISECONDS:
            raise Invalid(f"wait at most {MOST_MILLISECONDS:,} milliseconds, and read jobRows later", field="wait_milliseconds")
        rows = [row_of(row, record, f"rows[{index}]").SerializeToString() for index, row in enumerate(value.rows)]
        request = contract.AppendJobRowsRequest(
            job_id=identity, first_number=value.first_number, rows=rows, wait_milliseconds=wait, resource=value.resource
        )
        return department_of(identity), request

    async def resolve(info: Info, input: Any) -> Any:
        answer = await commanded(info, method, lambda: ask(input))
        return await _named(info.context, answer, answer["rows"] or (), input.resource)

    returns = payload_type(method, "ImportAppend")
    words = "Sends rows of an import, by who started it. The same rows under the same number are taken once."
    return strawberry.field(resolver=signed(resolve, {"input": (ImportAppendInput, ...)}, returns), description=words, metadata=by(method))


@strawberry.input(description="Which read model is to be folded anew.")
class JobRebuildStartInput:
    """What jobRebuildStart takes."""

    department: str = strawberry.field(description='The department that keeps it, e.g. "customer".')
    model: str = strawberry.field(description='The read model, e.g. "timeline".')
    request_id: str | None = strawberry.field(
        default=None, description="Makes the command repeatable: the same id gives the first answer again."
    )


def _rebuild_start() -> Any:
    def ask(value: Any) -> tuple[str, Any]:
        if value.department not in DEPARTMENTS:
            raise Invalid(f"there is no department «{value.department[:50]}»; there are {', '.join(DEPARTMENTS)}", field="department")
        return value.department, contract.StartRebuildRequest(model=value.model, request_id=value.request_id or "")

    return _mutation(_method("StartRebuild"), "jobRebuildStart", JobRebuildStartInput, ask)


# ---- progress


def changed(verified: Callable[[Context], Awaitable[None]]) -> Any:
    """A subscription: a job each time it has got further, until it ends. The gateway looks once a second: progress is no fact, for ten facts
    a second would stay in the streams for good."""

    async def stream(info: Info, *, id: strawberry.ID) -> AsyncGenerator[Any, None]:
        context: Context = info.context
        try:
            await verified(context)
            identity, last = from_global(str(id), "Job")[1], b""
            ends = float(claims_of(context.token).get("exp", 0))
            while time.time() < ends:
                context.forget()
                job = await _patiently(context, identity)
                if job is not None and (seen := job.SerializeToString(deterministic=True)) != last:
                    last = seen
                    yield job
                if job is not None and job.state in ENDED:
                    return
                await asyncio.sleep(LOOK_SECONDS)
            raise unauthenticated("The token has expired.")
        except CrmError as error:
            raise field_error(error, "gateway") from None

    kinds = inspect.Parameter
    shapes: dict[str, Any] = {"info": Info, "id": Annotated[strawberry.ID, strawberry.argument(description="Id of the job.")]}
    shapes["return"] = AsyncGenerator[_type(), None]  # type: ignore[misc]
    parameters = [
        kinds("info", kinds.POSITIONAL_OR_KEYWORD, annotation=Info), kinds("id", kinds.KEYWORD_ONLY, annotation=shapes["id"]),
    ]  # fmt: skip
    stream.__signature__ = inspect.Signature(parameters, return_annotation=shapes["return"])  # type: ignore[attr-defined]
    stream.__annotations__ = shapes
    words = "A job that you may see, each time it has got further; the last time when it has ended."
    return strawberry.subscription(resolver=stream, description=words, metadata=by(BY_ID))


async def _patiently(context: Context, job_id: str) -> Any:
    """The job; None where its department is away for a moment."""
    try:
        return await _read(context, job_id)
    except CrmError as error:
        if error.retryable:
            return None
        raise
