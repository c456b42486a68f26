"""A program of its own, run by chassis/files/pictures.py: it opens a picture that somebody sent, and encodes it anew.

Decoders of pictures are where hostile files break in, so they have a process that knows nothing and may do little: no environment, no files to
write, so much memory and so many seconds. It reads the picture from standard input and writes a line of JSON, then the bytes that it counts:
`{"size": bytes of the picture, "preview": bytes of its preview}`, or `{"refused": "large" or "broken"}`. Imports nothing of the project.
"""

from __future__ import annotations

import io
import json
import resource
import sys
import warnings
from typing import Any

from PIL import ExifTags, Image, ImageOps

PREVIEW = (480, 480)
MOST_SHRUNK = 8  # decoders of JPEG can give 1/2, 1/4 and 1/8 at the cost of what they give
# What of a picture's own words is needed to show it; whatever else it tells is left behind.
_SHOWN = ("icc_profile", "transparency", "background", "duration", "loop")


class TooLarge(Exception):
    """More pixels than are decoded."""


def bounded(megabytes: int, seconds: int) -> None:
    """From here on this process has so much memory and processor time, and writes no file."""
    for what, most in (
        (resource.RLIMIT_AS, megabytes << 20),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def anew(content: bytes, form: str, most: int) -> tuple[bytes, bytes]:
    """A picture without what it told beside itself, and its preview. `most` bounds the pixels of all its frames together."""
    Image.MAX_IMAGE_PIXELS = None  # judged right here
    image: Image.Image = Image.open(io.BytesIO(content), formats=[form])
    frames = int(getattr(image, "n_frames", 1))
    if frames > 1 and _pixels(image) * frames > most:
        raise TooLarge
    _shrink(image, form, most)
    out = io.BytesIO()
    turned = image.getexif().get(ExifTags.Base.Orientation)
    if frames > 1:
        image = _animated(image, frames, form, out)
    else:
        image.load()
        _save(image, form, out, **_turn(turned))
    if turned:
        image.getexif()[ExifTags.Base.Orientation] = turned
    return out.getvalue(), _preview(image)


def _pixels(image: Image.Image) -> int:
    return image.width * image.height


def _shrink(image: Image.Image, form: str, most: int) -> None:
    """Have a JPEG that is too large decoded at a half, a quarter or an eighth. Raises TooLarge where that does not help."""
    by = 2
    while form == "JPEG" and by < MOST_SHRUNK and _pixels(image) > most * by * by:
        by *= 2
    if form == "JPEG" and _pixels(image) > most:
        image.draft(image.mode, (-(-image.width // by), -(-image.height // by)))
    if _pixels(image) > most:
        raise TooLarge


def _turn(turned: int | None) -> dict[str, Any]:
    """The one word of a camera that is needed: which side is up."""
    if not turned:
        return {}
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turned
    return {"exif": exif.tobytes()}


def _bare(image: Image.Image) -> Image.Image:
    image.info = {name: image.info[name] for name in _SHOWN if name in image.info}
    return image


def _save(image: Image.Image, form: str, out: io.BytesIO, **more: Any) -> None:
    _bare(image)
    best: dict[str, dict[str, Any]] = {"JPEG": {"quality": "keep"}, "WEBP": {"quality": 90, "method": 2}, "PNG": {"compress_level": 4}}
    try:
        image.save(out, form, **best.get(form, {}), **more)
    except OSError as error:  # it was opened: what an encoder lacks is memory
        raise TooLarge from error


def _animated(image: Image.Image, frames: int, form: str, out: io.BytesIO) -> Image.Image:
    """Encode all frames; the first of them."""
    copies, times = [], []
    for number in range(frames):
        image.seek(number)
        times.append(image.info.get("duration", 100))
        copies.append(_bare(image.copy()))
    rest = {"save_all": True, "append_images": copies[1:], "duration": times, "loop": image.info.get("loop", 0)}
    _save(copies[0], form, out, **rest)
    return copies[0]


def _preview(image: Image.Image) -> bytes:
    """The picture in small, the right side up."""
    image.thumbnail(PREVIEW)
    small = ImageOps.exif_transpose(image)
    deep = "RGBA" if "A" in small.mode or "transparency" in small.info else "RGB"
    out = io.BytesIO()
    small.convert(deep).save(out, "WEBP", quality=75, method=2)
    return out.getvalue()


def main() -> None:
    """As the arguments say: format, pixels, megabytes, seconds."""
    form, most, megabytes, seconds = sys.argv[1], *map(int, sys.argv[2:])
    content = sys.stdin.buffer.read()
    Image.preinit()
    bounded(megabytes, seconds)
    warnings.simplefilter("ignore")
    answer: dict[str, Any]
    picture = preview = b""
    try:
        picture, preview = anew(content, form, most)
        answer = {"size": len(picture), "preview": len(preview)}
    except (TooLarge, MemoryError):
        answer = {"refused": "large"}
    except Exception:  # a decoder raises anything
        answer = {"refused": "broken"}
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + picture + preview)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
