"""Pages of a series: what is stored, asked for again, and how often a stored grid is decoded."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from infra.artifacts import ArtifactStore
from infra.config import Settings
from infra.embedded import embedded_redis
from infra.errors import UnreachableError
from infra.memory_store import MemoryStore
from infra.open_stores import open_stores
from infra.stores import Store
from models.explore import grid as grids
from models.explore import impressions
from models.explore.experiment import Treatment
from models.explore.impressions import Impression, StoredGrid
from models.igql.library import operators
from models.world import World
from streams.clock import now_ms
from streams.ranking import Ranking
from streams.records import Touched
from streams.serving.explorer import CursorError, Explorer
from streams.serving.live_queries import LiveQueries
from streams.serving.live_rankers import LiveRankers
from streams.serving.lookup import Lookup, Page
from tests.unit.models.explore.test_impressions import catalogue

SETTINGS = Settings(grid_size=10)


class Counting:
    """A decoder that counts how often it decodes which bytes."""

    def __init__(self, inner: Any, decoded: Counter[bytes]) -> None:
        self._inner, self._decoded = inner, decoded

    def decode(self, data: bytes) -> Any:
        self._decoded[data] += 1
        return self._inner.decode(data)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[bytes]]:
    """Decoded bytes of grids, and how often."""
    counted = Counter[bytes]()
    for module in (grids, impressions):
        monkeypatch.setattr(module, "_decoder", Counting(module._decoder, counted))
    return counted


class Service:
    """A lookup on a store, one in memory where none is given."""

    def __init__(self, world: World, folder: Path, store: Store | None = None) -> None:
        self.store, self.logged = store or MemoryStore(SETTINGS), list[Impression]()
        queries = LiveQueries(SETTINGS, operators)
        explorer = Explorer(
            SETTINGS, world, self.store, queries, lambda _: Treatment(query=queries.of())
        )
        self.ranking = Ranking(self.store, explorer)
        self.lookup = Lookup(
            SETTINGS, world, LiveRankers(ArtifactStore(str(folder))), self.store, explorer,
            self.ranking, None, self._log,
        )  # fmt: skip

    async def _log(self, viewer_id: str, value: bytes) -> None:
        self.logged.append(msgspec.json.decode(value, type=Impression))

    async def page(self, cursor: str | None = None, viewer_id: str = "v") -> Page:
        return msgspec.json.decode(await self.lookup.page(viewer_id, cursor), type=Page)

    def touch(self, viewer_id: str) -> None:
        self.ranking.touch([Touched(viewer_id, now_ms())], lambda: None)


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(catalogue(), tmp_path)


async def test_a_grid_that_is_made_is_not_decoded(
    service: Service, decoded: Counter[bytes]
) -> None:
    await service.ranking.make_now(["v", "w"])
    assert not decoded
    assert isinstance(service.store, MemoryStore)
    service.store._grids.clear()
    assert len((await service.page()).items) == 10
    assert not decoded


async def test_a_page_request_decodes_each_stored_grid_once(
    service: Service, decoded: Counter[bytes]
) -> None:
    await service.ranking.make_now(["v"])
    first = await service.page()
    assert list(decoded.values()) == [1]
    decoded.clear()
    assert await service.page() == first
    assert list(decoded.values()) == [1]
    decoded.clear()
    second = await service.page(first.next)
    # The pages before tell what was shown; the new one is not decoded.
    assert list(decoded.values()) == [1]
    decoded.clear()
    assert await service.page(first.next) == second
    assert list(decoded.values()) == [1]
    decoded.clear()
    third = await service.page(second.next)
    assert list(decoded.values()) == [1, 1]
    shown = [item.media_id for page in (first, second, third) for item in page.items]
    assert len(shown) == len(set(shown)) == 30
    assert [page.page for page in service.logged] == [0, 0, 1, 1, 2]
    assert len({page.request_id for page in service.logged}) == 3
    assert all(page.features for page in service.logged)


async def test_a_page_that_another_process_stored_first_is_the_page(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await service.page()
    add = service.store.add_page

    async def late(viewer_id: str, series: str, number: int, page: bytes) -> bytes:
        theirs = msgspec.json.decode(page, type=StoredGrid)
        theirs = msgspec.structs.replace(theirs, items=theirs.items[:3])
        await add(viewer_id, series, number, msgspec.json.encode(theirs))
        return await add(viewer_id, series, number, page)

    monkeypatch.setattr(service.store, "add_page", late)
    assert len((await service.page(first.next)).items) == 3
    monkeypatch.undo()
    assert len((await service.page(first.next)).items) == 3


async def test_a_cursor_leads_to_no_series_but_the_viewers_own(tmp_path: Path) -> None:
    """On a server, where keys are text: braces of an id must not end where another's begin."""
    with embedded_redis() as url:
        async with open_stores(Settings(redis_url=url)) as stores:
            await stores.viewers.start()
            service = Service(catalogue(), tmp_path, stores.viewers)
            whole = await service.page(viewer_id="a}:x")
            own = await service.page(viewer_id="a")
            assert whole.next and own.next
            *_, series, number = msgspec.json.decode(base64.urlsafe_b64decode(whole.next + "=="))
            forged = [(f"x}}:{series}", number), ("a", f"x}}:{series}", number)]
            encoded = [base64.urlsafe_b64encode(msgspec.json.encode(one)) for one in forged]
            for cursor in (whole.next, *(text.decode().rstrip("=") for text in encoded)):
                with pytest.raises(CursorError, match="start without a cursor"):
                    await service.page(cursor, "a")
            assert (await service.page(own.next, "a")).viewer_id == "a"


async def test_a_grid_that_cannot_be_read_is_made_anew(service: Service) -> None:
    await service.store.save_grids(["v"], [b'{"items": []}'])
    assert len((await service.page()).items) == 10


async def test_who_can_read_grids_is_ready_and_says_whether_it_follows(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.lookup._follower = SimpleNamespace(up_to_date=False, silent_s=12.34)
    # Kafka is silent: what is there is served, and nobody is told that it is new.
    assert await service.lookup.readiness() == {"ready": True, "caught_up": False}
    status = service.lookup.status()
    assert (status["caught_up"], status["kafka_silent_s"]) == (False, 12.3)

    async def hangs(viewer_id: str) -> bytes | None:
        await asyncio.sleep(60)
        return None

    monkeypatch.setattr(service.store, "grid", hangs)
    monkeypatch.setattr("streams.serving.lookup.READ_LIMIT_S", 0.05)
    with pytest.raises(UnreachableError, match="Redis answers no read"):
        await service.lookup.readiness()
