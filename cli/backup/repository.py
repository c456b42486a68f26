"""A repository of backups on disk: a sealed manifest for each backup, and the chunks that the manifests name, each stored once.

A chunk is AES-256-GCM (RFC 5116) over compressed documents. Its name is a keyed hash of what is in it and is authenticated with it, so that no
chunk can be changed or put in another's place. The keys follow from the installation's backup key (HKDF).
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import re
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cli.engines import EngineError

FORMAT = 2
FRESH = ".new"
_KEY, _NONCE, _NAME = 32, 12, 16
_TIME = "%Y%m%dT%H%M%S.%f"
_BACKUP = re.compile(r"\d{8}T\d{6}\.\d{3}Z")


class Repository:
    """A folder with the key that opens what is in it."""

    def __init__(self, folder: Path, secret: str) -> None:
        self.folder, self.manifests, self.chunks = folder, folder / "manifests", folder / "chunks"
        raw = base64.urlsafe_b64decode(secret + "==")
        self._sealing = AESGCM(_derived(raw, b"xietong backup"))
        self._naming = _derived(raw, b"xietong backup chunk names")
        self.key = _derived(raw, b"xietong backup key id").hex()[:12]

    # ---- one writer, or several readers

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Add or remove as the only one; makes a new repository where the folder is new or empty. Raises EngineError."""
        if not self.manifests.is_dir() and self.folder.is_dir() and any(self.folder.iterdir()):
            raise EngineError(
                f"{self.folder} is not empty, and no repository of backups; name a new folder, or that of the earlier backups"
            )
        for part in (self.folder, self.chunks, self.manifests):
            part.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._opened(self.folder / "reading").close()
        with self._opened(self.folder / "writing") as handle:
            if not _locked(handle, fcntl.LOCK_EX):
                handle.seek(0)
                raise EngineError(f"another backup or prune is writing to {self.folder} ({handle.read().strip()}); wait until it has ended")
            handle.truncate(0)
            handle.write(f"process {os.getpid()} on {socket.gethostname()}, since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n")
            handle.flush()
            yield

    @contextmanager
    def removing(self) -> Iterator[None]:
        """While nobody reads; within `writing`. Raises EngineError."""
        with self._opened(self.folder / "reading") as handle:
            if not _locked(handle, fcntl.LOCK_EX):
                raise EngineError(f"a verify, drill or restore is reading {self.folder}; nothing was removed, prune when it has ended")
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While nothing is removed; several at once, and beside a backup that is being taken. Raises EngineError."""
        self.newest()
        try:
            handle = (self.folder / "reading").open()  # a restore may see the folder read-only
        except FileNotFoundError:  # a copy of the manifests and chunks alone
            yield
            return
        with handle:
            if not _locked(handle, fcntl.LOCK_SH):
                raise EngineError(f"old backups are being removed from {self.folder}; wait until that has ended")
            yield

    @staticmethod
    def _opened(path: Path) -> IO[str]:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")

    # ---- manifests

    def names(self) -> list[str]:
        """The finished backups, oldest first."""
        return sorted(path.stem for path in self.manifests.glob("*.json") if _BACKUP.fullmatch(path.stem))

    def newest(self) -> str:
        """The last finished backup. Raises EngineError."""
        names = self.names()
        if not names:
            raise EngineError(f"{self.folder} has no finished backup; name the folder that «xietong backup take» was given")
        return names[-1]

    def new_name(self) -> str:
        """The name of a backup that begins now. Raises EngineError where the clock is behind the newest one's."""
        name, names = datetime.now(UTC).strftime(_TIME)[:-3] + "Z", self.names()
        if names and name <= names[-1]:
            raise EngineError(f"the clock says {name}, but the newest backup is of {names[-1]}; set the clock of this machine")
        return name

    def manifest(self, name: str) -> dict[str, Any]:
        """What a backup holds. Raises EngineError where there is none, it is of another installation, or was changed."""
        path = self.manifests / f"{name}.json"
        try:
            outer = orjson.loads(path.read_bytes())
            key, sealed = outer["key"], bytes.fromhex(outer["sealed"])
        except FileNotFoundError:
            raise EngineError(f"{self.folder} has no backup {name}; «xietong backup list» shows those it has") from None
        except (ValueError, KeyError, TypeError) as error:
            raise EngineError(f"{path} is no manifest of a backup; put it back from a copy, or remove it") from error
        if key != self.key:
            words = f"{path} is of another installation (backup key {key}, here {self.key}); the key is in installation.json of the one it was taken of"
            raise EngineError(words)
        try:
            found: dict[str, Any] = orjson.loads(self._open(sealed, f"manifest:{name}"))
        except (InvalidTag, ValueError, zlib.error):
            raise EngineError(f"{path} was changed or is broken; put it back from a copy, or remove it") from None
        return found

    def finish(self, manifest: dict[str, Any]) -> None:
        """Write the manifest, whole or not at all, when everything that it names is on the disk: without one there is no backup."""
        for folder in {self.path(chunk).parent for chunk in chunks_of(manifest)} | {self.chunks, self.folder}:
            _sync(folder)
        sealed = self._seal(orjson.dumps(manifest), f"manifest:{manifest['name']}")
        outer = {"format": FORMAT, "time": manifest["time"], "key": self.key, "sealed": sealed.hex()}
        _write(self.manifests / f"{manifest['name']}.json", orjson.dumps(outer, option=orjson.OPT_INDENT_2))
        _sync(self.manifests)

    def remove(self, name: str) -> None:
        """There is no such backup any more; what only it needed is removed afterwards."""
        (self.manifests / f"{name}.json").unlink()
        _sync(self.manifests)

    # ---- chunks

    def path(self, chunk: str) -> Path:
        """Where a chunk lies."""
        return self.chunks / chunk[:2] / chunk

    def present(self) -> dict[str, Path]:
        """Every file among the chunks by its name, what was never finished included."""
        return {path.name: path for path in self.chunks.glob("*/*")}

    def name_of(self, content: bytes) -> str:
        """The name of a chunk: the same for the same content, and telling nobody else what that is."""
        return hashlib.blake2b(content, key=self._naming, digest_size=_NAME).hexdigest()

    def store(self, chunk: str, content: bytes) -> int:
        """Write a chunk so that a power cut does not take it; how many bytes it takes. May run beside others."""
        sealed, path = self._seal(content, f"chunk:{chunk}"), self.path(chunk)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        _write(path, sealed)
        return len(sealed)

    def load(self, chunk: str, place: str) -> bytes:
        """What is in a chunk. Raises EngineError naming the file and the place that needs it."""
        path = self.path(chunk)
        mend = f"{place} needs it: put it back from a copy, or remove it and take another backup"
        try:
            return self._open(path.read_bytes(), f"chunk:{chunk}")
        except FileNotFoundError:
            raise EngineError(f"{path} is missing; {mend}") from None
        except (InvalidTag, ValueError, zlib.error):
            raise EngineError(f"{path} was changed or is broken; {mend}") from None

    def documents(self, manifest: dict[str, Any], department: str, collection: str) -> Iterator[bytes]:
        """The BSON documents of a collection in a backup, one by one. Raises EngineError."""
        place = f"{department}.{collection} in {manifest['name']}"
        for chunk in manifest["departments"][department][collection]["chunks"]:
            content, start = self.load(chunk, place), 0
            while start < len(content):
                end = start + int.from_bytes(content[start : start + 4], "little")
                yield content[start:end]
                start = end

    def _seal(self, content: bytes, context: str) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._sealing.encrypt(nonce, zlib.compress(content, 1), context.encode())

    def _open(self, sealed: bytes, context: str) -> bytes:
        return zlib.decompress(self._sealing.decrypt(sealed[:_NONCE], sealed[_NONCE:], context.encode()))


def chunks_of(manifest: dict[str, Any]) -> set[str]:
    """Every chunk that a backup needs."""
    return {chunk for collections in manifest["departments"].values() for row in collections.values() for chunk in row["chunks"]}


def time_of(name: str) -> datetime:
    """When a backup was taken."""
    return datetime.strptime(name, f"{_TIME}Z").replace(tzinfo=UTC)


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), _KEY, None, purpose).derive(secret)


def _locked(handle: IO[str], kind: int) -> bool:
    """Whether the lock was had; it ends with the process, however that ends."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(path: Path, content: bytes) -> None:
    """A file for the owner alone, under its name only when it is whole and on the disk."""
    fresh = path.with_name(path.name + FRESH)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as sink:
        sink.write(content)
        sink.flush()
        os.fsync(sink.fileno())
    fresh.replace(path)


def _sync(folder: Path) -> None:
    """The names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
