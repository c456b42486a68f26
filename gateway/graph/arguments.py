"""Arguments of the graph's fields, with the words in which the schema describes them; alike wherever they stand."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, get_origin

import strawberry
from strawberry.types import Info

Resolver = Callable[..., Awaitable[Any]]
_WORDS = {
    "id": "Id of the record.",
    "ids": "Ids of the records, 1 to 100.",
    "resource": 'The resource as policies name it, e.g. "tickets"; where it may be left out, of all.',
    "input": "What to do.",
    "validate_only": "Judge it as if it were done, and do nothing of it: the answer has the errors, or the record as it would become.",
    "first": "Rows wanted, 1 to 100.",
    "after": "Cursor of the row to go on behind.",
    "last": "Rows wanted from the end, or from before `before`, 1 to 100, in place of first.",
    "before": "Cursor of the row to end before.",
    "skip": "Rows to pass over first, at most 10,000.",
    "most": "How far to count, 1 to 10,000.",
    "filter": "Which ones; all that you may see when not given.",
    "order_by": "In which of the orders that are served for any number of records; sortBy takes every field.",
    "sort_by": "In which order, by one or two fields, in place of orderBy. Any field where an index has the order, or the filter leaves at most "
    "10,000 records by owner, customer, part of a name and the like; else ORDER_TOO_WIDE.",
    "archived": "Whether archived ones are shown; they are not when not given, but where the filter asks for archiveTime.",
    "query": "What to look for.",
    "kinds": "Of which kinds; of all when not given.",
    "customer_id": "Id of the customer.",
    "everybody": "The whole policy, of every role.",
    "actions": 'The commands asked about, e.g. "update"; all when not given.',
    "action": 'What is to be done, e.g. "update".',
    "field": "A field of the record; the record as a whole when not given.",
    "department": "Of one department; of all when not given.",
    "job_id": "Id of the job.",
    "result": "Only rows of this outcome; all when not given.",
    "from_number": "Number of the first row wanted.",
    "person_id": "Whom it is about; yourself when not given.",
    "from_currency": "Currency of which one unit is meant.",
    "to_currency": "Currency in which it is told.",
    "date": "The day; the company's today when not given.",
    "work_calendar_id": "By which work calendar.",
    "department_id": "By the work calendar of which department.",
    "start_time": "From when on.",
    "end_time": "Until when.",
    "seconds": "How much, in seconds.",
    "starred": "Only those that you have starred, or only the others.",
    "keys": "Which ones; all when none is named.",
    "month": "Which month, e.g. 2026-10.",
    "pipeline_id": "Of which pipeline; of the default one when not given.",
    "stage_key": "Only the column of this stage, to go on in it.",
    "group_by": "By what they are put into groups, up to two; all together when not given.",
    "measures": "What is reckoned of each group beside how many they are, up to six.",
}


def described(name: str, shape: Any) -> Any:
    """The shape of an argument with its description; one that has a description of its own keeps it."""
    if get_origin(shape) is Annotated:
        return shape
    return Annotated[shape, strawberry.argument(description=_WORDS[name])]


def signed(resolve: Resolver, arguments: Mapping[str, tuple[Any, Any]], returns: Any) -> Resolver:
    """The resolver with the signature that the graph shall show."""
    kinds = inspect.Parameter
    parameters: list[inspect.Parameter] = []
    parameters.append(kinds("info", kinds.POSITIONAL_OR_KEYWORD, annotation=Info))
    for name, (shape, default) in arguments.items():
        empty = kinds.empty if default is ... else default
        parameters.append(kinds(name, kinds.KEYWORD_ONLY, annotation=described(name, shape), default=empty))
    resolve.__signature__ = inspect.Signature(parameters, return_annotation=returns)  # type: ignore[attr-defined]
    resolve.__annotations__ = {"info": Info, "return": returns} | {name: described(name, shape) for name, (shape, _) in arguments.items()}
    return resolve
