"""Rules for what a service has of its own: settings, secrets by name, certificate; and for the platform's engines and namespace."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from chassis.access.identity import URI
from cli.authority import subject
from cli.mongo_users import ACTIONS
from cli.plan import DEPARTMENTS
from tests.deploy.manifests.objects import NAME, named, of, plain, pods
from tests.deploy.manifests.rendering import Objects
from tests.deploy.manifests.rules import rule

HASHED = re.compile(r"-[a-z0-9]{10}$")
SECRET_NAMES = re.compile(r"SECRET|MASTER_KEYS|PASSWORD|TOKEN")
FIELDS = {
    "Certificate": {
        "secretName", "commonName", "subject", "uris", "dnsNames", "ipAddresses", "usages", "privateKey", "additionalOutputFormats", "duration",
        "renewBefore", "issuerRef", "isCA",
    },
    "Issuer": {"selfSigned", "ca"},
    "Gateway": {"gatewayClassName", "listeners"},
    "HTTPRoute": {"parentRefs", "hostnames", "rules"},
    "BackendTrafficPolicy": {"targetRefs", "requestBuffer"},
    "ClientTrafficPolicy": {"targetRefs", "tls", "timeout"},
    "MongoDBCommunity": {
        "type", "members", "version", "featureCompatibilityVersion", "security", "users", "additionalMongodConfig", "automationConfig", "statefulSet",
    },
}  # fmt: skip
VERSIONS = {
    "Certificate": "cert-manager.io/v1", "Issuer": "cert-manager.io/v1", "Gateway": "gateway.networking.k8s.io/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1", "BackendTrafficPolicy": "gateway.envoyproxy.io/v1alpha1",
    "ClientTrafficPolicy": "gateway.envoyproxy.io/v1alpha1", "MongoDBCommunity": "mongodbcommunity.mongodb.com/v1",
}  # fmt: skip


@rule
def known_shapes(objects: Objects) -> Iterator[str]:
    """Resources of operators, for which there is no schema here, have no field and no version that we do not know."""
    for found in of(objects, *FIELDS):
        if unknown := set(found["spec"]) - FIELDS[found["kind"]]:
            yield f"{named(found)} has unknown fields: {', '.join(sorted(unknown))}"
        if found["apiVersion"] != VERSIONS[found["kind"]]:
            yield f"{named(found)} is of {found['apiVersion']}"


@rule
def secrets_by_name(objects: Objects) -> Iterator[str]:
    """No secret stands in a manifest; a service names its own only."""
    for found in of(objects, "Secret"):
        yield f"{named(found)} stands in the manifests"
    for found in of(objects, "ConfigMap"):
        for key, value in found.get("data", {}).items():
            if SECRET_NAMES.search(key) or re.search(r"://[^/@ ]*:[^/@ ]*@", value) or "PRIVATE KEY" in value:
                yield f"{named(found)} holds a secret: {key}"
    for found in pods(objects):
        name = found.labels[NAME]
        for container in found.containers:
            for entry in container.get("env", []):
                if SECRET_NAMES.search(entry["name"]) and "value" in entry:
                    yield f"{found.where} holds a secret: {entry['name']}"
                given = entry.get("valueFrom", {}).get("secretKeyRef", {}).get("name", f"{name}-secrets")
                if given != f"{name}-secrets":
                    yield f"{found.where} reads {given}, which is another's"
        for volume in found.spec.get("volumes", []):
            given = volume.get("secret", {}).get("secretName", f"{name}-tls")
            if given != f"{name}-tls" and (found.where, given) != ("Job/prepare", "mongo-tls"):
                yield f"{found.where} mounts {given}, which is another's"


@rule
def hashed_settings(objects: Objects) -> Iterator[str]:
    """A ConfigMap's name says its content, so a change rolls the replicas; and everything that is named is there."""
    known = {found["metadata"]["name"] for found in of(objects, "ConfigMap")}
    for name in known:
        if not HASHED.search(name):
            yield f"ConfigMap/{name} may change under running replicas"
    for found in pods(objects):
        named_ones = [
            ref["configMapRef"]["name"] for container in found.containers for ref in container.get("envFrom", []) if "configMapRef" in ref
        ]
        named_ones += [volume["configMap"]["name"] for volume in found.spec.get("volumes", []) if "configMap" in volume]
        for name in named_ones:
            if name not in known:
                yield f"{found.where} reads ConfigMap/{name}, which is not there"


@rule
def certificates(objects: Objects) -> Iterator[str]:
    """Who mounts a certificate has one that names it: to gRPC and NATS by the URI, to MongoDB by the subject, to callers by its host."""
    made = {found["spec"]["secretName"]: found["spec"] for found in of(objects, "Certificate")}
    for found in pods(objects):
        name = found.labels[NAME]
        if not any(volume.get("secret", {}).get("secretName") == f"{name}-tls" for volume in found.spec.get("volumes", [])):
            continue
        spec = made.get(f"{name}-tls")
        if spec is None:
            yield f"{found.where} has no Certificate"
        elif wrong := list(_unlike(name, spec)):
            yield f"Certificate of {name}: {', '.join(wrong)}"


