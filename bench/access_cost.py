"""What access costs of the whole: CPU of gateway, departments and mongod per Q1 and Q2, with access on against off, in turn.

`python -m bench.access_cost FOLDER`. The same processes answer both (`bench.switched`), and they must answer the same bytes: Q2 asks
for customers of the caller's own place, which is all that they may see. BENCH_CUSTOMERS, BENCH_ROUNDS and BENCH_SECONDS may be set.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import orjson

from bench.load import QUERIES, BenchError, Connection, measure, request_of
from bench.switched import ACCESS_OFF, ON
from bench.switches import PARTS, Switched, ratios, spread
from cli.words import say

CUSTOMERS, ROUNDS = os.environ.get("BENCH_CUSTOMERS", "2000"), max(7, int(os.environ.get("BENCH_ROUNDS", "7")))
SECONDS = float(os.environ.get("BENCH_SECONDS", "1.2"))
Sample = dict[str, float]


@dataclass
class Case:
    """One caller with one question, and what was measured."""

    words: str
    email: str
    query: str
    text: str
    customer: str = ""
    on: list[Sample] = field(default_factory=list)
    off: list[Sample] = field(default_factory=list)

    def line(self) -> str:
        """A row of the table."""
        both = [f"{median(s['all'] for s in self.on):.2f} / {median(s['all'] for s in self.off):.2f}"]
        both += [spread(ratios(self.on, self.off, name)) for name in ("all", "gateway", "departments", "mongod")]
        return f"| {self.words}, {self.query} | {' | '.join(both)} | {median(s['kB'] for s in self.on):.1f} |"


async def cases(bench: Switched) -> list[Case]:
    """A coordinator who sees all; a representative who sees the own and those worked with; a lead who sees the team's."""
    rep, team = bench.staff.id("people", "rep", 0), bench.staff.id("departments", "unit", "sales-north")
    people = {"all": ("demo", ""), "own": ("rep0@xietong.example", _of("Person", "ownerId", rep)),
              "team": ("lead0@xietong.example", _of("Department", "teamId", team))}  # fmt: skip
    found = []
    for words, (email, condition) in people.items():
        tokens = await bench.tokens_of(email)
        text = QUERIES["Q2"].replace("first: 50", f"first: 50{condition}")
        customer = await bench.busiest_customer(tokens[0])
        found += [Case(words, email, "Q1", QUERIES["Q1"], customer), Case(words, email, "Q2", text)]
    return found


def _of(kind: str, name: str, identity: str) -> str:
    from gateway.graph.contract import to_global

    return f', filter: {{{name}: {{eq: "{to_global(kind, identity)}"}}}}'


async def same_answers(bench: Switched, case: Case) -> None:
    """Off must answer what on answers, else there would be nothing to compare."""
    request = request_of(bench.url, (await bench.tokens_of(case.email))[0], case.text, {"id": case.customer})
    answers = []
    for number in (ON, ACCESS_OFF):
        await bench.turn(number)
        connection = await Connection.open(bench.url)
        answers.append(orjson.loads(await connection.ask(request)))
        connection.close()
    if answers[0] != answers[1] or answers[0].get("errors"):
        raise BenchError(f"{case.words} {case.query}: other rows without access: {str(answers)[:600]}")


async def sample(bench: Switched, case: Case, seconds: float = SECONDS) -> Sample:
    """CPU milliseconds of each part for a request."""
    tokens = await bench.tokens_of(case.email)
    requests = [request_of(bench.url, token, case.text, {"id": case.customer}) for token in tokens]
    before = bench.seconds()
    found = await measure(bench.url, requests, seconds)
    used = [(after - since) * 1000 / len(found.times) for after, since in zip(bench.seconds(), before, strict=True)]
    return dict(zip(PARTS, used, strict=True)) | {"all": sum(used[:2]), "kB": found.size / 1000}


async def rounds(bench: Switched, all_cases: Sequence[Case]) -> None:
    """Warm, then on and off in turn, each round beginning with the other."""
    for case in all_cases:
        await same_answers(bench, case)
        await sample(bench, case, 1.0)
    for number in range(ROUNDS):
        for case in all_cases:
            for signal in (ON, ACCESS_OFF) if number % 2 else (ACCESS_OFF, ON):
                await bench.turn(signal)
                (case.on if signal == ON else case.off).append(await sample(bench, case))
        say(f"  round {number + 1} of {ROUNDS}")


async def main(folder: Path) -> None:
    """Start, measure, say."""
    bench = Switched(folder)
    await bench.start("--customers", CUSTOMERS)
    try:
        await bench.let_in(("rep", 0), ("lead", 0))
        all_cases = await cases(bench)
        await rounds(bench, all_cases)
        lines = [
            "| caller, query | CPU ms on / off (gateway + departments) | on : off | gateway | departments | mongod | kB |",
            "|---" * 7 + "|",
        ]
        lines += [case.line() for case in all_cases]
        say("\n".join(lines))
        (folder / "access_cost.md").write_text("\n".join(lines) + "\n")
    finally:
        await bench.stop()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
