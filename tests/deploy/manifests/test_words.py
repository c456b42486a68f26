"""What deploy/README.md, the runbooks and the components' READMEs name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.deploy.manifests.rendering import DEPLOY, OPTIONS, ROOT, SERVICES

RUNBOOKS = ("install-on-kubernetes", "upgrade", "scale", "back-up-on-the-cluster", "lose-a-node", "lose-nats", "lose-a-department")
TEXTS = [
    DEPLOY / "README.md",
    *(DEPLOY / "components" / name / "README.md" for name in OPTIONS),
    *(ROOT / "docs" / "how-to" / f"{name}.md" for name in RUNBOOKS),
]


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_and_every_path_leads_somewhere(text: Path) -> None:
    words = text.read_text()
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", words) if "://" not in link]
    assert [link for link in links if not (text.parent / link).exists()] == []
    paths = {path.rstrip("/.") for path in re.findall(r"(?<![\w/.])(?:deploy|platform|components)/[\w./-]+", words)}
    assert [path for path in paths if not (ROOT / path).exists() and not (DEPLOY / path).exists()] == []


def test_the_readme_applies_every_service_once_and_the_organization_first() -> None:
    order = re.search(r"for S in ([a-z ]+); do", (DEPLOY / "README.md").read_text())
    assert order is not None
    assert order[1].split() == list(SERVICES)
