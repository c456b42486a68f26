"""Manifests that somebody broke: each damage is caught, by the rule that is for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.deploy.manifests import belongings, networks, workloads
from tests.deploy.manifests.objects import of, one
from tests.deploy.manifests.rendering import Objects, objects
from tests.deploy.manifests.rules import RULES, broken
from tests.deploy.manifests.test_manifests import VERSIONS, invalid

assert belongings
assert networks
assert workloads
Damage = Callable[[Objects], Any]
DAMAGES: list[Any] = []


def damage(rule: str) -> Callable[[Damage], Damage]:
    """Register a damage to the whole of prod, and the rule that is to catch it."""

    def register(function: Damage) -> Damage:
        DAMAGES.append(pytest.param(rule, function, id=function.__name__))
        return function

    return register


def sales(found: Objects) -> dict[str, Any]:
    """The pods' spec of the sales department."""
    spec: dict[str, Any] = one(found, "Deployment", "sales")["spec"]["template"]["spec"]
    return spec


def container(found: Objects) -> dict[str, Any]:
    """The sales department's container."""
    first: dict[str, Any] = sales(found)["containers"][0]
    return first


def policy(found: Objects, name: str = "sales") -> dict[str, Any]:
    """The spec of a NetworkPolicy."""
    spec: dict[str, Any] = one(found, "NetworkPolicy", name)["spec"]
    return spec


def named(name: str) -> dict[str, Any]:
    """A peer."""
    return {"podSelector": {"matchLabels": {"app.kubernetes.io/name": name}}}


@damage("restricted")
def privileged(found: Objects) -> None:
    container(found)["securityContext"]["privileged"] = True


@damage("restricted")
def writes_to_its_root(found: Objects) -> None:
    container(found)["securityContext"]["readOnlyRootFilesystem"] = False


@damage("restricted")
def runs_as_root(found: Objects) -> None:
    sales(found)["securityContext"]["runAsUser"] = 0


@damage("restricted")
def keeps_a_capability(found: Objects) -> None:
    container(found)["securityContext"]["capabilities"] = {"drop": ["ALL"], "add": ["NET_ADMIN"]}


@damage("restricted")
def without_seccomp(found: Objects) -> None:
    del sales(found)["securityContext"]["seccompProfile"]


@damage("restricted")
def in_the_network_of_its_node(found: Objects) -> None:
    sales(found)["hostNetwork"] = True


@damage("restricted")
def mounts_its_node(found: Objects) -> None:
    sales(found)["volumes"].append({"name": "node", "hostPath": {"path": "/"}})


@damage("without_token")
def mounts_a_token(found: Objects) -> None:
    sales(found)["automountServiceAccountToken"] = True


@damage("without_token")
def runs_as_somebody_else(found: Objects) -> None:
    del sales(found)["serviceAccountName"]


@damage("probes")
def without_readiness(found: Objects) -> None:
    del container(found)["readinessProbe"]


@damage("probes")
def liveness_asks_what_it_depends_on(found: Objects) -> None:
    del container(found)["livenessProbe"]["grpc"]["service"]


