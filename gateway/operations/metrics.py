"""What the gateway counts of operations. Labels are few: names come from registered documents, everything else is "other"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import Counter, Histogram

from chassis.observe.metrics import BUCKETS, Counts, Metrics
from gateway.departments.clients import Clients
from gateway.operations.documents import Documents

OTHER = "other"
# An answer with one of these was not the client's fault: the measure of availability.
FAULTS = frozenset(("INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "OVERLOADED"))


class OperationMetrics:
    """Counters of the gateway, on its registry."""

    def __init__(self, metrics: Metrics, clients: Clients) -> None:
        self.registry = metrics.registry
        self.uncompiled = Counter(
            "crm_operation_uncompiled", "Operations that ran without a plan, by reason", ["reason"], registry=self.registry
        )
        self.reread = Counter("crm_operation_reread", "Levels read again with every check, by type", ["type"], registry=self.registry)
        self.seconds = Histogram(
            "crm_operation_seconds", "Time of an operation, by registered name, kind and outcome (ok, refused, failed)",
            ["operation", "kind", "outcome"], registry=self.registry, buckets=BUCKETS,
        )  # fmt: skip
        self.shed = Counter("crm_operations_shed", "Operations refused because too many were under way", registry=self.registry)
        merging = clients.merging
        self.registry.register(
            Counts("crm_merged_questions", "Questions to departments that went out in a call of their own, or joined another's", "outcome",
                   lambda: {"sent": merging.sent, "joined": merging.joined})
        )  # fmt: skip
        self.registry.register(
            Counts("crm_deadlines_missed", "Calls that a department did not answer in time", "department",
                   lambda: {name: channel.missed for name, channel in clients.channels.items()})
        )  # fmt: skip

    def watch(self, documents: Documents) -> None:
        """Count what the caches of documents and plans had, and had not."""
        plans = documents.engine
        self.registry.register(
            Counts("crm_operation_documents", "Documents that were prepared already, or had to be", "outcome",
                   lambda: {"hit": documents.hits, "miss": documents.misses})
        )  # fmt: skip
        self.registry.register(
            Counts("crm_operation_plans", "Plans that were made already, or had to be", "outcome",
                   lambda: {"hit": plans.hits, "miss": plans.misses})
        )  # fmt: skip


def outcome_of(body: Mapping[str, Any]) -> str:
    """ "ok", "refused" where the client or a rule was the reason, "failed" where a part of the suite was."""
    codes = {error.get("extensions", {}).get("code") for error in body.get("errors", ())}
    if codes & FAULTS:
        return "failed"
    return "refused" if codes else "ok"
