"""Sends records through the departments' own BatchUpsert RPCs: what importers and the sample company have in common."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from crm.common.v1 import annotations_pb2, outcome_pb2
from google.protobuf.descriptor import MethodDescriptor

from chassis.access.link import OrganizationLink
from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from chassis.rpc.channels import Channel
from chassis.rpc.documents import message_class
from chassis.rpc.service import request_class
from cli.plan import DEPARTMENTS, Plan

ROWS = 300
BYTES = 2_500_000
SECONDS = 60.0
TRIES = 6


@dataclass(frozen=True)
class Target:
    """Where records of a resource go."""

    department: str
    method: MethodDescriptor
    rows: str

    @property
    def record(self) -> Any:
        """The class of the record's message."""
        return message_class(self.method.input_type.fields_by_name[self.rows].message_type)


@cache
def targets() -> dict[str, Target]:
    """Resource → target, for everything that can be imported; read from the contracts."""
    found: dict[str, Target] = {}
    root = Path(annotations_pb2.__file__).parents[2]
    for department in DEPARTMENTS:
        for path in sorted((root / department / "v1").glob("*_service_pb2.py")):
            module = importlib.import_module(f"crm.{department}.v1.{path.stem}")
            for service in module.DESCRIPTOR.services_by_name.values():
                for method in service.methods:
                    if method.name.startswith("BatchUpsert"):
                        field = next(item for item in method.input_type.fields if item.message_type is not None)
                        resource = field.message_type.GetOptions().Extensions[annotations_pb2.resource]
                        found[resource] = Target(department, method, field.name)
    return found


class Batches:
    """A sender with the tool's own token. Not shared between event loops. `rows` is how many records one call takes at most."""

    rows = ROWS

    def __init__(self, plan: Plan) -> None:
        self.channels = {name: Channel(name, plan.address(name), plan.identity("cli")) for name in DEPARTMENTS}
        self.link = OrganizationLink(self.channels["organization"], "cli", plan.secrets["cli"])

    async def upsert(self, resource: str, records: Sequence[Any], *, dry_run: bool = False) -> list[outcome_pb2.UpsertOutcome]:
        """Send all records of one resource, in as many calls as needed; an outcome for each, in order."""
        target = targets()[resource]
        outcomes: list[outcome_pb2.UpsertOutcome] = []
        for batch in batched(records, self.rows):
            request = request_class(target.method)(**{"request_id": new_id(), "validate_only": dry_run, target.rows: batch})
            answer = await self._send(target, request)
            outcomes += answer.outcomes
        return outcomes

    async def call(self, department: str, service: Any, method: str, request: Any) -> Any:
        """Any other call."""
        return await self.channels[department].call(service, method, request, token=await self.link.token(), seconds=SECONDS)

    async def _send(self, target: Target, request: Any) -> Any:
        """One batch; sent again under the same request id while the department is away, so that nothing is written twice."""
        for attempt in range(TRIES):
            try:
                return await self.call(target.department, target.method.containing_service, target.method.name, request)
            except CrmError as error:
                if not error.retryable or attempt + 1 == TRIES:
                    raise
                await asyncio.sleep(0.5 * 2**attempt)
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Close the channels."""
        for channel in self.channels.values():
            await channel.close()


def batched(records: Sequence[Any], rows: int = ROWS) -> list[list[Any]]:
    """Records in batches that one call takes: at most so many, and not too large."""
    found: list[list[Any]] = []
    size = BYTES
    for record in records:
        length = record.ByteSize()
        if size + length > BYTES or len(found[-1]) >= rows:
            found.append([])
            size = 0
        found[-1].append(record)
        size += length
    return found