def _unlike(name: str, spec: dict[str, Any]) -> Iterator[str]:
    unit = spec.get("subject", {}).get("organizationalUnits", [""])[0]
    if f"CN={spec.get('commonName')},OU={unit},O={spec['subject']['organizations'][0]}" != subject(name):
        yield f"the subject is not {subject(name)}"
    if spec.get("uris") != [URI + name]:
        yield f"the URI is not {URI}{name}"
    if name not in spec["dnsNames"] and f"{name}-svc" not in spec["dnsNames"]:
        yield "its own host is not named"
    if not {"server auth", "client auth"} <= set(spec["usages"]):
        yield "it is not for both sides"
    if name != "nats" and spec.get("additionalOutputFormats") != [{"type": "CombinedPEM"}]:
        yield "key and certificate are not in one file"
    if spec["issuerRef"]["name"] != "crm" or int(spec["duration"][:-1]) <= int(spec["renewBefore"][:-1]):
        yield "another issuer, or renewed too late"


@rule
def broker(objects: Objects) -> Iterator[str]:
    """Acknowledged facts are on disks; streams have three copies where there are three servers."""
    for found in of(objects, "ConfigMap"):
        if plain(found) == "nats-settings" and "sync_interval: always" not in found["data"]["nats.conf"]:
            yield "nats.conf loses acknowledged facts when the power goes"
        if plain(found) == "nats-settings" and "verify_and_map: true" not in found["data"]["nats.conf"]:
            yield "nats.conf does not know its clients by their certificates"
    for found in of(objects, "StatefulSet"):
        if found["metadata"]["name"] != "nats":
            continue
        servers, small = found["spec"]["replicas"], found["metadata"].get("namespace") == "crm-dev"
        if servers != (1 if small else 3):
            yield f"NATS has {servers} servers"
        step = next((item for item in of(objects, "Job") if item["metadata"]["name"] == "prepare"), None)
        told = {entry["name"]: entry.get("value") for entry in step["spec"]["template"]["spec"]["containers"][0]["env"]} if step else {}
        if told.get("CRM_NATS_REPLICAS") != str(servers):
            yield f"streams have {told.get('CRM_NATS_REPLICAS')} copies on {servers} servers"


@rule
def database(objects: Objects) -> Iterator[str]:
    """The set has three members, knows its clients by certificate, and gives each department its own database alone."""
    for found in of(objects, "MongoDBCommunity"):
        spec = found["spec"]
        if spec["members"] != 3 or not spec["security"]["tls"]["enabled"] or "X509" not in spec["security"]["authentication"]["modes"]:
            yield f"{named(found)} has not three members, TLS and X.509"
        if "zlib" in str(spec["additionalMongodConfig"].get("net.compression.compressors", "zlib")):
            yield f"{named(found)} takes zlib"
        settings = spec.get("automationConfig", {}).get("replicaSet", {}).get("settings", {})
        if not 0 < settings.get("electionTimeoutMillis", 10_000) <= 2000 or settings.get("heartbeatTimeoutSecs", 10) > 2:
            yield f"{named(found)} is longer than 5 s without a primary when it loses one"
        roles = [
            {"role": "department", "db": f"crm_{name}", "privileges": [{"resource": {"db": f"crm_{name}", "collection": ""}, "actions": list(ACTIONS)}], "roles": []}
            for name in DEPARTMENTS
        ]  # fmt: skip
        users = [{"name": subject(name), "db": "$external", "roles": [{"name": "department", "db": f"crm_{name}"}]} for name in DEPARTMENTS]
        if spec["security"]["roles"] != roles or spec["users"] != users:
            yield f"{named(found)} gives other rights than cli/mongo_users.py"


@rule
def namespace(objects: Objects) -> Iterator[str]:
    """The namespace enforces restricted pods, denies everything that no policy opens, and is bounded."""
    for found in of(objects, "Namespace"):
        if found["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"{named(found)} takes any pod"
        everything = [item["spec"] for item in of(objects, "NetworkPolicy") if item["metadata"]["name"] == "deny-all"]
        if everything != [{"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}]:
            yield f"{named(found)} denies nothing by itself"
        if not of(objects, "ResourceQuota") or not of(objects, "LimitRange"):
            yield f"{named(found)} is not bounded"
    places = {found["metadata"].get("namespace") for found in objects if found["kind"] != "Namespace"}
    if len(places) > 1 or None in places:
        yield f"objects stand in several namespaces: {sorted(map(str, places))}"
