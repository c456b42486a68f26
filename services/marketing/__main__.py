"""Runs the marketing department."""

from chassis.runtime.process import run
from services.marketing.bootstrap import build
from services.marketing.settings import Settings

if __name__ == "__main__":
    run("marketing", Settings, build)
