"""Runs the customer department."""

from chassis.runtime.process import run
from services.customer.bootstrap import build
from services.customer.settings import Settings

if __name__ == "__main__":
    run("customer", Settings, build)
