"""A reader that does not keep up hears everything up to the moment at which it is told so; others hear on."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from joserfc.jwk import OKPKey

from chassis.access.caller import Caller
from chassis.access.tokens import Signer
from chassis.kernel.errors import Conflict
from gateway.departments.following import Wanted
from gateway.departments.live import QUEUE, Fact, Live, Mark, heard


def _fact(number: int) -> Fact:
    return Fact(f"{number:05}", "crm.support.v1.TicketCreated", "support", "Ticket", "t", "", datetime.now(UTC))


def _token() -> str:
    return Signer("test", OKPKey.generate_key("Ed25519")).sign(Caller("p", frozenset()), time.time())[0]


async def _still() -> None:
    pass


def test_who_follows_a_customer_hears_nothing_of_what_is_about_none() -> None:
    wanted = Wanted(("support",), customer_id="c")
    about = [
        Fact("1", "crm.support.v1.TicketCreated", "support", "Ticket", "t", customer, datetime.now(UTC)) for customer in ("", "c", "d")
    ]
    assert [wanted.takes(fact) for fact in about] == [False, True, False]
    assert [wanted.led({"c": "d"}).takes(fact) for fact in about] == [False, True, True]


async def test_what_a_slow_reader_hears_before_it_is_told_so_has_no_gap() -> None:
    live, read = Live(), list[str]()
    with live.listening() as slow, live.listening() as quick:
        for number in range(QUEUE + 30):
            live._tell(_fact(number))
            told = quick.get_nowait()
            assert isinstance(told, Fact)
            assert told.event_id == f"{number:05}"
        with pytest.raises(Conflict, match="more slowly"):
            async for item in heard(slow, _token(), _still):
                assert isinstance(item, Fact)
                read.append(item.event_id)
        await live.back()
        assert quick.get_nowait() is Mark.BACK
    assert read == [f"{number:05}" for number in range(QUEUE)]
