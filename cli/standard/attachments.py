"""The facts of attachments: the same four in every department that has a noun with the option `attachable`, about the common record."""

from __future__ import annotations

import re
from pathlib import Path

from chassis.rpc.contract import nouns
from cli.contracts import PROTOS

FACTS = {
    "Added": "Fact: a file was attached to a record.",
    "Replaced": "Fact: a later edition took the place of a file.",
    "Archived": "Fact: a file was taken out of use.",
    "Restored": "Fact: a file was taken back into use.",
}
_HEAD = re.compile(r'^syntax = "proto3";\n\n(// .*)\npackage ', re.MULTILINE)


def text(department: str, about: str) -> str:
    """The file of a department; `about` is the comment of its package."""
    parts = [
        f'syntax = "proto3";\n\n{about}\npackage crm.{department}.v1;\n\n'
        'import "crm/common/v1/annotations.proto";\nimport "crm/common/v1/attachment.proto";\n'
    ]
    for participle, comment in FACTS.items():
        parts.append(
            f"\n// {comment}\nmessage Attachment{participle} {{\n"
            f'  option (crm.common.v1.subject) = "crm.{department}.v1.attachment.{participle.lower()}";\n'
            "  // The attachment as it was right after: what it is at, its name, kind and size, nothing of what is in it.\n"
            "  crm.common.v1.Attachment attachment = 1;\n}\n"
        )
    return "".join(parts)


def check(*, write: bool, protos: Path = PROTOS) -> list[str]:
    """What is not so; with `write` it is mended."""
    found = []
    for department in sorted({noun.department for noun in nouns() if noun.traits.attachable}):
        folder = protos / "crm" / department / "v1"
        path = folder / "attachment_events.proto"
        about = next(head[1] for one in sorted(folder.glob("*_service.proto")) if (head := _HEAD.search(one.read_text())))
        wanted = text(department, about)
        if not path.exists() or path.read_text() != wanted:
            found.append(f"{department}/attachment_events: the facts of attachments are missing, or are not the standard's")
            if write:
                path.write_text(wanted)
    return found
