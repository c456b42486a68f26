"""Archives: what is in a ZIP by its directory, without unpacking anything. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from chassis.files.refusals import refused
from chassis.files.signatures import PROGRAM_NAMES

_END, _ENTRY = b"PK\x05\x06", b"PK\x01\x02"
_END_BYTES, _ENTRY_BYTES = 22, 46
_LONGEST_COMMENT = 65_535
# What a bomb is: so much, and so many times what is sent.
SWOLLEN_BYTES, SWOLLEN_TIMES = 100 * 1024 * 1024, 200
# Pages and texts of programs lie in archives for good reasons; programs do not.
_RUNS = PROGRAM_NAMES - {
    "html", "htm", "xhtml", "svg", "xsl", "xslt", "js", "mjs", "sh", "url", "php", "jsp", "asp", "aspx", "sys", "inf", "app", "command", "pkg",
}  # fmt: skip
_OFFICE = {
    "word/document.xml": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xl/workbook.xml": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "ppt/presentation.xml": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}  # fmt: skip
_MACROS = ("vbaproject.bin", "xl/macrosheets/", "basic/script-lc.xml", "scripts/")
_DOCUMENT = b"application/vnd.oasis.opendocument."


def ending(name: str) -> str:
    """The ending of a file's name, small, without what Windows passes over."""
    return name.rstrip(". ").rpartition(".")[2].casefold() if "." in name.rstrip(". ") else ""


def swells(size: int, unpacked: int) -> bool:
    """Whether so much would come out of so little that it is a bomb."""
    return unpacked > SWOLLEN_BYTES and unpacked > size * SWOLLEN_TIMES


def ends_as_archive(tail: bytes) -> bool:
    """Whether a file ends as a ZIP does, whatever it begins as."""
    return _end_of(tail) >= 0


def judged(name: str, head: bytes, tail: bytes, size: int) -> str:
    """The media type of a ZIP. Raises Invalid FILE_TYPE_REFUSED for macros, programs, bombs, and what cannot be looked through."""
    entries = list(_entries(name, tail, size))
    names = [each.casefold() for each, _ in entries]
    if any(mark in each for each in names for mark in _MACROS if mark != "scripts/" or _document(head)):
        raise refused(name, "has macros", "save it without macros")
    if found := next((each for each in names if ending(each) in _RUNS), ""):
        raise refused(name, f"holds a program («{found[:60]}»)", "leave it out")
    if swells(size, sum(unpacked for _, unpacked in entries)):
        raise refused(name, "swells to more than is taken when it is unpacked", "send what is in it")
    return next((media for inside, media in _OFFICE.items() if inside in names), _document(head) or "application/zip")


def _document(head: bytes) -> str:
    """The media type that an OpenDocument file begins with; "" for none."""
    if head[30:38] != b"mimetype" or not head[38:].startswith(_DOCUMENT):
        return ""
    length = int.from_bytes(head[18:22], "little")
    return head[38 : 38 + length].decode("ascii", "replace") if length < 100 else ""


def _end_of(tail: bytes) -> int:
    """Where in the tail the end of a directory stands; -1 for nowhere."""
    place = len(tail)
    while (place := tail.rfind(_END, max(0, len(tail) - _END_BYTES - _LONGEST_COMMENT), place)) >= 0:
        if len(tail) >= place + _END_BYTES and place + _END_BYTES + int.from_bytes(tail[place + 20 : place + 22], "little") == len(tail):
            return place
    return -1


def _entries(name: str, tail: bytes, size: int) -> Iterator[tuple[str, int]]:
    """(name, bytes when unpacked) of everything in a ZIP."""
    end = _end_of(tail)
    if end < 0:
        raise refused(name, "is an archive that cannot be looked through", "pack it anew")
    count, length, offset = struct.unpack("<HII", tail[end + 10 : end + 20])
    begin = end - length
    if begin < 0 or size - len(tail) + begin != offset:  # larger than is looked through, in the form for large ones, or something before it
        raise refused(name, "is an archive that cannot be looked through", "pack it anew, with fewer files")
    place = begin
    for _ in range(count):
        if tail[place : place + 4] != _ENTRY or place + _ENTRY_BYTES > end:
            raise refused(name, "is an archive that cannot be looked through", "pack it anew")
        unpacked, named, extra, comment = struct.unpack("<IHHH", tail[place + 24 : place + 34])
        yield tail[place + _ENTRY_BYTES : place + _ENTRY_BYTES + named].decode("utf-8", "replace"), unpacked
        place += _ENTRY_BYTES + named + extra + comment
    if place != end:
        raise refused(name, "is an archive that cannot be looked through", "pack it anew")
