"""A port that one process was given is not given to another one, whether anybody listens there at the moment or not."""

from __future__ import annotations

import subprocess
import sys

from cli.engines import free_port

COUNT = 300


def test_two_processes_are_never_given_the_same_port() -> None:
    code = f"from cli.engines import free_port; print(*[free_port() for _ in range({COUNT})], flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        theirs = {int(port) for port in other.stdout.readline().split()}
        ours = {free_port() for _ in range(COUNT)}
        other.stdin.write("\n")
        other.stdin.close()
        assert other.wait(10) == 0
    assert (len(theirs), len(ours), ours & theirs) == (COUNT, COUNT, set())
