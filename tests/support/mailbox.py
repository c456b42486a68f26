"""A mail server for tests that answers as it is told."""

from __future__ import annotations

import asyncio
from collections import Counter
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller


class Mailbox:
    """What was taken: (address, mail). `at_rcpt` and `at_data` are answers by address, else «250»; "dies" closes the connection, "sleeps"
    says nothing for a while. `away` closes every connection as it comes. `tries` counts the RCPT of each address, `seconds` makes it slow."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.mails: list[tuple[str, EmailMessage]] = []
        self.at_rcpt: dict[str, str] = {}
        self.at_data: dict[str, str] = {}
        self.tries: Counter[str] = Counter()
        self.connections = 0
        self.seconds = 0.0
        self.away = False

    def __enter__(self) -> Mailbox:
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self.controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.controller.stop()

    async def handle_EHLO(self, server: Any, session: Any, envelope: Any, hostname: str) -> str:
        session.host_name = hostname
        self.connections += 1
        return "421 4.3.2 closing" if self.away else "250 HELP"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        self.tries[address] += 1
        if address in self.at_rcpt:
            return self.at_rcpt[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        address = envelope.rcpt_tos[0]
        answer = self.at_data.get(address, "250 OK")
        await asyncio.sleep(4 if answer == "sleeps" else self.seconds)
        if answer == "dies":
            server.transport.abort()
        if answer.startswith("250"):
            mail = message_from_bytes(envelope.content, policy=default)
            assert isinstance(mail, EmailMessage)
            self.mails.append((address, mail))
        return "451 slept" if answer in ("dies", "sleeps") else answer

    def to(self, domain: str) -> list[str]:
        """Who got mails at a domain, each mail once."""
        return sorted(address for address, _ in self.mails if address.endswith(f"@{domain}"))

    def texts(self, domain: str) -> list[str]:
        """What stands in the mails to a domain."""
        return [str(mail.get_content()).replace("\r\n", "\n") for address, mail in self.mails if address.endswith(f"@{domain}")]
