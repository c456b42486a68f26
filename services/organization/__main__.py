"""Runs the organization department."""

from chassis.runtime.process import run
from services.organization.bootstrap import build
from services.organization.settings import Settings

if __name__ == "__main__":
    run("organization", Settings, build)
