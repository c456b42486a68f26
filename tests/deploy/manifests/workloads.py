"""Rules for what runs: security, probes, images, resources, releases, disruption."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chassis.rpc.server import LIVE
from chassis.runtime.process import STOP_SECONDS
from tests.deploy.manifests.objects import COMPONENT, NAME, Pods, named, of, pods, selects
from tests.deploy.manifests.rendering import Objects
from tests.deploy.manifests.rules import rule

LABELS = (NAME, COMPONENT, "app.kubernetes.io/part-of", "app.kubernetes.io/managed-by")
LAME_DUCK = 35  # of deploy/platform/nats/nats.conf
HOST = ("hostNetwork", "hostPID", "hostIPC")


@rule
def restricted(objects: Objects) -> Iterator[str]:
    """Pods fit the restricted profile of pod security, with a read-only root."""
    for found in pods(objects):
        context = found.spec.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or context.get("runAsUser") == 0:
            yield f"{found.where} may run as root"
        if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{found.where} has no seccomp profile"
        for door in HOST:
            if found.spec.get(door):
                yield f"{found.where} uses {door}"
        for volume in found.spec.get("volumes", []):
            if "hostPath" in volume:
                yield f"{found.where} mounts {volume['hostPath']} of its node"
        for container in found.containers:
            yield from _container(found, container)


def _container(found: Pods, container: dict[str, Any]) -> Iterator[str]:
    context = container.get("securityContext", {})
    where = f"{found.where}/{container['name']}"
    if context.get("privileged") or context.get("allowPrivilegeEscalation") is not False:
        yield f"{where} may get more rights"
    if context.get("readOnlyRootFilesystem") is not True:
        yield f"{where} may write to its root"
    if context.get("capabilities") != {"drop": ["ALL"]}:
        yield f"{where} has capabilities"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield f"{where} takes a port of its node"


@rule
def without_token(objects: Objects) -> Iterator[str]:
    """Pods have an account of their own, without a token. The database's is its operator's."""
    known = {found["metadata"]["name"]: found for found in of(objects, "ServiceAccount")}
    for name, account in known.items():
        if account.get("automountServiceAccountToken") is not False:
            yield f"ServiceAccount/{name} gives tokens"
    for found in pods(objects):
        if found.owner["kind"] == "MongoDBCommunity":
            continue
        if found.spec.get("automountServiceAccountToken") is not False:
            yield f"{found.where} mounts a token"
        if found.spec.get("serviceAccountName") not in known:
            yield f"{found.where} runs as {found.spec.get('serviceAccountName', 'default')}, which is not among the objects"
        if found.spec.get("enableServiceLinks") is not False:
            yield f"{found.where} is told every service of the namespace"


@rule
def probes(objects: Objects) -> Iterator[str]:
    """What serves is probed thrice; a department by gRPC, and its liveness asks of nothing but the process."""
    for found in pods(objects):
        if not found.serves:
            continue
        for container in found.spec["containers"]:
            where = f"{found.where}/{container['name']}"
            missing = {"startupProbe", "livenessProbe", "readinessProbe"} - set(container)
            if missing:
                yield f"{where} has no {', '.join(sorted(missing))}"
                continue
            ports = {port["containerPort"] for port in container["ports"]} | {port["name"] for port in container["ports"]}
            for probe in (container["startupProbe"], container["livenessProbe"], container["readinessProbe"]):
                if _port(probe) not in ports:
                    yield f"{where} is probed on port {_port(probe)}, which it does not have"
            live = container["livenessProbe"]
            if found.labels[COMPONENT] == "department" and (live.get("grpc") or {}).get("service") != LIVE:
                yield f"{where} is killed when something that it waits for is away: its liveness is not «{LIVE}» by gRPC"
            if live.get("httpGet", {}).get("path") == "/readyz":
                yield f"{where} is killed when something that it waits for is away: its liveness asks /readyz"
            if container["readinessProbe"].get("httpGet", {}).get("path") == "/readyz":
                yield f"{where} leaves with all its replicas when something that it can do without is away: its readiness asks /readyz"


def _port(probe: dict[str, Any]) -> Any:
    return next((probe[kind]["port"] for kind in ("grpc", "httpGet", "tcpSocket") if kind in probe), None)


@rule
def pinned_images(objects: Objects) -> Iterator[str]:
    """Images have a tag that is never latest, or a digest."""
    for found in pods(objects):
        for container in found.containers:
            image = container.get("image")
            if image is None and found.owner["kind"] == "MongoDBCommunity":
                continue  # spec.version says which
            _, _, tag = image.rpartition("/")[2].partition(":")
            if "@sha256:" not in image and tag in ("", "latest"):
                yield f"{found.where}/{container['name']} runs {image}, which may be another one tomorrow"


@rule
def resources(objects: Objects) -> Iterator[str]:
    """Every container says what it needs and what it gets at most."""
    for found in pods(objects):
        for container in found.containers:
            given = container.get("resources", {})
            for side in ("requests", "limits"):
                if set(given.get(side, {})) < {"cpu", "memory"}:
                    yield f"{found.where}/{container['name']} has no {side} of cpu and memory"


@rule
def writable(objects: Objects) -> Iterator[str]:
    """What is written goes to bounded scratch or to a claim."""
    for found in pods(objects):
        for volume in found.spec.get("volumes", []):
            if "emptyDir" in volume and "sizeLimit" not in (volume["emptyDir"] or {}):
                yield f"{found.where} may fill its node by {volume['name']}"
        kinds = {volume["name"]: volume for volume in found.spec.get("volumes", [])}
        for container in found.containers:
            for mount in container.get("volumeMounts", []):
                if not {"secret", "configMap", "projected"}.isdisjoint(kinds.get(mount["name"], {})) and not mount.get("readOnly"):
                    yield f"{found.where} mounts {mount['name']} to write to it"


@rule
def releases(objects: Objects) -> Iterator[str]:
    """A release takes no replica away before another one serves, and leaves their number to the autoscaler."""
    for found in of(objects, "Deployment"):
        if found["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxUnavailable") != 0:
            yield f"{named(found)} may have fewer replicas while it is released"
        if "replicas" in found["spec"]:
            yield f"{named(found)} takes the number of replicas back at every release"


@rule
def drains(objects: Objects) -> Iterator[str]:
    """The kubelet waits longer than a process drains."""
    for found in pods(objects):
        if not found.serves or found.labels[NAME] == "mongo":
            continue
        before = found.spec["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        needed = LAME_DUCK if found.labels[NAME] == "nats" else before + STOP_SECONDS
        if found.spec.get("terminationGracePeriodSeconds", 30) < needed + 3:
            yield f"{found.where} is killed after {found.spec.get('terminationGracePeriodSeconds', 30)} s, in the middle of its drain of {needed} s"
        if found.labels[NAME] == "nats" and "ldm" not in str(found.spec["containers"][0].get("lifecycle", {}).get("preStop", "")):
            yield f"{found.where} does not send its clients away before it ends"
        if found.labels[NAME] == "gateway" and not before:
            yield f"{found.where} stops listening before the proxies know"


@rule
def spread(objects: Objects) -> Iterator[str]:
    """Replicas are on different nodes."""
    for found in pods(objects):
        if found.owner["kind"] not in ("Deployment", "StatefulSet", "MongoDBCommunity") or found.owner["spec"].get("replicas") == 1:
            continue
        rules = [item for item in found.spec.get("topologySpreadConstraints", []) if item["topologyKey"] == "kubernetes.io/hostname"]
        if not any(item["whenUnsatisfiable"] == "DoNotSchedule" and selects(item["labelSelector"], found.labels) for item in rules):
            yield f"{found.where} may have all replicas on one node"


@rule
def disruption(objects: Objects) -> Iterator[str]:
    """A drain of nodes takes one replica at a time, and is never held up for good."""
    budgets = of(objects, "PodDisruptionBudget")
    for found in pods(objects):
        if found.owner["kind"] not in ("Deployment", "StatefulSet", "MongoDBCommunity"):
            continue
        fitting = [item["spec"] for item in budgets if selects(item["spec"]["selector"], found.labels)]
        if [item.get("maxUnavailable") for item in fitting] != [1] or "minAvailable" in fitting[0]:
            yield f"{found.where} has no disruption budget of one"


@rule
def autoscaled(objects: Objects) -> Iterator[str]:
    """Every Deployment has an autoscaler; outside dev it keeps two replicas at least."""
    scalers = {item["spec"]["scaleTargetRef"]["name"]: item["spec"] for item in of(objects, "HorizontalPodAutoscaler")}
    for found in of(objects, "Deployment"):
        name, small = found["metadata"]["name"], found["metadata"].get("namespace") == "crm-dev"
        least = scalers.get(name, {}).get("minReplicas", 0)
        if least < (1 if small else 2) or scalers[name]["maxReplicas"] < least:
            yield f"{named(found)} has {least} replicas at least"
    for name in set(scalers) - {item["metadata"]["name"] for item in of(objects, "Deployment")}:
        yield f"HorizontalPodAutoscaler of {name} scales nothing"


@rule
def jobs(objects: Objects) -> Iterator[str]:
    """Jobs end by themselves and are cleared away; a migration waits for nothing."""
    for found in of(objects, "Job"):
        spec = found["spec"]
        if not {"backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"} <= set(spec):
            yield f"{named(found)} may stay for good"
        if spec["template"]["spec"].get("initContainers"):
            yield f"{named(found)} waits for something"
        if found["metadata"]["name"].endswith("-migrate") and spec["template"]["spec"]["containers"][0].get("args") != ["--migrate"]:
            yield f"{named(found)} does not migrate"


@rule
def labelled(objects: Objects) -> Iterator[str]:
    """Everything carries the recommended labels; the whole installation's own objects have no name and component."""
    for found in objects:
        labels = found["metadata"].get("labels", {})
        wanted = (
            LABELS if "app.kubernetes.io/component" in labels or found["kind"] in ("Deployment", "Service", "StatefulSet") else LABELS[2:]
        )
        if missing := [label for label in wanted if label not in labels]:
            yield f"{named(found)} has no {', '.join(missing)}"
