"""What contracts say of search makes sense, whatever noun comes: cards, fields that may be asked, records that lead to others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.kernel.matching import matches
from chassis.kernel.terms import LETTERS, of_question
from chassis.rpc.contract import Contract, nouns
from chassis.rpc.documents import traits
from chassis.storage.personal import SUBJECT_ERASED
from chassis.storage.terms import sought, terms_of, texts_of

SEARCHED = [noun for noun in nouns() if noun.searched]


def test_the_kinds_that_people_look_for_are_searched() -> None:
    wanted = {"customers", "contacts", "opportunities", "orders", "tickets", "articles", "campaigns", "products", "people"}
    assert {noun.resource for noun in SEARCHED} >= wanted


@pytest.mark.parametrize("noun", SEARCHED, ids=lambda noun: noun.name)
def test_what_is_searched_has_a_card_of_its_own_fields(noun: Contract) -> None:
    assert noun.traits.HasField("card"), f"{noun.name} has searched fields and no card; give its noun one"
    fields = noun.record.fields_by_name
    assert {noun.traits.card.title, *noun.traits.card.subtitle} <= set(fields)
    assert noun.batch_get is not None
    for one in noun.searched:
        mark = traits(fields[one.name])
        assert one.kind in LETTERS and not mark.copy_of and not mark.secret and not fields[one.name].is_repeated
        assert fields[one.name].cpp_type == fields[one.name].CPPTYPE_STRING, f"{noun.name}.{one.name} is no text"


def test_what_finds_others_lies_in_their_department() -> None:
    homes = {noun.name: noun for noun in SEARCHED}
    leading = [(noun, name) for noun in SEARCHED for name in noun.leads]
    assert leading
    for noun, name in leading:
        assert homes[noun.references[name]].department == noun.department


# Blinds by a mark, so that it is seen where a value would stand in the clear.
CALL: Any = SimpleNamespace(vault=SimpleNamespace(blind=lambda text: f"blind({len(text)})"))
VALUES = {
    "name": "岚皋茶业", "subject": "岚皋到货破损", "title": "岚皋运费", "body": "七天内可以退货", "phone": "0915-2522345", "email": "lan.gao@tea.example",
    "tax_number": "91310000MA1FL5X0X1", "number": "LG-2026-00731", "code": "TEA-0915", "source_key": "erp:00731", "post": "茶艺师",
}  # fmt: skip
ASKED = st.one_of(st.sampled_from([*VALUES.values(), "langao", "lg", "茶业", "2522345", "731", "怎么退"]), st.text(min_size=1, max_size=40))


def asked_for(filter_: Any) -> Iterator[str]:
    """Every term or beginning of one in a filter."""
    if isinstance(filter_, dict):
        for value in filter_.values():
            yield from asked_for(value)
    elif isinstance(filter_, list):
        for value in filter_:
            yield from asked_for(value)
    else:
        yield str(filter_)


@given(st.sampled_from(SEARCHED), ASKED, st.data())
@settings(max_examples=300, deadline=None)
def test_a_field_that_somebody_does_not_get_is_neither_asked_nor_shown(noun: Contract, question: str, data: st.DataObject) -> None:
    shown = data.draw(st.lists(st.sampled_from(noun.searched), unique=True))
    ways, tags = of_question(question), {one.tag for one in shown}
    for term in asked_for(sought(CALL, shown, ways) or {}):
        found = re.match(r"\^?(\d+)[a-z]", term)
        assert found and found[1] in tags, term
    document = {"_id": "x", **VALUES}
    assert {match.field for match in matches(texts_of(shown, document), ways)} <= {one.name for one in shown}


@pytest.mark.parametrize("noun", SEARCHED, ids=lambda noun: noun.name)
def test_personal_texts_are_stored_blind_and_erased_ones_not_at_all(noun: Contract) -> None:
    document = {"_id": "x", **VALUES}
    stored = terms_of(CALL, noun.searched, document)
    personal = {one.tag for one in noun.searched if one.personal}
    assert all("blind(" in term for term in stored if re.match(r"\d+", term)[0] in personal)  # type: ignore[index]
    assert terms_of(CALL, noun.searched, document | {SUBJECT_ERASED: True}) == []
