"""Handing mails to a mail server, and what its answers mean: for this mail, for this address, or for all that wait.

A mail is lawful mail: it says who sends it, when, and how one gets no more of them (RFC 8058), in the header and in the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parseaddr
from urllib.parse import urlsplit

import aiosmtplib

SECONDS = 10.0
# RFC 3463: an address that is none, a domain that is none, a mail box that was closed.
_NOBODY = re.compile(r"\b5\.(?:1\.(?:1|2|3|6|10)|2\.1)\b")
_ENHANCED = re.compile(r"^\s*[245]\.\d{1,3}\.\d{1,3}\b")
_NO_SUCH_MAILBOX = (550, 551, 553)  # RFC 5321, said of a recipient
_TOO_LARGE = 552
_CLOSING = 421


class PutOff(Exception):
    """The mail server takes this mail later; the words are its own."""


class Refused(Exception):
    """The mail server will never take this mail; another try makes no sense. `bounced` when there is no such address."""

    def __init__(self, answer: str, *, bounced: bool = False) -> None:
        super().__init__(answer)
        self.bounced = bounced


class ServerAway(OSError):
    """The mail server takes nothing from us for now. `begun` when it was this mail at which it went."""

    def __init__(self, why: str, *, begun: bool = False) -> None:
        super().__init__(why)
        self.begun = begun


@dataclass(frozen=True)
class Mail:
    """One mail. `identity` becomes its Message-ID: a server that gets it again after a crash can tell."""

    identity: str
    address: str
    subject: str
    text: str
    way_out: str
    time: datetime

    def written(self, sender: str) -> bytes:
        """As it goes out. Raises ValueError for an address or a subject that cannot stand in a header."""
        mail = EmailMessage(policy=SMTP)
        mail["Message-ID"] = f"<{self.identity}@{parseaddr(sender)[1].rpartition('@')[2]}>"
        mail["Date"] = self.time
        mail["From"] = sender
        mail["To"] = self.address
        mail.set_content(self.text, cte="base64")
        # Written by hand, for the way in which long headers are folded (Python 3.11) loses blanks of the one and encodes the other.
        own = {
            "Subject": Header(self.subject, header_name="Subject").encode(linesep="\r\n"),
            "List-Unsubscribe": f"<{self.way_out}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }
        return "".join(f"{name}: {value}\r\n" for name, value in own.items()).encode("ascii") + mail.as_bytes()


class Mailer:
    """Sends mails over one server. `url` e.g. smtp://127.0.0.1:2525."""

    def __init__(self, url: str, sender: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 25
        self.sender = sender

    async def send(self, mail: Mail) -> None:
        """Hand over one mail. Raises PutOff, Refused or ServerAway."""
        try:
            content = mail.written(self.sender)
        except ValueError as error:  # UnicodeError too
            raise Refused(f"the mail cannot be written: {error}") from error
        client = aiosmtplib.SMTP(hostname=self.host, port=self.port, timeout=SECONDS)
        try:
            await client.connect()
        except (aiosmtplib.SMTPException, OSError) as error:
            client.close()
            raise ServerAway(f"the mail server {self.host}:{self.port} is away: {_words(error)}") from error
        try:
            await self._hand_over(client, mail.address, content)
        finally:
            await _quit(client)

    async def _hand_over(self, client: aiosmtplib.SMTP, address: str, content: bytes) -> None:
        try:
            await client.sendmail(parseaddr(self.sender)[1], [address], content)
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise judged(error.recipients[0].code, error.recipients[0].message, of_recipient=True) from error
        except aiosmtplib.SMTPSenderRefused as error:
            if error.code == _TOO_LARGE:
                raise Refused(f"{error.code} {error.message}") from error
            raise ServerAway(f"the mail server takes nothing from {self.sender}: {error.code} {error.message}") from error
        except aiosmtplib.SMTPHeloError as error:
            raise ServerAway(f"the mail server refuses to talk: {error.code} {error.message}") from error
        except aiosmtplib.SMTPResponseException as error:
            raise judged(error.code, error.message) from error
        except ValueError as error:
            raise Refused(f"the address cannot be mailed: {error}") from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise ServerAway(f"the mail server {self.host}:{self.port} went away: {_words(error)}", begun=True) from error


def judged(code: int, message: str, *, of_recipient: bool = False) -> PutOff | Refused | ServerAway:
    """What an answer of the server means; `of_recipient` when it is to the address, and not to the mail as a whole."""
    answer = f"{code} {' '.join(message.split())}"
    if code == _CLOSING:
        return ServerAway(f"the mail server went away: {answer}", begun=True)
    if code < 500:  # RFC 5321: 5yz is for good, 4yz for now
        return PutOff(answer)
    said = bool(_ENHANCED.match(message))
    nobody = bool(_NOBODY.search(message)) if said else of_recipient and code in _NO_SUCH_MAILBOX
    return Refused(answer, bounced=nobody)


async def _quit(client: aiosmtplib.SMTP) -> None:
    """Say goodbye where somebody listens; what was said before stands."""
    try:
        await client.quit(timeout=1)
    except (aiosmtplib.SMTPException, OSError):
        client.close()


def _words(error: Exception) -> str:
    told = f"{error.code} {error.message}" if isinstance(error, aiosmtplib.SMTPResponseException) else str(error)
    return " ".join(told.split())[:200] or type(error).__name__
