"""What a file of 50 MB, and a picture of 20, cost: memory of the gateway and of the department that keeps it, and time, on its way in and out.

`PYTHONPATH=.:gen .venv/bin/python -m bench.files [rounds]`; an installation of its own, every service a process.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from bench.suite import Bench
from cli.words import say

SIZE = 50 * 1024 * 1024
SIDE = 2600  # pixels of a picture that cannot be packed: about 20 MB
MOST_MB = 100
_BEGIN = "mutation($i: AttachmentBeginInput!) { attachmentBegin(input: $i) { attachment { id } errors { message } } }"
_COMPLETE = "mutation($i: AttachmentCompleteInput!) { attachmentComplete(input: $i) { attachment { mediaType } errors { message } } }"
_DOWNLOAD = "mutation($i: AttachmentDownloadInput!) { attachmentDownload(input: $i) { address { path } errors { message } } }"
WATCHED = ("gateway", "customer")


class Peak:
    """The most memory that processes of an installation have had since a moment, in MB above what they had then."""

    def __init__(self, bench: Bench) -> None:
        names = {
            pid: found[0] for pid, _, words in bench._ours() if (found := re.findall(r"-m (?:services\.)?(gateway|customer)\b", words))
        }
        self.pids = {name: pid for pid, name in names.items()}
        for pid in self.pids.values():
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        self.before = {name: self._now(pid, "VmRSS") for name, pid in self.pids.items()}

    def _now(self, pid: int, what: str) -> float:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(re.findall(rf"{what}:\s+(\d+) kB", status)[0]) / 1024

    def above(self) -> dict[str, float]:
        """By service."""
        return {name: self._now(pid, "VmHWM") - self.before[name] for name, pid in self.pids.items()}


def pieces(content: bytes) -> Iterator[bytes]:
    """As a client sends it."""
    for start in range(0, len(content), 65_536):
        yield content[start : start + 65_536]


def drawing() -> tuple[str, bytes]:
    """A file of the largest size, kept as it is."""
    return "a.dwg", b"AC1032\0\0" + os.urandom(SIZE - 8)


def picture() -> tuple[str, bytes]:
    """A picture of the largest size, which is encoded anew."""
    out = io.BytesIO()
    Image.frombytes("RGB", (SIDE, SIDE), os.urandom(SIDE * SIDE * 3)).save(out, "PNG")
    return "a.png", out.getvalue()


async def once(
    bench: Bench, http: httpx.AsyncClient, record: str, token: str, name: str, content: bytes
) -> tuple[list[float], list[dict[str, float]]]:
    """Seconds of sending, judging and fetching a file, and the memory above for way in and way out."""
    given = {"recordId": record, "name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    begun: Any = await bench.ask(_BEGIN, token, i=given)
    key, bearer = begun["attachmentBegin"]["attachment"]["id"], {"Authorization": f"Bearer {token}"}
    peak, started = Peak(bench), time.monotonic()

    async def body() -> Any:
        for piece in pieces(content):
            yield piece

    sent = await http.post(f"/files/{key}", content=body(), headers={**bearer, "Content-Length": str(len(content))})
    took = [time.monotonic() - started]
    if sent.status_code != 200:
        raise SystemExit(sent.text)
    started = time.monotonic()
    done: Any = await bench.ask(_COMPLETE, token, i={"attachmentId": key})
    took.append(time.monotonic() - started)
    if done["attachmentComplete"]["errors"]:
        raise SystemExit(str(done))
    memory = [peak.above()]
    address: Any = await bench.ask(_DOWNLOAD, token, i={"attachmentId": key})
    peak, started, size = Peak(bench), time.monotonic(), 0
    async with http.stream("GET", address["attachmentDownload"]["address"]["path"]) as answer:
        async for piece in answer.aiter_bytes():
            size += len(piece)
    took.append(time.monotonic() - started)
    if size != len(content) and name != "a.png":
        raise SystemExit(f"{size} of {len(content)} bytes came back")
    return took, [*memory, peak.above()]


async def main(rounds: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder) / "data")
        await bench.start()
        try:
            token = await bench.sign_in()
            found: Any = await bench.ask("{ customers(first: 1) { nodes { id } } }", token)
            record = found["customers"]["nodes"][0]["id"]
            async with httpx.AsyncClient(base_url=bench.url.removesuffix("/graphql"), timeout=120) as http:
                for name, content in [kind() for kind in (drawing, picture) for _ in range(rounds)]:
                    took, memory = await once(bench, http, record, token, name, content)
                    rates = f"sent in {took[0]:.1f} s, judged in {took[1]:.1f} s, fetched in {took[2]:.1f} s"
                    shown = "; ".join(
                        f"{way}: " + ", ".join(f"{name} {above[name]:.0f} MB" for name in WATCHED)
                        for way, above in zip(("in", "out"), memory, strict=True)
                    )
                    say(f"  {name}, {len(content) >> 20} MB, {rates}; memory above rest, most: {shown} (goal ≤ {MOST_MB} MB)")
        finally:
            await bench.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
