"""Runs the support department."""

from chassis.runtime.process import run
from services.support.bootstrap import build
from services.support.settings import Settings

if __name__ == "__main__":
    run("support", Settings, build)
