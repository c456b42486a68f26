"""Which files are taken, and as what: by their content alone; and the rules of attachments."""

from __future__ import annotations

import struct
import zlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.files import addresses, model
from chassis.files.addresses import Address
from chassis.files.kinds import Judge
from chassis.kernel.errors import CrmError
from chassis.storage.files import MOST_BYTES, PART_BYTES, count_of, length_of
from tests.support.files import PDF, PNG, zipped

OLE = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(2000)
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(range(256)) * 4 + b"\xff\xd9"
WORD = {"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<w/>"}


def pdf(*objects: bytes) -> bytes:
    return (
        b"%PDF-1.7\n" + b"".join(b"%d 0 obj\n%s\nendobj\n" % (number, one) for number, one in enumerate(objects, 1)) + b"trailer\n%%EOF\n"
    )


def packed(inner: bytes, dictionary: bytes = b"/Type /ObjStm /Filter /FlateDecode", eol: bytes = b"\r\n") -> bytes:
    stream = zlib.compress(inner)
    return b"<< %s /Length %d >> stream%s%s\nendstream" % (dictionary, len(stream), eol, stream)


SCRIPT = b"<< /S /JavaScript /JS (app.alert(1)) >>"
TAKEN = [
    ("a.pdf", PDF, "application/pdf"),
    ("a.pdf", pdf(packed(b"<< /Type /Page >>" * 900, eol=b"\n"), packed(b"/JavaScript", b"/Type /XObject")), "application/pdf"),
    ("a.pdf", pdf(b"<< /Type /EmbeddedFile >>"), "application/octet-stream"),  # kept, and opened by nothing
    ("a.pdf", pdf(packed(b"<< /EF << /F 5 0 R >> >> << /Type /Embedded#46ile >>")), "application/octet-stream"),
    ("a.pdf", pdf(b"<< /Type /ObjStm >> stream\n" + bytes(range(256)) + b"\nendstream"), "application/octet-stream"),  # encrypted
    ("a.pdf", PNG, "image/png"),  # whatever it is called
    ("a.jpg", JPEG, "image/jpeg"),
    ("a.jpg", JPEG[:-2] * 5 + b"<sVg <%@ <html" + JPEG[-2:], "image/jpeg"),  # letters that stand there by chance
    ("a.gif", b"GIF89a" + bytes(50), "image/gif"),
    ("a.webp", b"RIFF\x10\0\0\0WEBPVP8 " + bytes(50), "image/webp"),
    ("a.mp4", b"\0\0\0\x18ftypisom" + bytes(50), "video/mp4"),
    ("a.docx", zipped(WORD), "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("a.xlsx", zipped({"xl/workbook.xml": b"<x/>"}), "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("a.zip", zipped({"日志/a.log": b"x" * 900, "b.html": b"<html>"}), "application/zip"),
    ("a.doc", OLE, "application/x-ole-storage"),
    ("a.csv", "客户,金额\n云栖,12.50\n".encode(), "text/plain"),
    ("a.txt", "客户".encode("gb18030"), "text/plain"),
    ("a.txt", "\ufeff客户".encode("utf-16-le"), "text/plain"),
    ("a.xml", b'<?xml version="1.0"?><invoice><total>5</total></invoice>', "application/xml"),
    ("a.dwg", b"AC1032\0\0\0" + bytes(50), "application/octet-stream"),
]
REFUSED = [
    ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    ("a.png", b"<svg xmlns='http://www.w3.org/2000/svg' onload='x()'/>"),
    ("a.xml", b'<?xml version="1.0"?><!-- ' + b"x" * 9000 + b" --><svg:svg/><script>x()</script>"),
    ("a.xml", b'<?xml version="1.0"?><?xml-stylesheet href="x.xsl"?><a/>'),
    ("a.txt", b"\xef\xbb\xbf \n<!DOCTYPE HTML><p>"),
    ("a.txt", "\ufeff<html><script>".encode("utf-16-le")),
    ("a.txt", b"hello <ScRiPt>alert(1)</ScRiPt>"),
    ("a.txt", b"#!/bin/sh\nrm -rf /\n"),
    ("a.txt", b"<?php system('x');"),
    ("a.pdf", b"MZ\x90\0" + bytes(300)),
    ("a", b"\x7fELF" + bytes(300)),
    ("a.bin", b"\xcf\xfa\xed\xfe" + bytes(300)),
    ("a.lnk.pdf", b"L\0\0\0\x01\x14\x02\0" + bytes(300)),
    ("a.pdf", pdf(SCRIPT)),
    ("a.pdf", pdf(b"<< /S /J#61vaScr#69pt >>")),
    ("a.pdf", pdf(b"<< /S /Launch /F (cmd.exe) >>")),
    ("a.pdf", pdf(packed(b"x" * 3000 + SCRIPT))),
    ("a.pdf", pdf(packed(b"<< >>"), packed(b"<< /S /#4caunch >>", b"/Type /Obj#53tm"))),
    ("IMG_1.HEIC", b"\0\0\0\x18ftypheic" + bytes(50)),  # pictures that would keep where they were taken
    ("a.avif", b"\0\0\0\x18ftypavif" + bytes(50)),
    ("a.tif", b"II*\0" + bytes(50)),
    ("a.exe", PDF),
    ("报价.pdf.exe. ", PDF),
    ("a.docx", zipped({**WORD, "word/vbaProject.bin": b"x"})),
    ("a.xlsx", zipped({"xl/workbook.xml": b"<x/>", "xl/macrosheets/sheet1.xml": b"x"})),
    ("a.doc", OLE + "_VBA_PROJECT".encode("utf-16-le") + bytes(100)),
    ("a.bin", OLE + bytes.fromhex("84100c0000000000c000000000000046") + bytes(100)),
    ("a.rtf", b"{\\rtf1 {\\object{\\*\\objdata 0105}}}"),
    ("a.zip", zipped({"setup/Setup.EXE": b"MZ"})),
    ("a.zip", zipped({"a": bytes(120 * 1024 * 1024)})),  # a bomb
    ("a.zip", zipped({"a": b"x"})[:-30]),  # without an end
    ("a.zip", b"PK\x03\x04" + bytes(400)),
    ("a.jpg", JPEG + zipped({"a.class": b"x"})),  # a picture and an archive
    ("a.gif", b"GIF89a" + bytes(100) + b"<script>x()</script>"),
    ("a.png", PNG[:40] + b"%PDF-1.7" + bytes(100)),
    ("a.pdf", PDF + zipped({"a": b"x"})),
    ("a.gz", b"\x1f\x8b\x08" + bytes(97) + struct.pack("<I", 3_000_000_000)),
    ("a.bin", b"\0\x01<html><body>" + bytes(300)),
]


def judged(name: str, content: bytes, step: int = PART_BYTES) -> str:
    judge = Judge()
    for start in range(0, len(content), step):
        judge.feed(content[start : start + step])
    return judge.verdict(name)


@pytest.mark.parametrize(("name", "content", "media"), TAKEN)
def test_a_file_is_what_its_content_says(name: str, content: bytes, media: str) -> None:
    assert judged(name, content) == media
    assert judged(name, content, 7) == media


@pytest.mark.parametrize(("name", "content"), REFUSED)
def test_what_can_run_is_refused_whatever_it_is_called(name: str, content: bytes) -> None:
    for step in (PART_BYTES, 13) if len(content) < 20_000 else (PART_BYTES,):
        with pytest.raises(CrmError) as refusal:
            judged(name, content, step)
        assert (refusal.value.code, refusal.value.field) == ("FILE_TYPE_REFUSED", "name")


def test_packed_objects_are_unpacked_as_far_as_is_bounded() -> None:
    bomb = pdf(*[packed(bytes(60 * 1024 * 1024)) for _ in range(3)])
    assert judged("a.pdf", bomb) == "application/octet-stream"
    assert judged("a.pdf", pdf(b"<< /ObjStm >> stream " * 50_000)) == "application/octet-stream"


@given(st.binary(max_size=3000), st.integers(1, 700))
def test_parts_of_any_size_are_judged_alike(content: bytes, step: int) -> None:
    def told(size: int) -> str:
        try:
            return judged("a", content, size)
        except CrmError as refusal:
            return refusal.code

    assert told(step) == told(PART_BYTES)


# ---- rules


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [("报价.pdf", "报价.pdf"), ("../../etc/passwd", "passwd"), ("C:\\dir\\a.pdf", "a.pdf"), ("a<b>:c.pdf", "a_b__c.pdf"), (".hidden.txt.", "hidden.txt")],
)  # fmt: skip
def test_a_name_has_no_folders(given_name: str, kept: str) -> None:
    assert model.cleaned(given_name) == kept


