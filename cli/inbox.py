"""The development mail server: takes every mail and keeps it as a file. Nothing leaves the machine."""

from __future__ import annotations

import email
import email.policy
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller

from cli.words import say

KEPT = 10_000


class _Keep:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  aiosmtpd's name
        """Keep one mail under its Message-ID: a mail that comes twice is one file."""
        mail = email.message_from_bytes(envelope.original_content or envelope.content, policy=email.policy.default)
        identity = str(mail.get("Message-ID", "")).strip("<>").split("@")[0]
        safe = "".join(letter for letter in identity if letter.isalnum() or letter == "-")[:80] or str(len(list(self.folder.iterdir())))
        (self.folder / f"{safe}.eml").write_bytes(envelope.original_content or envelope.content)
        return "250 kept"


def start_inbox(folder: Path, port: int) -> Controller:
    """A mail server on loopback, running in a thread of its own; `stop()` ends it."""
    controller = Controller(_Keep(folder), hostname="127.0.0.1", port=port)
    controller.start()
    return controller


def show(folder: Path, most: int = 20) -> None:
    """The newest mails, one paragraph each."""
    mails = sorted(folder.glob("*.eml"), key=lambda path: path.stat().st_mtime, reverse=True) if folder.exists() else []
    if not mails:
        say("the inbox is empty; launch a campaign (campaignLaunch) first")
        return
    say(f"{len(mails)} mails in {folder}; the newest {min(most, len(mails))}:")
    for path in mails[:most]:
        mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        body = mail.get_body(("plain",))
        text = str(body.get_content()) if body else ""
        say(f"\n{mail['Date'] or ''} To: {mail['To']}\n  {mail['Subject']}\n  {' '.join(text.split())[:200]}")
