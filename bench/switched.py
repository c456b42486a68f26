"""The suite as it is, with a switch that only the bench has: access, or audit, as if it were not there. Never a part of the product.

`python -m bench.switched up …` is `xietong up` whose services run through here; `python -m bench.switched services.customer` is one of
them. SIGUSR1 takes access away, SIGUSR2 the audit and its chain, SIGHUP gives both back: on and off are measured in the same processes.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from collections.abc import Callable
from typing import Any

ACCESS_OFF, AUDIT_OFF, ON = signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP
Patch = tuple[Any, str, Any]


def main() -> None:
    """Either the command line or one service."""
    if sys.argv[1] == "up":
        _command_line()
    else:
        _switch()
        module = sys.argv[1]
        sys.argv = [module]
        runpy.run_module(module, run_name="__main__")


def _command_line() -> None:
    import cli.up
    from cli.__main__ import main as run
    from cli.engines import Child

    start = Child.start

    async def started(name: str, command: list[str], log: Any, env: dict[str, str] | None = None) -> Child:
        if "-m" in command and command[-1].startswith(("services.", "gateway")):
            command = [*command[:-1], "bench.switched", command[-1]]
        return await start(name, command, log, env)

    cli.up.Child.start = started  # type: ignore[method-assign,assignment]
    run(sys.argv[1:])


def _switch() -> None:
    patches = {ACCESS_OFF: _without_access(), AUDIT_OFF: _without_audit()}
    kept = [(owner, name, owner.__dict__[name]) for each in patches.values() for owner, name, _ in each]

    def turn(number: int, _: object) -> None:
        for owner, name, value in [*kept, *patches.get(signal.Signals(number), [])]:
            setattr(owner, name, value)

    for number in (*patches, ON):
        signal.signal(number, turn)


def _without_access() -> list[Patch]:
    """Everything is admitted, nothing limited; a token that was verified once is good for ever."""
    import chassis.rpc.service
    from chassis.access.authority import Authority
    from chassis.access.caller import ALL, Ground, Reach
    from chassis.access.directory import NO_LIMITS, Directory
    from chassis.rpc.server import Server

    verify, whole = Authority.verify, Reach((Ground(ALL),))

    async def known(self: Authority, token: str) -> Any:
        return self._seen[token][0] if token in self._seen else await verify(self, token)

    async def nobody(self: Server, caller: object) -> dict[str, tuple[str, ...]]:
        return {}

    always: Callable[..., object] = lambda *_, **__: True  # noqa: E731
    return [
        (Authority, "verify", known), (Server, "_customers", nobody), (Directory, "allows", always),
        (Directory, "reach", lambda *_, **__: whole), (Directory, "limits", lambda *_: NO_LIMITS),
        (chassis.rpc.service, "limit_answer", always), (chassis.rpc.service, "refuse_writes", always),
    ]  # fmt: skip


def _without_audit() -> list[Patch]:
    """No entry is written, nothing is sealed."""
    from chassis.storage.chain import Chain
    from chassis.storage.changes import Changes

    async def nothing(self: Chain) -> int:
        return 0

    async def silence(self: Chain) -> None:
        return None

    return [(Changes, "audit", lambda *_, **__: None), (Chain, "seal", nothing), (Chain, "_tell", silence)]


if __name__ == "__main__":
    if os.environ.get("CRM_ENVIRONMENT") == "production":
        raise SystemExit("bench.switched is for the bench alone")
    main()
