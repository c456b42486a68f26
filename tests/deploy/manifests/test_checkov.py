"""checkov finds nothing in production and in the platform of dev; what is skipped carries its reason."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy.manifests.rendering import ROOT, text
from tests.support.npm import CACHE

CHECKOV = CACHE / "checks" / "bin" / "checkov"
CONFIG = ROOT / "tests" / "deploy" / "checkov.yaml"


def test_checkov_fails_nothing(tmp_path: Path) -> None:
    if not CHECKOV.exists():
        pytest.skip("checkov is not installed; `make manifests` puts it into .cache/checks")
    for path in ("environments/prod", "platform/overlays/dev"):
        (tmp_path / f"{path.replace('/', '-')}.yaml").write_text(text(path))
    command = [str(CHECKOV), "--config-file", str(CONFIG), "--directory", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, cwd=tmp_path)
    assert ended.stdout, ended.stderr[-2000:]
    found = json.loads(ended.stdout)
    failed = [f"{each['check_id']} {each['resource']}" for each in found["results"]["failed_checks"]]
    assert failed == []
    assert found["summary"]["parsing_errors"] == 0
    assert found["summary"]["passed"] > 1300


def test_every_skip_carries_its_reason() -> None:
    lines = [line for line in CONFIG.read_text().splitlines() if line.startswith("  - ")]
    assert len(lines) == 3
    assert [line for line in lines if not re.fullmatch(r"  - CKV2?_K8S_\d+  # .{40,}", line)] == []
