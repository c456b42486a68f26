"""A worker that fails is begun again; what is written down depends on whose fault it is."""

from __future__ import annotations

import logging
from functools import partial

import pytest
from nats.errors import ConnectionClosedError
from pymongo.errors import AutoReconnect, DuplicateKeyError, ExecutionTimeout, ServerSelectionTimeoutError

from chassis.kernel.errors import Conflict
from chassis.runtime import workers
from chassis.runtime.workers import Worker, name_of, watched


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (AutoReconnect("connection closed"), "worker waits"),
        (ServerSelectionTimeoutError("no primary"), "worker waits"),
        (ExecutionTimeout("too slow"), "worker waits"),
        (ConnectionClosedError(), "worker waits"),
        (TimeoutError(), "worker waits"),
        (Conflict("later", retryable=True), "worker waits"),
        (DuplicateKeyError("a fault of ours"), "worker failed"),
        (KeyError("name"), "worker failed"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_it_is_begun_again_and_only_our_faults_have_a_traceback(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "AGAIN_SECONDS", 0.0)
    begun: list[int] = []

    async def work() -> None:
        begun.append(1)
        if len(begun) < 3:
            raise error

    with caplog.at_level(logging.WARNING, logger="crm.department"):
        await watched(work)
    assert len(begun) == 3
    assert [(record.message, bool(record.exc_info)) for record in caplog.records] == [(said, said == "worker failed")] * 2
    assert all(getattr(record, "reason", "x") for record in caplog.records)


class Lease:
    """Something under which a worker runs."""

    async def while_held(self, run: Worker) -> None:
        """Run it."""
        await run()

    async def send(self) -> None:
        """A worker."""


def test_a_worker_under_a_lease_has_its_own_name() -> None:
    one = Lease()
    assert name_of(one.send) == "Lease.send"
    assert name_of(partial(one.while_held, one.send)) == "Lease.send"
