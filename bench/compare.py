"""Gateways beside each other: interleaved rounds, medians, ratios against the goals of the design."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.gateways import APOLLO, CACHED, HIVE, OURS, PEERS, YOGA, Gateway
from bench.load import CONNECTIONS, QUERIES, ask, measure, request_of
from cli.words import say

NODE = (YOGA, APOLLO, HIVE)
ONE_CALLER = "ours, all 16 one caller"
Tokens = Callable[[], Awaitable[Sequence[str]]]


@dataclass(frozen=True)
class Row:
    """Medians of one gateway on one query: a second, milliseconds, CPU milliseconds a request (gateway, departments, mongod), kB."""

    rate: float
    p50: float
    p99: float
    cpu: float
    behind: tuple[float, ...]
    size: float


Table = dict[tuple[str, str], Row]


@dataclass(frozen=True)
class Behind:
    """What stands behind the gateways: names and ways to read processor seconds."""

    names: Sequence[str]
    seconds: Callable[[], Sequence[float]]


def question(gateway: str, query: str, url: str, token: str, customer: str) -> bytes:
    """The request of a query, as this gateway takes it; Hive shows the contracts themselves, so its texts are its own."""
    if gateway != HIVE:
        return request_of(url, token, QUERIES[query], {"id": customer})
    plain = base64.urlsafe_b64decode(customer + "=" * (-len(customer) % 4)).decode().partition(":")[2]
    return request_of(url, token, (PEERS / "hive" / f"{query.lower()}.graphql").read_text(), {"id": plain})


async def compare(
    gateways: Sequence[Gateway], tokens: Tokens, customer: str, behind: Behind, *, seconds: float, rounds: int, warm: float
) -> Table:
    """Every gateway on every query, a warm-up first, then the rounds one after the other in turn."""
    await _same_answers(gateways, (await tokens())[0], customer)
    for gateway in gateways:
        for query in QUERIES:
            await measure(gateway.url, questions(gateway, query, await tokens(), customer), warm / len(QUERIES))
    samples: dict[tuple[str, str], list[Row]] = {}
    for _ in range(rounds):
        for query in QUERIES:
            for gateway in gateways:
                everybody = await tokens()
                for name, callers in ((gateway.name, everybody), *([(ONE_CALLER, everybody[:1])] if gateway.name == OURS else [])):
                    row = await _sample(gateway, questions(gateway, query, callers, customer), behind, seconds)
                    samples.setdefault((name, query), []).append(row)
    return {key: _median(rows) for key, rows in samples.items()}


def questions(gateway: Gateway, query: str, callers: Sequence[str], customer: str) -> list[bytes]:
    """The request of each connection: each from another caller, as long as there are enough."""
    return [question(gateway.name, query, gateway.url, callers[number % len(callers)], customer) for number in range(CONNECTIONS)]


async def _same_answers(gateways: Sequence[Gateway], token: str, customer: str) -> None:
    """All but Hive, whose shape is another, must give the same data."""
    for query in QUERIES:
        answers = {
            gateway.name: await ask(gateway.url, question(gateway.name, query, gateway.url, token, customer)) for gateway in gateways
        }
        ours = answers[OURS]
        wrong = [name for name, data in answers.items() if name != HIVE and data != ours]
        if wrong:
            raise SystemExit(f"bench: {', '.join(wrong)} answer {query} otherwise than {OURS}")


async def _sample(gateway: Gateway, requests: Sequence[bytes], behind: Behind, seconds: float) -> Row:
    cpu, before = gateway.cpu(), behind.seconds()
    found = await measure(gateway.url, requests, seconds)
    asked = len(found.times)
    used = tuple((after - since) * 1000 / asked for after, since in zip(behind.seconds(), before, strict=True))
    return Row(found.rate, found.percentile(50), found.percentile(99), (gateway.cpu() - cpu) * 1000 / asked, used, found.size / 1000)


def _median(rows: Sequence[Row]) -> Row:
    behind = tuple(median(values) for values in zip(*(row.behind for row in rows), strict=True))
    one = [median(getattr(row, name) for row in rows) for name in ("rate", "p50", "p99", "cpu")]
    return Row(*one, behind, rows[0].size)


def show(title: str, table: Table, gateways: Sequence[Gateway], behind: Behind) -> list[str]:
    """The table as Markdown, also said."""
    head = " | ".join(f"{query} req/s | p50 | p99 ms | CPU ms ({' / '.join(('gateway', *behind.names))})" for query in QUERIES)
    lines = [f"### {title}", "", f"| | {head} | RSS MB |", "|---" * (2 + 4 * len(QUERIES)) + "|"]
    rows = [(name, gateway) for gateway in gateways for name in ((OURS, ONE_CALLER) if gateway.name == OURS else (gateway.name,))]
    for name, gateway in rows:
        cells = []
        for query in QUERIES:
            row = table[name, query]
            cpu = " / ".join(f"{value:.2f}" for value in (row.cpu, *row.behind))
            cells.append(f"{row.rate:.0f} | {row.p50:.1f} | {row.p99:.1f} | {cpu}")
        lines.append(f"| {name} | {' | '.join(cells)} | {gateway.memory():.0f} |")
    lines.append("")
    say("\n".join(lines))
    return lines


def goals(alone: Table, whole: Table) -> list[str]:
    """The goal table of the design: wanted, reached with 16 callers, and with all connections of one caller, whose calls are merged."""
    lines = ["| goal | wanted | reached | one caller | |", "|---|---|---|---|---|"]

    def line(words: str, wanted: float, table: Table, query: str, *names: str, p99: bool = False) -> None:
        peers = [table[name, query] for name in names if (name, query) in table]
        if not peers:
            lines.append(f"| {words} | ≥ {wanted:g} × | not measured | | |")
            return
        mine = [table[name, query] for name in (OURS, ONE_CALLER)]
        best_rate, best_p99 = max(row.rate for row in peers), min(row.p99 for row in peers)
        found = [best_p99 / row.p99 if p99 else row.rate / best_rate for row in mine]
        lines.append(f"| {words} | ≥ {wanted:g} × | {found[0]:.1f} × | {found[1]:.1f} × | {'yes' if found[0] >= wanted else 'no'} |")

    line("alone, Q1 against Hive", 8, alone, "Q1", HIVE)
    line("alone, Q1 against the better of Yoga + JIT and Apollo", 3, alone, "Q1", YOGA, APOLLO)
    line("alone, Q2 against Hive", 8, alone, "Q2", HIVE)
    line("alone, Q2 against Yoga + JIT", 3, alone, "Q2", YOGA)
    line("alone, Q2 against Strawberry with caches", 12, alone, "Q2", CACHED)
    line("alone, Q3 against Hive", 5, alone, "Q3", HIVE)
    line("alone, Q3 against the best Node gateway", 3, alone, "Q3", *NODE)
    line("whole, Q1 against Hive", 5, whole, "Q1", HIVE)
    line("whole, Q1 against the best Node gateway", 2.5, whole, "Q1", *NODE)
    line("whole, Q2 against Hive", 6, whole, "Q2", HIVE)
    line("whole, Q2 against Yoga + JIT", 2.5, whole, "Q2", YOGA)
    for query, wanted in (("Q1", 3.0), ("Q2", 2.0)):
        line(f"alone, p99 of {query}: the best peer's against ours", wanted, alone, query, *NODE, p99=True)
    return lines


def write(path: Path, lines: Sequence[str]) -> None:
    """Keep what was measured."""
    path.write_text("\n".join(lines) + "\n")
    say(f"written to {path}")
