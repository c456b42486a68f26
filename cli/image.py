"""The image of one service and what is in it: `make image S=sales BASE=…`, `make sbom S=sales`."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from cli.distributions import ROOT, lay_out
from cli.engines import EngineError
from cli.plan import DEPARTMENTS

SERVICES = (*DEPARTMENTS, "gateway")
IMAGES = (*SERVICES, "cli")
BUILDERS = ("docker", "podman", "buildah")
BY_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")


def dockerfile(service: str) -> Path:
    """Where the Dockerfile of a service, or of the command line, is, from the repository's root."""
    return Path(f"services/{service}" if service in DEPARTMENTS else service) / "Dockerfile"


def builder() -> str:
    """The first builder that is there and works. Raises EngineError that says what each one lacks."""
    lacks = []
    for name in BUILDERS:
        if not shutil.which(name):
            lacks.append(f"{name} is not installed")
            continue
        answer = subprocess.run([name, "info"], capture_output=True, text=True, check=False)
        if answer.returncode == 0 and "Cannot connect" not in answer.stderr:
            return name
        lacks.append(f"{name} does not work ({(answer.stderr.strip().splitlines() or ['no reason given'])[-1][:120]})")
    raise EngineError(f"no builder of images: {'; '.join(lacks)}. Install one of them (on Debian: apt-get install buildah)")


def build_command(name: str, service: str, base: str, more: list[str]) -> list[str]:
    """The command that builds. Raises EngineError for a base that may be another one tomorrow."""
    if not BY_DIGEST.fullmatch(base):
        raise EngineError(
            f"BASE={base or '(not set)'} is not named by digest; give BASE=python:3.11-slim@sha256:<64 hex digits>, as your registry shows it"
        )
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    command = [name, "build", "--file", str(dockerfile(service)), "--tag", f"xietong/{service}:{version}"]
    if name != "docker":
        command += ["--format", "docker"]  # the other format has no place for a health check
    if configuration := os.environ.get("PIP_CONFIG_FILE"):
        command += ["--secret", f"id=pip,src={configuration}"]
    for key, value in {"BASE": base, "VERSION": version, "REVISION": revision}.items():
        command += ["--build-arg", f"{key}={value}"]
    return [*command, *more, "."]


def build(service: str, base: str, more: list[str]) -> None:
    """Build the image of a service; exits as the builder does. Raises EngineError."""
    build_command("", service, base, more)  # what is wrong with the order is said before what is missing here
    raise SystemExit(subprocess.run(build_command(builder(), service, base, more), cwd=ROOT, check=False).returncode)


def sbom(service: str, target: Path) -> Path:
    """Write the bill of materials (CycloneDX 1.6, JSON, valid) of what a service's lock installs on a machine like this one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    raw = target.with_suffix(".new")
    with tempfile.TemporaryDirectory() as folder:
        python = lay_out(ROOT / "requirements" / f"{'run' if service == 'cli' else service}.txt", Path(folder))
        command = [
            sys.executable, "-m", "cyclonedx_py", "environment", str(python), "--pyproject", str(ROOT / "pyproject.toml"),
            "--spec-version", "1.6", "--output-reproducible", "--validate", "--output-file", str(raw),
        ]  # fmt: skip
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise EngineError(f"cyclonedx-py: {(answer.stderr.strip().splitlines() or ['failed'])[-1]}")
    found = json.loads(raw.read_text())
    found["metadata"]["component"] |= {"name": f"xietong/{service}", "type": "container"}  # the project's file names all of it
    target.write_text(json.dumps(found, ensure_ascii=False, indent=2))
    raw.unlink()
    return target


def main() -> None:
    """`build` or `sbom` for one service."""
    parser = argparse.ArgumentParser(prog="image")
    parser.add_argument("action", choices=("build", "sbom"))
    parser.add_argument("service", choices=IMAGES, help="the service, or cli: make image S=sales")
    parser.add_argument("base", nargs="?", default="", help="the base by digest: BASE=python:3.11-slim@sha256:…")
    options, more = parser.parse_known_args()
    try:
        if options.action == "build":
            build(options.service, options.base, more)
        print(sbom(options.service, ROOT / ".cache" / "sbom" / f"{options.service}.cdx.json").relative_to(ROOT))
    except EngineError as error:
        sys.exit(f"image: {error}")


if __name__ == "__main__":
    main()
