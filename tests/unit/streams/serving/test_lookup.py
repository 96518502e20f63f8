"""Pages of a series: what is stored, asked for again, and how often a stored grid is decoded."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
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
from infra.stores import Ready, Store
from models.explore import compact, impressions
from models.explore import grid as grids
from models.explore.compact import CompactPage, compact_page_of
from models.explore.cursor import CursorError
from models.explore.impressions import Impression, Page, StoredGrid, impression_of
from models.explore.stamp import page_of
from models.explore.treatment import Treatment
from models.igql.library import operators
from models.queries import CandidateQuery, planned
from models.rankers.value import Weights
from models.world import World
from streams.clock import now_ms
from streams.ranking import Ranking
from streams.records import Touched
from streams.serving.explorer import Explorer
from streams.serving.kept_grids import KeptGrids
from streams.serving.live_queries import LiveQueries
from streams.serving.live_rankers import LiveRankers
from streams.serving.live_versions import LiveVersions
from streams.serving.lookup import Lookup
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
        self.treatment = Treatment(query=queries.of())
        self.explorer = Explorer(SETTINGS, world, self.store, queries, self.treatment_of)
        self.clock_s = 0.0
        self.kept = KeptGrids(1 << 20, SETTINGS.kept_grids_s, lambda: self.clock_s)
        self.ranking = Ranking(self.store, self.explorer, self.kept.replace)
        self.live = LiveVersions(world, self.treatment_of, lambda name: self.treatment_of(name).arm)
        self.lookup = Lookup(
            SETTINGS, world, LiveRankers(ArtifactStore(str(folder))), self.store, self.explorer,
            self.ranking, None, self.live, self._shown, self.kept,
        )  # fmt: skip

    def treatment_of(self, _: str) -> Treatment:
        return self.treatment

    def _shown(self, _: str, stored: bytes) -> None:
        self.logged.append(msgspec.json.decode(impression_of(stored, now_ms()), type=Impression))

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


async def test_a_ready_page_is_answered_without_decoding_the_grid(
    service: Service, decoded: Counter[bytes]
) -> None:
    await service.ranking.make_now(["v"])
    first = await service.page()
    assert await service.page() == first
    second = await service.page(first.next)
    assert await service.page(first.next) == second
    third = await service.page(second.next)
    assert not decoded
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
            forged = [["a", "x}:0", 1], ["x}:0", 1]]
            encoded = [base64.urlsafe_b64encode(msgspec.json.encode(one)) for one in forged]
            for cursor in (whole.next, *(text.decode().rstrip("=") for text in encoded)):
                with pytest.raises(CursorError, match="start without a cursor"):
                    await service.page(cursor, "a")
            assert (await service.page(own.next, "a")).viewer_id == "a"


async def test_a_grid_that_cannot_be_read_is_made_anew(service: Service) -> None:
    await service.store.save_grids(["v"], [b'{"items": []}'])
    assert len((await service.page()).items) == 10


async def test_what_is_live_changes_and_the_ready_grid_is_answered(service: Service) -> None:
    """A promotion turns no read into a ranking: grids are made anew behind the answers."""
    viewers = [f"v{n}" for n in range(20)]
    await service.ranking.make_now(viewers)
    before = {viewer: await service.page(viewer_id=viewer) for viewer in viewers}
    service.ranking.ranked = 0
    await asyncio.sleep(0.01)
    promoted(service)
    for viewer in viewers:
        assert await service.page(viewer_id=viewer) == before[viewer]
    assert service.ranking.ranked == 0
    assert service.ranking.waiting == 20
    running = asyncio.ensure_future(service.ranking.run())
    async with asyncio.timeout(10):
        while service.ranking.waiting:
            await asyncio.sleep(0.01)
    running.cancel()
    after = {viewer: await service.page(viewer_id=viewer) for viewer in viewers}
    weights = {page.versions["weights"] for page in after.values()}
    assert weights == {service.treatment.weights.version}
    # And then there is nothing more to make.
    assert service.ranking.waiting == 0


def promoted(service: Service) -> None:
    """Something else is live from now on."""
    service.treatment = dataclasses.replace(service.treatment, weights=Weights(like=7.0))
    service.live._known = {arm: (live, 0) for arm, (live, _) in service.live._known.items()}


async def test_a_page_is_not_older_than_stated(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.ranking.make_now(["v"])
    made = (await service.page()).generated_at_ms
    bound_ms = SETTINGS.stale_grid_s * 1000
    for late, again in ((bound_ms - 1000, False), (bound_ms + 1000, True)):
        for module in ("lookup", "explorer"):
            monkeypatch.setattr(f"streams.serving.{module}.now_ms", lambda late=late: made + late)
        monkeypatch.setattr("streams.ranking.now_ms", lambda late=late: made + late)
        assert ((await service.page()).generated_at_ms != made) is again


async def test_two_rankers_with_different_queries_do_not_undo_each_other(tmp_path: Path) -> None:
    """Each makes a grid of before its own start anew, once, and leaves the other's."""
    world, one = catalogue(), tmp_path
    first = Service(world, one)
    second = Service(world, one, first.store)
    second.treatment = dataclasses.replace(
        second.treatment, query=CandidateQuery(planned("user.fresh()"))
    )
    await first.ranking.make_now(["v"])
    made = 0
    for _ in range(10):
        for service in (first, second):
            await service.page()
            while service.ranking.waiting:
                made += 1
                await service.ranking.make_now(["v"])
            await asyncio.sleep(0.003)
    assert made <= 1


