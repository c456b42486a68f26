"""One run: a stack, clients, a nemesis with the schedule of a seed, quiet, judgement, report."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from email import message_from_bytes
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller

from chassis.kernel.errors import CrmError
from chassis.kernel.tasks import settle
from cli.audit import prove
from cli.batches import Batches
from cli.plan import DEPARTMENTS
from gateway.graph.contract import to_global
from tests.chaos.checker import MOST_TOLD, Checker, Findings
from tests.chaos.cluster import Cluster
from tests.chaos.edges import Edges, Opened, judge_edges, open_edges
from tests.chaos.follower import Follower
from tests.chaos.importer import Importer, judge_imports
from tests.chaos.leaders import Leaders, leader_schedule
from tests.chaos.leavers import Leavers
from tests.chaos.ledger import Command
from tests.chaos.nemesis import Nemesis
from tests.chaos.pulse import Gap, Pulse
from tests.chaos.schedule import Fault, schedule
from tests.chaos.settling import Settling
from tests.chaos.stack import Stack
from tests.chaos.workers import PIPELINE, SHARED, STAGES, Worker
from tests.support.checks import equals

WORKERS, ADDRESSEES, FIRMS = 6, 40, 4
AGE_SECONDS = 2
LESS, GREATER_OR_EQUAL = 3, 6
BESIDE = 2  # workers beside the pulse: what is measured shall be the loss of a leader, not a machine that is full
QUIET_SECONDS, SETTLE_SECONDS = 60.0, 10.0
# Without a leader nothing is acknowledged for at most so long, and nothing takes effect for at most so long.
GAP_SECONDS, EFFECT_SECONDS = 5.0, 12.0
BROKEN_SECONDS = 20.0  # what is broken on purpose may never come to rest


class Mailbox:
    """The mail server of a run: (address, Message-ID) of everything that it took. It is slow, so that faults come in between."""

    def __init__(self) -> None:
        self.mails: Counter[tuple[str, str]] = Counter()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        await asyncio.sleep(0.1)
        identity = str(message_from_bytes(envelope.content)["Message-ID"])
        self.mails.update((address, identity) for address in envelope.rcpt_tos)
        return "250 OK"


@dataclass
class Report:
    """What a run found. `settled` is the time from the last heal until everything had been heard, `rested` that from when all was up again and
    nobody sent anything any more; seconds."""

    seed: int
    seconds: float
    faults: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    counts: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    settled: float = 0.0
    rested: float = 0.0
    settle_seconds: float = SETTLE_SECONDS
    gaps: list[Gap] = field(default_factory=list)
    gap_seconds: float = GAP_SECONDS
    repeated: int = 0
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        settled = f"settled {self.settled:.1f} s after the last heal, {self.rested:.1f} s after all were ready and nobody sent anything"
        lines = [f"seed {self.seed}: {self.seconds:.0f} s, {self.faults.total()} faults, {dict(self.outcomes)}, {settled}"]
        lines += [f"  {name:<45} {count:>8,} checked" for name, count in self.counts.items()]
        lines += [f"  {one}" for one in (*self.gaps, *self.notes)]
        return "\n".join(lines + [f"  VIOLATION {one}" for one in self.violations] + ([] if self.violations else ["  no violation"]))


async def run(
    folder: Path, seed: int, seconds: float, *, broken: str = "", replicas: int = 1, faults: list[Fault] | None = None,
    settle_seconds: float = SETTLE_SECONDS, gap_seconds: float = GAP_SECONDS,
) -> Report:  # fmt: skip
    """One run; its report. `broken` breaks the machinery on purpose; with three `replicas` the engines are clusters whose leaders are taken
    away; `faults` replace those of the seed."""
    folder.mkdir(parents=True, exist_ok=True)
    stack, mailbox = (Cluster if replicas > 1 else Stack)(folder, seed, broken), Mailbox()
    mail = Controller(mailbox, hostname="127.0.0.1", port=stack.plan.smtp_port)
    mail.start()
    report = Report(seed, seconds, settle_seconds=settle_seconds, gap_seconds=gap_seconds)
    try:
        await stack.start()
        drawn = _drawn(stack, seed, seconds) if faults is None else faults
        (folder / "schedule.txt").write_text("\n".join(map(str, drawn)) + "\n")
        await _torment(stack, folder, drawn, report, mailbox)
    finally:
        mail.stop()
        await stack.stop()
    return report


def _drawn(stack: Stack, seed: int, seconds: float) -> list[Fault]:
    if isinstance(stack, Cluster):
        return leader_schedule(seed, seconds)
    without = frozenset() if stack.disk.mounted else frozenset(("power cut", "disk full"))
    return schedule(seed, seconds, list(stack.links), without)


async def _torment(stack: Stack, folder: Path, drawn: list[Fault], report: Report, mailbox: Mailbox) -> None:
    if any(fault.kind == "earlier build" for fault in drawn):
        await stack.fetch_earlier()
    shared, opened = await _prepare(stack)
    many = BESIDE if isinstance(stack, Cluster) else WORKERS
    workers = [Worker(number, stack, folder, report.seed, shared) for number in range(many)]
    pulse = Pulse(many, stack, folder, report.seed) if isinstance(stack, Cluster) else None
    workers += [pulse] if pulse else [Leavers(many, stack, folder, report.seed, shared)]
    ended = asyncio.Event()
    follower = Follower(len(workers), stack, folder, report.seed)
    edges, importer = Edges(stack, folder, report.seed, opened), Importer(len(workers) + 1, stack, folder, report.seed)
    tasks = [asyncio.create_task(client.run(ended)) for client in [*workers, follower, importer]] + [asyncio.create_task(edges.run(ended))]
    campaign = asyncio.create_task(_launch(stack))
    if pulse:
        await stack.until(lambda: pulse.told)
    nemesis, begin = Leaders(stack, drawn) if isinstance(stack, Cluster) else Nemesis(stack, drawn), time.monotonic()
    await nemesis.run()
    healed = time.monotonic()
    await asyncio.sleep(max(0.5, begin + report.seconds - healed))
    stopped = time.monotonic()
    if pulse or not drawn:
        healed = stopped  # before that there is no quiet
    checker = Checker(stack)
    settling = Settling(stack, checker, healed)
    watching = asyncio.create_task(settling.watch())
    ended.set()
    await asyncio.gather(*tasks)
    await campaign
    report.notes.append(f"the clients had ended after {time.monotonic() - healed:.1f} s")
    if pulse and isinstance(nemesis, Leaders):
        report.gaps = pulse.gaps(nemesis.taken, stopped)
    report.faults = nemesis.done
    commands = [command for worker in workers for command in worker.ledger.commands.values()]
    report.outcomes = Counter(command.outcome for command in commands)
    report.repeated = sum(worker.repeated for worker in workers)
    try:
        await stack.ready()
        await stack.until(lambda: _renewed(stack), 40)
        await settle([watching])
        begun = time.monotonic() - healed
        report.settled = await settling.until_quiet(BROKEN_SECONDS if stack.broken else QUIET_SECONDS)
        report.rested = report.settled - begun
        report.notes.append(f"all were ready, and nobody sent anything, after {begun:.1f} s; not at rest for the last time: {settling}")
        await _judge(stack, checker, commands, report, mailbox, edges)
        await _imported(checker, importer, report)
        await _followed(checker, follower, report)
    finally:
        await checker.close()
    report.violations += [f"a repeat was answered otherwise: {one}" for worker in workers for one in worker.differed]
    report.violations += [f"an answer that tells nothing: {one}" for worker in workers for one in worker.unexpected]
    report.counts |= {"repeats answered alike": report.repeated, "backups whole": nemesis.verified_backups()}
    report.notes.append(f"ended by themselves and started again: {stack.ended_alone or 'none'}")
    report.notes.append(f"memory in MB: { {name: size // 1024 for name, size in stack.memory().items()} }")


async def _prepare(stack: Stack) -> tuple[list[dict[str, Any]], Opened]:
    """A pipeline, segments, a campaign with its audience, what strangers find; and the opportunities for which the workers compete."""
    pipeline = {**PIPELINE, "role": "cli"}
    await stack.until(lambda: _willing(stack, "CreatePipeline", pipeline), 20)
    for region in ("chaos-north", "chaos-south", "mail"):
        await stack.ask("CreateSegment", role="COORDINATOR", name=region, criteria=equals("region", region))
    for region, operator in (("chaos-north", LESS), ("chaos-south", GREATER_OR_EQUAL)):  # who comes in, and goes out, by time alone
        age = {"condition": {"field": "create_time", "operator": operator, "values": [{"relative_seconds": -AGE_SECONDS}]}}
        criteria = {"all": {"items": [equals("region", region), age]}}
        await stack.ask("CreateSegment", role="COORDINATOR", name=f"{region} by age", criteria=criteria)
    firms = [await stack.ask("CreateCustomer", role="COORDINATOR", kind=1, name=f"firm {number}", region="mail") for number in range(FIRMS)]
    rows = [
        {
            "source_key": f"mail:{number}",
            "customer_id": firms[number % FIRMS].customer.id,
            "name": f"N{number}",
            "email": f"c{number}@mail.example",
        }
        for number in range(ADDRESSEES)
    ]
    await stack.ask("BatchUpsertContacts", contacts=rows)
    shared = []
    for number in range(SHARED):
        made = await stack.ask("CreateOpportunity", role="COORDINATOR", customer_id=firms[0].customer.id, name=f"shared {number}")
        shared.append({"id": to_global("Opportunity", made.opportunity.id), "version": 1, "stageKey": STAGES[0]})
    return shared, await open_edges(stack, firms[1].customer.id)


async def _willing(stack: Stack, method: str, fields: dict[str, Any]) -> bool:
    """A department that has just come up may not know its people yet."""
    try:
        await stack.ask(method, **fields)
    except CrmError:
        return False
    return True


async def _launch(stack: Stack) -> None:
    """A campaign under way while everything falls down; asked for until it is acknowledged."""
    listed = None
    while listed is None:
        try:
            segments = (await stack.ask("ListSegments", role="cli")).segments
            listed = {segment.name: segment for segment in segments}["mail"]
            members = await stack.ask("BatchListSegmentMembers", role="cli", segment_ids=[listed.id], page_size=100)
            if len(members.groups[0].segment_members) < FIRMS:  # the audience is who belongs to the segment at the launch
                raise LookupError("not all are in the segment yet")
            fields = {
                "name": "spring",
                "channel": 1,
                "subject": "new",
                "body": "hello",
                "segment_id": listed.id,
                "request_id": "chaos-campaign-1",
            }
            made = await stack.ask("CreateCampaign", role="COORDINATOR", **fields)
            await stack.ask("LaunchCampaign", role="COORDINATOR", campaign_id=made.campaign.id, request_id="chaos-launch-1")
        except (CrmError, LookupError):
            listed = None
            await asyncio.sleep(0.3)


async def _renewed(stack: Stack) -> bool:
    """Fresh tokens for the judgement, before quiet is looked for: they are facts too."""
    try:
        await stack.renew()
    except CrmError:
        return False
    return True


async def _imported(checker: Checker, importer: Importer, report: Report) -> None:
    found = Findings()
    await judge_imports(importer, checker, found)
    report.counts |= found.counts
    report.violations += found.violations + [f"an import was refused: {one}" for one in importer.unexpected]


async def _followed(checker: Checker, follower: Follower, report: Report) -> None:
    """Whoever follows by cursors is told everything behind the first, whatever fell down meanwhile."""
    published = await checker.published("support", "Ticket")
    begun = min((published.index(one) for one in follower.told if one in published), default=len(published))
    await follower.catch_up(published[begun:])
    missed = [one for one in published[begun:] if one not in follower.told]
    strange = [one for one in follower.told if one not in published]
    report.counts["followed by cursors"] = len(published) - begun
    report.violations += [f"followed by cursors: never told of {one}, number {published.index(one)}" for one in missed[:MOST_TOLD]]
    report.violations += [f"followed by cursors: told of {one}, which there is not" for one in strange[:MOST_TOLD]]
    report.violations += [f"followed by cursors: refused with {one}" for one in follower.refused[:MOST_TOLD]]
    report.notes.append(f"followed by {follower.subscriptions} subscriptions, {follower.again} changes told again under the same id")


async def _judge(stack: Stack, checker: Checker, commands: list[Command], report: Report, mailbox: Mailbox, edges: Edges) -> None:
    found = await checker.judge(commands)
    batches = Batches(stack.plan)
    try:
        for name in DEPARTMENTS:
            proof, _, _ = await prove(batches, name)
            found.must("the chain of the audit is whole", [proof.wrong] if proof.wrong else [], proof.entries)
    finally:
        await batches.close()
    told = Counter(address for address, _ in mailbox.mails)
    wanted = {f"c{number}@mail.example" for number in range(ADDRESSEES)}
    found.must("each mail once", [f"{address}: {many} different mails" for address, many in told.items() if many != 1], len(told))
    found.must("no mail is missing", sorted(wanted - set(told)), len(wanted))
    await judge_edges(edges, found)
    if (again := mailbox.mails.total() - len(mailbox.mails)) > 0:
        report.notes.append(f"mails handed over once more under the same Message-ID after a fault in between: {again}")
    if report.settled > report.settle_seconds:
        found.violations.append(f"settled {report.settled:.1f} s after the last heal; {report.settle_seconds:.0f} s are allowed")
    if report.rested > report.settle_seconds / 2:
        words = f"{report.rested:.1f} s after all were ready and nobody sent anything; {report.settle_seconds / 2:.0f} s are allowed"
        found.violations.append(f"settled {words}")
    for gap in report.gaps:
        if gap.writes > report.gap_seconds or gap.effects > report.gap_seconds + EFFECT_SECONDS - GAP_SECONDS:
            found.violations.append(f"the loss of a leader was felt too long: {gap}")
    report.counts, report.violations = found.counts, report.violations + found.violations
