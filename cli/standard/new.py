"""What is asked of a new noun, and its spellings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from chassis.rpc.documents import snake
from cli.contracts import PROTOS, ROOT


def camel(words: str) -> str:
    """ticket_replies → TicketReplies."""
    return "".join(part.capitalize() for part in words.split("_"))


@dataclass(frozen=True)
class New:
    """What is to be made: the department, the resource (plural, snake_case), the record's name, its Chinese title, its family."""

    department: str
    resource: str
    name: str
    title: str
    family: str
    owned: bool = True
    customer: bool = False
    verbs: Mapping[str, str] = field(default_factory=dict)

    @property
    def stem(self) -> str:
        """E.g. "ticket_reply"."""
        return snake(self.name)

    @property
    def one(self) -> str:
        """E.g. "ticket reply"."""
        return self.stem.replace("_", " ")

    @property
    def plural(self) -> str:
        """E.g. "TicketReplies"."""
        return camel(self.resource)

    @property
    def folder(self) -> Path:
        """The folder of its code."""
        return ROOT / "services" / self.department / self.resource

    @property
    def contract(self) -> Path:
        """The path of its protos without ending."""
        return PROTOS / "crm" / self.department / "v1" / self.stem