async def test_a_state_that_says_nothing_new_needs_no_ranking(service: Service) -> None:
    """A session that was sent is written down in the state, and changes no grid."""
    await service.ranking.make_now(["v"])
    first = await service.page()
    [read] = await service.store.load(["v"])
    read.state.sessions_sent = 5
    assert await service.store.commit(["v"], [read]) == [None]
    assert await service.page() == first
    assert service.ranking.waiting == 1


async def test_a_cursor_holds_when_the_grid_was_made_anew(service: Service) -> None:
    """Its page was stored nowhere: a like within it must not end the series."""
    first = await service.page()
    await service.ranking.make_now(["v"])
    second = await service.page(first.next)
    await service.ranking.make_now(["v"])
    third = await service.page(second.next)
    assert await service.page(first.next) == second
    shown = [item.media_id for page in (first, second, third) for item in page.items]
    assert len(shown) == len(set(shown)) == 30


async def test_ids_alone(service: Service) -> None:
    await service.ranking.make_now(["v"])
    whole = await service.page()
    for body in (
        await service.lookup.ready("v", ids_only=True),
        await service.lookup.page("v", None, ids_only=True),
    ):
        assert body is not None
        ids = msgspec.json.decode(body, type=CompactPage)
        assert ids.media_ids == [item.media_id for item in whole.items]
        assert (ids.next, ids.request_id) == (whole.next, whole.request_id)


