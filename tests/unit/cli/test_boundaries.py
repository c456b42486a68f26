"""The contract of `make boundaries` that is our own finds a circle, and only a circle."""

from __future__ import annotations

import sys
from pathlib import Path

import grimp
import pytest

from tests.support.boundaries import Acyclic

MODULES = {
    "line": ({"a": "from {p} import b", "b": "from {p} import c", "c": ""}, None),
    "circle of two": ({"a": "from {p} import b", "b": "from {p} import a", "c": ""}, {"a", "b"}),
    "circle by way of a third": ({"a": "from {p} import b", "b": "from {p} import c", "c": "from {p} import a"}, {"a", "b", "c"}),
    "for types alone": (
        {"a": "from {p} import b", "b": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from {p} import a", "c": ""}, {"a", "b"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MODULES)
def test_a_circle_is_found_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    modules, circle = MODULES[case]
    package = "circles_" + case.replace(" ", "_")
    folder = tmp_path / package
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text.replace("{p}", package) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    graph = grimp.build_graph(package, cache_dir=None)
    sys.modules.pop(package, None)
    check = Acyclic(name="circles", session_options={}, contract_options={}).check(graph, verbose=False)
    found = {module.removeprefix(f"{package}.") for module in check.metadata.get("circle", [])}
    assert (check.kept, found) == (circle is None, circle or set())