@damage("probes")
def gateway_dies_with_the_broker(found: Objects) -> None:
    one(found, "Deployment", "gateway")["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]["httpGet"]["path"] = "/readyz"


@damage("probes")
def gateway_leaves_with_the_broker(found: Objects) -> None:
    probe = one(found, "Deployment", "gateway")["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]
    probe["httpGet"] = {"path": "/readyz", "port": "ops"}


@damage("probes")
def probed_on_a_wrong_port(found: Objects) -> None:
    container(found)["livenessProbe"]["grpc"]["port"] = 9100


@damage("pinned_images")
def latest_image(found: Objects) -> None:
    container(found)["image"] = "xietong/sales:latest"


@damage("pinned_images")
def image_without_a_tag(found: Objects) -> None:
    container(found)["image"] = "registry.example:5000/xietong/sales"


@damage("resources")
def without_limits(found: Objects) -> None:
    del container(found)["resources"]["limits"]["memory"]


@damage("writable")
def scratch_without_bounds(found: Objects) -> None:
    sales(found)["volumes"][1]["emptyDir"] = {}


@damage("releases")
def release_takes_a_replica_away(found: Objects) -> None:
    one(found, "Deployment", "sales")["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] = 1


@damage("releases")
def release_takes_the_number_back(found: Objects) -> None:
    one(found, "Deployment", "sales")["spec"]["replicas"] = 2


@damage("drains")
def killed_while_it_drains(found: Objects) -> None:
    sales(found)["terminationGracePeriodSeconds"] = 10


@damage("drains")
def broker_goes_without_a_word(found: Objects) -> None:
    del one(found, "StatefulSet", "nats")["spec"]["template"]["spec"]["containers"][0]["lifecycle"]


@damage("spread")
def all_on_one_node(found: Objects) -> None:
    del sales(found)["topologySpreadConstraints"]


@damage("disruption")
def without_a_disruption_budget(found: Objects) -> None:
    found.remove(one(found, "PodDisruptionBudget", "sales"))


@damage("disruption")
def budget_that_holds_drains_up(found: Objects) -> None:
    one(found, "PodDisruptionBudget", "sales")["spec"]["maxUnavailable"] = 0


@damage("autoscaled")
def one_replica_in_production(found: Objects) -> None:
    one(found, "HorizontalPodAutoscaler", "sales")["spec"]["minReplicas"] = 1


@damage("jobs")
def migration_waits_for_something(found: Objects) -> None:
    spec = one(found, "Job", "sales-migrate")["spec"]["template"]["spec"]
    spec["initContainers"] = [{**spec["containers"][0], "name": "wait"}]


@damage("jobs")
def migration_that_serves_instead(found: Objects) -> None:
    del one(found, "Job", "sales-migrate")["spec"]["template"]["spec"]["containers"][0]["args"]


@damage("labelled")
def without_labels(found: Objects) -> None:
    del one(found, "Deployment", "sales")["metadata"]["labels"]["app.kubernetes.io/part-of"]


@damage("call_graph")
def lets_in_a_service_that_does_not_call(found: Objects) -> None:
    policy(found, "marketing")["ingress"][0]["from"].append(named("support"))


@damage("call_graph")
def keeps_a_caller_out(found: Objects) -> None:
    policy(found)["ingress"][0]["from"].remove(named("customer"))


@damage("call_graph")
def reaches_a_department_that_it_does_not_call(found: Objects) -> None:
    policy(found)["egress"][-2]["to"].append(named("support"))


@damage("engines")
def gateway_reaches_the_database(found: Objects) -> None:
    policy(found, "gateway")["egress"].append({"to": [named("mongo")], "ports": [{"protocol": "TCP", "port": 27017}]})


@damage("closed")
def open_egress(found: Objects) -> None:
    policy(found)["egress"].append({"ports": [{"protocol": "TCP", "port": 443}]})


@damage("closed")
def egress_to_the_world(found: Objects) -> None:
    policy(found)["egress"].append({"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"protocol": "TCP", "port": 443}]})


@damage("closed")
def provider_may_be_the_metadata_of_the_cloud(found: Objects) -> None:
    policy(found, "organization-provider")["egress"][0]["to"][0]["ipBlock"]["except"].remove("169.254.0.0/16")


@damage("closed")
def lets_every_pod_in(found: Objects) -> None:
    policy(found)["ingress"][0]["from"].append({"podSelector": {}})


@damage("policed")
def without_a_policy(found: Objects) -> None:
    found.remove(one(found, "NetworkPolicy", "sales-migrate"))


@damage("policed")
def policy_opens_a_wrong_port(found: Objects) -> None:
    policy(found)["ingress"][0]["ports"][0]["port"] = 9009


@damage("policed")
def may_not_ask_for_names(found: Objects) -> None:
    del policy(found)["egress"][0]


@damage("services")
def service_that_balances_connections(found: Objects) -> None:
    del one(found, "Service", "sales")["spec"]["clusterIP"]


@damage("services")
def service_with_a_wrong_port(found: Objects) -> None:
    one(found, "Service", "sales")["spec"]["ports"][0]["targetPort"] = "http"


@damage("services")
def service_that_also_finds_migrations(found: Objects) -> None:
    del one(found, "Service", "sales")["spec"]["selector"]["app.kubernetes.io/component"]


@damage("edge")
def graph_without_tls(found: Objects) -> None:
    one(found, "HTTPRoute", "graph")["spec"]["parentRefs"][0]["sectionName"] = "http"


@damage("edge")
def subscriptions_cut_off(found: Objects) -> None:
    one(found, "HTTPRoute", "graph-live")["spec"]["rules"][0]["timeouts"]["request"] = "30s"


@damage("edge")
def bodies_of_any_size(found: Objects) -> None:
    found.remove(one(found, "BackendTrafficPolicy", "bodies"))


@damage("edge")
def route_to_nowhere(found: Objects) -> None:
    one(found, "HTTPRoute", "faq")["spec"]["rules"][0]["backendRefs"][0]["port"] = 80


@damage("monitored_only_from_monitoring")
def metrics_for_everybody(found: Objects) -> None:
    policy(found)["ingress"].append({"from": [named("gateway")], "ports": [{"protocol": "TCP", "port": 9002}]})


@damage("known_shapes")
def certificate_with_a_field_that_there_is_not(found: Objects) -> None:
    one(found, "Certificate", "sales")["spec"]["dnsName"] = "sales"


@damage("secrets_by_name")
def secret_in_a_config_map(found: Objects) -> None:
    one(found, "ConfigMap", "sales-settings")["data"]["CRM_SERVICE_SECRET"] = "x"


@damage("secrets_by_name")
def reads_another_ones_secret(found: Objects) -> None:
    container(found)["env"][0]["valueFrom"]["secretKeyRef"]["name"] = "customer-secrets"


@damage("secrets_by_name")
def secret_in_the_manifests(found: Objects) -> None:
    found.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sales-secrets", "labels": {}, "namespace": "crm-prod"}})


@damage("hashed_settings")
def settings_that_change_unseen(found: Objects) -> None:
    one(found, "ConfigMap", "sales-settings")["metadata"]["name"] = "sales-settings"


@damage("certificates")
def certificate_of_another_service(found: Objects) -> None:
    one(found, "Certificate", "sales")["spec"]["uris"] = ["spiffe://crm/customer"]


@damage("certificates")
def certificate_that_makes_it_a_member_of_the_database(found: Objects) -> None:
    one(found, "Certificate", "sales")["spec"]["subject"]["organizationalUnits"] = ["engines"]


@damage("broker")
def broker_that_forgets(found: Objects) -> None:
    settings = one(found, "ConfigMap", "nats-settings")["data"]
    settings["nats.conf"] = settings["nats.conf"].replace("sync_interval: always", "sync_interval: 2m")


@damage("broker")
def one_copy_of_each_stream(found: Objects) -> None:
    env = one(found, "Job", "prepare")["spec"]["template"]["spec"]["containers"][0]["env"]
    next(entry for entry in env if entry["name"] == "CRM_NATS_REPLICAS")["value"] = "1"


@damage("database")
def department_that_reads_everything(found: Objects) -> None:
    one(found, "MongoDBCommunity", "mongo")["spec"]["users"][2]["roles"] = [{"name": "readAnyDatabase", "db": "admin"}]


@damage("database")
def database_with_the_hole(found: Objects) -> None:
    del one(found, "MongoDBCommunity", "mongo")["spec"]["additionalMongodConfig"]["net.compression.compressors"]


@damage("database")
def database_that_elects_late(found: Objects) -> None:
    del one(found, "MongoDBCommunity", "mongo")["spec"]["automationConfig"]


@damage("namespace")
def namespace_that_takes_any_pod(found: Objects) -> None:
    one(found, "Namespace", "crm-prod")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "privileged"


@damage("namespace")
def namespace_that_denies_nothing(found: Objects) -> None:
    found.remove(one(found, "NetworkPolicy", "deny-all"))


@damage("namespace")
def object_in_another_ones_namespace(found: Objects) -> None:
    one(found, "Service", "sales")["metadata"]["namespace"] = "crm-staging"


@pytest.mark.parametrize(("rule", "harm"), DAMAGES)
def test_a_damage_is_caught_by_its_rule(rule: str, harm: Damage) -> None:
    found = objects("environments/prod")
    harm(found)
    assert rule in broken(found)


def test_every_rule_catches_something() -> None:
    assert {each.values[0] for each in DAMAGES} == set(RULES)
    assert len(DAMAGES) >= 25


@pytest.mark.parametrize(
    ("kind", "field"), [("Deployment", "strategie"), ("Service", "port"), ("Job", "backofLimit"), ("NetworkPolicy", "egres")]
)
def test_a_field_that_kubernetes_does_not_know_is_refused(kind: str, field: str) -> None:
    item = of(objects("environments/prod"), kind)[0]
    item["spec"][field] = 1
    assert len(invalid([item])) == len(VERSIONS)
