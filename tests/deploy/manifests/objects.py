"""Finding one's way in rendered objects: pods, containers, selectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.deploy.manifests.rendering import Objects, objects

NAME, COMPONENT = "app.kubernetes.io/name", "app.kubernetes.io/component"


def service(name: str, environment: str) -> Objects:
    """A service's objects in an environment; the caller may change them."""
    return [item for item in objects(f"environments/{environment}") if item["metadata"].get("labels", {}).get(NAME) == name]


@dataclass
class Pods:
    """The pods that an object makes: what it is called, their labels and their spec."""

    owner: dict[str, Any]
    labels: dict[str, str]
    spec: dict[str, Any]

    @property
    def where(self) -> str:
        """For messages."""
        return named(self.owner)

    @property
    def containers(self) -> list[dict[str, Any]]:
        """All containers, those of the beginning too."""
        return [*self.spec.get("containers", []), *self.spec.get("initContainers", [])]

    @property
    def serves(self) -> bool:
        """Whether they run on and on."""
        return self.owner["kind"] in ("Deployment", "StatefulSet")


def named(found: dict[str, Any]) -> str:
    """Kind and name."""
    return f"{found['kind']}/{found['metadata']['name']}"


def of(objects: Objects, *kinds: str) -> Objects:
    """The objects of these kinds."""
    return [found for found in objects if found["kind"] in kinds]


def one(objects: Objects, kind: str, name: str) -> dict[str, Any]:
    """The object of this kind and name; the name of a ConfigMap without its hash."""
    found = [item for item in of(objects, kind) if item["metadata"]["name"] == name or (kind == "ConfigMap" and plain(item) == name)]
    assert len(found) == 1, f"{kind}/{name}: {len(found)}"
    return found[0]


def plain(config: dict[str, Any]) -> str:
    """The name of a ConfigMap without its hash."""
    return str(config["metadata"]["name"]).rpartition("-")[0]


def pods(objects: Objects) -> Iterator[Pods]:
    """Everything that makes pods."""
    for found in objects:
        spec = found.get("spec", {})
        if found["kind"] in ("Deployment", "StatefulSet", "Job"):
            template = spec["template"]
        elif found["kind"] == "CronJob":
            template = spec["jobTemplate"]["spec"]["template"]
        elif found["kind"] == "MongoDBCommunity":
            template = spec["statefulSet"]["spec"]["template"]
        else:
            continue
        yield Pods(found, template["metadata"]["labels"], template["spec"])


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether matchLabels (an empty one selects everything) fits these labels."""
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def peers(rules: list[dict[str, Any]], side: str, port: int) -> set[str]:
    """The names of the pods that a policy's rules name for a port; side is "from" or "to"."""
    return {
        peer["podSelector"]["matchLabels"][NAME]
        for rule in rules
        if port in [entry.get("port") for entry in rule.get("ports", [])]
        for peer in rule.get(side, [])
        if NAME in peer.get("podSelector", {}).get("matchLabels", {}) and "namespaceSelector" not in peer
    }
