"""Settings of the customer department: the common ones, and where the departments are to whose facts it reacts."""

from __future__ import annotations

from dataclasses import dataclass

from chassis.runtime.settings import Settings as Common
from chassis.runtime.settings import env


@dataclass(frozen=True, kw_only=True)
class Settings(Common):
    """`owners` names them with their addresses."""

    sales_address: str = env("CRM_SALES_ADDRESS", ..., "host:port of the sales department's gRPC")
    marketing_address: str = env("CRM_MARKETING_ADDRESS", ..., "host:port of the marketing department's gRPC")
    support_address: str = env("CRM_SUPPORT_ADDRESS", ..., "host:port of the support department's gRPC")

    @property
    def owners(self) -> dict[str, str]:
        """Department → host:port."""
        return {"sales": self.sales_address, "marketing": self.marketing_address, "support": self.support_address}
