"""A new master key goes before the older ones, and not under a running installation."""

from __future__ import annotations

from pathlib import Path

import pytest

from chassis.storage.encryption import Masters
from cli.engines import EngineError
from cli.installation import Installation
from cli.keys import rotate_master


def test_a_new_master_key_wraps_and_the_older_one_still_opens(tmp_path: Path) -> None:
    before = dict(Installation.open(tmp_path).kept["masters"])
    rotate_master(Installation.open(tmp_path))
    for department, keys in Installation.open(tmp_path).kept["masters"].items():
        new, old = Masters.of(keys), Masters.of(before[department])
        assert new.current != old.current
        row = old.wrap("subject", b"k" * 32) | {"_id": "subject"}
        assert new.unwrap(row) == b"k" * 32


def test_it_is_refused_while_the_installation_runs(tmp_path: Path) -> None:
    installation = Installation.open(tmp_path)
    before = (tmp_path / "installation.json").read_text()
    with installation.lock(), pytest.raises(EngineError, match="stop it first"):
        rotate_master(Installation.open(tmp_path))
    assert (tmp_path / "installation.json").read_text() == before
