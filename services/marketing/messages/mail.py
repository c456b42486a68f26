"""Handing mails to a mail server."""

from __future__ import annotations

from email.message import EmailMessage
from urllib.parse import urlsplit

import aiosmtplib


class MailRefused(Exception):
    """The mail server will never take this mail; another try makes no sense."""


class Mailer:
    """Sends plain mails over one server. `url` e.g. smtp://127.0.0.1:2525; raises OSError while the server is away."""

    def __init__(self, url: str, sender: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 25
        self.sender = sender

    async def send(self, identity: str, address: str, subject: str, text: str) -> None:
        """One mail. `identity` becomes its Message-ID."""
        mail = EmailMessage()
        mail["Message-ID"] = f"<{identity}@crm>"
        mail["From"] = self.sender
        mail["To"] = address
        mail["Subject"] = " ".join(subject.split())
        mail.set_content(text)
        try:
            await aiosmtplib.send(mail, hostname=self.host, port=self.port, timeout=10)
        except aiosmtplib.SMTPRecipientsRefused as error:
            if all(each.code >= 500 for each in error.recipients):
                raise MailRefused(str(error)) from error
            raise OSError(f"the mail server puts {address} off: {error}") from error
        except aiosmtplib.SMTPResponseException as error:
            if error.code >= 500:  # RFC 5321: 5yz is for good, 4yz for now
                raise MailRefused(str(error)) from error
            raise OSError(f"the mail server puts the mail off: {error}") from error
        except aiosmtplib.SMTPException as error:
            raise OSError(f"the mail server at {self.host}:{self.port} does not take mails: {error}") from error
