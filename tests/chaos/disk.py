"""A disk of the run's own: an image that can be filled, and whose power can be cut. Only where the machine lets us mount one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from pathlib import Path

SIZE = 3 << 30  # sparse
LEFT = 64 << 10


class Disk:
    """An ext4 image mounted at `folder`. Only what was synced is in the image: nothing is written back by itself for five minutes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.image = folder, folder.with_suffix(".img")
        self.mounted = False

    async def mount(self) -> bool:
        """Make the image and mount it; whether the machine allowed it. A plain folder otherwise."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
            return False
        with self.image.open("wb") as sink:
            sink.truncate(SIZE)
        self.mounted = await self._run("mkfs.ext4", "-q", "-F", str(self.image)) and await self._mount()
        return self.mounted

    async def cut_power(self) -> None:
        """What was synced by now is what is left; nobody may have a file open."""
        await self._run("umount", str(self.folder))
        self.image.with_suffix(".cut").replace(self.image)
        if not await self._mount():
            raise RuntimeError("the image of the cut disk cannot be mounted")

    async def copy(self) -> None:
        """Keep what is synced at this moment; those who write must stand still."""
        if not await self._run("cp", "--sparse=always", str(self.image), str(self.image.with_suffix(".cut"))):
            raise RuntimeError("the image could not be copied; is this machine's own disk full?")

    def fill(self) -> None:
        """Leave nothing."""
        free = shutil.disk_usage(self.folder).free
        with contextlib.suppress(OSError), (self.folder / "filler").open("wb") as sink:
            os.posix_fallocate(sink.fileno(), 0, max(free - LEFT, 1))

    def free(self) -> None:
        """Room again."""
        (self.folder / "filler").unlink(missing_ok=True)

    async def unmount(self) -> None:
        """Leave nothing behind."""
        if self.mounted:
            await self._run("umount", str(self.folder))
            self.image.unlink(missing_ok=True)

    async def _mount(self) -> bool:
        return await self._run("mount", "-o", "loop,commit=300", str(self.image), str(self.folder))

    @staticmethod
    async def _run(*command: str) -> bool:
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL)
        return await process.wait() == 0
