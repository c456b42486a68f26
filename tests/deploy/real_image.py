"""`make image-proof S=sales`: the image of a service, really built on a Debian base made here, really started, really asked.

`tests/deploy/test_images.py` shows with every run of the tests that an image holds what its service needs. This shows, in some minutes and where
buildah, debootstrap and root are to be had, that a builder makes it of the same Dockerfile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cli.engines import Child, EngineError, free_port, start_mongo, start_nats
from cli.image import SERVICES, build_command
from cli.plan import DEPARTMENTS, Plan, new_masters, new_secrets
from tests.support.images import ROOT

SUITE, BASE = "bookworm", "localhost/xietong-base"
PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
STORE = ROOT / ".cache" / "buildah"
TOOLS = ("buildah", "debootstrap")
# Neither a kernel module nor a network of its own is needed: it works inside of a container too.
ENVIRONMENT = {**os.environ, "STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}
READY_SECONDS = 60


def buildah(*words: str, quiet: bool = True) -> str:
    """What buildah says. Raises EngineError with its last line."""
    line = ["buildah", "--root", str(STORE / "root"), "--runroot", str(STORE / "run"), *words]
    answer = subprocess.run(line, capture_output=quiet, text=True, env=ENVIRONMENT, cwd=ROOT, check=False)
    if answer.returncode:
        raise EngineError(f"buildah {words[0]}: {(answer.stderr or 'see above').strip().splitlines()[-1][:300]}")
    return (answer.stdout or "").strip()


def base() -> str:
    """A Debian with Python, by its digest; made once."""
    known = json.loads(buildah("images", "--json") or "[]")
    if not any(f"{BASE}:{SUITE}" in image["names"] for image in known if image.get("names")):
        with tempfile.TemporaryDirectory() as folder:
            print(f"debootstrap {SUITE} (some minutes, once)", flush=True)
            line = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, folder]
            subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
            for leftover in ("var/cache/apt/archives", "var/lib/apt/lists"):
                shutil.rmtree(Path(folder, leftover), ignore_errors=True)
            made = buildah("from", "scratch")
            buildah("copy", "--quiet", made, folder, "/")
            buildah("commit", "--quiet", "--format", "docker", "--rm", made, f"{BASE}:{SUITE}")
    digest = buildah("inspect", "--type", "image", "--format", "{{.FromImageDigest}}", f"{BASE}:{SUITE}")
    return f"{BASE}@{digest}"


def build(service: str, named: str) -> tuple[str, float]:
    """Build the image as `make image` does; its name and the seconds that it took."""
    begun = time.monotonic()
    flags = ["--pull-never", "--network=host", "--volume", "/etc/ssl/certs:/etc/ssl/certs:ro"]
    words = build_command("buildah", service, named, flags)
    buildah(*words[1:], quiet=False)
    return words[words.index("--tag") + 1], time.monotonic() - begun


async def serves(service: str, image: str) -> float:
    """Start the image beside real engines, and wait until its own health check says yes; seconds."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        mongo, mongo_uri = await start_mongo(folder / "mongo", free_port(), folder / "mongo.log")
        nats, nats_url = await start_nats(folder / "nats", free_port(), folder / "nats.log")
        plan = Plan(
            mongo_uri=mongo_uri, nats_url=nats_url, grpc={name: free_port() for name in DEPARTMENTS},
            ops={name: free_port() for name in SERVICES}, gateway_port=free_port(), faq_port=free_port(), smtp_port=free_port(), unsubscribe_port=free_port(),
            secrets=new_secrets(), masters=new_masters(), log_level="WARNING",
        )  # fmt: skip
        children = [nats, mongo]
        try:
            if service != "organization":  # by whose policy the others decide
                environment = {**os.environ, **plan.environment("organization")}
                command = [sys.executable, "-m", "services.organization"]
                children.insert(0, await Child.start("organization", command, folder / "organization.log", environment))
            return await _healthy(service, image, plan, folder, children)
        finally:
            for child in children:
                await child.stop()


async def _healthy(service: str, image: str, plan: Plan, folder: Path, children: list[Child]) -> float:
    container = buildah("from", "--pull-never", image)
    try:
        about = json.loads(buildah("inspect", container))["Docker"]["config"]
        settings = [word for key, value in plan.environment(service).items() for word in ("--env", f"{key}={value}")]
        run = ["buildah", "--root", str(STORE / "root"), "--runroot", str(STORE / "run"), "run", *settings, container, "--"]
        begun = time.monotonic()
        child = await Child.start(service, [*run, *about["Entrypoint"]], folder / f"{service}.log", ENVIRONMENT)
        children.insert(0, child)
        while True:
            probe = await asyncio.create_subprocess_exec(
                *run, *about["Healthcheck"]["Test"][1:], env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            if await probe.wait() == 0:
                break
            if child.ended or time.monotonic() - begun > READY_SECONDS:
                raise EngineError(f"{service} does not serve from its image: {child.last_words()}")
            await asyncio.sleep(0.5)
        taken = time.monotonic() - begun
        os.kill(_innermost(child.process.pid), signal.SIGTERM)  # the builder would not hand it on
        await asyncio.wait_for(child.process.wait(), 30)
        if child.process.returncode:
            raise EngineError(f"{service} ended with {child.process.returncode} when it was told to: {child.log.read_text()[-1500:]}")
        assert about["User"] == "65532:65532", about["User"]
        return taken
    finally:
        buildah("rm", container)


def _innermost(pid: int) -> int:
    """The process that a builder has started at last."""
    while children := [one for task in Path(f"/proc/{pid}/task").iterdir() for one in (task / "children").read_text().split()]:
        pid = int(children[-1])
    return pid


def main() -> int:
    """All of it for one service."""
    parser = argparse.ArgumentParser(prog="make image-proof")
    parser.add_argument("service", choices=SERVICES)
    service = parser.parse_args().service
    try:
        if missing := [tool for tool in TOOLS if not shutil.which(tool)]:
            raise EngineError(f"{' and '.join(missing)} not found; on Debian: apt-get install {' '.join(TOOLS)}")
        if os.geteuid():
            raise EngineError("debootstrap needs root; run it as root")
        named = base()
        image, seconds = build(service, named)
        size = json.loads(buildah("images", "--json", image))[0]["size"]
        print(f"{image} on {named}: built in {seconds:.0f} s, {size}", flush=True)
        print(f"served from its image, as nobody, after {asyncio.run(serves(service, image)):.1f} s, and ended when told to")
    except EngineError as error:
        print(f"image-proof: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
