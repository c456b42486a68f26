"""Where every part of an installation on one machine runs, and what each is told: the same for processes, one process and tests."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

DEPARTMENTS = ("organization", "customer", "sales", "marketing", "support")
TOOLS = ("cli",)
HOST = "127.0.0.1"


@dataclass
class Plan:
    """Addresses and secrets. `grpc` and `ops` map a department to its port; `ops` also holds the gateway's."""

    mongo_uri: str
    nats_url: str
    grpc: dict[str, int]
    ops: dict[str, int]
    gateway_port: int
    faq_port: int
    smtp_port: int
    secrets: dict[str, str] = field(default_factory=dict)
    database_prefix: str = "crm"
    log_level: str = "INFO"
    otlp_endpoint: str = ""
    documents: str = ""

    def address(self, department: str) -> str:
        """host:port of a department's gRPC."""
        return f"{HOST}:{self.grpc[department]}"

    def environment(self, name: str) -> dict[str, str]:
        """The environment variables of one service."""
        common = {
            "CRM_OPS_ADDRESS": f"{HOST}:{self.ops[name]}", "CRM_NATS_URL": self.nats_url, "CRM_LOG_LEVEL": self.log_level,
            "CRM_OTLP_ENDPOINT": self.otlp_endpoint, "CRM_SERVICE_SECRET": self.secrets.get(name, ""),
        }  # fmt: skip
        addresses = {f"CRM_{department.upper()}_ADDRESS": self.address(department) for department in DEPARTMENTS}
        if name == "gateway":
            return common | addresses | {"CRM_HTTP_ADDRESS": f"{HOST}:{self.gateway_port}", "CRM_DOCUMENTS": self.documents}
        own = common | {
            "CRM_GRPC_ADDRESS": self.address(name), "CRM_MONGO_URI": self.mongo_uri, "CRM_DATABASE_PREFIX": self.database_prefix,
        }  # fmt: skip
        if name == "organization":
            return own | {"CRM_SERVICE_SECRETS": ",".join(f"{service}={secret}" for service, secret in sorted(self.secrets.items()))}
        own |= {"CRM_ORGANIZATION_ADDRESS": self.address("organization"), "CRM_CUSTOMER_ADDRESS": self.address("customer")}
        if name == "marketing":
            own["CRM_SMTP_URL"] = f"smtp://{HOST}:{self.smtp_port}"
        if name == "support":
            own["CRM_SALES_ADDRESS"] = self.address("sales")
            own["CRM_WEB_ADDRESS"] = f"{HOST}:{self.faq_port}"
        return own


def new_secrets() -> dict[str, str]:
    """A fresh secret for every service and tool that gets tokens of its own."""
    return {name: secrets.token_urlsafe(32) for name in (*DEPARTMENTS[1:], *TOOLS)}
