"""`xietong new noun` in a copy of the project: what it makes passes style, standard, types and its own test, and runs in its department."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli.contracts import ROOT
from cli.standard.scaffold import GENERATED

TAKEN = ("chassis", "cli", "gateway", "services", "protos", "tests", "docs", "pyproject.toml", "buf.yaml")
MADE = ("new", "noun", "sales/sales_visits", "--title", "拜访", "--family", "sales work", "--customer", "--verbs", "finish:finished")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's files, with a noun of sales work that was made by one command."""
    folder = tmp_path_factory.mktemp("newcomer")
    for name in TAKEN:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            shutil.copy(source, folder / name)
    shutil.copytree(ROOT / "gen", folder / "gen")
    run(folder, "-m", "cli", *MADE)
    return folder


def run(folder: Path, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": f"{folder}:{folder / 'gen'}"}
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("arguments", [
    ("-m", "ruff", "check", "-q", "services", "tests/unit/sales"),
    ("-m", "ruff", "format", "--check", "-q", "services", "tests/unit/sales"),
    ("-m", "cli.standard",),
    ("-m", "cli.schema", "--check"),
    ("-m", "cli.reference", "--check"),
    ("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/sales/test_sales_visits.py"),
], ids=" ".join)  # fmt: skip
def test_what_a_command_makes_passes_what_all_must_pass(copy: Path, arguments: tuple[str, ...]) -> None:
    run(copy, *arguments)


def test_the_new_noun_is_in_the_graph_with_its_edges_and_its_special_verb(copy: Path) -> None:
    schema = (copy / "gateway" / "schema.graphql").read_text()
    visit = schema.split("type SalesVisit implements Node {")[1].split("\n}")[0]
    assert {"  customer: Customer", "  owner: Person"} <= set(visit.splitlines())
    assert "  salesVisitFinish(" in schema
    assert "| sales visit | 拜访 | sales |" in (copy / "docs" / "reference" / "glossary.md").read_text()


def test_the_same_command_again_changes_nothing(copy: Path) -> None:
    def contents() -> dict[Path, bytes]:
        found = (path for name in ("protos", "services", "docs", "gateway") for path in (copy / name).rglob("*"))
        return {path: path.read_bytes() for path in found if path.is_file() and "__pycache__" not in path.parts}

    before = contents()
    run(copy, "-m", "cli", *MADE)
    assert contents() == before


FIELDS = """  // A whole number with bounds.
  int32 seats = 20 [(buf.validate.field).int32 = {gte: 2, lte: 9}, (crm.common.v1.traits) = {behaviors: [BEHAVIOR_REQUIRED], filterable: true}];
  // A day.
  string visit_date = 21 [(buf.validate.field).string = {max_len: 10}, (crm.common.v1.traits) = {behaviors: [BEHAVIOR_REQUIRED], date: true}];
  // A short text.
  string room = 22 [(buf.validate.field).string = {max_len: 5}, (crm.common.v1.traits) = {behaviors: [BEHAVIOR_REQUIRED]}];
  // People who come too.
  repeated string guest_ids = 23 [(buf.validate.field).repeated = {max_items: 50, items: {string: {pattern: "^[0-9a-z][0-9a-z-]{0,63}$"}}}, (crm.common.v1.traits) = {refers_to: "Person"}];
}
"""  # fmt: skip  # noqa: E501


@pytest.mark.long
def test_with_fields_of_its_own_it_passes_what_every_noun_must_pass(copy: Path) -> None:
    record = copy / "protos/crm/sales/v1/sales_visit.proto"
    record.write_text(record.read_text().rstrip().removesuffix("}") + FIELDS)
    run(copy, "-m", "cli", "check", "contracts", "--write")
    for module in GENERATED:
        run(copy, "-m", module)
    run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/contract/test_every_noun.py", "-k", "sales_visits")
