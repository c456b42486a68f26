"""A small TCP proxy: one link for each pair of processes, which can be cut, held in one direction, made slow or lossy."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field

from cli.engines import free_port

HOST = "127.0.0.1"
CHUNK = 1 << 16
LOST = 0.03  # of the chunks of a lossy link: each ends its connection, as a lost packet does that is never acknowledged


@dataclass
class Link:
    """From one process to another. `there` and `back` say what the direction does with bytes: "open", "hold" or "slow"."""

    source: str
    target: str
    target_port: int
    dice: random.Random
    port: int = 0
    cut: bool = False
    lossy: bool = False
    there: str = "open"
    back: str = "open"
    delay: float = 0.0
    _server: asyncio.Server | None = None
    _moved: asyncio.Event = field(default_factory=asyncio.Event)
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def name(self) -> str:
        """Who to whom."""
        return f"{self.source}→{self.target}"

    async def start(self) -> None:
        """Listen on a port of its own."""
        self.port = free_port()
        self._server = await asyncio.start_server(self._serve, HOST, self.port)

    async def stop(self) -> None:
        """No new connections, none of the old."""
        if self._server:
            self._server.close()
        self.reset()

    def reset(self) -> None:
        """End every connection, as a cable does that is pulled."""
        for writer in list(self._open):
            writer.transport.abort()

    def set(self, *, cut: bool = False, lossy: bool = False, there: str = "open", back: str = "open", delay: float = 0.0) -> None:
        """How the link is from now on."""
        self.cut, self.lossy, self.there, self.back, self.delay = cut, lossy, there, back, delay
        if cut:
            self.reset()
        self._moved.set()
        self._moved = asyncio.Event()

    def heal(self) -> None:
        """As it should be."""
        self.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        ends = [writer]
        try:
            if self.cut:
                return
            upstream, away = await asyncio.open_connection(HOST, self.target_port)
            self._open.add(away)
            ends.append(away)
            await asyncio.wait(
                [asyncio.ensure_future(self._pump(reader, away, "there")), asyncio.ensure_future(self._pump(upstream, writer, "back"))],
                return_when=asyncio.FIRST_COMPLETED,
            )
        except OSError:
            return
        finally:
            for end in ends:
                self._open.discard(end)
                end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                while getattr(self, direction) == "hold":
                    await self._moved.wait()
                if self.delay:
                    await asyncio.sleep(self.delay * self.dice.uniform(0.5, 1.5))
                if self.lossy and self.dice.random() < LOST:
                    return
                writer.write(data)
                await writer.drain()
