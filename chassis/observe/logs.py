"""JSON log lines, one a fact, joined by request id and, within a trace, by trace id. No payloads, no secrets."""

from __future__ import annotations

import logging
import sys
from typing import Any

import orjson

from chassis.observe.traces import place

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """Every record as one JSON object: time, level, service, message, the trace if there is one, and whatever was passed as `extra`."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "service": self.service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= place()
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def configure(service: str, level: str = "INFO") -> None:
    """Log JSON lines of this process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("nats", "pymongo", "uvicorn.error", "uvicorn.access", "grpc", "httpx", "asyncio"):
        logging.getLogger(noisy).setLevel("ERROR")
