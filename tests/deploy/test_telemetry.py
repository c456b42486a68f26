"""Dashboards and alert rules: they ask for what the services really tell, every alert has a page that says what to do, and each fires when
it should and not before."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from chassis.access.identity import Identity
from chassis.files.usage import Usage
from chassis.observe.metrics import BUCKETS
from chassis.runtime.measures import Measures
from cli.plan import DEPARTMENTS
from tests.deploy.promql import asked, fires
from tests.support.installation import Installation

ROOT = Path(__file__).parents[2]
TELEMETRY = ROOT / "deploy/components/telemetry"
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((TELEMETRY / "dashboards").glob("*.json"))}
RULES = [
    rule for path in sorted((TELEMETRY / "rules").glob("*.yaml")) for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]
]  # fmt: skip
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
PANELS = [(name, panel) for name, board in DASHBOARDS.items() for panel in board["panels"]]
EXPRESSIONS = [target["expr"] for _, panel in PANELS for target in panel["targets"]] + [rule["expr"] for rule in RULES]
OF_PROMETHEUS = {"job", "instance"}
# Not the services' own: told by Prometheus itself and by the kubelet.
OTHERS = {
    "up": set(),
    "kubelet_volume_stats_available_bytes": {"persistentvolumeclaim"},
    "kubelet_volume_stats_capacity_bytes": {"persistentvolumeclaim"},
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def told(crm: Installation) -> dict[str, set[str]]:
    """Every series that running services tell, with its labels; families that have no series yet with those that they declare."""
    found: dict[str, set[str]] = {}
    Measures(registry := CollectorRegistry(), None, {}, Identity(Path("ca"), Path("own")), Usage(0))  # type: ignore[arg-type]
    texts = [(await _metrics(crm, name)) for name in (*DEPARTMENTS, "gateway")]
    declared = [
        metric for name in (*DEPARTMENTS, "gateway") for metric in crm.suite.running[name].metrics.registry._collector_to_names
    ] + list(registry._collector_to_names)
    for metric in declared:
        labels = set(getattr(metric, "_labelnames", ()))
        for name in (metric._name, f"{metric._name}_total", f"{metric._name}_count") if hasattr(metric, "_name") else ():
            found[name] = labels
        if getattr(metric, "_type", "") == "histogram":
            found[f"{metric._name}_bucket"] = labels | {"le"}
    for text in texts:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found[sample.name] = set(sample.labels)
    return found


async def _metrics(crm: Installation, name: str) -> str:
    async with httpx.AsyncClient(trust_env=False) as http:
        return (await http.get(f"http://127.0.0.1:{crm.plan.ops[name]}/metrics", timeout=10)).text


def test_there_are_the_three_dashboards_and_their_panels_do_not_lie_on_each_other() -> None:
    assert sorted(DASHBOARDS) == ["department", "events", "suite"]
    assert {board["uid"] for board in DASHBOARDS.values()} == {"crm-suite", "crm-department", "crm-events"}
    for board in DASHBOARDS.values():
        places = [(x, y) for panel in board["panels"] for x in _across(panel) for y in _down(panel)]
        assert len(places) == len(set(places))
        assert max(x for x, _ in places) < 24


def _across(panel: dict[str, Any]) -> range:
    return range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])


def _down(panel: dict[str, Any]) -> range:
    return range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_expression_asks_for_what_a_running_service_tells(told: dict[str, set[str]], expression: str) -> None:
    metrics, groups = asked(expression)
    known = {name: labels | OF_PROMETHEUS for name, labels in (told | OTHERS).items()} | {name: set() for name in RECORDED}
    assert {name for name in metrics if name not in known} == set()
    assert {name: labels - known[name] for name, labels in metrics.items() if labels - known[name]} == {}
    assert groups <= set().union(*(known[name] for name in metrics))
    assert {float(bound) for bound in re.findall(r'le="([^"]+)"', expression)} <= set(BUCKETS)


def test_a_metric_that_no_service_tells_would_be_found(told: dict[str, set[str]]) -> None:
    assert "crm_outbox_old_seconds" not in told
    assert "method" not in told["crm_operation_seconds_count"]
    assert {"crm_outbox_age_seconds", "crm_certificate_end_time_seconds", "crm_deadlines_missed_total"} <= told.keys()


def test_legends_name_labels_by_which_the_expression_groups() -> None:
    for _, panel in PANELS:
        for target in panel["targets"]:
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= asked(target["expr"])[1]


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_leads_to_a_section_that_exists(name: str) -> None:
    page, _, anchor = ALERTS[name]["annotations"]["runbook_url"].partition("#")
    assert page.startswith(("docs/how-to/", "docs/explanation/"))
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor in {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_waits_says_how_urgent_it_is_and_names_only_labels_that_it_has(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"] in ({"severity": "page"}, {"severity": "ticket"})
    assert re.fullmatch(r"\d+[mh]", rule["for"])
    assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= asked(rule["expr"])[1] | OF_PROMETHEUS


def burning(slo: str, **ratios: float) -> dict[str, float]:
    """The recorded ratios of one promise, 0 where none is given."""
    return {f"crm:{slo}:ratio_rate{window}": ratios.get(f"in_{window}", 0.0) for window in ("5m", "30m", "1h", "6h", "3d")}


DAY = 86400.0
# Alert → values at which it fires, values at which it does not (yet, or any more).
CASES: dict[str, tuple[list[dict[str, float]], list[dict[str, float]]]] = {
    "CrmServiceDown": ([{"up": 0}], [{"up": 1}]),
    "CrmNotMeasured": ([{"crm_outbox_pending": math.nan}], [{"crm_outbox_pending": 0}, {"crm_outbox_pending": 5}]),
    "CrmFactsParked": ([{"crm_parked_events": 1}], [{"crm_parked_events": 0}, {"crm_parked_events": math.nan}]),
    "CrmOutboxOld": ([{"crm_outbox_age_seconds": 31}], [{"crm_outbox_age_seconds": 30}, {"crm_outbox_age_seconds": math.nan}]),
    "CrmConsumerBehind": ([{"crm_consumer_pending": 1001}], [{"crm_consumer_pending": 1000}]),
    "CrmAuditUnsealed": ([{"crm_audit_unsealed_seconds": 121}], [{"crm_audit_unsealed_seconds": 1}]),
    "CrmCertificateEnds": (
        [{"crm_certificate_end_time_seconds": 113 * DAY, "time()": 100 * DAY}],
        [{"crm_certificate_end_time_seconds": 115 * DAY, "time()": 100 * DAY}, {"time()": 100 * DAY}],
    ),
    "CrmCertificateEndsNow": (
        [{"crm_certificate_end_time_seconds": 99 * DAY, "time()": 100 * DAY}],
        [{"crm_certificate_end_time_seconds": 103 * DAY, "time()": 100 * DAY}],
    ),
    "CrmMongoDiskFills": ([{"crm_mongo_disk_free_ratio": 0.14}], [{"crm_mongo_disk_free_ratio": 0.16}]),
    "CrmMongoDiskFull": ([{"crm_mongo_disk_free_ratio": 0.04}], [{"crm_mongo_disk_free_ratio": 0.06}]),
    "CrmNatsDiskFills": (
        [{"kubelet_volume_stats_available_bytes": 10, "kubelet_volume_stats_capacity_bytes": 100}],
        [{"kubelet_volume_stats_available_bytes": 20, "kubelet_volume_stats_capacity_bytes": 100}],
    ),
    "CrmDeadlinesMissed": ([{"crm_deadlines_missed_total": 0.6}], [{"crm_deadlines_missed_total": 0.4}]),
    "CrmAccessRefusedOften": ([{"crm_access_refused_total": 6}], [{"crm_access_refused_total": 4}]),
}
for title, slo, budget in (
    ("Availability", "operations_failed", 0.001),
    ("Customer360", "customer_360_slow", 0.01),
    ("EventLatency", "facts_late", 0.05),
):
    CASES[f"Crm{title}BurnsFast"] = (
        [burning(slo, in_5m=15 * budget, in_1h=15 * budget), burning(slo, in_30m=7 * budget, in_6h=7 * budget)],
        [
            burning(slo, in_5m=15 * budget, in_1h=14 * budget),  # only just begun
            burning(slo, in_5m=0, in_1h=15 * budget),  # over already
            burning(slo, in_30m=7 * budget, in_6h=5 * budget),
            burning(slo, in_5m=math.nan, in_1h=math.nan),  # nobody asked anything
        ],
    )
    CASES[f"Crm{title}BurnsSlowly"] = (
        [burning(slo, in_6h=1.1 * budget, in_3d=1.1 * budget)],
        [burning(slo, in_6h=0.9 * budget, in_3d=1.1 * budget), burning(slo, in_6h=1.1 * budget, in_3d=0.9 * budget)],
    )


def test_every_alert_is_tried() -> None:
    assert set(CASES) == set(ALERTS)


@pytest.mark.parametrize("name", CASES)
def test_an_alert_fires_when_it_should_and_not_before(name: str) -> None:
    bad, good = CASES[name]
    assert [fires(ALERTS[name]["expr"], values) for values in bad] == [True] * len(bad)
    assert [fires(ALERTS[name]["expr"], values) for values in good] == [False] * len(good)
