"""Settings of the customer department: the common ones."""

from chassis.runtime.settings import Settings

__all__ = ["Settings"]
