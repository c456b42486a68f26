"""Sharing contracts in MongoDB; each change reaches the directory of all departments."""

from __future__ import annotations

from typing import Any

from crm.organization.v1 import sharing_contract_pb2

from chassis.rpc.call import Call
from chassis.storage.records import Records
from services.organization.access.store import touch


class SharingContracts(Records):
    """What departments show to each other."""

    def __init__(self) -> None:
        super().__init__(sharing_contract_pb2.SharingContract)

    def project(self, call: Call, before: dict[str, Any] | None, after: dict[str, Any]) -> None:
        """A new revision of the directory."""
        touch(call)
