"""Each service starts from exactly the files and distributions that its image would hold, and a forgotten one is found. In a short run three
start: the organization, a drawn department and the gateway; of the others everything is imported that they run."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from crm.organization.v1 import department_service_pb2, person_service_pb2
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation import make_schemabased_validator

from chassis.access.link import OrganizationLink
from chassis.kernel.ids import new_id
from chassis.rpc.channels import Channel
from chassis.rpc.service import request_class
from cli.distributions import locked
from cli.engines import Child, EngineError
from cli.image import SERVICES, build_command, dockerfile, sbom
from cli.plan import Plan
from tests.support.images import ROOT, Image
from tests.support.installation import PASSWORD, Engines, Installation
from tests.support.samples import sample

BASE = f"python:3.11-slim@sha256:{'0' * 64}"
DRAWN = sample(["customer", "sales", "marketing", "support"], 1, "images")
STARTED = [name for name in SERVICES if name in ("organization", "gateway", *DRAWN)]
LISTS = {"customer": "customers", "sales": "opportunities", "marketing": "campaigns", "support": "tickets"}
SIGN_IN = "mutation($i: SessionCreateInput!) { sessionCreate(input: $i) { tokens { accessToken } errors { code } } }"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Image]:
    """Every service's image, laid out."""
    folder = tmp_path_factory.mktemp("images")
    return {name: Image(dockerfile(name), folder / name) for name in SERVICES}


class Container:
    """A service that runs from its laid-out image and sees nothing else of this machine's Python."""

    def __init__(self, name: str, image: Image, plan: Plan, folder: Path) -> None:
        self.name, self.image, self.plan, self.log = name, image, plan, folder / f"{name}.log"
        # On CI no uid can be taken on and no disk be made read-only; what was written would be seen in `files`.
        self.environment = {**image.environment(), **plan.environment(name), "CRM_DIE_WITH_PARENT": "1"}
        self.before = self.files()

    def files(self) -> set[str]:
        """Every file of the image."""
        return {str(path.relative_to(self.image.final.root)) for path in self.image.final.root.rglob("*")}

    async def start(self) -> None:
        """Start it as ENTRYPOINT says, in WORKDIR."""
        with self.log.open("ab") as sink:
            process = await asyncio.create_subprocess_exec(
                *self.image.command(self.image.final.entrypoint), env=self.environment, cwd=self.image.final.inside("."),
                stdout=sink, stderr=sink, stdin=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        self.child = Child(self.name, process, self.log)

    async def ready(self) -> bool:
        """Whether /readyz says yes; fails the test when the process has ended."""
        assert not self.child.ended, f"{self.name}: {self.log.read_text()[-1000:]}"
        try:
            async with httpx.AsyncClient(trust_env=False) as http:
                return (await http.get(f"http://127.0.0.1:{self.plan.ops[self.name]}/readyz")).status_code == 200
        except httpx.HTTPError:
            return False

    async def health(self) -> tuple[int | None, str]:
        """Exit code and words of HEALTHCHECK."""
        process = await asyncio.create_subprocess_exec(
            *self.image.command(self.image.final.health),
            env=self.environment,
            cwd=self.image.final.inside("."),
            stderr=asyncio.subprocess.PIPE,
        )
        _, words = await process.communicate()
        return process.returncode, words.decode().strip()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def containers(
    engines: Engines, images: dict[str, Image], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, Container]]:
    """Services, started from their images on engines that others use too, with databases of their own."""
    plan, folder = engines.plan(), tmp_path_factory.mktemp("containers")
    found = {name: Container(name, images[name], plan, folder) for name in STARTED}
    for container in found.values():
        await container.start()
    yield found
    await asyncio.gather(*(container.child.stop() for container in found.values()))


async def _ask(plan: Plan, method: str, **fields: Any) -> Any:
    """An answer of the organization to the tools."""
    services = {**person_service_pb2.DESCRIPTOR.services_by_name, **department_service_pb2.DESCRIPTOR.services_by_name}
    service = next(found for found in services.values() if method in found.methods_by_name)
    channel = Channel("organization", plan.address("organization"))
    link = OrganizationLink(channel, "cli", plan.secrets["cli"])
    request = request_class(service.methods_by_name[method])(**fields, request_id=new_id())
    try:
        return await channel.call(service, method, request, token=await link.token())
    finally:
        await channel.close()


