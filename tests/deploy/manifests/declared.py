"""What the code declares of itself, to which the manifests must be equal: who calls whom, and as which settings say."""

from __future__ import annotations

import asyncio
import importlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from functools import cache
from typing import Any

from cli.plan import DEPARTMENTS, Plan, new_masters, new_secrets


@cache
def _nowhere() -> Plan:
    ports = dict.fromkeys((*DEPARTMENTS, "gateway"), 1)
    return Plan(
        mongo_uri="mongodb://127.0.0.1:1/", nats_url="nats://127.0.0.1:1", grpc=ports, ops=ports, gateway_port=1, faq_port=1, smtp_port=1,
        secrets=new_secrets(), masters=new_masters(),
    )  # fmt: skip


def settings_of(name: str) -> Any:
    """The settings class of a service."""
    return importlib.import_module("gateway.settings" if name == "gateway" else f"services.{name}.settings").Settings


@cache
def callers(name: str) -> frozenset[str]:
    """The services that a department lets in, but itself: what it asks of itself crosses no network."""
    settings = settings_of(name).from_env(_nowhere().environment(name))

    async def built() -> frozenset[str]:  # its channels want a loop, which a plain test may not have, or no longer
        found: frozenset[str] = importlib.import_module(f"services.{name}.bootstrap").build(settings).callers
        return found

    with ThreadPoolExecutor(1) as apart:
        return apart.submit(asyncio.run, built()).result() - {name}


@cache
def calls(name: str) -> frozenset[str]:
    """The departments of which a service's settings want the address."""
    known = {item.metadata["env"] for item in fields(settings_of(name))}
    return frozenset(other for other in DEPARTMENTS if f"CRM_{other.upper()}_ADDRESS" in known) - {name}
