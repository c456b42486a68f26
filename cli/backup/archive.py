"""A backup on disk: one file a collection, encrypted and compressed in pieces, and a sealed manifest that says what must be in them.

A piece is AES-256-GCM (RFC 5116) over a zlib stream's part; its number and its file's name are authenticated with it, so that no piece can be
changed, left out, doubled or moved. The key of a backup follows from the installation's backup key and the backup's own salt (HKDF).
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cli.engines import EngineError

FORMAT = 1
MANIFEST = "manifest.json"
PIECE = 1024 * 1024
_LENGTH, _NONCE, _SALT, _LAST = 4, 12, 16, b"\x01"


class Archive:
    """A folder with the key that opens it."""

    def __init__(self, folder: Path, secret: bytes, salt: bytes) -> None:
        self.folder, self.salt = folder, salt
        self._key = AESGCM(HKDF(SHA256(), 32, salt, b"xietong backup").derive(secret))

    @staticmethod
    def make(folder: Path, secret: bytes) -> Archive:
        """A new one; the folder must be new or empty. Raises EngineError."""
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise EngineError(f"{folder} is not empty; name a new folder for the backup")
        return Archive(folder, secret, os.urandom(_SALT))

    @staticmethod
    def open(folder: Path, secret: bytes) -> tuple[Archive, dict[str, Any]]:
        """One that is there, and its manifest. Raises EngineError where it is none, of another installation, or was changed."""
        try:
            outer = orjson.loads((folder / MANIFEST).read_bytes())
            archive = Archive(folder, secret, bytes.fromhex(outer["salt"]))
            sealed = bytes.fromhex(outer["sealed"])
        except OSError as error:
            raise EngineError(f"{folder} has no finished backup ({MANIFEST}: {error.strerror}); name the folder of one") from error
        except (ValueError, KeyError, TypeError) as error:
            raise EngineError(f"{folder / MANIFEST} is no manifest of a backup; take another backup") from error
        try:
            manifest: dict[str, Any] = orjson.loads(archive._key.decrypt(sealed[:_NONCE], sealed[_NONCE:], MANIFEST.encode()))
        except InvalidTag:
            words = f"{folder / MANIFEST} was changed, or is of another installation; the backup key is in installation.json of the one it was taken of"
            raise EngineError(words) from None
        return archive, manifest

    def finish(self, manifest: dict[str, Any]) -> None:
        """Write the manifest, whole or not at all: a folder without one is no backup."""
        nonce = os.urandom(_NONCE)
        sealed = nonce + self._key.encrypt(nonce, orjson.dumps(manifest), MANIFEST.encode())
        text = {"format": FORMAT, "time": manifest["time"], "salt": self.salt.hex(), "sealed": sealed.hex()}
        fresh = self.folder / f"{MANIFEST}.new"
        with fresh.open("wb") as sink:
            sink.write(orjson.dumps(text, option=orjson.OPT_INDENT_2))
            sink.flush()
            os.fsync(sink.fileno())
        fresh.replace(self.folder / MANIFEST)

    def writer(self, name: str) -> Writer:
        """A new file of this name."""
        return Writer(self.folder / f"{name}.backup", name, self._key)

    def read(self, name: str) -> Iterator[bytes]:
        """What was written under this name, in pieces. Raises EngineError for a file that is not what was written."""
        path, number, inflate, ended = self.folder / f"{name}.backup", 0, zlib.decompressobj(), False
        try:
            with path.open("rb") as source:
                while head := source.read(_LENGTH):
                    piece = source.read(int.from_bytes(head, "big"))
                    opened = self._key.decrypt(piece[:_NONCE], piece[_NONCE:], f"{name}:{number}".encode())
                    ended, number = opened[:1] == _LAST, number + 1
                    yield inflate.decompress(opened[1:])
        except FileNotFoundError:
            raise EngineError(f"{path} is missing; the backup is not whole") from None
        except (InvalidTag, ValueError, zlib.error):
            raise EngineError(f"{path} was changed or is broken in piece {number + 1}; take another backup") from None
        if not ended:
            raise EngineError(f"{path} was cut off after piece {number}; take another backup")


class Writer:
    """Writes one file of a backup; counts and hashes what goes in."""

    def __init__(self, path: Path, name: str, key: AESGCM) -> None:
        self.name, self._key, self._sink = name, key, path.open("xb")
        self._deflate, self._waiting, self._number = zlib.compressobj(1), bytearray(), 0
        self.count, self.bytes, self._hash = 0, 0, hashlib.sha256()

    def add(self, document: bytes) -> None:
        """One more document, as BSON."""
        self.count += 1
        self.bytes += len(document)
        self._hash.update(document)
        self._waiting += self._deflate.compress(document)
        while len(self._waiting) >= PIECE:
            self._piece(bytes(self._waiting[:PIECE]), b"\x00")
            del self._waiting[:PIECE]

    def close(self) -> dict[str, Any]:
        """Write what waits; what the manifest says of the file."""
        self._piece(bytes(self._waiting) + self._deflate.flush(), _LAST)
        self._sink.flush()
        os.fsync(self._sink.fileno())
        self._sink.close()
        return {"count": self.count, "bytes": self.bytes, "sha256": self._hash.hexdigest()}

    def _piece(self, content: bytes, mark: bytes) -> None:
        nonce = os.urandom(_NONCE)
        piece = nonce + self._key.encrypt(nonce, mark + content, f"{self.name}:{self._number}".encode())
        self._sink.write(len(piece).to_bytes(_LENGTH, "big") + piece)
        self._number += 1


def documents(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The BSON documents of a file, one by one."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        start = 0
        while len(waiting) - start >= _LENGTH:
            length = int.from_bytes(waiting[start : start + _LENGTH], "little")
            if len(waiting) - start < length:
                break
            yield bytes(waiting[start : start + length])
            start += length
        del waiting[:start]
    if waiting:
        raise EngineError("a file of the backup ends within a document; take another backup")
