"""Settings of the sales department."""

from __future__ import annotations

from dataclasses import dataclass

from chassis.runtime.settings import Settings as Common
from chassis.runtime.settings import env


@dataclass(frozen=True, kw_only=True)
class Settings(Common):
    """The common settings, and where the customer department answers."""

    customer_address: str = env("CRM_CUSTOMER_ADDRESS", ..., "host:port of the customer department's gRPC")
