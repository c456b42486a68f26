"""The rules of attachments: names, sizes, numbers, and what may be done in which state. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from chassis.files.kinds import named
from chassis.kernel.errors import Conflict, Invalid, WrongState
from chassis.storage.files import MOST_BYTES, PART_BYTES, length_of

UPLOADING, READY, REPLACED = "UPLOADING", "READY", "REPLACED"
MOST_AT_RECORD, MOST_UPLOADS, MOST_EDITIONS = 100, 50, 50
# How long an upload may take, and an address be used.
UPLOAD, DOWNLOAD = timedelta(hours=24), timedelta(minutes=5)
_UNFIT = str.maketrans(dict.fromkeys('<>:"|?*', "_"))


def cleaned(name: str) -> str:
    """A file's name without folders and what no file system takes. Raises Invalid where nothing is left, or it is a program's."""
    found = name.replace("\\", "/").rpartition("/")[2].translate(_UNFIT).strip(". ")
    if not found:
        raise Invalid("this names no file; give a name with letters or digits, e.g. «报价.pdf»", field="name")
    named(found)
    return found


def must_fit(size: int) -> None:
    """Refuse a file that is too large."""
    if size > MOST_BYTES:
        raise Invalid(f"the file has {size:,} bytes, at most {MOST_BYTES:,}; send a smaller one", code="FILE_TOO_LARGE", field="size")


def must_be_next(file: Mapping[str, Any], number: int, length: int) -> int:
    """How many bytes have arrived with a part. Raises Invalid UPLOAD_BROKEN, FILE_TOO_LARGE."""
    size, wanted = int(file["size"]), length_of(file["size"], number)
    if wanted <= 0 or (length > wanted and number * PART_BYTES + length > size):
        words = f"more arrives than the {size:,} bytes that were announced; begin again with the size of the file"
        raise Invalid(words, code="FILE_TOO_LARGE", field="data")
    if length != wanted:
        raise broken(f"part {number} has {length:,} bytes and must have {wanted:,}", "data")
    if number * PART_BYTES > file["received"]:
        raise broken(f"part {number} came before part {file['received'] // PART_BYTES}", "number")
    return max(int(file["received"]), number * PART_BYTES + length)


def must_be_whole(file: Mapping[str, Any]) -> None:
    """Refuse an upload of which parts are missing."""
    if file["received"] != file["size"]:
        raise broken(f"{file['received']:,} of {file['size']:,} bytes have arrived", "attachment_id")


def broken(what: str, field: str) -> Invalid:
    """The refusal of what is not the file that was announced."""
    return Invalid(f"{what}; send the file again from there, or begin anew", code="UPLOAD_BROKEN", field=field)


def has_space(used: int, size: int, most: int) -> None:
    """Refuse a file for which a department has no room any more."""
    if used + size > most:
        numbers = {"used": f"{used / 2**30:.1f}", "most": f"{most / 2**30:g}"}
        words = "the files of this department take {used} of {most} GB, and this one has no room; ask an administrator for more (CRM_MOST_FILE_GIGABYTES)"
        raise WrongState(words.format(**numbers), code="ATTACHMENTS_FULL", field="size", params={"rule": "file.no_space", **numbers})


def has_preview(file: Mapping[str, Any]) -> None:
    """Refuse the preview of what has none."""
    if not file.get("preview_size"):
        words = f"«{file['name']}» has no preview, as only pictures have; fetch the file itself"
        raise Invalid(words, field="preview", params={"rule": "file.no_preview", "name": file["name"]})


def must_be(file: Mapping[str, Any], *states: str) -> None:
    """Refuse what is in another state."""
    if file["state"] not in states:
        told = {UPLOADING: "is still being uploaded", READY: "is uploaded already", REPLACED: "was replaced by a later edition"}[
            file["state"]
        ]
        raise WrongState(
            f"the file {told}; read the attachments of the record again", code="ATTACHMENT_STATE_NOT_ALLOWED", field="attachment_id"
        )


def may_be_replaced(file: Mapping[str, Any]) -> None:
    """Refuse a later edition of what is none to be replaced."""
    must_be(file, READY)
    if file.get("archive_time"):
        raise Conflict("the file is archived; restore it first", code="ARCHIVED", field="attachment_id", retryable=False)
    if file["edition"] >= MOST_EDITIONS:
        raise WrongState(f"the file has {MOST_EDITIONS} editions; attach it as a new one", code="ATTACHMENTS_FULL", field="attachment_id")


def has_room(at_record: int, uploads: int) -> None:
    """Refuse one more file at a record, or one more upload of a person, where there are as many as may be."""
    if at_record >= MOST_AT_RECORD:
        words = f"the record has {MOST_AT_RECORD} attachments; archive one first, or attach to another record"
        raise WrongState(words, code="ATTACHMENTS_FULL", field="record_id")
    if uploads >= MOST_UPLOADS:
        words = f"{MOST_UPLOADS} uploads of yours have not ended; complete them, or wait until they are deleted after a day"
        raise WrongState(words, code="ATTACHMENTS_FULL")
