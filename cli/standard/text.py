"""A .proto file as blocks and their members, each with its comment: enough to compare and replace parts, and to write the rest as it was."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_BLOCK = re.compile(r"^(message|service|enum|extend) ([\w.]+) \{(\})?$")
_FIELD = re.compile(r"^  (?:(optional|repeated) )?([\w.]+) (\w+) = (\d+)(?: \[(.*)\])?;$")
_METHOD = re.compile(r"^  rpc (\w+)\(")
_VALUE = re.compile(r"^  (\w+) = (\d+)(?: \[.*\])?;$")

_IMPORT = re.compile(r'(?m)^import "(.*)";$')
_IMPORTS = {
    "buf.validate.": "buf/validate/validate.proto", "crm.common.v1.access": "crm/common/v1/annotations.proto",
    "crm.common.v1.traits": "crm/common/v1/annotations.proto", "crm.common.v1.subject": "crm/common/v1/annotations.proto",
    "crm.common.v1.Archived": "crm/common/v1/criteria.proto", "crm.common.v1.Criteria": "crm/common/v1/criteria.proto",
    "crm.common.v1.RecordCount": "crm/common/v1/criteria.proto", "crm.common.v1.Money": "crm/common/v1/money.proto",
    "crm.common.v1.Aggregate": "crm/common/v1/aggregate.proto",
    "crm.common.v1.UpsertOutcome": "crm/common/v1/outcome.proto", "google.protobuf.FieldMask": "google/protobuf/field_mask.proto",
    "crm.common.v1.TagCount": "crm/common/v1/tag.proto", "crm.common.v1.BulkOutcome": "crm/common/v1/outcome.proto",
    "google.protobuf.Timestamp": "google/protobuf/timestamp.proto",
}  # fmt: skip


@dataclass
class Member:
    """A field, a method, a value or an option of a block; `name` is "" for what is none of the first three."""

    name: str
    comment: str
    lines: list[str]

    @property
    def number(self) -> int:
        """Of a field: its number; 0 for everything else."""
        found = _FIELD.match(self.lines[0])
        return int(found[4]) if found else 0

    @property
    def options(self) -> str:
        """Of a field: what stands in brackets."""
        found = _FIELD.match(self.lines[0])
        return (found[5] or "") if found else ""

    @property
    def shape(self) -> str:
        """Of a field: label and type."""
        found = _FIELD.match(self.lines[0])
        return f"{found[1] or ''} {found[2]}".strip() if found else ""


@dataclass
class Block:
    """A message, service, enum or extension."""

    kind: str
    name: str
    comment: str
    members: list[Member] = field(default_factory=list)

    def member(self, name: str) -> Member | None:
        """The member of a name."""
        return next((one for one in self.members if one.name == name), None)

    def add(self, member: Member) -> None:
        """One more member, where its number belongs."""
        place = next((index for index, one in enumerate(self.members) if 0 < member.number < one.number), len(self.members))
        self.members.insert(place, member)

    def lines(self) -> Iterator[str]:
        """As it stands in the file."""
        yield from commented(self.comment)
        if not self.members:
            yield f"{self.kind} {self.name} {{}}"
            return
        yield f"{self.kind} {self.name} {{"
        for one in self.members:
            yield from commented(one.comment, "  ")
            yield from one.lines
        yield "}"


@dataclass
class File:
    """A file: what stands before the first block, and the blocks."""

    head: str
    blocks: list[Block]

    def block(self, name: str) -> Block | None:
        """The block of a name."""
        return next((one for one in self.blocks if one.name == name), None)

    def imported(self) -> File:
        """With an import for every word of others that it uses, beside those that it has."""
        body = self.text()[len(self.head) :]
        needed = {path for word, path in _IMPORTS.items() if word in body} | set(_IMPORT.findall(self.head))
        start = self.head.index(";", self.head.index("\npackage ")) + 1
        lines = "".join(f'import "{path}";\n' for path in sorted(needed))
        return File(f"{self.head[:start]}\n\n{lines}\n", self.blocks)

    def text(self) -> str:
        """The file as text."""
        return self.head + "\n\n".join("\n".join(block.lines()) for block in self.blocks) + "\n"


def commented(comment: str, indent: str = "") -> list[str]:
    """A comment as lines."""
    return [f"{indent}// {line}" for line in comment.split("\n")] if comment else []


def read(path: Path) -> File:
    """The file of a path. Raises ValueError for one that is not written as all are (`buf format`, one member a line or block)."""
    text = path.read_text()
    start = re.search(r"(?m)^(//.*\n)*(message|service|enum|extend) ", text)
    if start is None:
        return File(text, [])
    found = File(text[: start.start()], list(_blocks(text[start.start() :].split("\n"))))
    if found.text() != text:
        raise ValueError(f"{path.name}: write it as the other contracts are: one empty line between blocks, none inside")
    return found


def _blocks(lines: list[str]) -> Iterator[Block]:
    comment: list[str] = []
    current: Block | None = None
    for line in lines:
        if current is None:
            if line.startswith("//"):
                comment.append(line[3:])
            elif found := _BLOCK.match(line):
                current = Block(found[1], found[2], "\n".join(comment))
                comment = []
                if found[3]:
                    yield current
                    current = None
        elif line == "}":
            yield current
            current = None
        else:
            comment = _member(current, comment, line)


def _member(block: Block, comment: list[str], line: str) -> list[str]:
    """Take one line of a block in; gives the comment that waits for its member."""
    if line.startswith("  //"):
        return [*comment, line[5:]]
    if line.startswith(("    ", "  }")):
        block.members[-1].lines.append(line)
        return comment
    found = _FIELD.match(line)
    name = found[3] if found else next((one[1] for one in (_METHOD.match(line), _VALUE.match(line)) if one), "")
    block.members.append(Member(name, "\n".join(comment), [line]))
    return []
