"""`python -m chassis.runtime.probe grpc|http`: whether the service of this environment serves; for the health check of a container.

Exit 0 when it does, 1 with one line when not. It asks on this machine's loopback, whatever address the service listens on.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis.access.identity import Identity

SECONDS = 3.0


def grpc_serves(environ: Mapping[str, str]) -> bool:
    """What the department says of itself over gRPC. With TLS its own certificate is shown, which names 127.0.0.1 too. Raises grpc.RpcError."""
    address = _here(environ["CRM_GRPC_ADDRESS"])
    if authority := environ.get("CRM_TLS_AUTHORITY"):
        identity = Identity(Path(authority), Path(environ["CRM_TLS_IDENTITY"]))
        channel = grpc.secure_channel(address, identity.channel_credentials())
    else:
        channel = grpc.insecure_channel(address)
    with channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def http_ready(environ: Mapping[str, str]) -> bool:
    """Whether /readyz says yes. Raises OSError."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://{_here(environ['CRM_OPS_ADDRESS'])}/readyz", timeout=SECONDS) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False


def _here(address: str) -> str:
    return f"127.0.0.1:{address.rpartition(':')[2]}"


def main(kind: str) -> None:
    """One question; ends the process."""
    try:
        serves = {"grpc": grpc_serves, "http": http_ready}[kind](os.environ)
    except KeyError as missing:
        sys.exit(f"probe: {missing} is not set")
    except (grpc.RpcError, OSError) as error:
        sys.exit(f"probe: no answer: {error.code().name if isinstance(error, grpc.Call) else error}")
    if not serves:
        sys.exit("probe: the service says that it does not serve")


if __name__ == "__main__":
    main(sys.argv[1])
