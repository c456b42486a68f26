"""Pictures are encoded anew before anybody reads them: what they told of place, time and camera is gone, and so is whatever hid in them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from chassis.files.refusals import refused
from chassis.kernel.errors import Invalid
from chassis.storage.files import MOST_BYTES, PART_BYTES

# What is encoded anew, as the library calls it; pictures of other kinds are refused (chassis/files/kinds.py).
FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/gif": "GIF", "image/webp": "WEBP", "image/bmp": "BMP"}
PREVIEW_MEDIA, PREVIEW_ENDING = "image/webp", ".webp"
MOST_PICTURE = 20 * PART_BYTES  # one is held whole while it is encoded
MOST_PIXELS = 25_000_000  # of all frames together; a larger JPEG is kept at a half, a quarter or an eighth
MEGABYTES, SECONDS = 320, 20
_CODEC = Path(__file__).with_name("codec.py")


@dataclass(frozen=True)
class Picture:
    """A picture as it is kept, and in small."""

    content: bytes
    preview: bytes


def must_fit(name: str, size: int) -> None:
    """Refuse a picture that is too large to be encoded anew."""
    if size > MOST_PICTURE:
        words = f"«{name[:100]}» is a picture of {size:,} bytes, at most {MOST_PICTURE:,}; save it smaller, or send it in a PDF or ZIP"
        raise Invalid(words, code="FILE_TOO_LARGE", field="size", params={"rule": "file.picture_bytes", "name": name[:100]})


class Pictures:
    """Encodes them one after another, each in a process of its own that ends with it."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(1)

    async def anew(self, name: str, media_type: str, content: bytes | bytearray) -> Picture:
        """The picture as it may be kept. Raises Invalid FILE_TYPE_REFUSED, FILE_TOO_LARGE."""
        async with self._turn:
            found = await asyncio.to_thread(encoded, content, FORMATS[media_type])
        if isinstance(found, str) or len(found.preview) > PART_BYTES:
            raise _refused(name, "broken" if found == "broken" else "large")
        if len(found.content) > MOST_BYTES:
            raise _refused(name, "large")
        return found


def encoded(
    content: bytes | bytearray, form: str, *, pixels: int = MOST_PIXELS, megabytes: int = MEGABYTES, seconds: int = SECONDS
) -> Picture | str:
    """A picture encoded anew; "large" or "broken" for what is not. Waits for the process, for so many seconds."""
    words = [sys.executable, "-I", str(_CODEC), form, str(pixels), str(megabytes), str(seconds)]
    try:
        done = subprocess.run(words, input=content, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={}, timeout=seconds, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return "large"
    begins = done.stdout.find(b"\n") + 1
    if done.returncode or not begins:
        return "broken"
    told = json.loads(done.stdout[:begins])
    if "refused" in told:
        return str(told["refused"])
    ends = begins + told["size"]
    return Picture(done.stdout[begins:ends], done.stdout[ends:])


def _refused(name: str, why: str) -> Invalid:
    if why == "broken":
        return refused(
            name, "cannot be opened as the picture that it says it is", "save it anew as JPEG or PNG", rule="file.picture_broken"
        )
    words = f"takes more to open than is given: its frames have at most {MOST_PIXELS:,} pixels together, of some kinds fewer"
    return refused(name, words, "save it smaller", rule="file.picture_large")
