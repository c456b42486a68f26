"""Settings of the support department."""

from __future__ import annotations

from dataclasses import dataclass

from chassis.runtime.settings import Edge, env
from chassis.runtime.settings import Settings as Common


@dataclass(frozen=True, kw_only=True)
class Settings(Common, Edge):
    """The common settings, where the customer department answers, and the public edge."""

    customer_address: str = env("CRM_CUSTOMER_ADDRESS", ..., "host:port of the customer department's gRPC")
    sales_address: str = env("CRM_SALES_ADDRESS", ..., "host:port of the sales department's gRPC")
    web_address: str = env("CRM_WEB_ADDRESS", "127.0.0.1:0", "host:port of the public pages (FAQ)")
