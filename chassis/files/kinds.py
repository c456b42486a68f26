"""What a file is, by its content and never by its name; and which files are not taken, because something in them can run. Pure.

A file is fed in parts of any size and judged at its end; what is kept of it meanwhile is its head, its tail and which marks were met.
"""

from __future__ import annotations

from chassis.files import archives
from chassis.files.pdfs import Pdf
from chassis.files.refusals import refused
from chassis.files.signatures import HEAD, PROGRAM_NAMES, Kind, is_program, kind_of

TAIL = 2 * 1024 * 1024
# Pictures that would keep what they tell of the place where they were taken: nothing opens them here.
_AS_SENT = frozenset(("image/heic", "image/avif", "image/tiff"))
_PDF = b"%PDF-"
PDF_HEAD, SNIFFED = 1024, 4096  # where readers of PDF look for its mark; where browsers look for theirs, and some more
_OVERLAP = 64
_MARKUP = (
    b"<script",
    b"<svg",
    b"<html",
    b"<!doctype html",
    b"<iframe",
    b"<object",
    b"<embed",
    b"<?php",
    b"<%@",
    b"xml-stylesheet",
    b"javascript:",
)
_FRAMES = (*_MARKUP[:5], b"<body", b"<head>")
# What does not stand in 50 MB of a picture by chance, as four letters do in one of ten.
_NO_CHANCE = frozenset((b"<script", b"<!doctype html", b"<iframe", b"javascript:", b"xml-stylesheet"))
_MACROS = ("_vba_project".encode("utf-16-le"), "_vba_project_cur".encode("utf-16-le"))
_INSTALLER = bytes.fromhex("84100c0000000000c000000000000046").lower()  # the class of installers for Windows
_OBJECTS = (b"\\objdata", b"\\objocx")
_WIDE = (b"\xff\xfe", b"\xfe\xff")  # texts in UTF-16 begin so


class Judge:
    """The judge of one file. `feed` all of it, then ask for `verdict`."""

    def __init__(self) -> None:
        self.head, self.tail, self.size, self.met = b"", b"", 0, set[bytes]()
        self._before, self._has_zero = b"", False
        self._pdf = Pdf()

    def feed(self, part: bytes) -> None:
        """The next bytes."""
        self.size += len(part)
        if len(self.head) < HEAD:
            self.head += part[: HEAD - len(self.head)]
        self.tail = part[-TAIL:] if len(part) >= TAIL else (self.tail + part)[-TAIL:]
        self._has_zero = self._has_zero or b"\0" in part
        lower = (part.replace(b"\0", b"") if self.head.startswith(_WIDE) else part).lower()
        looked = self._before + lower
        self.met |= {mark for mark in (*_MARKUP, *_MACROS, *_OBJECTS, _INSTALLER) if mark not in self.met and mark in looked}
        self._before = looked[-_OVERLAP:]
        if self.head.startswith(_PDF[: len(self.head)]):
            self._pdf.feed(part)

    def verdict(self, name: str) -> str:
        """The media type. Raises Invalid FILE_TYPE_REFUSED with what is wrong with it."""
        named(name)
        kind = kind_of(self.head, self.size, text=self._is_text())
        if is_program(self.head) and kind.media != "text/plain":
            raise refused(name, "is a program", "send what it makes")
        self._only_one(name, kind)
        if kind.media in _AS_SENT:
            raise refused(name, "is a picture of a kind that is not encoded anew", "save it as JPEG or PNG", rule="file.picture_kind")
        if kind.group == "zip":
            return archives.judged(name, self.head, self.tail, self.size)
        if kind.group == "gzip" and archives.swells(self.size, int.from_bytes(self.tail[-4:], "little")):
            raise refused(name, "swells to more than is taken when it is unpacked", "send what is in it")
        if kind.group == "ole" and not self.met.isdisjoint((*_MACROS, _INSTALLER)):
            raise refused(name, "has macros or installs a program", "save it without macros")
        if kind.group == "rtf" and not self.met.isdisjoint(_OBJECTS):
            raise refused(name, "has other files embedded", "send PDF")
        if kind.media == "application/pdf":
            return self._portable(name, kind)
        return self._text(name) if kind.group == "text" else kind.media

    def _portable(self, name: str, kind: Kind) -> str:
        """A PDF that runs nothing; one that holds another file, or what nobody can look into, is kept as bytes that no reader opens by itself."""
        if self._pdf.runs:
            raise refused(name, "runs a script or a program when it is opened", "print it to PDF and send that", rule="file.pdf_runs")
        return "application/octet-stream" if self._pdf.closed else kind.media

    def _is_text(self) -> bool:
        if self.head.startswith(_WIDE):
            return True
        return not self._has_zero and all(byte >= 32 or byte in b"\t\n\r\f\x1b" for byte in self.head)

    def _only_one(self, name: str, kind: Kind) -> None:
        """Refuse what is two files at once: each reader would take it for another one."""
        if kind.media != "application/pdf" and _PDF in self.head[:PDF_HEAD]:
            raise refused(name, "is a PDF and something else in one", "send each as a file of its own")
        if kind.group not in ("zip", "text") and archives.ends_as_archive(self.tail):
            raise refused(name, "has an archive at its end", "send each as a file of its own")
        if kind.group == "image" and (self._frames() or not self.met.isdisjoint(_NO_CHANCE)):
            raise refused(name, "has a page or script inside of a picture", "save the picture anew")
        if kind.group == "unknown" and self._frames():
            raise refused(name, "may carry script", "send PNG or PDF")

    def _frames(self) -> bool:
        shown = self.head[:SNIFFED].replace(b"\0", b"").lower()
        return any(mark in shown for mark in _FRAMES)

    def _text(self, name: str) -> str:
        begins = self.head.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n\f")
        markup = begins.startswith(b"<")
        if begins.startswith((b"#!", b"<?php", b"<%")) or self._frames() or (markup and not self.met.isdisjoint(_MARKUP)):
            raise refused(name, "may carry script", "send PNG or PDF")
        return "application/xml" if begins.replace(b"\0", b"").startswith(b"<?xml") else "text/plain"


def named(name: str) -> None:
    """Refuse a name that makes a computer run what is in the file, whatever that is. Raises Invalid FILE_TYPE_REFUSED."""
    if archives.ending(name) in PROGRAM_NAMES:
        raise refused(name, "has the name of something that runs", "send PNG or PDF, or another name where it is none")
