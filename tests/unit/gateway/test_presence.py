"""Who is at a record, against the plain account of the same beats; and that nothing of it is kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.departments.presence import LEFT, MOST_PEOPLE, TTL_SECONDS, Presences

PLACE = ("Customer", "c1")
BEATS = st.lists(
    st.tuples(st.sampled_from(["p1", "p2", "p3"]), st.sampled_from(["VIEWING", "EDITING", LEFT]), st.floats(0, 30)), max_size=20
)


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(BEATS, st.floats(0, 30))
def test_who_is_there_is_whoever_beat_last_within_the_time_and_has_not_left(beats: list[tuple[str, str, float]], later: float) -> None:
    clock, last = Clock(), dict[str, tuple[str, float]]()
    seen = Presences(clock)
    for person, activity, wait in beats:
        clock.now += wait
        seen._take(PLACE, person, activity, "")
        last[person] = (activity, clock.now)
    clock.now += later
    there = {one.person_id: one.activity for one in seen.at(PLACE)}
    assert there == {who: what for who, (what, when) in last.items() if what != LEFT and clock.now - when < TTL_SECONDS}


def test_somebody_is_there_since_the_first_beat_of_those_that_follow_each_other() -> None:
    clock = Clock()
    seen = Presences(clock)
    seen._take(PLACE, "p1", "VIEWING", "")
    (first,) = seen.at(PLACE)
    clock.now += TTL_SECONDS - 1
    seen._take(PLACE, "p1", "EDITING", "amount")
    (again,) = seen.at(PLACE)
    clock.now += TTL_SECONDS + 1
    seen._take(PLACE, "p1", "VIEWING", "")
    (anew,) = seen.at(PLACE)
    assert again.since == first.since < anew.since
    assert again.shown == ("p1", "EDITING", "amount")


async def test_watchers_of_a_record_are_told_of_news_there_alone() -> None:
    seen = Presences()
    with seen.watching(PLACE) as changed:
        for record, activity, news in (("c2", "VIEWING", False), ("c1", "VIEWING", True), ("c1", "VIEWING", False), ("c1", "EDITING", True),
                                       ("c1", LEFT, True), ("c1", LEFT, False)):  # fmt: skip
            await seen.beat(("Customer", record), "p1", activity, "")
            assert changed.is_set() is news, (record, activity)
            changed.clear()
    assert not seen._waiting


def test_a_record_has_room_for_so_many_and_records_at_which_nobody_is_are_forgotten() -> None:
    clock = Clock()
    seen = Presences(clock)
    for number in range(MOST_PEOPLE + 10):
        seen._take(PLACE, f"p{number}", "VIEWING", "")
    assert len(seen.at(PLACE)) == MOST_PEOPLE
    clock.now += TTL_SECONDS + 1
    seen._take(("Order", "o1"), "p1", "VIEWING", "")
    assert set(seen._places) == {("Order", "o1")}
