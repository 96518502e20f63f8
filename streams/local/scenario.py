"""Steps that the demo, the benchmarks and the end-to-end tests share: real events, a live like."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import msgspec

from infra.errors import FreshgridError, UnreachableError
from streams.local.stack import Stack

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer
    from redis.asyncio import Redis

    from infra.config import Settings
    from models.explore.grid import GridDocument
    from streams.log.replay import ReplayReport

FIXTURE: Final = Path(__file__).parents[2] / "tests" / "fixtures" / "kuairand.jsonl.gz"
#: Folding takes seconds and training some more; a stack that needs minutes hangs.
TRAINED_TIMEOUT_S: Final = 300.0
#: A grid follows a like in a fraction of a second.
GRID_TIMEOUT_S: Final = 30.0
STATUS_POLL_S: Final = 0.2
#: The resolution of the measured freshness.
GRID_POLL_S: Final = 0.001
HTTP_TIMEOUT_S: Final = 10.0


class ScenarioError(FreshgridError):
    """The stack runs but does not get where it should."""


def replay_fixture(
    stack: Stack, on_progress: Callable[[int, int], None] | None = None
) -> ReplayReport:
    """Send the bundled events, moved so that the newest is now."""
    # Imported while the children start.
    from infra.kafka import prepare_cluster
    from streams.log.replay import replay_to_kafka

    def advance(done: int, total: int) -> None:
        stack.check()
        if on_progress is not None:
            on_progress(done, total)

    asyncio.run(prepare_cluster(stack.settings))
    return replay_to_kafka([FIXTURE], stack.settings, shift_to_now=True, on_progress=advance)


def wait_trained(stack: Stack, sent: ReplayReport) -> dict[str, Any]:
    """Wait until what was sent is folded and models are trained; returns the status.

    Trained rankers are live, or the gate refused them (:func:`rankers_refused`) and the untrained
    prior goes on serving.
    """
    from infra.kafka import group_lag
    from streams.topology import WORKER_GROUP

    deadline = time.monotonic() + TRAINED_TIMEOUT_S
    while True:
        stack.check()
        status: dict[str, Any] = get_json(f"{stack.endpoints.http}/v1/status")
        if (
            status["caught_up"]
            and status["versions"]["ig2vec"]
            and (status["versions"]["rankers"] or rankers_refused(stack))
            and not asyncio.run(group_lag(stack.settings, WORKER_GROUP, sent.ends))
        ):
            return status
        if time.monotonic() > deadline:
            raise ScenarioError(
                f"no trained rankers within {TRAINED_TIMEOUT_S:g} s; status: {status}"
            )
        time.sleep(STATUS_POLL_S)


def wait_current(stack: Stack, viewer_id: str) -> None:
    """Wait until the viewer's ready grid is of what is live.

    A request is answered with what is ready, and has it made anew where it is not.

    Raises:
        ScenarioError: it is not within :data:`GRID_TIMEOUT_S`.
    """
    from urllib.parse import quote

    http, deadline = stack.endpoints.http, time.monotonic() + GRID_TIMEOUT_S
    while True:
        stack.check()
        live = get_json(f"{http}/v1/status")["versions"]
        made_by = get_json(f"{http}/v1/explore/{quote(viewer_id, safe='')}")["versions"]
        # Where nothing was trained yet a grid names the prior, and the status nothing.
        if all(made_by.get(kind) == version for kind, version in live.items() if version):
            return
        if time.monotonic() > deadline:
            raise ScenarioError(
                f"the grid of viewer {viewer_id} is of {made_by}, and not of {live}, for "
                f"{GRID_TIMEOUT_S:g} s"
            )
        time.sleep(STATUS_POLL_S)


def rankers_refused(stack: Stack) -> str | None:
    """Why the rankers trained last are not live; None where there are none, or they are."""
    from infra.artifacts import ArtifactStore
    from models.evaluation.ranker_gate import RankerDecision
    from streams.versions import DECISION_NOTE, RANKERS

    artifacts = ArtifactStore(stack.endpoints.artifacts)
    for version in artifacts.list(RANKERS)[-1:]:
        decision = artifacts.read_note(RANKERS, version, DECISION_NOTE, RankerDecision)
        if decision is not None and not decision.promote:
            return decision.reason
    return None


def get_json(url: str) -> Any:
    """What the HTTP API answers.

    Raises:
        UnreachableError: it does not answer, or with an error.
    """
    # A proxy of the environment has no business with an address of this machine.
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(url, timeout=HTTP_TIMEOUT_S) as answer:
            return msgspec.json.decode(answer.read())
    except (URLError, OSError, msgspec.DecodeError) as error:
        raise UnreachableError(f"the HTTP API does not answer at {url}: {error}") from error


class LiveViewer:
    """Sends live likes and watches the grids in Redis, as producers and readers outside would."""

    def __init__(self, producer: AIOKafkaProducer, redis: Redis) -> None:
        self._producer = producer
        self._redis = redis

    async def like(
        self, viewer_id: str, media_id: str, author_id: str
    ) -> tuple[GridDocument, float]:
        """Send a like; returns the grid that reflects it and the ms from produce to readable."""
        ts = time.time_ns() // 1_000_000
        value = {
            "event_id": uuid.uuid4().hex,
            "viewer_id": viewer_id,
            "media_id": media_id,
            "author_id": author_id,
            "ts": ts,
        }
        started = time.perf_counter()
        await self._producer.send(
            "events.like", key=viewer_id.encode(), value=msgspec.json.encode(value)
        )
        grid = await self.grid_reflecting(viewer_id, ts)
        return grid, (time.perf_counter() - started) * 1000

    async def grid_reflecting(self, viewer_id: str, ts: int) -> GridDocument:
        """Poll Redis for the viewer's grid until it reflects events up to `ts`."""
        from models.explore.grid import from_json

        key = f"grid:{{{viewer_id}}}"
        deadline = time.monotonic() + GRID_TIMEOUT_S
        known: object = None
        while time.monotonic() < deadline:
            found: Any = await self._redis.get(key)
            if found is not None and found != known:
                known = found
                grid = from_json(found)
                if grid.reflects_ts >= ts and grid.items:
                    return grid
            await asyncio.sleep(GRID_POLL_S)
        raise ScenarioError(
            f"no grid of viewer {viewer_id} that reflects {ts} appeared in Redis under {key} "
            f"within {GRID_TIMEOUT_S:g} s"
        )


@asynccontextmanager
async def live_viewer(settings: Settings) -> AsyncIterator[LiveViewer]:
    """A :class:`LiveViewer` connected to a stack."""
    from infra.kafka_clients import kafka_producer
    from infra.redis_clients import redis_client

    producer = kafka_producer(settings)
    async with redis_client(settings) as redis:
        await producer.start()
        try:
            # A producer that runs knows its topics already.
            await producer.partitions_for("events.like")
            yield LiveViewer(producer, redis)
        finally:
            await producer.stop()
