"""What a server answers at bad times: who can wait waits, who reads is answered, in time."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from infra.config import Settings
from infra.embedded import embedded_redis
from infra.errors import UnreachableError
from infra.metrics import REDIS_FAILURES
from infra.open_stores import open_stores
from infra.stores import Stores
from streams.app import STOP_TIMEOUT_S
from streams.clock import now_ms
from tests.contract.test_stores import liked, parked
from tests.http import reading_ready
from tests.integration.conftest import DEADLINE_S, Broker, Pipeline
from tests.redis_answers import ANSWERS, NO_WRITES, NOBODY, NOTHING, answering
from tests.unit.models.explore.test_impressions import catalogue
from tests.unit.streams.serving.test_lookup import Service


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with embedded_redis() as served:
        yield served


@pytest.fixture
async def stores(url: str) -> AsyncIterator[Stores]:
    """Of a process that has all the time, as workers and rankers have."""
    async with open_stores(Settings(redis_url=url), patient=True) as opened:
        await opened.viewers.start()
        await opened.viewers.forget()
        yield opened


async def keeps_trying(waiting: asyncio.Future[None], answer: str) -> None:
    """Return once it was refused and tried again, and waits still.

    Of a server that hangs there is nothing to hear for seconds: it only must not have gone on.
    """
    if answer == "hung":
        await asyncio.wait([waiting], timeout=0.5)
    else:
        failures = REDIS_FAILURES.collect()[0].samples[0].value
        async with asyncio.timeout(10):
            while REDIS_FAILURES.collect()[0].samples[0].value < failures + 2:
                await asyncio.sleep(0.01)
    assert not waiting.done()


@pytest.mark.parametrize("answer", ANSWERS)
async def test_what_is_written_waits_and_loses_nothing(
    url: str, stores: Stores, answer: str
) -> None:
    store = stores.viewers
    [before] = await store.load(["v"])

    async def write() -> None:
        assert await store.commit(["v"], [liked(before, "e1")]) == [None]
        [parking] = await store.park([parked("m", 1)])
        assert parking.parked
        await store.learn_authors(["m2"], ["a2"])
        await stores.sessions.touch(["v"], 1, 1, now_ms())

    with answering(url, answer):
        writing = asyncio.ensure_future(write())
        await keeps_trying(writing, answer)
    async with asyncio.timeout(10):
        await writing
    [after] = await store.load(["v"])
    assert [entry.media_id for entry in after.state.strong.entries()] == ["m-e1"]
    assert await store.parked_media() == 1
    assert await store.authors_of(["m2"]) == ["a2"]


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_draft_takes_its_place_once_it_can(url: str, stores: Stores, answer: str) -> None:
    store = stores.viewers
    draft = store.draft()
    for of, name in ((store, "gone"), (draft, "v")):
        [empty] = await of.load([name])
        await of.commit([name], [liked(empty, "e1")])
    with answering(url, answer):
        adopting = asyncio.ensure_future(store.adopt(draft))
        await keeps_trying(adopting, answer)
    async with asyncio.timeout(10):
        await adopting
    assert [name async for name, _ in store.scan()] == ["v"]
    assert await draft.is_empty()


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_start_waits(url: str, answer: str) -> None:
    async with open_stores(Settings(redis_url=url), patient=True) as stores:
        with answering(url, answer):
            starting = asyncio.ensure_future(stores.viewers.start())
            await keeps_trying(starting, answer)
        async with asyncio.timeout(10):
            await starting


@pytest.mark.parametrize("answer", ["READONLY", "hung"])
async def test_a_command_gives_up_and_says_on_what(
    url: str, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.redis_server.PATIENCE_S", 0.5)
    monkeypatch.setattr("infra.redis_bulk.SOCKET_TIMEOUT_S", 0.5)
    async with open_stores(Settings(redis_url=url)) as stores:
        with (
            answering(url, answer),
            pytest.raises(UnreachableError, match=r"READONLY|imeout|within"),
        ):
            await stores.viewers.park([parked("m", 1)])


@pytest.fixture
def service(stores: Stores, tmp_path: Path) -> Service:
    return Service(catalogue(), tmp_path, stores.viewers)


@pytest.mark.parametrize("answer", NO_WRITES)
async def test_a_ready_grid_is_answered_without_a_write(
    url: str, service: Service, answer: str
) -> None:
    await service.ranking.make_now(["v"])
    with answering(url, answer):
        first = await service.page()
        assert len(first.items) == 10
        assert await service.page() == first
        with pytest.raises(UnreachableError, match=answer):
            await service.page(first.next)
    second = await service.page(first.next)
    assert second == await service.page(first.next)
    shown = [item.media_id for page in (first, second) for item in page.items]
    assert len(set(shown)) == 20


@pytest.mark.parametrize("answer", NO_WRITES)
async def test_a_grid_that_cannot_be_stored_is_answered(
    url: str, service: Service, answer: str
) -> None:
    running = asyncio.ensure_future(service.ranking.run())
    viewer = f"nobody-{answer}"
    with answering(url, answer):
        service.touch(viewer)
        await keeps_trying(running, answer)
        assert len((await service.page(viewer_id=viewer)).items) == 10
        assert service.ranking.waits(viewer)
    async with asyncio.timeout(10):
        while await service.store.grid(viewer) is None:
            await asyncio.sleep(0.01)
    running.cancel()


@pytest.mark.parametrize("answer", NOTHING)
async def test_a_request_is_answered_in_time(url: str, service: Service, answer: str) -> None:
    async with reading_ready(service.lookup, 0.5) as http:
        read = await http.get("/v1/explore/v")
        assert read.status_code == 200
        with answering(url, answer):
            asked_s = time.monotonic()
            kept = await http.get("/v1/explore/v")
            refused = await http.get("/v1/explore/somebody-else")
            assert time.monotonic() - asked_s < 1.5
        assert (kept.status_code, kept.json()) == (200, read.json())
        assert "Age" not in read.headers
        assert 0 <= int(kept.headers["Age"]) < 10
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert "REQUEST_TIMEOUT_S" in refused.json()["detail"]

        async def again() -> bool:
            read_again = await http.get("/v1/explore/v")
            return read_again.status_code == 200 and "Age" not in read_again.headers

        async with asyncio.timeout(10):
            while not await again():
                await asyncio.sleep(0.1)


def test_a_worker_outlives_every_answer(pipeline: Pipeline) -> None:
    viewer, worker = pipeline.new_viewer(), pipeline.worker_pid
    media = []
    for answer in ANSWERS:
        with answering(pipeline.settings.redis_url, answer):
            media.append(f"m-{answer}")
            pipeline.send("events.like", pipeline.event(viewer, media[-1], author_id="a"), viewer)
            time.sleep(0.5)
        pipeline.wait(lambda: pipeline.liked(viewer) == media)
    assert pipeline.worker_pid == worker
    assert pipeline.stop_worker() == 0
    pipeline.start_worker()


@pytest.mark.parametrize("role", ["worker", "ranker"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("there", [True, False], ids=["wrong password", "nobody there"])
def test_a_role_that_waits_for_redis_says_so_and_obeys(
    broker: Broker, url: str, tmp_path: Path, role: str, number: signal.Signals, there: bool
) -> None:
    address = url.partition("://")[2] if there else f"127.0.0.1:{NOBODY}/0"
    said = tmp_path / "stderr"
    with (
        answering(url, "NOAUTH" if there else "OOM"),
        said.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-m", "streams.app", role],
            env={
                **os.environ,
                "KAFKA_BOOTSTRAP_SERVERS": broker.settings.kafka_bootstrap_servers,
                "REDIS_URL": f"redis://somebody:a-secret@{address}",
                "PARTITIONS": str(broker.settings.partitions),
                "HTTP_PORT": "0",
                "ARTIFACTS_URL": str(tmp_path),
            },
            stdout=subprocess.PIPE,
            stderr=stderr,
        ) as process,
    ):
        deadline_s = time.monotonic() + DEADLINE_S
        while "waiting for Redis" not in said.read_text():
            assert process.poll() is None
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        process.send_signal(number)
        # Later it ends itself, and not with 0.
        assert process.wait(2 * STOP_TIMEOUT_S) == 0
    text = said.read_text()
    assert f"waiting for Redis at redis://somebody:***@{address}: " in text
    assert ("WRONGPASS" in text or "invalid username" in text) == there
    assert "a-secret" not in text
