"""Texts have one form, whatever they were typed or pasted with; nothing unseen makes equal names unequal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.kernel.text import folded, line, paragraphs, visible

UNSEEN = "\u0000\u0007\u001b\u007f\u0081\u009f\u00ad\u034f\u061c\u115f\u180e\u200b\u200e\u200f\u202a\u202e\u2060\u2066\u2069\u3164\ufdd0\ufeff\uffa0\uffff\U000e0041\U0001fffe"


@pytest.mark.parametrize("odd", UNSEEN, ids=lambda odd: f"U+{ord(odd):04X}")
def test_what_is_not_seen_is_taken_out(odd: str) -> None:
    assert line(f"协{odd}同{odd}") == "协同" == paragraphs(f"{odd}协{odd}同")
    assert line(odd) == ""


@pytest.mark.parametrize("blank", " \t\n\r\u0085\u00a0\u2003\u2028\u2800\u3000", ids=lambda odd: f"U+{ord(odd):04X}")
def test_blanks_of_all_kinds_are_one_blank(blank: str) -> None:
    assert line(f"{blank}a{blank}{blank}b{blank}") == "a b"


@pytest.mark.parametrize(
    "text",
    [
        "می‌خواهم", "क्‍ष", "👨‍👩‍👧", "❤️", "👩🏽‍🚀", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "葛󠄀城市", "O’Brien", "Ünïcödé", "台灣", "\ue863", "١٢٣",
    ],
)  # fmt: skip
def test_what_scripts_and_pictures_need_stays(text: str) -> None:
    assert line(text) == text == paragraphs(text)


@pytest.mark.parametrize("text", ["a\u200db", "协\u200d同", "a\ufe0f\ufe0fb", "\ufe0fa", "\u200cمی"])
def test_joiners_and_selectors_without_anything_to_join_go(text: str) -> None:
    assert not set(line(text)) & set("\u200d\u200c") or line(text) == text
    assert line(text)[0] not in "\ufe0f\u200c"


def test_composed_and_decomposed_are_the_same_text() -> None:
    assert line("Cafe\u0301") == "Café" == line("Café")


def test_paragraphs_keep_their_lines_and_lose_what_hangs_over() -> None:
    assert paragraphs(" a  \r\nb\u2028\tc\rd\n\n\n\n\n\n\ne\t\n") == "a\nb\n\tc\nd\n\n\n\ne"


@given(st.text(max_size=80))
@settings(max_examples=300, deadline=None)
def test_a_form_is_a_form(text: str) -> None:
    for form in (line, paragraphs):
        once = form(text)
        assert form(once) == once
        assert unicodedata.is_normalized("NFC", once)
        assert not any(unicodedata.category(letter) == "Cc" for letter in once if letter not in "\n\t")
    assert "\n" not in line(text)


@pytest.mark.parametrize("text", ["a", "7", "协", "é", "☎", "🎉", "!!1!!", "م"])
def test_a_letter_a_digit_or_a_picture_can_be_read(text: str) -> None:
    assert visible(text)


@pytest.mark.parametrize("text", ["", " ", "…", "!!!", "--", "。，", line("\u200b\u2060"), line("\u3164")])
def test_marks_alone_name_nothing(text: str) -> None:
    assert not visible(text)


@given(st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_folding_twice_is_folding_once(text: str) -> None:
    assert folded(folded(text)) == folded(text)
    assert folded(text.upper()) == folded(text.upper().lower())


def test_texts_that_differ_by_width_case_accents_and_apostrophes_are_compared_as_equal() -> None:
    assert folded("ＡＢＣ") == folded("abc")
    assert folded("O’Brien") == folded("obrien") == folded("OʼBRIEN")
    assert folded("Ørsted Łódź Straße") == "orsted lodz strasse"
