"""Settings of the marketing department."""

from __future__ import annotations

from dataclasses import dataclass

from chassis.runtime.settings import Settings as Common
from chassis.runtime.settings import env


@dataclass(frozen=True, kw_only=True)
class Settings(Common):
    """The common settings, where the departments answer that are asked, and the mail server."""

    customer_address: str = env("CRM_CUSTOMER_ADDRESS", ..., "host:port of the customer department's gRPC")
    sales_address: str = env("CRM_SALES_ADDRESS", ..., "host:port of the sales department's gRPC")
    smtp_url: str = env("CRM_SMTP_URL", "smtp://127.0.0.1:2525", "mail server, e.g. smtp://127.0.0.1:2525")
    mail_sender: str = env("CRM_MAIL_SENDER", "news@crm.example", "address that mails come from")
