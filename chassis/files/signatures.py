"""How the kinds of files begin. Pure."""

from __future__ import annotations

from dataclasses import dataclass

HEAD = 8192
OLE = bytes.fromhex("d0cf11e0a1b11ae1")
ZIP = b"PK\x03\x04"
# Endings by which a computer runs a file, or a browser the script in it.
PROGRAM_NAMES = frozenset((
    "exe", "com", "scr", "pif", "dll", "cpl", "sys", "msi", "msp", "bat", "cmd", "ps1", "psm1", "vbs", "vbe", "js", "jse", "mjs", "wsf", "wsh",
    "hta", "lnk", "url", "inf", "reg", "chm", "jar", "class", "apk", "dex", "app", "dmg", "pkg", "command", "sh", "bash", "zsh", "csh", "desktop",
    "html", "htm", "xhtml", "xht", "shtml", "mht", "mhtml", "svg", "svgz", "xsl", "xslt", "swf", "php", "phtml", "jsp", "asp", "aspx", "docm",
    "dotm", "xlsm", "xltm", "xlam", "xll", "pptm", "potm", "ppam", "ppsm", "sldm", "iso", "img", "vhd", "vhdx",
))  # fmt: skip
_PROGRAMS = (
    b"MZ", b"\x7fELF", b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\0asm", b"dex\n",
    b"L\0\0\0\x01\x14\x02\0", b"ITSF", b"FWS", b"CWS", b"ZWS", b"#!",
)  # fmt: skip
_BRANDS = {
    b"heic": "image/heic", b"heix": "image/heic", b"mif1": "image/heic", b"msf1": "image/heic", b"avif": "image/avif", b"avis": "image/avif",
    b"qt  ": "video/quicktime", b"M4A ": "audio/mp4",
}  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A kind of file: its media type, and which rules it is judged by."""

    media: str
    group: str = "other"


_BEGINS: tuple[tuple[bytes, Kind], ...] = (
    (b"%PDF-", Kind("application/pdf")),
    (b"\x89PNG\r\n\x1a\n", Kind("image/png", "image")),
    (b"\xff\xd8\xff", Kind("image/jpeg", "image")),
    (b"GIF87a", Kind("image/gif", "image")), (b"GIF89a", Kind("image/gif", "image")),
    (b"II*\0", Kind("image/tiff", "image")), (b"MM\0*", Kind("image/tiff", "image")),
    (ZIP, Kind("application/zip", "zip")), (b"PK\x05\x06", Kind("application/zip", "zip")),
    (OLE, Kind("application/x-ole-storage", "ole")),
    (b"{\\rtf", Kind("application/rtf", "rtf")),
    (b"\x1f\x8b", Kind("application/gzip", "gzip")),
    (b"7z\xbc\xaf'\x1c", Kind("application/x-7z-compressed")), (b"Rar!\x1a\x07", Kind("application/vnd.rar")),
    (b"ID3", Kind("audio/mpeg")), (b"\xff\xfb", Kind("audio/mpeg")), (b"\xff\xf3", Kind("audio/mpeg")), (b"OggS", Kind("audio/ogg")), (b"fLaC", Kind("audio/flac")),
    (b"\x1aE\xdf\xa3", Kind("video/webm")), (b"#!AMR", Kind("audio/amr")),
)  # fmt: skip


def kind_of(head: bytes, size: int, *, text: bool) -> Kind:
    """What a file is, by how it begins; `text` says that nothing in it is no text."""
    for begin, kind in _BEGINS:
        if head.startswith(begin):
            return kind
    if head[:4] == b"RIFF" and head[8:12] in (b"WEBP", b"WAVE"):
        return Kind("image/webp", "image") if head[8:12] == b"WEBP" else Kind("audio/wav")
    if head[4:8] == b"ftyp":
        media = _BRANDS.get(head[8:12], "video/mp4")
        return Kind(media, "image" if media.startswith("image/") else "other")
    if head[:2] == b"BM" and int.from_bytes(head[2:6], "little") == size:
        return Kind("image/bmp", "image")
    return Kind("text/plain", "text") if text else Kind("application/octet-stream", "unknown")


def is_program(head: bytes) -> bool:
    """Whether a computer would run it."""
    return head.startswith(_PROGRAMS) and not head.startswith(b"#!AMR")
