"""Settings of the organization department."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from chassis.runtime.settings import Settings as Common
from chassis.runtime.settings import env


@dataclass(frozen=True, kw_only=True)
class Settings(Common):
    """The common settings, and the secrets of the services to which it gives tokens."""

    service_secrets: str = env("CRM_SERVICE_SECRETS", ..., "name=secret pairs joined by commas, one for each service")
    service_secret: str = env("CRM_SERVICE_SECRET", "", "not used: the organization gives tokens, it needs none")

    key_hours: int = env("CRM_KEY_HOURS", 168, "hours after which tokens are signed by a new key")
    customer_address: str = env(
        "CRM_CUSTOMER_ADDRESS", "", "host:port of the customer department, which keeps the checkpoints of the organization's audit"
    )

    @property
    def seal(self) -> str:
        """The secret in page tokens; this department has no secret of its own but those of the others."""
        return hashlib.sha256(f"pages:{self.service_secrets}".encode()).hexdigest()

    @property
    def secrets(self) -> dict[str, str]:
        """Name → secret."""
        return dict(pair.split("=", 1) for pair in self.service_secrets.split(",") if "=" in pair)
