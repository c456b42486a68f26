"""What a decision costs: the reach of a right with its judgement, its filter, and the limits of an answer, in microseconds a call."""

from __future__ import annotations

import timeit
from collections.abc import Callable

from crm.customer.v1 import contact_pb2, contact_service_pb2

from chassis.access.caller import MASKED, Caller
from chassis.access.directory import Directory, Member
from chassis.access.fields import limit_answer

ROUNDS, REPEATS = 20_000, 5


def decisions() -> list[str]:
    """Lines of a table: the best of five rounds each, for the machine is noisy."""
    plain, limited = _directory({}), _directory({(role, "contacts"): {"phone": MASKED} for role in ("REP", "LEAD")})
    rep = Caller("p", frozenset(("REP", "LEAD")), "d", "t")
    record = {"owner_id": "x", "team_id": "t", "customer_id": "c"}
    working = {"p": tuple(f"c{index}" for index in range(20))}
    answer = contact_service_pb2.ListContactsResponse(contacts=[contact_pb2.Contact(id=str(n), phone="13812341234") for n in range(20)])
    timed: dict[str, Callable[[], object]] = {
        "may somebody do this to this record": lambda: plain.reach(rep, "contacts", "read", "customer_id", working).admits(record),
        "the filter of what somebody may read": lambda: plain.reach(rep, "contacts", "read", "customer_id", working).filter(),
        "an answer of 20 rows, nobody limited": lambda: limit_answer(answer, lambda name: plain.limits(rep, name)),
        "an answer of 20 rows, one field masked": lambda: limit_answer(answer, lambda name: limited.limits(rep, name)),
    }
    lines = ["| access | µs |", "|---|---|"]
    for words, call in timed.items():
        best = min(timeit.repeat(call, number=ROUNDS // 10, repeat=REPEATS)) / (ROUNDS // 10)
        lines.append(f"| {words} | {best * 1e6:.1f} |")
    return lines


def _directory(fields: dict[tuple[str, str], dict[str, int]]) -> Directory:
    grants = {("REP", "contacts", "read"): 1, ("LEAD", "contacts", "read"): 2}
    members = {"p": Member("p", "d", "t", frozenset(), True, frozenset(("REP", "LEAD")))}
    return Directory(1, grants, members, {"d": ("d1", "d2")}, fields=fields)


if __name__ == "__main__":
    print("\n".join(decisions()))
