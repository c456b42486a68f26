"""One channel to each department; every call carries the caller's token, a request id and a deadline."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from chassis.rpc.channels import Channel
from gateway.departments.merging import Merging
from gateway.departments.standing import Standing
from gateway.settings import Settings

DEPARTMENTS = ("organization", "customer", "sales", "marketing", "support")


class Clients:
    """The departments, as the gateway reaches them."""

    def __init__(self, settings: Settings) -> None:
        self.channels = {name: Channel(name, settings.address(name), settings.identity) for name in DEPARTMENTS}
        self.merging = Merging()
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
    ) -> Any:
        """The answer to a question, within the read deadline."""
        channel = self.channels[department]
        return await channel.call(
            service, method, request, token=token, request_id=request_id, seconds=self.read_seconds, by_roles=by_roles
        )

    async def write(
        self, department: str, service: ServiceDescriptor, method: str, request: Message, token: str, request_id: str, address: str = ""
    ) -> Any:
        """The answer to a command, within the write deadline. `address` is the client's, by which failed sign-ins are counted too."""
        channel = self.channels[department]
        return await channel.call(service, method, request, token=token, request_id=request_id, seconds=self.write_seconds, address=address)

    async def close(self) -> None:
        """Close the channels."""
        for standing in self.standing.values():
            await standing.stop()
        for channel in self.channels.values():
            await channel.close()
