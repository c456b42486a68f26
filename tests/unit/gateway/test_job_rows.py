"""Rows of an import as somebody may send them: any JSON is a record or a refusal that names the field, never a fault of ours."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from chassis.kernel.errors import CrmError, Invalid
from chassis.rpc.contract import nouns
from gateway.departments.spelling import camel
from gateway.graph.job_rows import record_of, row_of

NAMES = sorted(noun.resource for noun in nouns() if noun.resource and noun.service and "source_key" in noun.record.fields_by_name)
JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text(max_size=8) | some.sampled_from(["SALE", "CNY"]),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.sampled_from(["key", "currencyCode", "amount", "x"]), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@given(some.data())
def test_whatever_stands_in_a_field_is_taken_or_refused_with_its_place(data: Any) -> None:
    record = record_of(data.draw(some.sampled_from(NAMES)))
    field = data.draw(some.sampled_from([one.name for one in record.fields]))
    try:
        row_of({camel(field): data.draw(JSON)}, record, "rows[0]").SerializeToString()
    except CrmError as refusal:
        assert refusal.code != "INTERNAL" and (refusal.field or refusal.params.get("rule"))


@pytest.mark.parametrize(
    ("wrong", "shown"), [(["SALE"], '["SALE"]'), ({"key": "SALE"}, '{"key": "SALE"}'), (2**70, str(2**70)), (True, "true"), ("小", "小")]
)
def test_an_enum_that_is_none_is_refused_as_it_was_sent_with_those_that_there_are(wrong: object, shown: str) -> None:
    with pytest.raises(Invalid, match="SALE") as refusal:
        row_of({"kind": wrong}, record_of("orders"), "rows[3]")
    assert f"«{shown}» is none of" in refusal.value.message
    assert refusal.value.field == "rows[3].kind"
