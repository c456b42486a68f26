"""Settings of the marketing department."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from chassis.runtime.settings import Edge, SettingsError, env
from chassis.runtime.settings import Settings as Common


@dataclass(frozen=True, kw_only=True)
class Settings(Common, Edge):
    """The common settings, where the departments answer that are asked, the mail server, and the public page of unsubscribing."""

    customer_address: str = env("CRM_CUSTOMER_ADDRESS", ..., "host:port of the customer department's gRPC")
    sales_address: str = env("CRM_SALES_ADDRESS", ..., "host:port of the sales department's gRPC")
    support_address: str = env("CRM_SUPPORT_ADDRESS", ..., "host:port of the support department's gRPC")
    smtp_url: str = env("CRM_SMTP_URL", "smtp://127.0.0.1:2525", "mail server, e.g. smtp://127.0.0.1:2525")
    mail_sender: str = env("CRM_MAIL_SENDER", "news@crm.example", "address that mails come from")
    web_address: str = env("CRM_WEB_ADDRESS", "127.0.0.1:0", "host:port of the public page of unsubscribing")
    unsubscribe_url: str = env(
        "CRM_UNSUBSCRIBE_URL", "http://127.0.0.1:8411", "where the public page of unsubscribing is reached; begins each mail's way out"
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """As the common ones; in production the way out of a mail must be one that programs of mail take (RFC 8058: https)."""
        found = super().from_env(environ)
        scheme, _, rest = found.unsubscribe_url.partition("://")
        if (
            not rest.strip("/")
            or not found.unsubscribe_url.isascii()
            or scheme not in (("https",) if found.environment == "production" else ("http", "https"))
        ):
            raise SettingsError(
                f"CRM_UNSUBSCRIBE_URL={found.unsubscribe_url!r} cannot be used (an https address in production, e.g. https://news.example.com)"
            )
        return found
