"""An environment of exactly the distributions that a lock names, laid out from those that are installed here: in a second, without a network."""

from __future__ import annotations

import os
import shutil
import sys
import venv
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from cli.engines import EngineError

ROOT = Path(__file__).resolve().parent.parent


def locked(lock: Path) -> dict[str, str]:
    """Name → version of what a lock installs on this machine."""
    lines = lock.read_text().replace("\\\n", " ").splitlines()
    wanted = [Requirement(line.split(" --hash")[0]) for line in lines if line.strip()]
    return {found.name: str(found.specifier).removeprefix("==") for found in wanted if not found.marker or found.marker.evaluate()}


def lay_out(lock: Path, folder: Path) -> Path:
    """Make a virtual environment with what the lock names and nothing else, not even pip; the path of its Python.

    Raises EngineError when this environment has not what the lock names.
    """
    venv.create(folder, symlinks=True, with_pip=False)
    site = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    for name, version in locked(lock).items():
        _copy(name, version, lock, site)
    return folder / "bin" / "python"


def _copy(name: str, version: str, lock: Path, site: Path) -> None:
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise EngineError(f"{lock.name} names {name}, which is not installed here; run `make setup`") from None
    if distribution.version != version:
        raise EngineError(f"{lock.name} names {name} {version}, here is {distribution.version}; run `make setup`")
    for file in distribution.files or ():
        if ".." not in file.parts:  # scripts are not needed: everything is started by `python -m`
            target = site / file
            target.parent.mkdir(parents=True, exist_ok=True)
            one_file(Path(str(distribution.locate_file(file))), target)


def one_file(source: Path, target: Path) -> None:
    """The same file twice: by a second name where the disk allows it. What is there already stays."""
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        pass
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
