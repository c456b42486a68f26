"""Parts of texts: the terms that are stored of a text, and that find it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.kernel import parts
from chassis.kernel.criteria import Field, to_query


def test_case_width_accents_and_script_count_alike() -> None:
    for written in ("臺灣ＡＢＣ Café", "台湾abc cafe", "台湾ABC CAFÉ"):
        assert parts.plain(written) == "台湾abc cafe"


def test_a_text_is_stored_by_its_beginning_and_by_what_begins_at_each_character() -> None:
    found = parts.stored({"name": "Müller", "note": "", "other": "x"}, {"name": "13", "note": "14"})
    assert found == {"plain": {"name": "muller"}, "text_terms": ["13:er", "13:ler", "13:lle", "13:mul", "13:r", "13:ull", "13^muller"]}
    assert parts.stored({}, {"name": "13"}) == {}
    assert parts.stored({"names": ["A", "b"]}, {"names": "2"}) == {
        "plain": {"names": ["a", "b"]},
        "text_terms": ["2:a", "2:b", "2^a", "2^b"],
    }


@given(st.text("abc", min_size=4, max_size=80), st.data())
def test_a_longer_part_is_narrowed_by_terms_that_the_text_has(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 4))
    sought = parts.all_of("1", text[start : start + data.draw(st.integers(4, 80))])
    assert 1 <= len(sought) <= parts.MOST_SOUGHT
    assert set(sought) <= set(parts.stored({"name": text}, {"name": "1"})["text_terms"])


@pytest.mark.parametrize("operator", ["STARTS_WITH", "CONTAINS"])
def test_a_part_of_words_is_found_by_the_index_of_terms_without_a_pattern(operator: str) -> None:
    for text in ("退", "Ab", "abcdefgh"):
        query = to_query(
            {"condition": {"field": "name", "operator": operator, "values": [{"text": text}]}}, {"name": Field("name", "text", mark="13")}
        )
        assert "text_terms" in str(query)
        assert "$regex" not in str(query)


def test_what_is_forgotten_of_one_text_leaves_the_others() -> None:
    assert parts.without("name", "13") == {"$pull": {"text_terms": {"$gte": "13:", "$lt": "13_"}}, "$unset": {"plain.name": ""}}
    kept = ["1:a", "130:a", "14^a", "2:a", "3:a"]
    assert [one for one in kept if "13:" <= one < "13_"] == []
    assert [one for one in ("13:a", "13^a", "13:", "13:￿") if not "13:" <= one < "13_"] == []
