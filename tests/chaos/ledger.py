"""What a client tried and what it was told, on disk before it goes on: the truth that the system is held to."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ACKNOWLEDGED, REFUSED, UNKNOWN = "acknowledged", "refused", "unknown"


@dataclass
class Command:
    """One command of one client. `record` (type, id) and `version` are what the answer told."""

    request_id: str
    kind: str
    tag: str
    outcome: str = UNKNOWN
    record: tuple[str, str] = ("", "")
    version: int = 0
    details: dict[str, Any] = field(default_factory=dict)


class Ledger:
    """The commands of one worker; each line is on disk when the method returns."""

    def __init__(self, path: Path) -> None:
        self.commands: dict[str, Command] = {}
        self._file = path.open("ab")

    def tried(self, command: Command, variables: dict[str, Any]) -> None:
        """Before the first byte leaves."""
        self.commands[command.request_id] = command
        self._write({"tried": command.request_id, "kind": command.kind, "tag": command.tag, "variables": variables})

    def told(self, command: Command, outcome: str, **details: Any) -> None:
        """What the answer said, or that there was none."""
        command.outcome = outcome
        command.details |= details
        self._write({outcome: command.request_id, "record": command.record, "version": command.version, **details})

    def close(self) -> None:
        """Nothing more comes."""
        self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line, ensure_ascii=False, default=str).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
