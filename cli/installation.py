"""An installation on this machine: its folder, its ports, its secrets; what `xietong up` keeps between starts."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from cli.engines import EngineError, is_free
from cli.plan import DEPARTMENTS, TOOLS, Plan, new_masters, new_secrets

ROOT = Path(__file__).resolve().parent.parent
PORT_BASE = 8400
_ENGINE_PORTS = {"mongo": 17, "nats": 22, "monitor": 23}
_DEMO_MAIL = "demo@xietong.example"
_ADMINISTRATOR_MAIL = "admin@xietong.example"


@dataclass
class Installation:
    """Folder, ports and what is kept in installation.json."""

    folder: Path
    base: int
    kept: dict[str, Any]

    @staticmethod
    def open(folder: Path | None = None) -> Installation:
        """The installation of CRM_DATA_DIR (default .data), made when there is none. Raises EngineError with one line."""
        folder = folder or Path(os.environ.get("CRM_DATA_DIR", ROOT / ".data"))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EngineError(f"{folder} cannot be used: {error.strerror}; set CRM_DATA_DIR to a folder that can be written") from error
        base = _number("CRM_PORT_BASE", PORT_BASE)
        path = folder / "installation.json"
        if not path.exists():
            kept: dict[str, Any] = {
                "secrets": new_secrets(), "masters": new_masters(), "backup": secrets.token_urlsafe(32), "email": _DEMO_MAIL,
                "password": secrets.token_urlsafe(12), "administrator": {"email": _ADMINISTRATOR_MAIL, "password": secrets.token_urlsafe(12)},
                "sample": "",
            }  # fmt: skip
            installation = Installation(folder, base, kept)
            installation.save()
            return installation
        try:
            stored: Any = json.loads(path.read_text())
            kept = stored
            if (
                not isinstance(stored, dict)
                or set(stored["secrets"]) != {*DEPARTMENTS[1:], *TOOLS}
                or not stored["password"]
                or set(stored["masters"]) != set(DEPARTMENTS)
            ):
                raise ValueError("keys are missing")
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise EngineError(f"{path} is broken ({error}); restore it, or move {folder} away to begin anew") from error
        installation = Installation(folder, base, kept)
        if not kept.get("backup"):  # of before there were backups
            kept["backup"] = secrets.token_urlsafe(32)
            installation.save()
        return installation

    def save(self) -> None:
        """Write installation.json, whole or not at all; readable by the owner only."""
        path = self.folder / "installation.json"
        fresh = path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as sink:
            json.dump(self.kept, sink, indent=2)
        fresh.replace(path)

    def lock(self) -> IO[str]:
        """Keep a second `xietong up` away from the folder, as long as the file is open."""
        handle = (self.folder / "lock").open("w")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise EngineError(f"another xietong up is using {self.folder}; stop it first, or set CRM_DATA_DIR and CRM_PORT_BASE") from None
        return handle

    def port(self, offset: int) -> int:
        """A port of this installation."""
        return self.base + offset

    def plan(self, mongo_uri: str = "", nats_url: str = "") -> Plan:
        """Where everything runs."""
        own_monitor = "" if nats_url or os.environ.get("CRM_NATS_URL") else f"http://127.0.0.1:{self.port(_ENGINE_PORTS['monitor'])}"
        return Plan(
            mongo_uri=mongo_uri or os.environ.get("CRM_MONGO_URI", "") or f"mongodb://127.0.0.1:{self.port(17)}/?replicaSet=crm",
            nats_url=nats_url or os.environ.get("CRM_NATS_URL", "") or f"{'tls' if self.kept.get('tls') else 'nats'}://127.0.0.1:{self.port(22)}",
            grpc={name: self.port(31 + index) for index, name in enumerate(DEPARTMENTS)},
            ops={name: self.port(41 + index) for index, name in enumerate((*DEPARTMENTS, "gateway"))},
            gateway_port=self.port(0), faq_port=self.port(10), smtp_port=self.port(25), unsubscribe_port=self.port(11),
            secrets=dict(self.kept["secrets"]), masters=dict(self.kept["masters"]),
            log_level=os.environ.get("CRM_LOG_LEVEL", "INFO"), otlp_endpoint=os.environ.get("CRM_OTLP_ENDPOINT", ""),
            documents=os.environ.get("CRM_DOCUMENTS", "") or str(self.folder / "documents.json"),
            allowed_origins=os.environ.get("CRM_ALLOWED_ORIGINS", ""),
            nats_monitor=own_monitor or os.environ.get("CRM_NATS_MONITOR_URL", ""),
            tls=self.folder.resolve() / "tls" if self.kept.get("tls") else None,
        )  # fmt: skip

    def check_ports(self, plan: Plan) -> None:
        """Refuse to start when a port is taken, naming it."""
        wanted = {
            "the graph": plan.gateway_port,
            "the FAQ": plan.faq_port,
            "unsubscribing": plan.unsubscribe_port,
            "the inbox": plan.smtp_port,
        }
        wanted |= {f"{name} (gRPC)": port for name, port in plan.grpc.items()} | {f"{name} (ops)": port for name, port in plan.ops.items()}
        wanted |= {} if os.environ.get("CRM_MONGO_URI") else {"MongoDB": self.port(_ENGINE_PORTS["mongo"])}
        if not os.environ.get("CRM_NATS_URL"):
            wanted |= {"NATS": self.port(_ENGINE_PORTS["nats"]), "NATS' monitoring": self.port(_ENGINE_PORTS["monitor"])}
        taken = [f"{port} ({name})" for name, port in wanted.items() if not is_free(port)]
        if taken:
            more = f" and {len(taken) - 3} more" if len(taken) > 3 else ""
            raise EngineError(f"port {', '.join(taken[:3])}{more} in use; stop what listens there, or set CRM_PORT_BASE (now {self.base})")


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    if text and not (text.isdigit() and 1024 <= int(text) <= 65000):
        raise EngineError(f"{name}={text} is no port between 1024 and 65000")
    return int(text) if text else default
