"""The bytes of files: in parts of one size, each a document, sealed by itself under the key of whom the file is about.

No part is ever there without its file: whoever writes one guards the file's document in the same commit, and whoever deletes a file deletes its
parts with it. So a process that is killed leaves nothing behind. GridFS has the same shape and no such commit (docs/adr/0060).
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pymongo import DeleteMany, UpdateOne

from chassis.kernel.errors import CrmError
from chassis.storage.changes import Changes
from chassis.storage.client import Database
from chassis.storage.encryption import open_bytes, seal_bytes

PARTS = "file_parts"
PART_BYTES = 1024 * 1024
MOST_PARTS = 50
MOST_BYTES = MOST_PARTS * PART_BYTES


def count_of(size: int) -> int:
    """How many parts a file of so many bytes has."""
    return -(-size // PART_BYTES)


def length_of(size: int, number: int) -> int:
    """How many bytes a part has; 0 or less for one that is not there."""
    return min(PART_BYTES, size - number * PART_BYTES)


def write(changes: Changes, key: AESGCM, file_id: str, number: int, data: bytes) -> None:
    """Keep a part with the commit, in place of what was sent as the same part before."""
    values = {"$set": {"data": seal_bytes(key, data, _context(file_id, number))}}
    changes.write(PARTS, UpdateOne({"_id": _place(file_id, number)}, values, upsert=True))


async def read(database: Database, key: AESGCM, file_id: str, number: int, milliseconds: int) -> bytes | None:
    """A part; None where it is not there. Raises CrmError (INTERNAL) where it was changed, or is another file's or place's."""
    row = await database[PARTS].find_one({"_id": _place(file_id, number)}, max_time_ms=milliseconds)
    if row is None:
        return None
    try:
        return open_bytes(key, row["data"], _context(file_id, number))
    except InvalidTag:
        raise CrmError(f"part {number} of the file «{file_id}» was changed where it is stored; restore it from a backup") from None


def drop(changes: Changes, file_id: str, behind: int = 0) -> None:
    """Delete the parts of a file from a number on, all of them when it is 0, with the commit."""
    changes.write(PARTS, DeleteMany({"_id": {"$gte": _place(file_id, behind), "$lte": _place(file_id, MOST_PARTS)}}))


def whole(changes: Changes, key: AESGCM, file_id: str, data: bytes) -> None:
    """Keep a file with the commit, in place of all that was kept as it before."""
    for number in range(count_of(len(data))):
        write(changes, key, file_id, number, data[number * PART_BYTES : (number + 1) * PART_BYTES])
    drop(changes, file_id, count_of(len(data)))


def _place(file_id: str, number: int) -> str:
    return f"{file_id}:{number:02}"


def _context(file_id: str, number: int) -> str:
    return f"{PARTS}.data:{_place(file_id, number)}"
