"""Registers documents: checks every operation of a folder against the schema and the limits, and writes the register."""

from __future__ import annotations

import json
import os
from pathlib import Path

from cli.engines import EngineError
from cli.plan import DEPARTMENTS
from cli.words import say
from gateway.engine import Engine
from gateway.graph.schema import build
from gateway.operations.documents import Documents
from gateway.operations.registered import document_id, read_register
from gateway.settings import Settings

ENDINGS = (".graphql", ".gql")


def register(folder: Path, to: Path) -> int:
    """Add the documents of a folder (and of those below) to a register; how many it holds now. Nothing is written when one is at fault.

    Raises EngineError naming every document that is refused and why.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix in ENDINGS)
    if not files:
        raise EngineError(f"{folder} holds no document; put one operation or more into files that end in {' or '.join(ENDINGS)}")
    try:
        kept = read_register(to) if to.exists() else {}
        texts = {path: path.read_text("utf-8") for path in files}
    except ValueError as error:
        raise EngineError(str(error)) from error
    documents = Documents(Engine(build()._schema), _limits())
    refused = []
    for path, text in texts.items():
        for fault in documents.prepare(text).errors:
            at = f":{fault.locations[0].line}:{fault.locations[0].column}" if fault.locations else ""
            refused.append(f"{path}{at}: {fault.message}")
    if refused:
        raise EngineError(f"{len(refused)} documents are refused, nothing is written:\n  " + "\n  ".join(refused))
    fresh = {document_id(text): text for text in texts.values()}
    for path, text in texts.items():
        say(f"{document_id(text)}  {path}{'  (was there)' if document_id(text) in kept else ''}")
    whole = dict(sorted((kept | fresh).items()))
    _write(to, whole)
    say(f"{to}: {len(whole)} documents, {len(set(fresh) - set(kept))} new; give the gateway its path in CRM_DOCUMENTS")
    return len(whole)


def _write(to: Path, register: dict[str, str]) -> None:
    """Whole or not at all: a gateway may be reading it."""
    to.parent.mkdir(parents=True, exist_ok=True)
    fresh = to.with_name(f".{to.name}.new")
    fresh.write_text(json.dumps(register, indent=1, ensure_ascii=False) + "\n", "utf-8")
    os.replace(fresh, to)


def _limits() -> Settings:
    """The gateway's limits as the environment sets them; whom it asks does not matter here."""
    needed = dict.fromkeys(("CRM_NATS_URL", *(f"CRM_{department.upper()}_ADDRESS" for department in DEPARTMENTS)), "127.0.0.1:1")
    return Settings.from_env({**needed, **os.environ})
