"""Rules for who reaches whom: services, policies, and the call graph that the code declares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cli.plan import DEPARTMENTS
from tests.deploy.manifests import declared
from tests.deploy.manifests.objects import COMPONENT, named, of, peers, pods, selects
from tests.deploy.manifests.rendering import Objects
from tests.deploy.manifests.rules import rule

GRPC, MONGO, NATS, MONITOR = 9000, 27017, 4222, 8222
# The policies that name addresses: the mail server, the identity provider, the API server for the database's operator.
OUTSIDE = {"marketing-mail": {25}, "organization-provider": {443}, "mongo-agent": {443, 6443}}
INSIDE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")


@rule
def call_graph(objects: Objects) -> Iterator[str]:
    """A department lets in whom its code declares as callers, and reaches whom its settings name: no more, no less."""
    for policy in of(objects, "NetworkPolicy"):
        name, spec = policy["metadata"]["name"], policy["spec"]
        if name not in (*DEPARTMENTS, "gateway"):
            continue
        reached = peers(spec.get("egress", []), "to", GRPC)
        if reached != declared.calls(name):
            yield f"{named(policy)} reaches {_difference(reached, declared.calls(name))} than the settings name"
        if name == "gateway":
            continue
        let_in = peers(spec.get("ingress", []), "from", GRPC)
        if let_in != declared.callers(name):
            yield f"{named(policy)} lets in {_difference(let_in, declared.callers(name))} than `callers`"


def _difference(found: set[str], wanted: frozenset[str]) -> str:
    return f"others ({', '.join(sorted(found ^ wanted))})"


@rule
def engines(objects: Objects) -> Iterator[str]:
    """Departments reach MongoDB and NATS, the gateway NATS alone; and those let in nobody else."""
    for policy in of(objects, "NetworkPolicy"):
        name, spec = policy["metadata"]["name"], policy["spec"]
        if name in (*DEPARTMENTS, "gateway"):
            mongo, nats = peers(spec.get("egress", []), "to", MONGO), peers(spec.get("egress", []), "to", NATS)
            if nats != {"nats"} or mongo != (set() if name == "gateway" else {"mongo"}):
                yield f"{named(policy)} reaches other engines than it uses: {sorted(mongo | nats)}"
        if name == "nats" and peers(spec["ingress"], "from", NATS) != {*DEPARTMENTS, "gateway", "cli"}:
            yield f"{named(policy)} lets others in than its accounts"
        if name == "mongo" and peers(spec["ingress"], "from", MONGO) != {*DEPARTMENTS, "cli", "mongo"}:
            yield f"{named(policy)} lets others in than its users"


@rule
def closed(objects: Objects) -> Iterator[str]:
    """No policy opens to everybody or on every port; addresses stand in the few that are declared, and never mean the cluster's own."""
    for policy in of(objects, "NetworkPolicy"):
        name, spec = policy["metadata"]["name"], policy["spec"]
        if not spec["podSelector"] and name != "deny-all":
            yield f"{named(policy)} is for every pod"
        for side, other in (("ingress", "from"), ("egress", "to")):
            for entry in spec.get(side, []):
                if not entry.get(other) or not entry.get("ports"):
                    yield f"{named(policy)} has an {side} rule without {other} or ports"
                for peer in entry.get(other, []):
                    yield from _peer(policy, peer, {port.get("port") for port in entry.get("ports", [])})


def _peer(policy: dict[str, Any], peer: dict[str, Any], ports: set[Any]) -> Iterator[str]:
    if "ipBlock" in peer:
        block = peer["ipBlock"]
        if not ports <= OUTSIDE.get(policy["metadata"]["name"], set()) or None in ports:
            yield f"{named(policy)} opens {block['cidr']} on {sorted(ports, key=str)}, which is not declared"
        if block["cidr"].endswith("/0") and not set(INSIDE) <= set(block.get("except", [])):
            yield f"{named(policy)} opens the cluster's own addresses by {block['cidr']}"
    elif not peer.get("podSelector") and not peer.get("namespaceSelector", {}).get("matchLabels"):
        yield f"{named(policy)} opens to every pod"


@rule
def policed(objects: Objects) -> Iterator[str]:
    """Every pod has a policy for both directions, may ask for names, and listens where its policy opens."""
    policies = [item["spec"] for item in of(objects, "NetworkPolicy") if item["metadata"]["name"] != "deny-all"]
    for found in pods(objects):
        own = [spec for spec in policies if selects(spec["podSelector"], found.labels) and spec["podSelector"]]
        if {kind for spec in own for kind in spec["policyTypes"]} != {"Ingress", "Egress"}:
            yield f"{found.where} has no policy for both directions"
        if not any(
            entry.get("ports") and 53 in [port["port"] for port in entry["ports"]] for spec in own for entry in spec.get("egress", [])
        ):
            yield f"{found.where} may not ask for names"
        listens = {port["containerPort"] for container in found.containers for port in container.get("ports", [])}
        opened = {port["port"] for spec in own for entry in spec.get("ingress", []) for port in entry.get("ports", [])}
        if found.owner["kind"] != "MongoDBCommunity" and not opened <= listens:
            yield f"{found.where} does not listen on {sorted(opened - listens)}, which its policy opens"


