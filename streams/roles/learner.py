"""The learner: sessions → account vectors, pages and exposures → rankers.

Imports gensim and torch.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import Final

from infra.artifacts import ArtifactStore
from infra.batch_sender import Outbox
from infra.config import Settings
from infra.kafka import ClusterInfo, Follower
from infra.partitions import PartitionWatch
from infra.topics import CANDIDATES_TOPIC, EXAMPLES_TOPIC, VERSIONS_TOPIC
from models.actions import EVENT_TOPICS
from models.events import ACCOUNTS_TOPIC
from models.world import World, WorldConfig
from streams.embeddings import Embeddings
from streams.examples import ExampleStream
from streams.records import Record
from streams.roles.runtime import agent, background, faust_app, running
from streams.serving.world_feed import WorldFeed, deleted_accounts
from streams.topology import LEARNER, LEARNER_GROUP, flow, followed
from streams.training import Training
from streams.transport import Chunk
from streams.versions import (
    IG2VEC,
    ITEMS,
    RANKERS,
    Version,
    live_versions,
    versions,
)

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
        live = await live_versions(config, cluster)
        world = World(WorldConfig(image_dimension=config.image_dimension))
        feed = WorldFeed(world)
        embeddings = Embeddings(config, artifacts, outbox, live.get(IG2VEC), world)
        training = Training(
            config, world, artifacts, outbox,
            live=live.get(RANKERS), live_items=live.get(ITEMS),
        )  # fmt: skip
        examples = ExampleStream(config, cluster, outbox)
        follower = Follower(config, cluster.partitions, followed(LEARNER))
        # What was told and not yet taken in. Of what came before this process began only the
        # newest counts, and which that is shows when all of it is read.
        backlog: dict[str, Version] = {}
        deleted: set[str] = set()

        async def handle(topic: str, records: Sequence[Record]) -> None:
            if topic in EVENT_TOPICS:
                # Popularity is counted by the example builder, at the time of each example.
                training.events(topic, records)
                return
            if topic == EXAMPLES_TOPIC:
                training.examples(records)
                return
            if topic == CANDIDATES_TOPIC:
                training.candidates(records)
                return
            feed.apply(topic, records)
            if topic == ACCOUNTS_TOPIC:
                deleted.update(deleted_accounts(records))
            elif topic == VERSIONS_TOPIC:
                newest = versions(feed.newest_versions(records))
                backlog.update((version.kind, version) for version in newest)

        async def polled() -> None:
            feed.polled(follower.lag)
            if follower.caught_up:
                for version in backlog.values():
                    embeddings.told(version)
                    training.told(version)
                embeddings.deleted(world.catalog.gone_accounts(deleted))
                backlog.clear()
                deleted.clear()
            await training.polled(follower.lag)

        async def closed(chunk: Chunk) -> None:
            values = [record.value for record in chunk.records if record.value is not None]
            embeddings.closed(values, chunk.finish)

        app = faust_app(LEARNER_GROUP, config, prompt=False)
        agent(app, flow("embeddings"), closed)
        failed = await stack.enter_async_context(running(app))
        yield await stack.enter_async_context(
            background(
                failed,
                follower.run(handle, polled),
                PartitionWatch(config, cluster.partitions).run(),
                embeddings.run(),
                examples.run(),
            )
        )
