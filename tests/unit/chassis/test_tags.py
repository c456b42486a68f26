"""Tags of a record: one word once, in the order in which they came, a hundred at most."""

from __future__ import annotations

import pytest

from chassis.kernel.errors import WrongState
from chassis.kernel.tags import MOST, changed, distinct


def test_a_tag_that_differs_in_how_it_is_written_alone_is_the_first() -> None:
    assert distinct(["VIP", "重点", "vip", "ＶＩＰ", "重点", "Café", "CAFE"]) == ["VIP", "重点", "Café"]


def test_tags_are_taken_away_before_others_are_added() -> None:
    assert changed(["a", "b"], ["c", "B"]) == ["a", "b", "c"]
    assert changed(["a", "b"], ["c"], ["A", "z"]) == ["b", "c"]
    assert changed(["vip"], ["VIP"], ["vip"]) == ["VIP"]
    assert changed([], []) == []


def test_a_record_has_a_hundred_at_most() -> None:
    full = [f"t{number}" for number in range(MOST)]
    assert changed(full, ["one more"], ["t0"])[-1] == "one more"
    with pytest.raises(WrongState) as refused:
        changed(full, ["one more"])
    assert (refused.value.code, refused.value.field, refused.value.params["count"]) == ("TAGS_FULL", "add_tags", "101")
