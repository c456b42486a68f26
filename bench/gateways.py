"""Our gateway and its peers, each a process of its own before the same departments."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cli.engines import free_port
from cli.words import say
from gateway.departments.clients import DEPARTMENTS

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / "peers"
OURS, PLAIN, CACHED, YOGA, APOLLO, HIVE = "ours", "Strawberry", "Strawberry + caches", "Yoga + JIT", "Apollo Server", "Hive Gateway"
TICKS = os.sysconf("SC_CLK_TCK")


def addresses(of: Mapping[str, str]) -> dict[str, str]:
    """Where the departments answer, as every gateway here reads it."""
    return {f"CRM_{name.upper()}_ADDRESS": of[name] for name in DEPARTMENTS}


def install_peers() -> bool:
    """The Node peers from their lock file; false, with a word, where there is no Node."""
    if not shutil.which("node") or not shutil.which("npm"):
        say("the Node peers are skipped: there is no node on this machine")
        return False
    if not (PEERS / "node_modules").exists():
        say("installing the Node peers (npm ci) …")
        done = subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=PEERS, capture_output=True, text=True, check=False
        )
        if done.returncode:
            say("the Node peers are skipped: npm ci failed: " + done.stderr.strip()[-300:])
            return False
    return True


@dataclass
class Gateway:
    """One gateway process."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    url: str = field(init=False)

    def __post_init__(self) -> None:
        self.url = f"http://127.0.0.1:{self.port}/graphql"

    @classmethod
    async def start(cls, name: str, environment: Mapping[str, str], log: Path) -> Gateway:
        """Started and listening. Raises SystemExit with what it said when it does not come up."""
        port = free_port()
        command, folder, more = _command(name, port)
        with log.open("wb") as sink:
            process = subprocess.Popen(command, cwd=folder, env={**os.environ, **environment, **more}, stdout=sink, stderr=sink)
        for _ in range(600):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return cls(name, port, process)
            except OSError:
                if process.poll() is not None:
                    break
                await asyncio.sleep(0.05)
        process.kill()
        raise SystemExit(f"bench: {name} did not start: {log.read_text()[-1500:]}")

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def cpu(self) -> float:
        """Seconds of processor time that it has used."""
        return processor_seconds(self.process.pid)

    def memory(self) -> float:
        """Resident memory in MB."""
        return resident(self.process.pid)


def processor_seconds(pid: int) -> float:
    """Processor time of a process and of its children that run."""
    own = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(own[11]) + int(own[12])) / TICKS + sum(map(processor_seconds, _children(pid)))


def resident(pid: int) -> float:
    """Resident memory of a process and of its children, MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6 + sum(map(resident, _children(pid)))


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _command(name: str, port: int) -> tuple[list[str], Path, dict[str, str]]:
    node, listen = {"NODE_ENV": "production", "PORT": str(port), "PROTOS": str(ROOT / "protos")}, ["--host", "127.0.0.1", "-p", str(port)]
    hive = str(PEERS / "node_modules" / ".bin" / "hive-gateway")
    return {
        OURS: ([sys.executable, "-m", "gateway"], ROOT, {"CRM_HTTP_ADDRESS": f"127.0.0.1:{port}", "CRM_OPS_ADDRESS": f"127.0.0.1:{free_port()}"}),
        PLAIN: ([sys.executable, "-m", "bench.peers.strawberry_server", str(port)], ROOT, {}),
        CACHED: ([sys.executable, "-m", "bench.peers.strawberry_server", str(port), "--caches"], ROOT, {}),
        YOGA: (["node", "yoga/server.mjs"], PEERS, node),
        APOLLO: (["node", "apollo/server.mjs"], PEERS, node),
        HIVE: (["node", hive, "supergraph", "--jit", *listen], PEERS / "hive", node),
    }[name]  # fmt: skip


def compose_hive(environment: Mapping[str, str]) -> None:
    """Hive's supergraph from the contracts."""
    command = [str(PEERS / "node_modules" / ".bin" / "mesh-compose"), "-c", "mesh.config.mjs", "-o", "supergraph.graphql"]
    environ = {**os.environ, **environment, "PROTOS": str(ROOT / "protos")}
    done = subprocess.run(command, cwd=PEERS / "hive", env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench: Hive's supergraph was not composed: {(done.stderr or done.stdout)[-1500:]}")
