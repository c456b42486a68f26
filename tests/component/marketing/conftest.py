"""A mail server for the tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.marketing.messages import sender
from tests.support.installation import Installation
from tests.support.mailbox import Mailbox


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(crm: Installation) -> AsyncIterator[Mailbox]:
    with Mailbox(crm.plan.smtp_port) as mailbox:
        yield mailbox


@pytest.fixture
def inbox(server: Mailbox, monkeypatch: pytest.MonkeyPatch) -> Mailbox:
    server.seconds, server.away = 0.0, False
    server.at_rcpt.clear()
    server.at_data.clear()
    monkeypatch.setattr(sender, "LONGEST_HOLD_SECONDS", 2.0)
    return server
