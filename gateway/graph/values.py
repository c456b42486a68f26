"""Amounts and moments as the graph writes them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from google.protobuf.timestamp_pb2 import Timestamp

from chassis.rpc.documents import from_timestamp


def moment_text(moment: datetime) -> str:
    """A moment of UTC, e.g. 2026-11-22T02:00:00.000Z."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def time_text(stamp: Timestamp) -> str:
    """A contract's moment as the graph shows it."""
    return moment_text(from_timestamp(stamp))


def plain_amount(micros: int) -> Decimal:
    """Millionths as units, with two decimals at least and no more than needed."""
    value = Decimal(micros) / 1_000_000
    shown = value.quantize(Decimal("0.01"))
    return shown if shown == value else value.normalize()
