"""An example has no deadline: these tests have the time that others leave, and how long one takes says nothing of the code."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
