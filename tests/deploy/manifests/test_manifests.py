"""Every kustomization of deploy/ renders, is valid Kubernetes, and breaks none of our rules."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from functools import cache

import kubernetes_validate
import pytest
import yaml

from cli.plan import new_master
from tests.deploy.manifests import belongings, declared, networks, workloads
from tests.deploy.manifests.objects import NAME, named, of, one, plain, pods, service
from tests.deploy.manifests.rendering import (
    APART,
    ENVIRONMENTS,
    ROOT,
    SERVICES,
    SUBSETS,
    Objects,
    ahead,
    combination,
    objects,
    overlays,
    text,
)
from tests.deploy.manifests.rules import RULES, broken

VERSIONS = ("1.35", "1.36", "1.37")  # those that Kubernetes supports; matchLabelKeys of 1.34 is the newest thing that we use
WHOLE = [f"environments/{environment}" for environment in ENVIRONMENTS]
assert workloads
assert networks


@pytest.fixture(scope="module", autouse=True)
def rendered() -> None:
    """All of them, two at a time."""
    ahead([*WHOLE, *overlays()])


# It reads its schemas, some megabytes, anew for each object.
kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)
taken: set[str] = set()


def invalid(found: Objects) -> list[str]:
    """What Kubernetes would refuse; kinds that are not its own are for `known_shapes`. The same object is asked for once."""
    wrong = []
    for item in found:
        if item["kind"] in belongings.FIELDS or json.dumps(item) in taken:
            continue
        taken.add(json.dumps(item))
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(item, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                wrong.append(f"{version} {named(item)}: {error.message[:200]}")
    return wrong


@pytest.mark.parametrize("path", overlays())
def test_an_overlay_renders_and_breaks_no_rule(path: str) -> None:
    assert broken(objects(path)) == {}


@pytest.mark.parametrize("path", WHOLE)
def test_a_whole_environment_breaks_no_rule_and_is_what_its_overlays_are(path: str) -> None:
    whole = objects(path)
    assert broken(whole) == {}
    environment = path.rpartition("/")[2]
    if environment not in APART:
        return
    parts = [f"platform/overlays/{environment}", *(f"services/{name}/overlays/{environment}" for name in SERVICES)]
    apart = [item for part in parts for item in objects(part)]
    assert sorted(map(str, whole)) == sorted(map(str, apart))


@pytest.mark.parametrize("path", WHOLE)
def test_every_supported_kubernetes_takes_it_strictly(path: str) -> None:
    assert invalid(objects(path)) == []


@pytest.mark.parametrize("options", SUBSETS, ids=lambda options: "+".join(options) or "none")
def test_every_combination_of_components_renders_is_valid_and_breaks_no_rule(options: tuple[str, ...]) -> None:
    found = combination(options)
    for item in found:  # one replica is allowed in dev, for which that component is
        item["metadata"]["namespace"] = "crm-dev" if "single-replica" in options else "crm-prod"
    assert len(found) == len(combination(()))
    assert broken(found) == {}
    assert invalid(found) == []


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize("environment", APART)
def test_an_overlay_names_only_its_own_departments_objects(name: str, environment: str) -> None:
    for item in objects(f"services/{name}/overlays/{environment}"):
        assert item["metadata"]["name"] == name or item["metadata"]["name"].startswith(f"{name}-"), named(item)
        assert item["metadata"]["namespace"] == f"crm-{environment}", named(item)
        assert item["metadata"]["labels"][NAME] == name, named(item)
        for selector in [item.get("spec", {}).get("podSelector"), item.get("spec", {}).get("selector")]:
            labels = (selector or {}).get("matchLabels") or (selector or {})
            assert labels.get(NAME, name) == name, named(item)


def test_no_two_overlays_of_an_environment_have_an_object_in_common() -> None:
    for environment in ENVIRONMENTS:
        seen = [named(item) for item in objects(f"environments/{environment}")]
        assert len(seen) == len(set(seen))


def test_the_declared_callers_and_the_settings_are_one_graph() -> None:
    departments = SERVICES[:-1]
    by_callers = {(caller, name) for name in departments for caller in declared.callers(name)}
    by_settings = {(name, other) for name in SERVICES for other in declared.calls(name)}
    assert by_callers - {("cli", name) for name in departments} == by_settings


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_starts_with_exactly_the_settings_that_it_is_given(name: str, environment: str) -> None:
    found = service(name, environment)
    secret = {"service-secret": "s", "service-secrets": "customer=s", "master-keys": new_master()}
    for item in pods(found):
        given = dict(one(found, "ConfigMap", f"{name}-settings")["data"])
        for entry in item.containers[0].get("env", []):
            given[entry["name"]] = entry.get("value") or secret[entry["valueFrom"]["secretKeyRef"]["key"]]
        known = {field.metadata["env"] for field in fields(declared.settings_of(name))}
        assert set(given) - known == set()
        settings = declared.settings_of(name).from_env(given)
        assert settings.identity is not None
        assert settings.environment == ("development" if environment == "dev" else "production")
        for other in declared.calls(name):
            assert given[f"CRM_{other.upper()}_ADDRESS"] == f"dns:///{other}:9000"


def test_a_changed_setting_gets_another_name_so_that_replicas_are_rolled() -> None:
    names = {
        environment: {item["metadata"]["name"] for item in of(service("customer", environment), "ConfigMap")}
        for environment in ("dev", "prod")
    }
    assert len(names["dev"] | names["prod"]) == 2
    assert {plain(item) for item in of(service("customer", "dev"), "ConfigMap")} == {"customer-settings"}


def test_each_overlay_names_its_own_image_tag() -> None:
    for name in SERVICES:
        for environment in ENVIRONMENTS:
            overlay = yaml.safe_load((ROOT / f"deploy/services/{name}/overlays/{environment}/kustomization.yaml").read_text())
            assert [image["name"] for image in overlay["images"]] == [f"xietong/{name}"]
            assert re.search(rf"image: xietong/{name}:{overlay['images'][0]['newTag']}$", text(f"environments/{environment}"), re.M)


def test_every_rule_says_what_it_is_for() -> None:
    assert len(RULES) >= 24
    assert [name for name, check in RULES.items() if not check.__doc__] == []


UNITS = {"m": 0.001, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def amount(text: str) -> float:
    """A quantity of Kubernetes as a number."""
    unit = next((unit for unit in UNITS if text.endswith(unit)), "")
    return float(text.removesuffix(unit)) * UNITS.get(unit, 1)


@pytest.mark.parametrize("side", ["requests", "limits"])
@pytest.mark.parametrize("kind", ["cpu", "memory"])
def test_the_quota_has_room_for_every_replica_that_autoscalers_may_make_and_for_a_release(side: str, kind: str) -> None:
    found = objects("environments/prod")
    most = {item["metadata"]["name"]: item["spec"]["maxReplicas"] + 1 for item in of(found, "HorizontalPodAutoscaler")}
    needed = 0.0
    for item in pods(found):
        replicas = (
            most.get(item.labels[NAME])
            if item.owner["kind"] == "Deployment"
            else item.owner["spec"].get("replicas") or item.owner["spec"].get("members", 1)
        )
        needed += float(replicas or 1) * sum(amount(each["resources"][side][kind]) for each in item.spec["containers"])
    assert 0 < needed <= amount(one(found, "ResourceQuota", "crm")["spec"]["hard"][f"{side}.{kind}"])