@pytest.mark.parametrize("name", ["/", "...", "a/", "\\"])
def test_a_name_must_be_one(name: str) -> None:
    with pytest.raises(CrmError):
        model.cleaned(name)


def test_parts_are_counted_and_come_one_after_another() -> None:
    assert [count_of(size) for size in (1, PART_BYTES, PART_BYTES + 1, MOST_BYTES)] == [1, 1, 2, 50]
    assert [length_of(PART_BYTES + 5, number) for number in (0, 1, 2)] == [PART_BYTES, 5, 5 - PART_BYTES]
    file = {"size": PART_BYTES + 5, "received": PART_BYTES}
    assert model.must_be_next(file, 1, 5) == PART_BYTES + 5
    assert model.must_be_next(file, 0, PART_BYTES) == PART_BYTES  # again
    for number, length, code in ((0, 7, "UPLOAD_BROKEN"), (1, 6, "FILE_TOO_LARGE"), (2, 1, "FILE_TOO_LARGE"), (1, 4, "UPLOAD_BROKEN")):
        with pytest.raises(CrmError) as refusal:
            model.must_be_next(file, number, length)
        assert refusal.value.code == code
    with pytest.raises(CrmError) as refusal:
        model.must_be_next({"size": 3 * PART_BYTES, "received": PART_BYTES}, 2, PART_BYTES)
    assert refusal.value.code == "UPLOAD_BROKEN"
    with pytest.raises(CrmError):
        model.must_fit(MOST_BYTES + 1)


