"""What every composition root begins with: database, metrics, tie to the organization, authority."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crm.common.v1.audit_service_pb2 import RecordCheckpointRequest

from chassis.access.authority import Authority
from chassis.access.link import OrganizationLink
from chassis.messaging.reconciler import SERVICE as EVENTS
from chassis.messaging.reconciler import Ask
from chassis.observe.metrics import CommandMetrics, Metrics
from chassis.rpc import collaboration
from chassis.rpc.audits import DESCRIPTOR as AUDITS
from chassis.rpc.channels import Channel
from chassis.rpc.service import Service
from chassis.runtime import erasure, handover, merging
from chassis.runtime.department import Department
from chassis.runtime.settings import Settings
from chassis.storage import client
from chassis.storage.encryption import Vault
from chassis.storage.records import Records

ASK_SECONDS = 10.0


@dataclass
class Foundation:
    """The parts that no department does without."""

    name: str
    metrics: Metrics
    database: client.Database
    vault: Vault
    channel: Channel
    link: OrganizationLink
    authority: Authority

    @staticmethod
    def of(name: str, settings: Settings) -> Foundation:
        """The parts for a department that asks the organization over gRPC."""
        metrics = Metrics()
        database = client.connect(settings.mongo_uri, f"{settings.database_prefix}_{name}", [CommandMetrics(metrics)])
        channel = Channel("organization", settings.organization_address, settings.identity)
        link = OrganizationLink(channel, name, settings.service_secret)
        return Foundation(
            name, metrics, database, Vault(database, settings.masters), channel, link, Authority(link.fetch_directory, link.fetch_keys)
        )

    async def deliver(self, checkpoint: str, public_key: bytes) -> None:
        """Bring a checkpoint of the audit to the organization, its second place."""
        request = RecordCheckpointRequest(checkpoint=checkpoint, public_key=public_key)
        await self.channel.call(AUDITS, "RecordCheckpoint", request, token=await self.link.token())

    def _asking(self, channel: Channel) -> Ask:
        """Asks a department about its facts, in this department's name."""

        async def ask(method: str, request: Any) -> Any:
            return await channel.call(EVENTS, method, request, token=await self.link.token(), seconds=ASK_SECONDS)

        return ask

    def department(
        self,
        settings: Settings,
        *,
        services: Sequence[Service],
        stores: Sequence[Records] = (),
        callers: Sequence[str] = (),
        owners: Sequence[Channel] = (),
    ) -> Department:
        """The department with these services; its channel to the organization closes with it. The gateway and the tools call every
        department, `callers` are the others; `stores` are those that no service brings; `owners` are the departments to whose facts it reacts, beside the organization."""
        department = Department(
            name=self.name, settings=settings, authority=self.authority, metrics=self.metrics, database=self.database,
            vault=self.vault,
            services=services, stores=stores, deliver=self.deliver, callers=frozenset(("gateway", "cli", *callers)), closing=[self.channel.close],
        )  # fmt: skip
        department.owners = {channel.department: self._asking(channel) for channel in (self.channel, *owners)}
        department.reactions = [handover.reaction(department.stores, department.own_call)]
        department.alone = [handover.Strays(department.stores, department.own_call).run]
        if self.name != collaboration.SOURCE:
            department.reactions += [
                *collaboration.reactions(), merging.reaction(), erasure.reaction(department.stores), *handover.along(department.stores, department.own_call),
            ]  # fmt: skip
        return department
