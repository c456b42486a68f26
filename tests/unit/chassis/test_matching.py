"""Where a question stands in a text and how well it matches: any part, reading and spelling of a generated name, numbers, codes, long texts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.kernel.matching import BEGINS, PART, WHOLE, Match, Text, matches, rank, rank_unseen
from chassis.kernel.readings import readings, spellings
from chassis.kernel.terms import CODE, LETTERS, MAIL, NAME, PHONE, TEXT, normalized, of_question, of_text

NAMES = st.text(
    st.sampled_from("上海远景贸易重庆银行曾国藩解晓东吕布臺灣精密机械长沙建材单雄信行云乐后街有限公司"), min_size=2, max_size=14
)


def found(question: str, kind: str, value: str) -> tuple[int, list[Match]]:
    texts, ways = [Text("f", kind, value)], of_question(question)
    return rank(texts, question, ways), matches(texts, ways)


def stored(question: str, kind: str, value: str) -> bool:
    terms = of_text(kind, value)
    return any(
        all(any(one.startswith(term) for term in need if term[0] in LETTERS[kind] for one in terms) for need in way)
        for way in of_question(question)
    )


@given(NAMES, st.data())
@settings(max_examples=300, deadline=None)
def test_any_part_initials_and_spelling_of_a_name_find_it_and_are_shown_in_it(name: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(name) - 2))
    end = data.draw(st.integers(start + 2, len(name)))
    likeliest = readings(normalized(name))[0]
    typed = data.draw(st.sampled_from(spellings(likeliest[start:end])))
    for question in (name[start:end], typed, "".join(one[0] for one in likeliest[start:end])):
        assert stored(question, NAME, name), (question, name)
        level, (match, *_) = found(question, NAME, name)
        assert match.before + match.match + match.after == name and match.match
        assert level in (WHOLE, BEGINS, PART)
    level, (match,) = found(name[start:end], NAME, name)
    assert level == (WHOLE if name[start:end] == name else BEGINS if name.startswith(name[start:end]) else PART)
    assert match.match == name[start:end]


@given(NAMES, st.data())
@settings(max_examples=150, deadline=None)
def test_another_common_reading_finds_the_name_too(name: str, data: st.DataObject) -> None:
    for reading in readings(normalized(name))[:5]:
        typed = "".join(reading)
        assert stored(typed, NAME, name), (typed, name)
        assert found(typed, NAME, name)[1], (typed, name)


@given(st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=80))
@settings(max_examples=300, deadline=None)
def test_any_question_can_be_put_to_any_text(question: str, value: str) -> None:
    for kind in (NAME, CODE, PHONE, MAIL, TEXT):
        _, shown = found(question, kind, value)
        for one in shown:
            assert one.before + one.match + one.after in value


@pytest.mark.parametrize(
    ("question", "kind", "value", "level", "match"),
    [
        ("远景", NAME, "上海远景贸易", PART, "远景"), ("shyj", NAME, "上海远景贸易", BEGINS, "上海远景"), ("yuanj", NAME, "上海远景贸易", PART, "远景"),
        ("臺灣", NAME, "台湾大哥大", BEGINS, "台湾"), ("acme", NAME, "Acme Widgets", BEGINS, "Acme"), ("wid acme", NAME, "Acme Widgets", PART, "Wid"),
        ("ACME  widgets", NAME, "Acme Widgets", WHOLE, "Acme"), ("123", CODE, "SO-2026-00123", PART, "123"),
        ("so202600123", CODE, "SO-2026-00123", WHOLE, "SO-2026-00123"), ("SO 2026", CODE, "SO-2026-00123", BEGINS, "SO"),
        ("010-62345671", PHONE, "+86 10 6234 5671 转 801", WHOLE, "86 10 6234 5671"), ("5671", PHONE, "+86 10 6234 5671", PART, "5671"),
        ("INFO@example.com", MAIL, "Info@Example.com", WHOLE, "Info@Example.com"), ("怎么退", TEXT, "七天内可以退货", PART, "退"),
        ("invoices", TEXT, "Send an invoice to us", PART, "invoic"),
    ],
)  # fmt: skip
def test_what_matched_is_shown_as_it_is_written(question: str, kind: str, value: str, level: int, match: str) -> None:
    ranked, shown = found(question, kind, value)
    assert ranked == level and shown[0].match == match


def test_of_a_long_text_a_stretch_is_shown() -> None:
    _, (match,) = found("退货", TEXT, "前" * 500 + "七天内可以退货" + "后" * 500)
    assert match.match == "退货" and len(match.before) <= 40 and len(match.after) <= 80


def test_what_is_sealed_ranks_by_what_was_asked() -> None:
    assert [rank_unseen(one) for one in ("a@example.com", "138 0013 8000", "8000", "@example.com")] == [WHOLE, WHOLE, PART, PART]
