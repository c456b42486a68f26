"""deploy/compose.yaml: every service gets the settings that it knows and needs, is checked for health, and is not open to the world."""

from __future__ import annotations

import importlib
import re
import stat
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from chassis.runtime.process import STOP_SECONDS
from cli.compose import write
from cli.distributions import ROOT
from cli.engines import EngineError, nats_binary
from cli.image import SERVICES, dockerfile
from tests.support.images import stages

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
GIVEN = {
    "CRM_SMTP_URL": "smtp://mail.example.com:587",
    "CRM_MAIL_SENDER": "news@example.com",
    "CRM_UNSUBSCRIBE_URL": "https://news.example.com",
}


def settings(name: str) -> Any:
    package = "gateway" if name == "gateway" else f"services.{name}"
    return importlib.import_module(f"{package}.settings").Settings


def secrets_in(path: Path) -> dict[str, str]:
    """The variables of an env file."""
    return dict(line.split("=", 1) for line in path.read_text().splitlines()) if path.exists() else {}


def filled(value: str) -> str:
    """The value with what the operator gives, or its default."""
    return re.sub(r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}", lambda found: GIVEN.get(found[1], "x" if found[2] is None else found[2]), value)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_given_every_setting_that_it_needs_and_none_that_it_does_not_know(name: str, tmp_path: Path) -> None:
    write(tmp_path / "secrets")
    service = COMPOSE["services"][name]
    files = [tmp_path / file for file in service.get("env_file", [])]
    assert files == ([] if name == "gateway" else [tmp_path / "secrets" / f"{name}.env"])
    given = {key: filled(value) for key, value in service["environment"].items()}
    for file in files:
        secret = secrets_in(file)
        assert len(secret) == 2
        assert not given.keys() & secret.keys()
        given |= secret
    known = {item.metadata["env"]: item for item in fields(settings(name))}
    assert given.keys() <= known.keys()
    settings(name).from_env(given)  # raises for what is missing or cannot be used
    hosts = {value.rsplit(":", 1)[0] for key, value in given.items() if key.endswith("_ADDRESS")}
    assert hosts <= {*SERVICES, "0.0.0.0", "127.0.0.1"}
    assert given["CRM_OPS_ADDRESS"].startswith("127.0.0.1:")


def test_departments_are_given_their_own_secrets_alone(tmp_path: Path) -> None:
    found = {path.stem: secrets_in(path) for path in write(tmp_path / "secrets")}
    assert set(found) == set(SERVICES) - {"gateway"}
    masters = [secret["CRM_MASTER_KEYS"] for secret in found.values()]
    assert len(set(masters)) == len(masters)
    tokens = dict(pair.split("=", 1) for pair in found.pop("organization")["CRM_SERVICE_SECRETS"].split(","))
    assert {name: secret["CRM_SERVICE_SECRET"] for name, secret in found.items()}.items() <= tokens.items()
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "secrets").iterdir()} == {0o600}


def test_secrets_that_are_there_are_never_written_over(tmp_path: Path) -> None:
    before = [path.read_text() for path in write(tmp_path / "secrets")]
    with pytest.raises(EngineError, match="has secrets already"):
        write(tmp_path / "secrets")
    assert [path.read_text() for path in sorted((tmp_path / "secrets").iterdir())] == before


def test_nothing_is_published_but_the_graph_and_the_public_pages_on_loopback() -> None:
    ports = {name: service["ports"] for name, service in COMPOSE["services"].items() if "ports" in service}
    assert ports == {"gateway": ["127.0.0.1:8400:8400"], "marketing": ["127.0.0.1:8411:8411"], "support": ["127.0.0.1:8410:8410"]}
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    outside = {name for name, service in COMPOSE["services"].items() if "outside" in service["networks"]}
    assert outside == {"organization", "marketing", "support", "gateway"}


def test_every_service_runs_as_its_image_says_and_is_checked_as_it_says() -> None:
    assert set(COMPOSE["services"]) == {*SERVICES, "mongo", "nats"}
    for name in SERVICES:
        service = COMPOSE["services"][name]
        assert service["image"].startswith(f"xietong/{name}:${{{name.upper()}_VERSION:?")  # each department its own version
        assert (service["user"], service["read_only"], service["cap_drop"]) == ("65532:65532", True, ["ALL"])
        assert int(service["stop_grace_period"].removesuffix("s")) > STOP_SECONDS
        assert service["depends_on"]["nats"] == {"condition": "service_healthy"}
        check = next(line for line in stages((ROOT / dockerfile(name)).read_text())[-1] if line.startswith("HEALTHCHECK"))
        assert yaml.safe_load(check.split("CMD ", 1)[1]) == service["healthcheck"]["test"][1:]


def test_the_engines_are_named_by_the_operator_checked_and_safe() -> None:
    for name in ("mongo", "nats"):
        engine = COMPOSE["services"][name]
        assert re.fullmatch(r"\$\{[A-Z]+_IMAGE:\?.*by digest.*@sha256:…\}", engine["image"])
        assert engine["healthcheck"]["test"][0] == "CMD"
        assert engine["volumes"][0].split(":")[0] in COMPOSE["volumes"]
        assert engine["networks"] == ["inside"]
    configuration = ROOT / "deploy" / "nats.conf"
    assert "sync_interval: always" in configuration.read_text()
    assert subprocess.run([nats_binary(), "-t", "-c", str(configuration)], check=False, capture_output=True).returncode == 0
    assert COMPOSE["services"]["mongo"]["command"][1:3] == ["--replSet", "crm"]
