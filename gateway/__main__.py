"""Runs the gateway."""

from chassis.runtime.process import run
from gateway.bootstrap import build
from gateway.settings import Settings

if __name__ == "__main__":
    run("gateway", Settings, build)