def test_a_record_has_a_hundred_files_and_a_person_fifty_uploads() -> None:
    model.has_room(99, 49)
    for numbers in ((100, 0), (0, 50)):
        with pytest.raises(CrmError) as refusal:
            model.has_room(*numbers)
        assert refusal.value.code == "ATTACHMENTS_FULL"


# ---- addresses


def test_an_address_is_good_for_its_time_its_file_and_its_person() -> None:
    now = datetime(2026, 11, 30, 8, tzinfo=UTC)
    address = Address("sales-1", "p1", now + model.DOWNLOAD)

    def sign(text: str) -> str:
        return f"{sum(text.encode()) * 31 + len(text)}"

    token = address.token(sign)
    assert addresses.verified(token, sign, now) == address == addresses.said_in(token)
    small = Address("sales-1", "p1", now + model.DOWNLOAD, preview=True).token(sign)
    assert addresses.verified(small, sign, now).preview and not addresses.verified(token, sign, now).preview
    stamp = token.split(".")[2]
    others = [
        token.replace(stamp, f"{stamp}s"),
        small.replace(f"{stamp}s", stamp),
        token.replace("sales", "salet"),
        token.replace("p1", "p2"),
        token[:-1],
        f"{token}0",
        "a.b.c",
        "",
        "a.b.c.d",
        "....",
    ]
    for other in others:
        with pytest.raises(CrmError) as refusal:
            addresses.verified(other, sign, now)
        assert refusal.value.code == "DOWNLOAD_NOT_VALID"
    with pytest.raises(CrmError):
        addresses.verified(token, sign, now + timedelta(minutes=5))