async def test_ids_alone_stand_ready_and_are_logged_by_nobody(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    [made] = await service.ranking.make_now(['v"compact":'])
    whole = page_of(made.json)
    assert b"compact" not in whole.replace(b'v\\"compact\\":', b"")
    read = msgspec.json.Decoder(CompactPage)
    cut = compact_page_of(made.json)
    # Of a release that stored none they are made of the page.
    without = made.json.replace(b',"compact":' + cut, b"")
    assert len(without) < len(made.json)
    assert read.decode(compact_page_of(without)) == read.decode(cut) == made.document.compact
    assert page_of(without) == whole
    assert impression_of(made.json, 7) == impression_of(without, 7)

    def decode(json: bytes) -> None:
        raise AssertionError("a page was decoded for its ids")

    monkeypatch.setattr(compact, "_decoder", SimpleNamespace(decode=decode))
    assert compact_page_of(made.json) == cut


async def test_a_grid_of_the_release_before_is_made_anew(service: Service) -> None:
    [made] = await service.ranking.make_now(["v"])
    document = msgspec.to_builtins(made.document)
    for name in ("request_id", "page", "next", "stamp"):
        del document[name]
    await service.store.save_grids(["v"], [msgspec.json.encode(document)])
    assert await service.lookup.ready("v") is None
    assert (await service.page()).next


async def test_who_can_read_grids_is_ready_and_says_whether_it_follows(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.lookup._follower = SimpleNamespace(up_to_date=False, silent_s=12.34, lag=7)
    # Kafka is silent: what is there is served, and nobody is told that it is new.
    status = service.lookup.status()
    ready = {
        "ready": True,
        "reads_redis": True,
        "caught_up": False,
        "lag": 7,
        "kafka_silent_s": 12.3,
        "versions": status["versions"],
    }
    assert await service.lookup.readiness() == ready
    assert (status["caught_up"], status["kafka_silent_s"]) == (False, 12.3)

    async def hangs(viewer_id: str) -> bytes | None:
        await asyncio.sleep(60)
        return None

    monkeypatch.setattr(service.store, "grid", hangs)
    monkeypatch.setattr("streams.serving.lookup.READ_LIMIT_S", 0.05)
    with pytest.raises(UnreachableError, match="Redis answers no read"):
        await service.lookup.readiness()
    # A load balancer that took all rankers away would lose the pages that are kept.
    service.kept.keep("v", b"{}")
    assert await service.lookup.readiness() == {**ready, "reads_redis": False}


class Away(MemoryStore):
    """A store that may answer no reads, and is not waited for."""

    away = False

    async def ready(self, viewer_id: str, *, wait: bool = True) -> Ready:
        if self.away and not wait:
            raise UnreachableError("Redis answers no read")
        return await super().ready(viewer_id)


async def test_while_the_store_is_away_the_last_page_is_answered_for_so_long(
    tmp_path: Path,
) -> None:
    store = Away(SETTINGS)
    service = Service(catalogue(), tmp_path, store)
    await service.ranking.make_now(["v", "w"])
    read = await service.lookup.ready("v")
    store.away = True
    with pytest.raises(UnreachableError):
        await service.lookup.ready("v")
    service.clock_s = 7.5
    assert service.lookup.kept("v") == (read, 7.5)
    assert len(service.logged) == 2
    assert service.lookup.kept("w") is None, "nobody asked for it here"
    service.clock_s = SETTINGS.kept_grids_s + 0.1
    assert service.lookup.kept("v") is None


async def test_what_is_kept_is_the_newest_that_was_made(service: Service) -> None:
    await service.page()
    [made] = await service.ranking.make_now(["v"])
    kept = service.lookup.kept("v")
    assert kept is not None
    page = msgspec.json.decode(kept[0], type=Page)
    assert page.generated_at_ms == made.document.generated_at_ms


async def test_what_must_not_be_shown_is_in_no_page_that_is_kept(tmp_path: Path) -> None:
    """The catalogue is read from Kafka: take-downs go on while the store is away."""
    world = catalogue()
    service = Service(world, tmp_path)
    page = await service.page()
    gone = page.items[0].media_id
    world.delete_media([gone])
    kept = service.lookup.kept("v")
    assert kept is not None
    left = [item.media_id for item in msgspec.json.decode(kept[0], type=Page).items]
    assert left == [item.media_id for item in page.items[1:]]
    world.delete_media(left)
    assert service.lookup.kept("v") is None, "an empty page is none"


async def test_an_older_page_than_any_may_be_is_not_kept(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.page()
    later = now_ms() + SETTINGS.stale_grid_s * 1000 + 1
    monkeypatch.setattr("streams.serving.lookup.now_ms", lambda: later)
    assert service.lookup.kept("v") is None
