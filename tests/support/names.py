"""A name server for tests: one name, the addresses that the test says now. As a cluster's for a service without an address of its own."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any


class Names(asyncio.DatagramProtocol):
    """Answers every question for an IPv4 address with `addresses`; `asked` counts them."""

    def __init__(self, addresses: list[str]) -> None:
        self.addresses, self.asked, self.port = addresses, 0, 0

    async def start(self) -> None:
        """Listen on a free port of loopback."""
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self.transport: Any = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """One question (RFC 1035, section 4)."""
        end = data.index(b"\0", 12) + 5
        question, (kind,) = data[12:end], struct.unpack("!H", data[end - 4 : end - 2])
        found = self.addresses if kind == 1 else []
        self.asked += kind == 1
        head = data[:2] + struct.pack("!HHHHH", 0x8180, 1, len(found), 0, 0)
        rows = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 4) + socket.inet_aton(address) for address in found)
        self.transport.sendto(head + question + rows, addr)