async def test_every_image_starts_serves_and_writes_nothing_into_itself(containers: dict[str, Container]) -> None:
    for container in containers.values():
        await Installation.until(container.ready, 120)
    plan = containers["gateway"].plan
    company = await _ask(plan, "CreateDepartment", name="总部", kind=3)
    person = await _ask(plan, "CreatePerson", name="人", email="first@example.com", roles=[5], home_department_id=company.department.id)
    await _ask(plan, "SetPassword", person_id=person.person.id, password=PASSWORD)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{plan.gateway_port}", timeout=20, trust_env=False) as http:
        body = {"query": SIGN_IN, "variables": {"i": {"email": "first@example.com", "password": PASSWORD}}}
        session = (await http.post("/graphql", json=body)).json()["data"]["sessionCreate"]
        assert session["errors"] == []
        bearer = {"Authorization": f"Bearer {session['tokens']['accessToken']}"}
        lists = [LISTS[name] for name in DRAWN]
        query = f"{{ {' '.join(f'{name}(first: 1) {{ nodes {{ id }} }}' for name in lists)} }}"

        async def answered() -> bool:
            answer = (await http.post("/graphql", json={"query": query}, headers=bearer)).json()
            nothing: dict[str, list[object]] = {"nodes": []}
            return answer == {"data": dict.fromkeys(lists, nothing)}

        await Installation.until(answered)
    if "support" in containers:
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(f"http://127.0.0.1:{plan.faq_port}/faq")).status_code == 200
    assert await asyncio.gather(*(container.health() for container in containers.values())) == [(0, "")] * len(containers)
    for container in containers.values():
        assert container.files() - container.before == set(), container.name


async def test_the_health_check_fails_where_nothing_answers(images: dict[str, Image], engines: Engines, tmp_path: Path) -> None:
    plan = engines.plan()
    assert await Container("sales", images["sales"], plan, tmp_path).health() == (1, "probe: no answer: UNAVAILABLE")
    code, words = await Container("gateway", images["gateway"], plan, tmp_path).health()
    assert (code, words.startswith("probe: no answer: <urlopen error")) == (1, True)


def _imports(image: Image) -> str:
    """What the image's Python says when it imports all that its service runs."""
    module = image.final.entrypoint[-1]
    line = image.command(["python", "-c", f"import {module}.bootstrap, {module}.settings"])
    answer = subprocess.run(line, check=False, env=image.environment(), cwd=image.final.inside("."), capture_output=True, text=True)
    return answer.stderr.strip().splitlines()[-1] if answer.returncode else ""


def _without(name: str, folder: Path, *, path: str = "", distribution: str = "") -> Image:
    """The image from a context in which something was forgotten."""
    context = folder / "context"
    context.mkdir()
    for entry in (".dockerignore", "chassis", "cli", "gateway", "protos", "requirements", "services"):
        subprocess.run(["cp", "-rl", str(ROOT / entry), str(context / entry)], check=True)
    if path:
        (context / path).unlink()
    if distribution:
        lock = context / "requirements" / f"{name}.txt"
        text = re.sub(rf"^{distribution}==.*\n(?:    --hash.*\n)+", "", lock.read_text(), flags=re.MULTILINE)
        lock.unlink()
        lock.write_text(text)
    return Image(dockerfile(name), folder / name, context)


@pytest.mark.parametrize("name", sorted(set(SERVICES) - set(STARTED)) or SERVICES)
def test_every_image_has_all_that_its_service_imports(images: dict[str, Image], name: str) -> None:
    assert _imports(images[name]) == ""


@pytest.mark.parametrize(
    ("name", "forgotten", "said"),
    [
        ("sales", {"path": "chassis/kernel/money.py"}, "No module named 'chassis.kernel.money'"),
        ("support", {"distribution": "nh3"}, "No module named 'nh3'"),
    ],
)
def test_what_is_forgotten_is_found(tmp_path: Path, name: str, forgotten: dict[str, str], said: str) -> None:
    assert said in _imports(_without(name, tmp_path, **forgotten))


