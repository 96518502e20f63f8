"""The learner: sessions → account vectors, exposures → rankers. Imports gensim and torch."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import Any, Final

from infra.artifacts import ArtifactStore
from infra.batch_sender import Outbox
from infra.config import Settings
from infra.kafka import EMBEDDINGS_TOPIC, VERSIONS_TOPIC, ClusterInfo, Follower
from models.events import ACCOUNTS_TOPIC, EVENT_TOPICS, MEDIA_TOPIC
from models.world import World
from streams.app import background, faust_app, running
from streams.embeddings import KIND as IG2VEC
from streams.embeddings import Embeddings
from streams.topology import add_embeddings
from streams.training import KIND as RANKERS
from streams.training import Training
from streams.world_feed import Record, WorldFeed, versions

#: Of 19, by which the learner lets other processes go first.
NICENESS: Final = 10


@asynccontextmanager
async def learner(config: Settings, cluster: ClusterInfo) -> AsyncIterator[asyncio.Future[None]]:
    """Learn until left; the future ends when a part of it fails."""
    # A training takes a core for seconds to minutes: on a full machine, who serves goes first.
    os.nice(NICENESS)
    async with AsyncExitStack() as stack:
        outbox = Outbox(config)
        await outbox.start()
        stack.push_async_callback(outbox.stop)
        artifacts = ArtifactStore(config.artifacts_url)
        # Takes seconds, most of which pass while the consumer group forms.
        importing = asyncio.ensure_future(asyncio.to_thread(import_module, "torch"))
        stack.push_async_callback(asyncio.gather, importing)
        live = await _live_versions(config, cluster)
        embeddings = Embeddings(config, artifacts, outbox, live.get(IG2VEC))

        world = World()
        feed = WorldFeed(world)
        training = Training(config, world, artifacts, outbox, trained=RANKERS in live)
        follower = Follower(
            config,
            cluster.partitions,
            (MEDIA_TOPIC, ACCOUNTS_TOPIC, *EVENT_TOPICS, EMBEDDINGS_TOPIC),
        )

        async def handle(topic: str, records: Sequence[Record]) -> None:
            if topic in EVENT_TOPICS:
                # Popularity is counted by the example builder, at the time of each example.
                training.events(topic, records)
            else:
                feed.apply(topic, records)

        async def polled() -> None:
            await training.polled(follower.lag)

        app = faust_app("learner", config, prompt=False)
        add_embeddings(app, embeddings)
        failed = await stack.enter_async_context(running(app))
        yield await stack.enter_async_context(
            background(failed, follower.run(handle, polled), embeddings.run())
        )


async def _live_versions(config: Settings, cluster: ClusterInfo) -> dict[str, str]:
    """What ``explore.versions`` says is live now."""
    live: dict[str, str] = {}
    follower = Follower(config, cluster.partitions, (VERSIONS_TOPIC,))

    async def handle(_: str, records: Sequence[Any]) -> None:
        live.update((told.kind, told.version) for told in versions(records))

    reading = asyncio.create_task(follower.run(handle))
    while not follower.caught_up and not reading.done():
        await asyncio.sleep(0.01)
    if reading.done():
        reading.result()
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    return live
