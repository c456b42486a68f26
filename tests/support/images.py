"""What an image would hold, without a builder: a Dockerfile's steps carried out on folders, under the rules of .dockerignore."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from cli.distributions import ROOT, lay_out, one_file

_LOCK = re.compile(r"python3 -m venv /venv && /venv/bin/pip install .*--require-hashes -r (?:/requirements|requirements/(\w+))\.txt")

# As a builder keeps its layers: a stage that stands on nothing but the context is made once.
_MADE: dict[tuple[object, ...], Stage] = {}


@dataclass
class Stage:
    """One stage: its folder stands for the root of its file system."""

    root: Path
    workdir: str = "/"
    environment: dict[str, str] = field(default_factory=dict)
    user: str = ""
    entrypoint: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)

    def inside(self, path: str) -> Path:
        """Where a path of the image is here."""
        return self.root / os.path.join(self.workdir, path).lstrip("/")


class Image:
    """A service's image, laid out in a folder. Steps that it does not know fail: nothing is passed over."""

    def __init__(self, dockerfile: Path, folder: Path, context: Path = ROOT) -> None:
        self.folder, self.context, self.rules = folder, context, _rules(context / ".dockerignore")
        self.stages: dict[str, Stage] = {}
        for first, *lines in stages((ROOT / dockerfile).read_text()):
            key = (context, first, *lines)
            self._from(first)
            if key in _MADE:
                self.stages[self.name] = _MADE[key]
                continue
            for line in lines:
                word, rest = line.split(None, 1)
                getattr(self, f"_{word.lower()}")(rest)
            if not any("--from=" in line for line in lines):
                _MADE[key] = self.stage

    @property
    def final(self) -> Stage:
        """What would be shipped."""
        return self.stages["final"]

    def command(self, line: list[str]) -> list[str]:
        """A command of the image, as it is run here."""
        return [str(self.final.root / "venv/bin/python"), *line[1:]]

    def environment(self) -> dict[str, str]:
        """The variables that the image sets, with its folders as they are here."""
        root = str(self.final.root)
        return {key: re.sub(r"(?<![\w.])/(app|venv)\b", rf"{root}/\1", value) for key, value in self.final.environment.items()}

    def _arg(self, rest: str) -> None:
        assert "=" not in rest, f"ARG {rest}: no default, whoever builds says it"

    def _from(self, line: str) -> None:
        base, *name = line.removeprefix("FROM ").split(" AS ")
        assert base == "${BASE}", base
        self.name = name[0] if name else "final"
        self.stages[self.name] = self.stage = Stage(self.folder / self.name)
        self.stage.root.mkdir(parents=True)

    def _workdir(self, rest: str) -> None:
        self.stage.workdir = rest

    def _user(self, rest: str) -> None:
        self.stage.user = rest

    def _env(self, rest: str) -> None:
        self.stage.environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))

    def _label(self, rest: str) -> None:
        self.stage.labels |= dict(pair.split("=", 1) for pair in shlex.split(rest))

    def _entrypoint(self, rest: str) -> None:
        self.stage.entrypoint = json.loads(rest)

    def _healthcheck(self, rest: str) -> None:
        self.stage.health = json.loads(rest.split("CMD ", 1)[1]) if rest != "NONE" else []

    def _copy(self, rest: str) -> None:
        sources = shlex.split(rest)
        target = sources.pop()
        stage = self.stages[sources.pop(0).removeprefix("--from=")] if sources[0].startswith("--from=") else None
        for source in sources:
            path = stage.inside(source) if stage else self.context / source
            assert path.exists(), f"COPY {rest}: there is no {source}"
            whole = path.is_dir()
            end = self.stage.inside(target) / ("" if whole or not target.endswith("/") else path.name)
            for file in sorted(path.rglob("*")) if whole else [path]:
                if file.is_file() and (stage or not self._ignored(file.relative_to(self.context))):
                    to = end / file.relative_to(path) if whole else end
                    to.parent.mkdir(parents=True, exist_ok=True)
                    one_file(file, to) if stage else shutil.copy2(file, to)

    def _run(self, rest: str) -> None:
        if found := _LOCK.search(rest):
            lay_out(self.stage.inside(f"requirements/{found[1]}.txt" if found[1] else "/requirements.txt"), self.stage.inside("/venv"))
            return
        command: list[str] = json.loads(rest)
        if command[0] == "python3":  # takes pip out of the base, which is not here
            assert "rmtree" in command[2]
            return
        line = [str(self.stage.inside(part)) if part.startswith("/") else part for part in command]
        subprocess.run(line, cwd=self.stage.inside("."), env={"PATH": "/usr/bin:/bin"}, check=True, capture_output=True)

    def _ignored(self, path: Path) -> bool:
        """Whether .dockerignore keeps a file of the context away from the builder: the last rule that fits it or a folder above decides."""
        ignored = False
        for pattern, keeps in self.rules:
            if any(pattern.fullmatch(str(part)) for part in (path, *path.parents)):
                ignored = not keeps
        return ignored


def stages(text: str) -> list[list[str]]:
    """The instructions of each stage of a Dockerfile, one a line, without comments and without what stands before the first stage."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found: list[list[str]] = []
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if line.startswith("FROM "):
            found.append([])
        if found:
            found[-1].append(line)
        else:
            assert line == "ARG BASE", f"{line}: no default, whoever builds says it"
    return found


def _rules(path: Path) -> list[tuple[re.Pattern[str], bool]]:
    lines = [line.strip() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    return [(_pattern(line.removeprefix("!")), line.startswith("!")) for line in lines]


def _pattern(rule: str) -> re.Pattern[str]:
    text = re.escape(rule.strip("/")).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
    return re.compile(text)
