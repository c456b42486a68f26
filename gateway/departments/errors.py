"""Refusals in the graph: a field's error with code and department, or UserErrors in a mutation's payload."""

from __future__ import annotations

import re
from typing import Any

from graphql import GraphQLError

from chassis.kernel.errors import CrmError
from gateway.departments.language import told
from gateway.departments.spelling import graph_name, spelled


def field_error(error: CrmError, department: str) -> GraphQLError:
    """The error of a field whose department refused or did not answer."""
    spelled(error)
    extensions: dict[str, Any] = {"code": error.code, "department": department, "retryable": error.retryable}
    if error.field:
        extensions["field"] = graph_name(error.field)
    if error.params:
        extensions["params"] = error.params
    if error.details:
        extensions["details"] = error.details
    if error.also:
        extensions["also"] = [
            {"code": one.code, "message": one.message, "field": graph_name(one.field), "params": one.params} for one in error.also
        ]
    return GraphQLError(error.message, extensions=extensions)


def of_cursor(error: CrmError, *, backward: bool) -> CrmError:
    """The refusal of a list: a page token is the cursor there, under the name of the argument that gave it."""
    if error.field == "page_token":
        error.field = "before" if backward else "after"
        error.message = error.message.replace("the page token", "the cursor")
    return error


def user_errors(error: CrmError, language: str) -> list[dict[str, Any]]:
    """A refusal as a mutation shows it: what is wrong with the input, each thing alone."""
    spelled(error)
    return [
        {
            "code": one.code,
            "message": told(one.code, one.message, one.params, one.field, language),
            "path": path_of(one.field),
            "retryable": one.retryable,
            "params": one.params,
            "details": one.details or None,
        }
        for one in (error, *error.also)
    ]


def translated(formatted: dict[str, Any], language: str) -> dict[str, Any]:
    """An error as GraphQL formats it, with its sentences in a language."""
    extensions = formatted.get("extensions") or {}
    words = told(extensions.get("code", ""), formatted["message"], extensions.get("params") or {}, extensions.get("field", ""), language)
    if also := extensions.get("also"):
        more = [{**one, "message": told(one["code"], one["message"], one["params"], one["field"], language)} for one in also]
        formatted = {**formatted, "extensions": {**extensions, "also": more}}
    return {**formatted, "message": words}


def path_of(field: str) -> list[str]:
    """The path of an offending field below `input`: "lines[0].unit_price" → ["input", "lines", "0", "unitPrice"]."""
    parts = [part for part in re.split(r"[.\[\]]+", graph_name(field)) if part]
    return ["input", *(parts[1:] if parts[:1] == ["input"] else parts)]  # what is called `input` is the input itself (update_mask)
