"""Page tokens: what is written is what is read; a token of another list, or a broken one, is refused."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chassis.kernel.errors import Invalid
from chassis.kernel.pages import Sort, filter_after, fingerprint, size_of, token_after

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MARK = fingerprint("customers", "NAME_ASC", None)
moments = st.integers(-2_208_988_800_000, 7_258_118_400_000).map(lambda number: EPOCH + timedelta(milliseconds=number))
values = st.one_of(st.none(), st.text(max_size=40), st.integers(-(2**63), 2**63 - 1), moments, st.booleans())
identities = st.text("0123456789abcdefghjkmnpqrstvwxyz-", min_size=1, max_size=64)


def _filter(value: Any, identity: str, direction: int = 1) -> dict[str, Any]:
    sort = Sort("at", direction)
    return filter_after(token_after({"_id": identity, "at": value}, sort, MARK), sort, MARK)


def _raw(*parts: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


@settings(max_examples=300, deadline=None)
@given(value=values, identity=identities)
@example(value=datetime(2004, 5, 6, 7, 8, 9, 1000, tzinfo=UTC), identity="a")
def test_token_brings_back_the_value_and_the_id_exactly(value: Any, identity: str) -> None:
    found = _filter(value, identity)
    assert found["$or"][-1] == {"at": value, "_id": {"$gt": identity}}


def test_every_millisecond_of_2004_survives_a_token() -> None:
    start = datetime(2004, 5, 6, 7, 8, 9, tzinfo=UTC)
    wrong = [
        moment
        for moment in (start + timedelta(milliseconds=number) for number in range(1000))
        if _filter(moment, "a")["$or"][1]["at"] != moment
    ]
    assert wrong == []


@pytest.mark.parametrize("direction", [1, -1])
def test_token_of_another_list_is_refused(direction: int) -> None:
    sort = Sort("at", direction)
    token = token_after({"_id": "a", "at": 1}, sort, MARK)
    with pytest.raises(Invalid) as refusal:
        filter_after(token, sort, fingerprint("customers", "NAME_ASC", {"condition": {}}))
    assert (refusal.value.code, refusal.value.field) == ("PAGE_TOKEN_INVALID", "page_token")


@pytest.mark.parametrize(
    "token",
    [
        "x", "=", "AAAA", "你好", "a" * 999, _raw(), _raw(MARK), _raw(MARK, "v", 1), _raw(MARK, "v", 1, 2), _raw(MARK, "v", {"$gt": ""}, "a"),
        _raw(MARK, "v", ["a"], "a"), _raw(MARK, "x", 1, "a"), _raw(MARK, "t", None, "a"), _raw(MARK, "t", "1", "a"), _raw(MARK, "t", 1e300, "a"),
        _raw(MARK, "v", 1, {"$ne": ""}), _raw(MARK, "v", 1, "a", 5), _raw(None, "v", 1, "a"), base64.urlsafe_b64encode(b'{"a":1}').decode(),
        base64.urlsafe_b64encode(b"12").decode(), _raw(MARK, "v", 2**63, "a"), _raw(MARK, ["t"], 1, "a"), _raw(MARK, {}, 1, "a"),
    ],
)  # fmt: skip
def test_broken_token_is_refused(token: str) -> None:
    with pytest.raises(Invalid) as refusal:
        filter_after(token, Sort("at", 1), MARK)
    assert refusal.value.code == "PAGE_TOKEN_INVALID"


@settings(max_examples=150, deadline=None)
@given(text=st.text(min_size=1, max_size=120))
def test_any_text_as_token_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refusal:
        filter_after(text, Sort("at", 1), MARK)
    assert refusal.value.code == "PAGE_TOKEN_INVALID"


@settings(max_examples=150, deadline=None)
@given(cut=st.integers(1, 40))
def test_token_cut_short_is_refused(cut: int) -> None:
    token = token_after({"_id": "0123456789abcdefghjkmnpqrs", "at": "a name"}, Sort("at", 1), MARK)
    with pytest.raises(Invalid):
        filter_after(token[:-cut], Sort("at", 1), MARK)


def test_token_with_foreign_characters_is_refused() -> None:
    token = token_after({"_id": "a", "at": "b"}, Sort("at", 1), MARK)
    with pytest.raises(Invalid):
        filter_after(f"{token[:5]}!!!!{token[5:]}", Sort("at", 1), MARK)


@pytest.mark.parametrize("letter", ["a", "中", "😀", '"', "\x01"])
def test_token_of_the_longest_name_fits_the_contract(letter: str) -> None:
    token = token_after({"_id": "0123456789abcdefghjkmnpqrs", "name": letter * 200}, Sort("name", 1), MARK)
    assert len(token) <= 4000  # page_token of every List request


def test_page_size_is_bounded() -> None:
    assert [size_of(asked) for asked in (0, 1, 20, 100, 101, 10**9)] == [20, 1, 20, 100, 100, 100]


@given(criteria=st.dictionaries(st.text(max_size=5), st.integers(0, 9), max_size=4))
def test_fingerprint_does_not_depend_on_the_order_of_keys(criteria: dict[str, int]) -> None:
    assert fingerprint("a", criteria) == fingerprint("a", dict(reversed(criteria.items())))


@given(st.text(min_size=1, max_size=10), st.text(min_size=1, max_size=10))
def test_a_token_that_somebody_made_or_changed_is_refused(value: str, other: str) -> None:
    sort = Sort("name", 1)
    digest, kind, _, identity = orjson.loads(base64.urlsafe_b64decode(token_after({"_id": "a", "name": value}, sort, MARK) + "=="))
    for forged in ([digest, kind, other + "x" + value, identity], [digest, kind, value, "b"], [MARK, kind, value, identity]):
        text = base64.urlsafe_b64encode(orjson.dumps(forged)).decode().rstrip("=")
        with pytest.raises(Invalid):
            filter_after(text, sort, MARK)
    with pytest.raises(Invalid):
        filter_after(token_after({"_id": "a", "name": value}, sort, fingerprint("another secret", MARK)), sort, MARK)
