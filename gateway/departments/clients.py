"""One channel to each department; every call carries the caller's token, a request id and a deadline; refusals come back in the graph's spelling."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from chassis.kernel.errors import CrmError
from chassis.rpc.channels import Channel
from gateway.departments.language import Locales
from gateway.departments.merging import Merging
from gateway.departments.spelling import spelled
from gateway.departments.standing import Standing
from gateway.settings import Settings

DEPARTMENTS = ("organization", "customer", "sales", "marketing", "support")


class Clients:
    """The departments, as the gateway reaches them."""

    def __init__(self, settings: Settings) -> None:
        self.channels = {name: Channel(name, settings.address(name), settings.identity) for name in DEPARTMENTS}
        self.merging, self.locales = Merging(), Locales()
        self.standing = {name: Standing(channel) for name, channel in self.channels.items()}
        self.read_seconds = settings.read_milliseconds / 1000
        self.write_seconds = settings.write_milliseconds / 1000

    def watch(self) -> None:
        """Look at the connections from now on."""
        for standing in self.standing.values():
            standing.start()

    async def read(
        self,
        department: str,
        service: ServiceDescriptor,
        method: str,
        request: Message,
        token: str,
        request_id: str,
        *,
        by_roles: bool = False,
        seconds: float = 0,
    ) -> Any:
        """The answer to a question, within the read deadline, or within the seconds that are given."""
        channel = self.channels[department]
        try:
            return await channel.call(
                service, method, request, token=token, request_id=request_id, seconds=seconds or self.read_seconds, by_roles=by_roles
            )
        except CrmError as refusal:
            raise spelled(refusal, request) from None

    async def write(
        self, department: str, service: ServiceDescriptor, method: str, request: Message, token: str, request_id: str, address: str = "",
        *, trial: bool = False, patience: int = 1,
    ) -> Any:  # fmt: skip
        """The answer to a command, within the write deadline, or so many times it; with `trial` nothing of it is done. `address` is the
        client's, by which failed sign-ins are counted too."""
        channel = self.channels[department]
        try:
            return await channel.call(
                service,
                method,
                request,
                token=token,
                request_id=request_id,
                seconds=self.write_seconds * patience,
                address=address,
                trial=trial,
            )
        except CrmError as refusal:
            raise spelled(refusal, request) from None

    async def close(self) -> None:
        """Close the channels."""
        for standing in self.standing.values():
            await standing.stop()
        for channel in self.channels.values():
            await channel.close()