def test_every_image_has_its_own_folder_and_nothing_of_others(images: dict[str, Image]) -> None:
    for name, image in images.items():
        own = {"gateway"} if name == "gateway" else {"services"}
        app = image.final.inside("/app")
        assert {path.name for path in app.iterdir()} == own | {"chassis", "gen"}
        if name != "gateway":
            assert {path.name for path in (app / "services").iterdir()} == {"__init__.py", "__pycache__", name}
        assert not list(app.rglob("*.md")) + list(app.rglob("Dockerfile"))
        compiled = {path.name.split(".")[0] for path in (app / "chassis").rglob("*.pyc")}
        assert compiled == {path.stem for path in (app / "chassis").rglob("*.py")}
        line = image.command(["python", "-c", "import importlib.metadata as m; print(*{d.name for d in m.distributions()})"])
        there = subprocess.run(line, capture_output=True, text=True, check=True).stdout.split()
        assert {_normal(entry) for entry in there} == set(locked(ROOT / "requirements" / f"{name}.txt"))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_image_runs_as_nobody_and_says_what_it_is(images: dict[str, Image]) -> None:
    titles = set()
    for image in images.values():
        assert image.final.user == "65532:65532"
        assert image.final.environment["PYTHONDONTWRITEBYTECODE"] == "1"
        labels = {key.removeprefix("org.opencontainers.image."): value for key, value in image.final.labels.items()}
        assert set(labels) == {"title", "description", "licenses", "version", "revision", "base.name"}
        assert (labels["version"], labels["revision"], labels["base.name"]) == ("${VERSION}", "${REVISION}", "${BASE}")
        titles.add(labels["title"])
    assert titles == {f"xietong/{name}" for name in SERVICES}


def test_the_image_of_the_command_line_writes_the_accounts_that_the_platform_has(tmp_path: Path) -> None:
    image = Image(dockerfile("cli"), tmp_path)
    assert image.final.user == "65532:65532"
    command = [*image.command(image.final.entrypoint), "platform", "accounts"]
    folder = image.final.inside(".")
    answer = subprocess.run(command, env=image.environment(), cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert answer.stdout.strip() == (ROOT / "deploy/platform/nats/accounts.conf").read_text().strip(), answer.stderr


def test_the_dockerfiles_are_one_but_for_names() -> None:
    def bare(name: str) -> str:
        text = re.sub(rf"\b{name}\b(?: department)?", "X", (ROOT / dockerfile(name)).read_text())
        return re.sub(r"COPY services/__init__.py services/__init__.py\n", "", text).replace("services/X", "X").replace("services.X", "X")

    texts = {bare(name) for name in SERVICES if name != "gateway"}
    assert len(texts) == 1
    assert texts.pop().replace('probe", "grpc"', 'probe", "http"').replace("The X of", "The X of") == bare("gateway")


def test_a_base_that_is_not_named_by_digest_is_refused() -> None:
    for base in ("", "python:3.11-slim", "python:3.11-slim@sha256:abc"):
        with pytest.raises(EngineError, match="is not named by digest"):
            build_command("docker", "sales", base, [])
    command = build_command("podman", "sales", BASE, [])
    assert command[:4] == ["podman", "build", "--file", "services/sales/Dockerfile"]
    assert f"BASE={BASE}" in command


def test_the_bill_of_materials_is_valid_and_names_what_the_lock_names(tmp_path: Path) -> None:
    text = sbom("sales", tmp_path / "sales.cdx.json").read_text()
    assert make_schemabased_validator(OutputFormat.JSON, SchemaVersion.V1_6).validate_str(text) is None
    found = json.loads(text)
    assert {_normal(part["name"]): part["version"] for part in found["components"]} == locked(ROOT / "requirements" / "sales.txt")
    assert found["metadata"]["component"]["name"] == "xietong/sales"
    assert sys.prefix not in text
