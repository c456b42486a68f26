"""Pictures as cameras and screens make them, made in the test."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

from PIL import ExifTags, Image, PngImagePlugin

CAMERA = "KAMERA-7421"


def drawn(width: int, height: int, shade: int = 0) -> Image.Image:
    """A picture with something in it: red above, green below, of another shade each time."""
    image = Image.new("RGB", (width, height), (200, shade, 10))
    image.paste((10, 180, shade), (0, height // 2, width, height))
    return image


def saved(image: Image.Image, form: str, **more: Any) -> bytes:
    """As a file."""
    out = io.BytesIO()
    image.save(out, form, **more)
    return out.getvalue()


def photo(width: int = 800, height: int = 600, *, turned: int = 6, shade: int = 0) -> bytes:
    """A JPEG of a telephone: it tells where, when and with what it was taken, and which side is up."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Model] = turned, CAMERA
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (30.0, 16.0, 24.0), 3: "E", 4: (120.0, 9.0, 0.0)})
    return saved(drawn(width, height, shade), "JPEG", exif=exif, comment=CAMERA, xmp=f"<x:xmpmeta>{CAMERA}</x:xmpmeta>".encode())


def screenshot() -> bytes:
    """A PNG that tells more than it shows."""
    told = PngImagePlugin.PngInfo()
    told.add_text("Author", CAMERA)
    told.add_itxt("XML:com.adobe.xmp", CAMERA)
    return saved(drawn(700, 300).convert("RGBA"), "PNG", pnginfo=told)


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A PNG of some hundred bytes that says it has billions of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b"")
