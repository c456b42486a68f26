"""Runs the sales department."""

from chassis.runtime.process import run
from services.sales.bootstrap import build
from services.sales.settings import Settings

if __name__ == "__main__":
    run("sales", Settings, build)
