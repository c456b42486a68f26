"""An installation for measuring: `xietong up` as its users start it, on ports and in a folder of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import httpx

from bench.load import CONNECTIONS
from cli.engines import is_free
from cli.installation import Installation
from cli.plan import DEPARTMENTS, Plan
from cli.words import say

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
_MAVEN = [f"maven-crm-opportunities/{name}.csv" for name in ("accounts", "products", "sales_teams", "sales_pipeline")]
_SETS = {
    "maven-crm-opportunities": _MAVEN,
    "cfpb-complaints": ["cfpb-complaints/consumer_complaints.csv"],
    "uci-online-retail": ["uci-online-retail/online_retail.csv.gz"],
}


class Bench:
    """One running installation."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.command = [str(ROOT / "xietong")]
        self.base = next(base for base in range(30000, 39000, 60) if all(is_free(base + offset) for offset in range(50)))
        self.url = f"http://127.0.0.1:{self.base}/graphql"
        self._callers: list[str] = []
        self._callers_until = 0.0
        self.environment = {
            **os.environ,
            "CRM_DATA_DIR": str(folder),
            "CRM_PORT_BASE": str(self.base),
            "CRM_LOG_LEVEL": "WARNING",
            "CRM_MOST_COST_PER_MINUTE": "0",
        }

    async def start(self, *options: str) -> None:
        """Start and wait for the block."""
        log = self.folder.with_suffix(".log")
        with log.open("wb") as sink:
            self.process = subprocess.Popen([*self.command, "up", *options], env=self.environment, stdout=sink, stderr=sink)
        while "Ctrl-C stops everything" not in log.read_text():
            if self.process.poll() is not None:
                raise SystemExit(log.read_text())
            await asyncio.sleep(0.05)
        self.said = log.read_text()

    async def stop(self) -> None:
        """Stop in order."""
        self.process.terminate()
        await asyncio.to_thread(self.process.wait, 60)

    async def ask(self, query: str, token: str = "", **variables: object) -> dict[str, object]:
        """One question."""
        async with httpx.AsyncClient(timeout=30) as http:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            answer = (await http.post(self.url, json={"query": query, "variables": variables}, headers=headers)).json()
        if "errors" in answer:
            raise SystemExit(f"bench: {answer['errors']}")
        found: dict[str, object] = answer["data"]
        return found

    def departments(self) -> dict[str, str]:
        """host:port of each department."""
        return {name: self._plan().address(name) for name in DEPARTMENTS}

    def nats_url(self) -> str:
        """Where its broker is."""
        return self._plan().nats_url

    def _plan(self) -> Plan:
        return replace(Installation.open(self.folder), base=self.base).plan()

    def processes(self) -> dict[str, list[int]]:
        """Process ids of the departments and of mongod."""
        found: dict[str, list[int]] = {"departments": [], "mongod": []}
        for pid, _, words in self._ours():
            if "-m services." in words:
                found["departments"].append(pid)
            elif "mongod " in words:
                found["mongod"].append(pid)
        return found

    async def sign_in(self) -> str:
        """A fresh access token; it lives five minutes."""
        email, password = re.findall(r"demo login +(\S+) +(\S+)", self.said)[0]
        query = "mutation($i: SessionCreateInput!) { sessionCreate(input: $i) { tokens { accessToken } } }"
        found = await self.ask(query, i={"email": email, "password": password})
        return str(found["sessionCreate"]["tokens"]["accessToken"])  # type: ignore[index]

    async def callers(self) -> list[str]:
        """A token for each connection of the load, from sessions of their own; made anew before they end."""
        if time.monotonic() > self._callers_until:
            self._callers = [await self.sign_in() for _ in range(CONNECTIONS)]
            self._callers_until = time.monotonic() + 180
        return self._callers

    async def busiest_customer(self, token: str) -> str:
        """A customer with opportunities, tickets and messages."""
        query = """{ customers(first: 100) { nodes { id opportunities(first: 5) { nodes { id } } tickets(first: 3) { nodes { id } }
                     messages(first: 4) { nodes { id } } } } }"""
        found = await self.ask(query, token)
        rows = found["customers"]["nodes"]  # type: ignore[index]
        return str(max(rows, key=lambda row: sum(len(row[edge]["nodes"]) for edge in ("opportunities", "tickets", "messages")))["id"])

    def memory(self) -> str:
        """Resident memory of every process of the installation."""
        found = []
        for _, size, words in self._ours():
            name = re.findall(r"services\.(\w+)|-m (gateway)|(mongod) |(nats-server)|-m (cli)", words)
            label = next((part for match in name for part in match if part), "")
            if label:
                found.append(f"{'xietong' if label == 'cli' else label} {size / 1024:.0f}")
        return ", ".join(found)

    def _ours(self) -> list[tuple[int, int, str]]:
        """(pid, resident kB, command line) of every process of the installation."""
        listing = subprocess.run(["ps", "-eo", "pid,ppid,rss,args"], capture_output=True, text=True, check=True).stdout.splitlines()[1:]
        rows = [(int(row.split()[0]), int(row.split()[1]), int(row.split()[2]), row.split(None, 3)[3]) for row in listing]
        ours = {self.process.pid}
        for _ in range(3):
            ours |= {pid for pid, parent, _, _ in rows if parent in ours}
        return [(pid, size, words) for pid, _, size, words in rows if pid in ours]

    async def imports(self) -> None:
        """The three public data sets, whole."""
        for recipe, files in _SETS.items():
            report = self.folder / "report.json"
            command = ["/usr/bin/env", "time", "-f", "%e %M"] if Path("/usr/bin/time").exists() else []
            command += [str(ROOT / "xietong"), "import", recipe, *(str(DATA / name) for name in files), "--report", str(report)]
            command += ["--errors", str(self.folder / "errors.csv")]
            result = await asyncio.to_thread(subprocess.run, command, env=self.environment, capture_output=True, text=True)
            say(f"\nimport {recipe} (exit {result.returncode}):")
            lines = [
                line for line in result.stdout.splitlines() if "read" in line or "created" in line or "source" in line or " in " in line
            ]
            say("\n".join(f"  {line.strip()}" for line in lines))
            rows = sum(sheet["rows"] for sheet in json.loads(report.read_text()))
            if command[0] == "/usr/bin/env":
                seconds, kilobytes = result.stderr.strip().splitlines()[-1].split()
                say(
                    f"  {rows:,} rows in {float(seconds):.1f} s ({rows / float(seconds):,.0f}/s), importer's memory {int(kilobytes) / 1024:.0f} MB"
                )
