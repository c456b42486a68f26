"""The reference of each department, from contracts, settings and code: `python -m cli.reference` writes it, `--check` compares."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from pathlib import Path
from typing import Any

from crm.common.v1 import annotations_pb2

from chassis.rpc.contract import nouns
from cli.installation import ROOT
from cli.plan import DEPARTMENTS
from services.organization.access.model import ROLES, TITLES
from services.organization.roles import model as role_model

_GEN = Path(annotations_pb2.__file__).parents[3]
_COMMENTS: dict[str, str] = json.loads((_GEN / "comments.json").read_text())


def pages() -> dict[Path, str]:
    """Path → text of every generated page."""
    found = {ROOT / "docs" / "reference" / f"{name}.md": _department(name) for name in DEPARTMENTS}
    found[ROOT / "docs" / "reference" / "gateway.md"] = (
        "# gateway\n\nThe unified graph; owns no data. The schema: `gateway/schema.graphql`.\n" + _settings("gateway")
    )
    found[ROOT / "docs" / "reference" / "access.md"] = _access()
    glossary = ROOT / "docs" / "reference" / "glossary.md"
    found[glossary] = _glossary(glossary.read_text())
    return found


_NOUNS = "<!-- nouns: from the contracts, by `make schema` -->\n"


def _glossary(text: str) -> str:
    """The glossary with every kind of record below the mark: its names, its department, what it is."""
    rows = [
        f"| {noun.words} | {noun.traits.title} | {noun.department} | {_words(noun.record.full_name)} |"
        for noun in sorted(nouns(), key=lambda noun: (noun.department, noun.words))
    ]
    kept = text.partition(_NOUNS)[0].rstrip()
    return f"{kept}\n\n{_NOUNS}\n## Records\n\n| English | 中文 | department | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"


def _access() -> str:
    """What each shipped role may do, from the policy as it is delivered."""
    text = """# access

Generated from the shipped policy by `make schema`. Scopes: own, team, department, below (department and below), all; an empty cell is
nothing. What was changed at run time stands in `roleDefinitions`. How it fits together: [explanation](../explanation/access.md).
"""
    return text + "".join(_role(role, role_model.delivered(role)) for role in ROLES)


def _role(role: str, delivered: dict[str, Any]) -> str:
    cells = {(line["resource"], line["action"]): _SCOPES[line["scope"]] for line in delivered["permissions"]}
    actions = {action for _, action in cells}
    names = [name for name in _USUAL if name in actions] + sorted(actions - set(_USUAL))
    text = f"\n## {TITLES[role]} · {role}\n\n| resource | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}\n"
    for resource in sorted({resource for resource, _ in cells}):
        text += f"| {resource} | {' | '.join(cells.get((resource, name), '') for name in names)} |\n"
    limited = [f"{line['resource']}.{line['field']}: {line['access'].lower()}" for line in delivered["field_permissions"]]
    return text + (f"\nFields: {', '.join(limited)}.\n" if limited else "")


_USUAL = ("read", "create", "update", "archive")
_SCOPES = {"OWN": "own", "TEAM": "team", "DEPARTMENT": "department", "DEPARTMENT_AND_BELOW": "below", "ALL": "all"}


def _modules(department: str, ending: str) -> list[Any]:
    folder = _GEN / "crm" / department / "v1"
    return [importlib.import_module(f"crm.{department}.v1.{path.stem}") for path in sorted(folder.glob(f"*{ending}_pb2.py"))]


def _department(name: str) -> str:
    text = f"# {name}\n\nGenerated from the contracts by `make schema`; the policy column is what a caller's roles must grant.\n"
    text += "\n## Questions and commands\n\n| method | policy | |\n|---|---|---|\n"
    for module in _modules(name, "_service"):
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                access = method.GetOptions().Extensions[annotations_pb2.access]
                text += f"| `{service.name}/{method.name}` | {access} | {_words(method.full_name)} |\n"
    text += "\n## Facts that it announces\n\n| event | subject | |\n|---|---|---|\n"
    for module in _modules(name, "_events"):
        for message in module.DESCRIPTOR.message_types_by_name.values():
            subject = message.GetOptions().Extensions[annotations_pb2.subject]
            text += f"| {message.name} | `{subject}.<id>` | {_words(message.full_name)} |\n"
    return text + _reactions(name) + _settings(f"services.{name}")


def _reactions(name: str) -> str:
    settings = importlib.import_module(f"services.{name}.settings").Settings
    required = {f"CRM_{other.upper()}_ADDRESS": "127.0.0.1:1" for other in DEPARTMENTS} | {"CRM_SERVICE_SECRETS": "cli=x"}
    environment = {
        "CRM_MONGO_URI": "mongodb://127.0.0.1:1",
        "CRM_NATS_URL": "nats://127.0.0.1:1",
        "CRM_SERVICE_SECRET": "x",
        "CRM_MASTER_KEYS": "A" * 43,
        **required,
    }
    department = importlib.import_module(f"services.{name}.bootstrap").build(settings.from_env(environment))
    if not department.reactions:
        return "\n## Facts that it reacts to\n\nNone.\n"
    rows = "".join(f"| {r.name} | {r.department} | {', '.join(r.aggregates) or 'everything'} |\n" for r in department.reactions)
    return "\n## Facts that it reacts to\n\n| reaction | of | about |\n|---|---|---|\n" + rows


def _settings(package: str) -> str:
    settings = importlib.import_module(f"{package}.settings").Settings
    text = "\n## Settings\n\n| variable | default | |\n|---|---|---|\n"
    for item in dataclasses.fields(settings):
        default = "required" if item.default is dataclasses.MISSING else f"`{item.default}`" if item.default != "" else "empty"
        text += f"| `{item.metadata['env']}` | {default} | {item.metadata['explain']} |\n"
    return text


def _words(full_name: str) -> str:
    return _COMMENTS.get(full_name, "").replace("|", "\\|")


def main() -> None:
    """Write or check docs/reference."""
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv:
        if stale:
            sys.exit(f"{stale[0].relative_to(ROOT)} differs from the code: run `make schema` and commit the difference")
        return
    for path, text in pages().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
