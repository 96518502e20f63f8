"""Settings are read once a process; tests that change the environment each read their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.config import settings


@pytest.fixture(autouse=True)
def settings_of_the_test() -> Iterator[None]:
    """What a test before this one read is forgotten, and so is what this one reads."""
    settings.cache_clear()
    yield
    settings.cache_clear()
