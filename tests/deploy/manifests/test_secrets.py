"""`xietong platform secrets` makes what the manifests name: each key, once, and such as the services take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli import platform
from cli.installation import Installation
from tests.deploy.manifests import declared
from tests.deploy.manifests.objects import one, pods, service
from tests.deploy.manifests.rendering import SERVICES


def made(folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    platform.secrets(Installation.open(folder))
    return {item["metadata"]["name"]: item["stringData"] for item in json.loads(capsys.readouterr().out)["items"]}


def test_every_key_that_a_service_reads_is_made_and_it_starts_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = made(tmp_path, capsys)
    for name in SERVICES:
        found = service(name, "prod")
        for item in pods(found):
            told = dict(one(found, "ConfigMap", f"{name}-settings")["data"])
            for entry in item.containers[0].get("env", []):
                reference = entry.get("valueFrom", {}).get("secretKeyRef")
                told[entry["name"]] = given[reference["name"]][reference["key"]] if reference else entry["value"]
            declared.settings_of(name).from_env(told)
    assert set(given) == {f"{name}-secrets" for name in SERVICES[:-1]} | {"installation"}


def test_the_organization_knows_every_departments_secret_and_nobody_elses_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = made(tmp_path, capsys)
    pairs = dict(pair.split("=", 1) for pair in given["organization-secrets"]["service-secrets"].split(","))
    assert {name: pairs[name] for name in SERVICES[1:-1]} == {name: given[f"{name}-secrets"]["service-secret"] for name in SERVICES[1:-1]}
    assert len({given[f"{name}-secrets"]["master-keys"] for name in SERVICES[:-1]}) == 5


def test_the_same_installation_makes_the_same_secrets_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert made(tmp_path, capsys) == made(tmp_path, capsys)
