"""Fixtures: engines once a run; one installation for all tests that do not stop departments; a fresh one for those that do."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from argon2 import PasswordHasher

from chassis.jobs import worker as jobs
from chassis.messaging import relay
from chassis.observe import logs
from chassis.rpc import repeats
from chassis.runtime import erasure, merging
from chassis.storage import chain
from cli.engines import free_port, start_nats
from services.organization.people import passwords
from services.organization.webhook_deliveries import workers as webhooks
from tests.support.installation import Engines, Installation

# What is looked for in the database in turns is looked for less often: two idle installations took a third of a core from the tests beside
# them. Each commit wakes the relay, and each job the workers, of their process; only those of other replicas are found by looking.
relay.IDLE_SECONDS = relay.QUIET_SECONDS = 2.0
jobs.LOOK_SECONDS = merging.LOOK_SECONDS = 1.0
chain.IDLE_SECONDS = erasure.PAUSE_SECONDS = 2.0
webhooks.PAUSE_SECONDS = 0.4
# A password is hashed a hundred times in a run, at a third of a second of a core; that the product's own cost is high is tested by itself.
passwords._hasher = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1)
passwords._NOBODY = passwords._hasher.hash("nobody has this password")
repeats.SCRYPT_COST = 2**8
ROOM = 6 * 2**30
SHOWN = 10
ROOT = Path(__file__).resolve().parent.parent
# What takes a worker twenty seconds and more: whoever began such a file last would leave the other workers without any.
LONG = frozenset((
    "access_absent", "access_matrix", "access_numbers", "backup", "campaigns", "credentials", "doctor", "events_repair",
    "events_survive_kills", "graph_connections", "graph_costs", "graph_edges", "import_outcomes", "last_administrator", "mail_addresses",
    "mail_queue", "people_leave", "people_move", "personal_data_erasure", "positions", "rebuild", "rolling_release", "sign_in_doors",
    "subscription_cursor", "timers", "up", "webhook_sender",
))  # fmt: skip
FOLDERS = ("chaos", "deploy", "e2e", "contract", "component", "unit", "audit")


def pytest_configure(config: pytest.Config) -> None:
    """One seed for the samples of this run, in every worker."""
    os.environ.setdefault("CRM_TEST_SEED", str(random.SystemRandom().randrange(10**6)))


def pytest_report_header() -> str:
    """By which seed the samples were drawn."""
    long = os.environ.get("CRM_TEST_LONG") == "1"
    return "every generated case" if long else f"samples by CRM_TEST_SEED={os.environ['CRM_TEST_SEED']}; every case: make test-long"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is marked `long` runs in long runs. Files that need an installation of their own come first, those that need none next, those of
    the common one last: an installation that idles takes from the others. Of each of these the long ones come first."""
    common = {item.path for item in items if "crm" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: (_turn(item, common), _stem(item) not in LONG, FOLDERS.index(item.path.relative_to(ROOT).parts[1])))
    if os.environ.get("CRM_TEST_LONG") == "1":
        return
    left = [item for item in items if item.get_closest_marker("long")]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


def pytest_collectstart() -> None:
    """What is made while tests are looked for is no garbage: looking for some took a seventh of that time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What is there once all tests are known stays until the end: it need not be looked through for garbage again and again."""
    gc.enable()
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def _stem(item: pytest.Item) -> str:
    return item.path.stem.removeprefix("test_")


def _turn(item: pytest.Item, common: set[Path]) -> int:
    return 2 if item.path in common else 1 if item.path.is_relative_to(ROOT / "tests" / "unit") else 0


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The ten files that took longest, in seconds of a worker."""
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.partition("::")[0]] += report.duration
    if len(seconds) > SHOWN:
        terminalreporter.section(f"the {SHOWN} slowest of {len(seconds)} files")
        for name, taken in seconds.most_common(SHOWN):
            terminalreporter.write_line(f"{taken:7.1f} s {name}")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def engines(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engines]:
    """Real mongod and nats-server on free ports."""
    logs.configure("tests", "WARNING")
    found = Engines()
    folder = _in_memory() or tmp_path_factory.mktemp("engines")
    await found.start(folder)
    yield found
    await found.stop()
    shutil.rmtree(folder, ignore_errors=True)


def _in_memory() -> Path | None:
    """A folder in memory, where there is room for it: what these tests prove survives a killed process, for which the kernel keeps what was
    written, on a disk or not. What must survive the machine is tested on disks (deploy, chaos)."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or shutil.disk_usage(memory).free < ROOM:
        return None
    return Path(tempfile.mkdtemp(prefix="crm-tests-", dir=memory))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def crm(engines: Engines) -> AsyncIterator[Installation]:
    """One installation for all tests that leave it running."""
    installation = Installation(engines)
    await installation.start()
    # The deadline of 300 ms is for test_graph_outages to judge, in installations of its own. Here a busy machine must not decide.
    installation.suite["gateway"].clients.read_seconds = 3.0
    yield installation
    await installation.stop()


@contextlib.asynccontextmanager
async def _apart(engines: Engines, folder: Path) -> AsyncIterator[Installation]:
    nats, url = await start_nats(folder / "nats", free_port(), folder / "nats.log")
    installation = Installation(engines, url)
    await installation.start()
    yield installation
    await installation.stop()
    await nats.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def own_crm(engines: Engines, tmp_path: Path) -> AsyncIterator[Installation]:
    """An installation of the test's own, with its own broker: it may stop and break what it likes."""
    async with _apart(engines, tmp_path) as installation:
        yield installation


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def file_crm(engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """One for all tests of a file, with its own broker: what they break they mend."""
    async with _apart(engines, tmp_path_factory.mktemp("file")) as installation:
        yield installation


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def renewed(request: pytest.FixtureRequest) -> None:
    """Nobody's token ends in the middle of a test of the common installation."""
    if "crm" in request.fixturenames:
        await request.getfixturevalue("crm").renew()
