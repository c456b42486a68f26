"""Settings from the environment: typed, defaulted, explained; everything that is wrong is told at once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self, get_type_hints

from chassis.access.identity import Identity
from chassis.kernel.addresses import Network, networks_of
from chassis.kernel.clock import HOME
from chassis.kernel.origins import origins_of
from chassis.kernel.standards import CURRENCIES, zones
from chassis.storage.encryption import Masters

TRUSTED_PROXIES = "CRM_TRUSTED_PROXIES"


class SettingsError(Exception):
    """One line for each setting that is missing or wrong."""


def env(name: str, default: Any = ..., explain: str = "") -> Any:
    """A dataclass field read from an environment variable; no default means it must be set."""
    metadata = {"env": name, "explain": explain}
    return field(metadata=metadata) if default is ... else field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Edge:
    """Settings of a service that the public reaches."""

    trusted_proxies: str = env(
        TRUSTED_PROXIES,
        "",
        "networks in CIDR form, joined by commas, of the proxies whose word on a client's address is taken; nobody's when empty",
    )

    @property
    def proxies(self) -> tuple[Network, ...]:
        """The networks of the trusted proxies."""
        return networks_of(self.trusted_proxies)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every department is told. `from_env` reads it."""

    grpc_address: str = env("CRM_GRPC_ADDRESS", "127.0.0.1:0", "host:port on which the department answers gRPC")
    ops_address: str = env("CRM_OPS_ADDRESS", "127.0.0.1:0", "host:port for /healthz, /readyz and /metrics; not for the public")
    health_address: str = env(
        "CRM_HEALTH_ADDRESS", "", "host:port of gRPC health without TLS, for probes that know no certificate; none when empty"
    )
    mongo_uri: str = env("CRM_MONGO_URI", ..., "MongoDB replica set, e.g. mongodb://127.0.0.1:27017/?replicaSet=crm")
    nats_url: str = env(
        "CRM_NATS_URL", ..., "NATS server with JetStream, e.g. nats://127.0.0.1:4222; several of a cluster with commas between"
    )
    nats_monitor_url: str = env("CRM_NATS_MONITOR_URL", "", "NATS' monitoring port, e.g. http://127.0.0.1:8222; required in production")
    nats_replicas: int = env(
        "CRM_NATS_REPLICAS", 1, "servers that keep a copy of each stream: 1, 3 or 5, as many as the cluster of NATS has at most"
    )
    organization_address: str = env("CRM_ORGANIZATION_ADDRESS", "", "host:port of the organization department's gRPC")
    service_secret: str = env("CRM_SERVICE_SECRET", ..., "secret by which this department gets its own token")
    master_keys: str = env("CRM_MASTER_KEYS", ..., "base64url keys of 32 bytes joined by commas, this department's own; the first encrypts")
    database_prefix: str = env("CRM_DATABASE_PREFIX", "crm", "databases are named <prefix>_<department>")
    time_zone: str = env("CRM_TIME_ZONE", HOME, "the company's time zone by its IANA name: in which its days are meant")
    environment: str = env("CRM_ENVIRONMENT", "development", "development or production; reflection is served outside production")
    most_file_gigabytes: int = env("CRM_MOST_FILE_GIGABYTES", 20, "how many GB the files of this department may take together")
    log_level: str = env("CRM_LOG_LEVEL", "INFO", "DEBUG, INFO, WARNING or ERROR")
    tls_authority: str = env("CRM_TLS_AUTHORITY", "", "PEM file of the authority that is trusted; no TLS between services when empty")
    tls_identity: str = env("CRM_TLS_IDENTITY", "", "PEM file with the service's own key and certificate; goes with CRM_TLS_AUTHORITY")
    otlp_endpoint: str = env("CRM_OTLP_ENDPOINT", "", "OpenTelemetry collector over HTTP; no traces when empty")

    @property
    def identity(self) -> Identity | None:
        """What the service proves itself with; None without TLS."""
        if not self.tls_authority and not self.tls_identity:
            return None
        return Identity(Path(self.tls_authority), Path(self.tls_identity))

    @property
    def masters(self) -> Masters:
        """The keys that wrap the keys of personal data."""
        return Masters.of(self.master_keys)

    @property
    def seal(self) -> str:
        """The secret in page tokens: the same in every replica of a department, and nobody else's."""
        return hashlib.sha256(f"pages:{self.service_secret}".encode()).hexdigest()

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """The settings; raises SettingsError naming every variable that is missing or cannot be read."""
        source = os.environ if environ is None else environ
        hints = get_type_hints(cls)
        values: dict[str, Any] = {}
        wrong: list[str] = []
        for item in fields(cls):
            name = item.metadata["env"]
            raw = source.get(name)
            if raw is None or raw == "":
                if item.default is item.default_factory:
                    wrong.append(f"{name} is not set ({item.metadata['explain']})")
                continue
            try:
                values[item.name] = _convert(raw, hints[item.name])
            except ValueError:
                wrong.append(f"{name}={raw!r} is no {hints[item.name].__name__} ({item.metadata['explain']})")
                continue
            try:
                _check(name, raw)
            except ValueError:
                shown = "" if name in _SECRET else f"={raw!r}"
                wrong.append(f"{name}{shown} cannot be used ({item.metadata['explain']})")
        if bool(source.get("CRM_TLS_AUTHORITY")) != bool(source.get("CRM_TLS_IDENTITY")):
            wrong.append("CRM_TLS_AUTHORITY and CRM_TLS_IDENTITY go together; set both or neither")
        if wrong:
            raise SettingsError("\n".join(wrong))
        return cls(**values)


def _check(name: str, raw: str) -> None:
    """Refuse a text that cannot work, by what its variable's name says it is."""
    if raw not in _CHOICES.get(name, (raw,)):
        raise ValueError(raw)
    if name == "CRM_MASTER_KEYS":
        Masters.of(raw)
    if name.endswith("_ADDRESS"):
        host, _, port = raw.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ValueError(raw)
    if name == "CRM_BASE_CURRENCY" and raw not in CURRENCIES:
        raise ValueError(raw)
    if name == "CRM_TIME_ZONE" and raw not in zones():
        raise ValueError(raw)
    if name.endswith("_NETWORKS") or name == TRUSTED_PROXIES:
        networks_of(raw)
    if name.endswith("_ORIGINS"):
        origins_of(raw)
    if name.endswith(("_MILLISECONDS", "_BYTES")) and int(raw) < 1:
        raise ValueError(raw)


_SECRET = frozenset(("CRM_MASTER_KEYS", "CRM_SERVICE_SECRET", "CRM_SERVICE_SECRETS"))
_CHOICES = {
    "CRM_LOG_LEVEL": ("DEBUG", "INFO", "WARNING", "ERROR"),
    "CRM_ENVIRONMENT": ("development", "production"),
    "CRM_NATS_REPLICAS": ("1", "3", "5"),
}


def _convert(raw: str, kind: type) -> Any:
    if kind is bool:
        if raw.lower() not in ("true", "false", "1", "0"):
            raise ValueError(raw)
        return raw.lower() in ("true", "1")
    return kind(raw)
