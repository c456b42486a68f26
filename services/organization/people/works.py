"""How much open work somebody holds in the departments, asked of each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from crm.common.v1 import work_service_pb2 as contract

from chassis.rpc.channels import Channel
from chassis.rpc.work import DESCRIPTOR

SECONDS = 3.0


@dataclass(frozen=True)
class Works:
    """The ways to the departments, and the organization's own token."""

    channels: Mapping[str, Channel]
    token: Callable[[], str]

    async def held(self, person_id: str) -> dict[str, int]:
        """Records by resource. Raises UNAVAILABLE where a department does not answer: then nobody knows."""
        request = contract.CountOpenWorkRequest(person_id=person_id)
        asked = (
            channel.call(DESCRIPTOR, "CountOpenWork", request, token=self.token(), seconds=SECONDS) for channel in self.channels.values()
        )
        return {line.resource: line.count for answer in await asyncio.gather(*asked) for line in answer.work}
