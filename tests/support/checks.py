"""What the component tests of all departments share: a refused action leaves no trace; criteria in one line."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest

from chassis.kernel.errors import CrmError
from tests.support.installation import Installation


async def trace(crm: Installation, department: str, collection: str, record_id: str = "") -> tuple[Any, ...]:
    """What is stored of a record (or how many there are of its kind), and how many facts were announced of it."""
    database = crm.suite[department].database
    if record_id:
        rows = await database["outbox"].count_documents({"headers.ce-subject": record_id})
        return await database[collection].find_one({"_id": record_id}), rows
    noun = next(store.descriptor.full_name for store in crm.suite[department].stores if store.resource == collection)
    rows = await database["outbox"].count_documents({"headers.ce-aggregate": noun})
    return await database[collection].count_documents({}), rows


async def refused(
    crm: Installation, where: str, action: Awaitable[Any], code: str, *, field: str | None = None, record_id: str = ""
) -> CrmError:
    """The refusal of an action on `where` (department.collection): its code and field are these, nothing was changed or announced."""
    department, collection = where.split(".")
    before = await trace(crm, department, collection, record_id)
    with pytest.raises(CrmError) as found:
        await action
    assert found.value.code == code, found.value.message
    if field is not None:
        assert found.value.field == field
    assert await trace(crm, department, collection, record_id) == before
    return found.value


def equals(field: str, *values: str) -> dict[str, Any]:
    """Criteria: the text field is one of the values."""
    return {"condition": {"field": field, "operator": 1 if len(values) == 1 else 2, "values": [{"text": value} for value in values]}}


def mask(*paths: str) -> dict[str, Any]:
    """An update mask."""
    return {"paths": list(paths)}


def cny(units: float) -> dict[str, Any]:
    """Money."""
    return {"currency_code": "CNY", "amount_micros": round(units * 1_000_000)}
