"""Refusals in the graph: a field's error with code and department, or a UserError in a mutation's payload."""

from __future__ import annotations

import re
from typing import Any

from graphql import GraphQLError

from chassis.kernel.errors import CrmError


def field_error(error: CrmError, department: str) -> GraphQLError:
    """The error of a field whose department refused or did not answer."""
    extensions: dict[str, Any] = {"code": error.code, "department": department, "retryable": error.retryable}
    if error.field:
        extensions["field"] = camel(error.field)
    return GraphQLError(error.message, extensions=extensions)


def camel(name: str) -> str:
    """snake_case → camelCase; dots and brackets stay."""
    return re.sub(r"_([a-z0-9])", lambda found: found.group(1).upper(), name)


def path_of(field: str) -> list[str]:
    """The path of an offending field below `input`: "lines[0].unit_price" → ["input", "lines", "0", "unitPrice"]."""
    if not field:
        return ["input"]
    return ["input", *(camel(part) for part in re.split(r"[.\[\]]+", field) if part)]
