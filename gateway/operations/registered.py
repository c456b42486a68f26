"""Registered documents: operations that were checked when they were registered, asked for by the hash of their text.

The register is one JSON file, `{"sha256:…": "query …"}`, written by `xietong documents register` and mounted where CRM_DOCUMENTS
says. A changed file takes effect within seconds.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from graphql import GraphQLError

log = logging.getLogger("crm.gateway")
PREFIX = "sha256:"
LOOK_SECONDS = 2.0
MOST_NAMES = 300
_NAMED = re.compile(r"^\s*(?:query|mutation|subscription)\s+([A-Za-z_]\w*)", re.MULTILINE)
KEPT = 500


def document_id(text: str) -> str:
    """The id of a text: "sha256:" and the hash in hexadecimal, as the GraphQL-over-HTTP draft has it."""
    return PREFIX + hashlib.sha256(text.encode()).hexdigest()


def read_register(path: Path) -> dict[str, str]:
    """The texts of a register by id. Raises ValueError saying what is wrong with the file."""
    found = json.loads(path.read_text())
    if not isinstance(found, dict) or not all(isinstance(text, str) and document_id(text) == key for key, text in found.items()):
        raise ValueError(f"{path} is no register: every key must be the sha256 of its text; write it with `xietong documents register`")
    return found


class Register:
    """The documents that clients may name by id. Where texts may be sent too, what is sent with its id is remembered for a while."""

    def __init__(self, path: str, *, open_to_texts: bool) -> None:
        self.path, self.open = Path(path) if path else None, open_to_texts
        self._texts: Mapping[str, str] = {}
        self._names: frozenset[str] = frozenset()
        self._stamp: tuple[int, int] | None = None
        self._looked = 0.0
        self._sent: OrderedDict[str, str] = OrderedDict()

    def text(self, identity: str) -> str:
        """The document of an id. Raises GraphQLError when there is none."""
        found = self._current().get(identity) or self._sent.get(identity)
        if found is None:
            mend = "send the text with it" if self.open else "register it with `xietong documents register`"
            words = f"PersistedQueryNotFound: no document «{identity[:80]}» is registered; {mend}"
            raise GraphQLError(words, extensions={"code": "PERSISTED_QUERY_NOT_FOUND"})
        return found

    @property
    def names(self) -> frozenset[str]:
        """Names of registered operations, 300 at most."""
        self._current()
        return self._names

    def has(self, text: str) -> bool:
        """Whether a text is registered."""
        current = self._current()
        return bool(current) and document_id(text) in current

    def remember(self, identity: str, text: str) -> None:
        """Keep a text that a client sent with its id. Raises GraphQLError when the id is another's."""
        if document_id(text) != identity:
            raise GraphQLError("the hash is not that of the text; hash the text as it is sent", extensions={"code": "BAD_REQUEST"})
        if self.open:
            self._sent[identity] = text
            while len(self._sent) > KEPT:
                self._sent.popitem(last=False)

    def _current(self) -> Mapping[str, str]:
        now = time.monotonic()
        if self.path is not None and now - self._looked > LOOK_SECONDS:
            self._looked = now
            self._load(self.path)
        return self._texts

    def _load(self, path: Path) -> None:
        if self.open and not path.exists():  # nothing was registered yet
            return
        try:
            state = path.stat()
            stamp = (state.st_mtime_ns, state.st_size)
            if stamp != self._stamp:
                self._texts, self._stamp = read_register(path), stamp
                self._names = frozenset(sorted({name for text in self._texts.values() for name in _NAMED.findall(text)})[:MOST_NAMES])
                log.info("documents", extra={"count": len(self._texts)})
        except (OSError, ValueError) as error:  # the register that was read stays in force
            log.error("documents not read", extra={"reason": str(error)[:300]})
