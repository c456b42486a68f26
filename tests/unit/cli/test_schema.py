"""What counts as a change of the graph that breaks clients."""

from __future__ import annotations

import pytest

from cli.schema import breaks

EARLIER = "type Query { deal(id: ID!): Deal } type Deal { name: String! stage: Stage } enum Stage { OPEN WON } input Move { to: Stage! }"


def test_what_only_adds_breaks_nobody() -> None:
    later = (
        'type Query { deal(id: ID!, at: String): Deal deals: [Deal!]! } type Deal { name: String! stage: Stage @deprecated(reason: "2027-06-01: use state") '
        "state: Stage } enum Stage { OPEN WON LOST } input Move { to: Stage! note: String }"
    )
    assert breaks(EARLIER, later) == []


@pytest.mark.parametrize(
    ("taken", "given", "said"),
    [
        ("name: String! ", "", "FIELD_REMOVED: Field Deal.name was removed."),
        ("name: String!", "name: String", "FIELD_CHANGED_KIND: Field Deal.name changed type from String! to String."),
        ("OPEN WON", "OPEN", "VALUE_REMOVED_FROM_ENUM: Enum value Stage.WON was removed."),
        ("to: Stage!", "to: Stage! why: String!", "REQUIRED_INPUT_FIELD_ADDED: A required field Move.why was added."),
        ("id: ID!)", "id: ID!, at: String!)", "REQUIRED_ARG_ADDED: A required argument Query.deal(at:) was added."),
    ],
)
def test_what_takes_away_or_asks_for_more_is_said(taken: str, given: str, said: str) -> None:
    assert breaks(EARLIER, EARLIER.replace(taken, given)) == [said]
