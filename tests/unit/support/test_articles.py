"""Articles: completion, publication, votes, words of both languages, BM25 against a plain one; words of the public pages."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.kernel.errors import Invalid, WrongState
from services.support.articles import model
from services.support.articles.terms import frequencies, score, words
from services.support.web.words import LANGUAGES, WORDS

NOW = datetime(2026, 3, 4, tzinfo=UTC)


def article(**more: Any) -> dict[str, Any]:
    found = {"title": " t ", "body": " b ", "category": " c ", **more}
    model.check(found)
    return found


def test_an_article_is_completed() -> None:
    assert article() == {"title": "t", "body": "b", "category": "c", "state": "DRAFT", "helpful_count": 0, "unhelpful_count": 0}


@pytest.mark.parametrize(
    ("values", "field"),
    [({"title": " "}, "title"), ({"body": "\n"}, "body"), ({"category": " "}, "category"), ({"review_date": "2026-02-30"}, "review_date")],
)
def test_an_incomplete_article_is_refused(values: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        article(**values)
    assert refused.value.field == field


def test_publishing_and_hiding_each_once() -> None:
    assert model.published({"state": "DRAFT"}, NOW) == {"state": "PUBLISHED", "publish_time": NOW}
    assert model.unpublished({"state": "PUBLISHED"}) == {"state": "DRAFT"}
    with pytest.raises(WrongState):
        model.published({"state": "PUBLISHED"}, NOW)
    with pytest.raises(WrongState) as refused:
        model.unpublished({"state": "DRAFT"})
    assert refused.value.code == "ARTICLE_NOT_PUBLISHED"


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=30))
def test_counts_are_the_last_vote_of_each_reader(votes: list[tuple[int, bool]]) -> None:
    found: dict[str, Any] = {"state": "PUBLISHED"}
    last: dict[int, bool] = {}
    for reader, helpful in votes:
        found |= model.voted(found, last.get(reader), helpful)
        last[reader] = helpful
    assert found.get("helpful_count", 0) == sum(last.values())
    assert found.get("unhelpful_count", 0) == len(last) - sum(last.values())


def test_a_draft_is_not_voted_on() -> None:
    with pytest.raises(WrongState) as refused:
        model.voted({"state": "DRAFT"}, None, True)
    assert refused.value.code == "ARTICLE_NOT_PUBLISHED"


def test_words_of_both_languages() -> None:
    assert words("如何重置密码？Reset 密 Passwords") == ["如何", "何重", "重置", "置密", "密码", "reset", "密", "password"]
    assert words("ＡＢＣ３D打印") == ["abc3d", "打印"]
    assert words("  ，。!? ") == []


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("invoice", "invoices"),
        ("article", "articles"),
        ("price", "prices"),
        ("address", "addresses"),
        ("password", "passwords"),
        ("company", "companies"),
        ("box", "boxes"),
    ],
)
def test_singular_and_plural_are_one_word(one: str, many: str) -> None:
    assert words(one) == words(many)


@pytest.mark.parametrize(
    ("plain", "form"),
    [("reset", "resets"), ("deliver", "delivered"), ("deliver", "delivering"), ("update", "updated"), ("receive", "receiving")],
)
def test_forms_of_a_verb_are_one_word(plain: str, form: str) -> None:
    assert words(plain) == words(form)


def test_a_word_of_the_title_counts_three_times() -> None:
    assert frequencies("reset 密码", "reset 一下密码 reset") == {"reset": 5, "密码": 4, "一下": 1, "下密": 1}


def plain_bm25(question: list[str], documents: list[list[str]], number: int) -> float:
    """Straight from Robertson & Zaragoza 2009 with the non-negative idf."""
    average = sum(map(len, documents)) / len(documents)
    total = 0.0
    for term in set(question):
        holders = sum(1 for document in documents if term in document)
        frequency = documents[number].count(term)
        idf = math.log((len(documents) - holders + 0.5) / (holders + 0.5) + 1)
        total += idf * frequency * 2.2 / (frequency + 1.2 * (0.25 + 0.75 * len(documents[number]) / average)) if frequency else 0.0
    return total


TEXT = st.lists(st.sampled_from(["密码", "重置", "reset", "invoice", "发票"]), min_size=1, max_size=12)


@given(TEXT, st.lists(TEXT, min_size=1, max_size=6))
@settings(max_examples=200, deadline=None)
def test_the_score_is_bm25(question: list[str], documents: list[list[str]]) -> None:
    holders = {term: sum(term in document for document in documents) for term in question}
    average = sum(map(len, documents)) / len(documents)
    for number, document in enumerate(documents):
        found = score(question, Counter(document), len(document), len(documents), average, holders)
        assert found == pytest.approx(plain_bm25(question, documents, number), rel=1e-12)
        assert found >= 0


def test_the_public_pages_speak_both_languages() -> None:
    assert set(WORDS) == set(LANGUAGES) == {"zh", "en"}
    assert set(WORDS["zh"]) == set(WORDS["en"])
    assert all(text.strip() for words_ in WORDS.values() for text in words_.values())
