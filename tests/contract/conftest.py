"""Every store there is, one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from infra.embedded import embedded_redis
from infra.stores import Stores
from tests.stores import KINDS, empty_stores


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with embedded_redis() as url:
        yield url


@pytest.fixture(params=KINDS)
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    def url() -> str:
        found: str = request.getfixturevalue("redis_url")
        return found

    async with empty_stores(request.param, url, parking_max_events_per_media=3) as opened:
        yield opened
