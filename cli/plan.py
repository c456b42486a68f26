"""Where every part of an installation on one machine runs, and what each is told: the same for processes, one process and tests."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from chassis.access.identity import Identity

DEPARTMENTS = ("organization", "customer", "sales", "marketing", "support")
TOOLS = ("cli",)
HOST = "127.0.0.1"
MONGO_USER = "&authMechanism=MONGODB-X509&authSource=%24external"


@dataclass
class Plan:
    """Addresses and secrets. `masters` are the keys of personal data by department. `tls` is the folder of certificates; without it nothing between services is encrypted.

    `grpc` and `ops` map a department to its port; `ops` also holds the gateway's."""

    mongo_uri: str
    nats_url: str
    grpc: dict[str, int]
    ops: dict[str, int]
    gateway_port: int
    faq_port: int
    smtp_port: int
    secrets: dict[str, str] = field(default_factory=dict)
    masters: dict[str, str] = field(default_factory=dict)
    database_prefix: str = "crm"
    log_level: str = "INFO"
    otlp_endpoint: str = ""
    documents: str = ""
    nats_monitor: str = ""
    tls: Path | None = None
    webhook_networks: str = ""
    trusted_proxies: str = ""
    unsubscribe_port: int = 0
    allowed_origins: str = ""

    def address(self, department: str) -> str:
        """host:port of a department's gRPC."""
        return f"{HOST}:{self.grpc[department]}"

    def identity(self, name: str) -> Identity | None:
        """What a service or tool proves itself with; None without TLS."""
        return Identity(self.tls / "ca.pem", self.tls / f"{name}.pem") if self.tls else None

    def mongo_uri_of(self, name: str) -> str:
        """What a department is told of MongoDB; with TLS its certificate is its user."""
        identity = self.identity(name)
        return f"{self.mongo_uri}&{mongo_tls(identity)}{MONGO_USER}" if identity else self.mongo_uri

    def environment(self, name: str) -> dict[str, str]:
        """The environment variables of one service."""
        common = {
            "CRM_OPS_ADDRESS": f"{HOST}:{self.ops[name]}", "CRM_NATS_URL": self.nats_url, "CRM_LOG_LEVEL": self.log_level,
            "CRM_NATS_MONITOR_URL": self.nats_monitor, "CRM_OTLP_ENDPOINT": self.otlp_endpoint, "CRM_SERVICE_SECRET": self.secrets.get(name, ""),
        }  # fmt: skip
        if identity := self.identity(name):
            common |= {"CRM_TLS_AUTHORITY": str(identity.authority), "CRM_TLS_IDENTITY": str(identity.own)}
        addresses = {f"CRM_{department.upper()}_ADDRESS": self.address(department) for department in DEPARTMENTS}
        if name in ("gateway", "marketing", "support") and self.trusted_proxies:
            common |= {"CRM_TRUSTED_PROXIES": self.trusted_proxies}
        if name == "gateway":
            edge = {"CRM_HTTP_ADDRESS": f"{HOST}:{self.gateway_port}", "CRM_ALLOWED_ORIGINS": self.allowed_origins}
            return common | addresses | edge | {"CRM_DOCUMENTS": self.documents}
        own = common | {
            "CRM_GRPC_ADDRESS": self.address(name), "CRM_MONGO_URI": self.mongo_uri_of(name), "CRM_DATABASE_PREFIX": self.database_prefix,
            "CRM_MASTER_KEYS": self.masters[name],
        }  # fmt: skip
        if name == "organization":
            own["CRM_SERVICE_SECRETS"] = ",".join(f"{service}={secret}" for service, secret in sorted(self.secrets.items()))
            return own | addresses | ({"CRM_WEBHOOK_NETWORKS": self.webhook_networks} if self.webhook_networks else {})
        own |= addresses  # a department reads those that its settings name
        if name == "marketing":
            own["CRM_SMTP_URL"] = f"smtp://{HOST}:{self.smtp_port}"
            own["CRM_WEB_ADDRESS"] = f"{HOST}:{self.unsubscribe_port}"
            own["CRM_UNSUBSCRIBE_URL"] = f"http://{HOST}:{self.unsubscribe_port}"
        if name == "support":
            own["CRM_WEB_ADDRESS"] = f"{HOST}:{self.faq_port}"
        return own


def mongo_tls(identity: Identity) -> str:
    """The part of a MongoDB URI that says by which certificate the client is known."""
    return f"tls=true&tlsCAFile={quote(str(identity.authority), safe='')}&tlsCertificateKeyFile={quote(str(identity.own), safe='')}"


def new_masters() -> dict[str, str]:
    """A fresh master key for each department's personal data."""
    return {name: new_master() for name in DEPARTMENTS}


def new_master() -> str:
    """A key of 32 bytes, base64url."""
    return secrets.token_urlsafe(32)


def new_secrets() -> dict[str, str]:
    """A fresh secret for every service and tool that gets tokens of its own."""
    return {name: secrets.token_urlsafe(32) for name in (*DEPARTMENTS[1:], *TOOLS)}
