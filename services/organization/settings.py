"""Settings of the organization department: the common ones, where the departments are to whose facts it reacts, and where webhooks may go."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from chassis.kernel.addresses import networks_of
from chassis.kernel.money import HOME
from chassis.runtime.settings import Settings as Common
from chassis.runtime.settings import env
from services.organization.webhook_endpoints.destinations import Destinations


@dataclass(frozen=True, kw_only=True)
class Settings(Common):
    """The common settings, and the secrets of the services to which it gives tokens."""

    service_secrets: str = env("CRM_SERVICE_SECRETS", ..., "name=secret pairs joined by commas, one for each service")
    service_secret: str = env("CRM_SERVICE_SECRET", "", "not used: the organization gives tokens, it needs none")

    key_hours: int = env("CRM_KEY_HOURS", 168, "hours after which tokens are signed by a new key")
    customer_address: str = env(
        "CRM_CUSTOMER_ADDRESS", ..., "host:port of the customer department, which also keeps the checkpoints of the organization's audit"
    )
    sales_address: str = env("CRM_SALES_ADDRESS", ..., "host:port of the sales department's gRPC")
    marketing_address: str = env("CRM_MARKETING_ADDRESS", ..., "host:port of the marketing department's gRPC")
    support_address: str = env("CRM_SUPPORT_ADDRESS", ..., "host:port of the support department's gRPC")
    owner_sees_all: bool = env(
        "CRM_OWNER_SEES_ALL", True, "whether who answers for a customer reads all that is done with it, by whomever; true or false"
    )
    base_currency: str = env(
        "CRM_BASE_CURRENCY",
        HOME,
        "the company's currency by its ISO 4217 code: in which it reckons, and through which two others are converted",
    )
    webhook_networks: str = env(
        "CRM_WEBHOOK_NETWORKS",
        "",
        "networks in CIDR form, joined by commas, in which webhooks and identity providers may be reached beside the internet; loopback in development only",
    )

    @property
    def owners(self) -> dict[str, str]:
        """Department → host:port."""
        return {
            "customer": self.customer_address, "sales": self.sales_address, "marketing": self.marketing_address, "support": self.support_address,
        }  # fmt: skip

    @property
    def destinations(self) -> Destinations:
        """Where webhooks may go, and identity providers be."""
        return Destinations(networks_of(self.webhook_networks), self.environment == "development")

    @property
    def seal(self) -> str:
        """The secret in page tokens; this department has no secret of its own but those of the others."""
        return hashlib.sha256(f"pages:{self.service_secrets}".encode()).hexdigest()

    @property
    def secrets(self) -> dict[str, str]:
        """Name → secret."""
        return dict(pair.split("=", 1) for pair in self.service_secrets.split(",") if "=" in pair)
