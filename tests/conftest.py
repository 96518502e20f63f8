"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes says what else the machine does, not whether the code is right.
settings.register_profile("freshgrid", deadline=None)
settings.load_profile("freshgrid")
