"""What viewers and grids take in Redis."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Annotated, Any, Final

import numpy as np
from msgspec import Meta
from redis import Redis

from infra.config import Settings
from infra.open_stores import open_stores
from infra.redis_store import grid_key, viewer_key
from infra.topics import EMBEDDINGS_TOPIC
from models.actions import EVENT_TOPICS, MEDIA_EVENT_TOPICS
from models.events import ACCOUNTS_TOPIC, MEDIA_TOPIC
from models.explore.treatment import Treatment
from models.viewers.state import ViewerState
from models.world import World
from streams.bench.population import Population, viewer_name
from streams.bench.progress import say
from streams.bench.servers import BenchServers, bench_servers, redis_version
from streams.bench.states import LOG_ID, fixture_states, write_states
from streams.clock import now_ms
from streams.ingest import Ingest
from streams.local.scenario import FIXTURE
from streams.log.replay import Line, Loopback, read_fixture
from streams.records import Touched
from streams.serving.explorer import Explorer
from streams.serving.live_queries import LiveQueries
from streams.serving.own_operators import load_operators
from streams.serving.world_feed import WorldFeed, embedding_messages
from streams.sessions import Sessions

VIEWERS: Final = 100_000
MILLION: Final = 1_000_000
GRIDS: Final = 200
#: Length of a vector; which one it is decides which media are shown, not how many bytes.
DIMENSIONS: Final = 32
SCAN_PAGE: Final = 1000


def run(
    settings: Settings,
    *,
    viewers: Annotated[int, Meta(ge=1, description="Viewers to write.")] = VIEWERS,
) -> dict[str, Any]:
    """Write viewers, then grids and one of everything else, and ask Redis what that takes.

    ``redis_bytes_per_viewer`` is the growth of ``used_memory`` over the viewers written: keys,
    values, times to live and Redis' own tables at that size. Tables grow in steps of a factor of
    two, so the figure saws by a few bytes with the number of viewers.
    """
    population = Population(EVENT_TOPICS)
    states = asyncio.run(fixture_states(settings, population.fixture_viewers))
    with bench_servers(settings) as servers:
        say(f"writing {viewers} viewers into Redis …")
        before = _memory(servers.redis)
        asyncio.run(_write(servers.settings, states, viewers))
        after = _memory(servers.redis)
        figures = _viewers(servers.redis, before, after, viewers, len(states))
        say(f"making {GRIDS} grids …")
        figures |= asyncio.run(_grids(servers, states))
        figures["ttl_missing"] = keys_without_ttl(servers.redis)
        figures["redis"] = redis_version(servers.redis)
    return figures


def keys_without_ttl(redis: Redis) -> dict[str, int]:
    """How many keys live for ever, by the part of their names before the braces."""
    missing: Counter[str] = Counter()
    page: list[bytes] = []

    def ask() -> None:
        pipe = redis.pipeline(transaction=False)
        for key in page:
            pipe.ttl(key)
        for key, ttl in zip(page, pipe.execute(), strict=True):
            if ttl == -1:
                missing[key.decode().partition(":{")[0]] += 1
        page.clear()

    for key in redis.scan_iter(count=SCAN_PAGE):
        page.append(key)
        if len(page) == SCAN_PAGE:
            ask()
    ask()
    return dict(missing)


def _memory(redis: Redis) -> tuple[int, int]:
    info: Any = redis.info("memory")
    return int(info["used_memory"]), int(info["used_memory_dataset"])


async def _write(settings: Settings, states: list[ViewerState], viewers: int) -> None:
    # Its buffers on the server's side go with the connection.
    async with open_stores(settings) as stores:
        await write_states(stores.viewers, states, range(viewers))


def _viewers(
    redis: Redis, before: tuple[int, int], after: tuple[int, int], viewers: int, distinct: int
) -> dict[str, Any]:
    used, dataset = after[0] - before[0], after[1] - before[1]
    pipe = redis.pipeline(transaction=False)
    for number in range(min(viewers, distinct)):
        pipe.strlen(viewer_key(viewer_name(number)))
    lengths = pipe.execute()
    return {
        "redis_bytes_per_viewer": round(used / viewers, 1),
        "redis_dataset_bytes_per_viewer": round(dataset / viewers, 1),
        "gib_per_million_viewers": round(used / viewers * MILLION / 2**30, 3),
        "viewers": viewers,
        "value_bytes_mean": round(float(np.mean(lengths)), 1),
        "value_bytes_p50": int(np.percentile(lengths, 50)),
        "value_bytes_p99": int(np.percentile(lengths, 99)),
    }


async def _grids(servers: BenchServers, states: list[ViewerState]) -> dict[str, Any]:
    """Real grids of the fixture's viewers and catalogue, and one of every other key."""
    settings = servers.settings
    topics: dict[str, list[Line]] = {}
    for line in read_fixture(FIXTURE):
        topics.setdefault(line.topic, []).append(line)
    async with open_stores(settings) as stores:
        store = stores.viewers
        world = _world(topics)
        queries = LiveQueries(settings, load_operators(settings))
        treatment = Treatment(query=queries.of())
        explorer = Explorer(settings, world, store, queries, lambda _: treatment)
        numbers = range(min(GRIDS, len(states)))
        names = [viewer_name(number) for number in numbers]
        grids = [
            explorer.make([name], [states[number]], states[number].newest_ts())[0]
            for name, number in zip(names, numbers, strict=True)
        ]
        full = [
            (name, grid)
            for name, grid in zip(names, grids, strict=True)
            if explorer.is_full(grid.document)
        ]
        await store.save_grids([name for name, _ in full], [grid.json for _, grid in full])
        await store.add_page(names[0], "1", 0, grids[0].json)
        ingest = Ingest(store, Loopback(), settings.fold_config(), LOG_ID)
        await ingest.media(MEDIA_TOPIC, 0, topics[MEDIA_TOPIC], now_ms())
        await ingest.events("events.like", 0, [_unknown_media(topics["events.like"][0])], now_ms())
        sessions = Sessions(store, stores.sessions, Loopback(), settings.session_gap_ms)
        await sessions.touched([Touched(name, now_ms()) for name in names], now_ms())
    usage = [servers.redis.memory_usage(grid_key(name), samples=0) or 0 for name, _ in full]
    return {
        "grid_bytes": round(float(np.mean(usage))),
        "grid_json_bytes": round(float(np.mean([len(grid.json) for _, grid in full]))),
        "grids": len(full),
    }


def _world(topics: dict[str, list[Line]]) -> World:
    feed = WorldFeed(World())
    for topic in (MEDIA_TOPIC, ACCOUNTS_TOPIC, *MEDIA_EVENT_TOPICS):
        feed.apply(topic, topics.get(topic, []))
    accounts = [line.key.decode() for line in topics[ACCOUNTS_TOPIC]]
    vectors = np.random.default_rng(7).standard_normal((len(accounts), DIMENSIONS), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    messages = embedding_messages("0" * 24, accounts, vectors)
    feed.apply(
        EMBEDDINGS_TOPIC, [Line(t, key.encode(), value or b"") for t, key, value in messages]
    )
    return feed.world


def _unknown_media(line: Line) -> Line:
    """The event without its author, on a media that nobody has told of."""
    import msgspec

    event = msgspec.json.decode(line.value)
    del event["author_id"]
    event |= {"event_id": "bench", "media_id": "unknown"}
    return line._replace(value=msgspec.json.encode(event))