@rule
def services(objects: Objects) -> Iterator[str]:
    """Services find pods and their ports; a department's is headless, for its callers balance by themselves."""
    for service in of(objects, "Service"):
        spec = service["spec"]
        found = [item for item in pods(objects) if item.serves and selects({"matchLabels": spec["selector"]}, item.labels)]
        if not found or COMPONENT not in spec["selector"]:
            yield f"{named(service)} finds no pods, or too many"
            continue
        names = {port["name"] for port in found[0].spec["containers"][0].get("ports", [])}
        if wrong := [port["targetPort"] for port in spec["ports"] if port["targetPort"] not in names]:
            yield f"{named(service)} leads to ports that are not there: {wrong}"
        if service["metadata"]["name"] in DEPARTMENTS and (spec.get("clusterIP") != "None" or spec["ports"][0]["port"] != GRPC):
            yield f"{named(service)} is not headless on {GRPC}: all calls of a caller would go to one replica"
        if spec.get("type", "ClusterIP") != "ClusterIP":
            yield f"{named(service)} opens ports of nodes"


@rule
def edge(objects: Objects) -> Iterator[str]:
    """The public comes in by TLS alone; what lasts has no time limit; bodies are bounded, but not on the way of a WebSocket."""
    gateways = of(objects, "Gateway")
    if not gateways:
        return
    listeners = {item["name"]: item for item in gateways[0]["spec"]["listeners"]}
    hosts = {name for item in of(objects, "Certificate") if item["spec"]["secretName"] == "edge-tls" for name in item["spec"]["dnsNames"]}
    bounded = {
        ref["name"] for item in of(objects, "BackendTrafficPolicy") if "requestBuffer" in item["spec"] for ref in item["spec"]["targetRefs"]
    }
    if listeners["https"].get("tls", {}).get("mode") != "Terminate":
        yield "Gateway/edge has no TLS"
    for route in of(objects, "HTTPRoute"):
        name, spec = route["metadata"]["name"], route["spec"]
        plain = listeners[spec["parentRefs"][0]["sectionName"]]["protocol"] == "HTTP"
        for entry in spec["rules"]:
            redirects = [item for item in entry.get("filters", []) if item.get("requestRedirect", {}).get("scheme") == "https"]
            if plain and (not redirects or entry.get("backendRefs")):
                yield f"HTTPRoute/{name} serves without TLS"
            if name.startswith("graph") and entry.get("timeouts", {}).get("request") != "0s":
                yield f"HTTPRoute/{name} cuts subscriptions off"
            if not plain and "GET" in [match.get("method") for match in entry["matches"]] and name in bounded:
                yield f"HTTPRoute/{name} holds WebSockets back"
            if not plain and "GET" not in [match.get("method") for match in entry["matches"]] and name not in bounded:
                yield f"HTTPRoute/{name} takes bodies of any size"
            yield from _behind(objects, name, entry)
        if not plain and not set(spec["hostnames"]) <= hosts:
            yield f"HTTPRoute/{name} answers for hosts that the certificate does not name"


def _behind(objects: Objects, name: str, entry: dict[str, Any]) -> Iterator[str]:
    known = {item["metadata"]["name"]: {port["port"] for port in item["spec"]["ports"]} for item in of(objects, "Service")}
    if "gateway" not in known:
        return  # the platform alone
    for behind in entry.get("backendRefs", []):
        if behind["port"] not in known.get(behind["name"], ()):
            yield f"HTTPRoute/{name} leads to {behind['name']}:{behind['port']}, which is not there"


@rule
def monitored_only_from_monitoring(objects: Objects) -> Iterator[str]:
    """The inside doors (metrics, NATS' monitor) are for the namespace of the monitoring; NATS' one for departments too."""
    for policy in of(objects, "NetworkPolicy"):
        for entry in policy["spec"].get("ingress", []):
            inside = {port["port"] for port in entry.get("ports", [])} & {9001, 9002, MONITOR}
            if inside == {MONITOR} and peers([entry], "from", MONITOR) == set(DEPARTMENTS):
                continue
            from_there = [peer.get("namespaceSelector", {}).get("matchLabels") for peer in entry.get("from", [])]
            if inside and from_there != [{"kubernetes.io/metadata.name": "monitoring"}]:
                yield f"{named(policy)} opens the inside door {sorted(inside)}"
