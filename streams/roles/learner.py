"""The learner: sessions → account vectors, pages and exposures → rankers.

Imports gensim and torch.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib import import_module
from typing import Final

from aiokafka.errors import KafkaError

from infra.artifacts import ArtifactStore
from infra.batch_sender import Outbox
from infra.config import Settings
from infra.kafka import ClusterInfo, Ends, Follower, commit_offsets, committed_offsets
from infra.metrics import LEARNER_START_SECONDS
from infra.partitions import PartitionWatch
from infra.topics import (
    CANDIDATES_TOPIC,
    EMBEDDINGS_TOPIC,
    EXAMPLES_TOPIC,
    FORGOTTEN_TOPIC,
    IMPRESSIONS_TOPIC,
    SESSIONS_TOPIC,
    VERSIONS_TOPIC,
    VIEWER_TOPICS,
)
from models.actions import EVENT_TOPICS
from models.events import ACCOUNTS_TOPIC
from models.viewers.forgotten import marks_of
from streams.embeddings import Embeddings
from streams.examples import ExampleStream
from streams.learning.account_maps import AccountMaps
from streams.learning.lone_learner import watch_for_another
from streams.letters import Letters, NotedInGroup
from streams.records import Record, closed_sessions
from streams.rights.forgotten import hear, known, read_forgotten
from streams.roles.learner_snapshots import Parts, learner_snapshots, start_learner
from streams.roles.runtime import agent, background, faust_app, running
from streams.serving.world_feed import WorldFeed, deleted_accounts
from streams.topology import CATALOG, LEARNER, LEARNER_GROUP, LETTERS_GROUP, flow, followed
from streams.training import Training
from streams.transport import Chunk
from streams.versions import (
    IG2VEC,
    ITEMS,
    KINDS,
    RANKERS,
    Heard,
    live_versions,
    swept,
    version_message,
)

logger = logging.getLogger(__name__)

#: Of these topics the learner sends the dead letters.
LETTERED: Final = (
    SESSIONS_TOPIC,
    EMBEDDINGS_TOPIC,
    IMPRESSIONS_TOPIC,
    EXAMPLES_TOPIC,
    CANDIDATES_TOPIC,
    VERSIONS_TOPIC,
    FORGOTTEN_TOPIC,
)
#: How often it is looked whether everything that was there has been read.
LOOK_S: Final = 0.05
#: Of 19, by which the learner lets other processes go first.
NICENESS: Final = 10


async def _note_sent(config: Settings, ends: Ends) -> None:
    try:
        await commit_offsets(config, LETTERS_GROUP, ends)
    except (KafkaError, TimeoutError) as error:
        logger.warning("a restart may send dead letters again: %s", error)


@asynccontextmanager
async def learner(config: Settings, cluster: ClusterInfo) -> AsyncIterator[asyncio.Future[None]]:
    """Learn until left; the future ends when a part of it fails."""
    began_s = time.monotonic()
    # A training takes a core for seconds to minutes: on a full machine, who serves goes first.
    os.nice(max(NICENESS - os.nice(0), 0))
    async with AsyncExitStack() as stack:
        outbox = Outbox(config)
        await outbox.start()
        stack.push_async_callback(outbox.stop)
        artifacts = ArtifactStore(config.artifacts_url)
        # Takes seconds, most of which pass while the consumer group forms.
        importing = asyncio.ensure_future(asyncio.to_thread(import_module, "torch"))
        stack.push_async_callback(asyncio.gather, importing)
        for kind in KINDS:
            await asyncio.to_thread(swept, artifacts, kind)
        live = await live_versions(config, cluster, artifacts)
        lettered = [(topic, n) for topic in LETTERED for n in range(cluster.partitions[topic])]
        sent = await committed_offsets(config, LETTERS_GROUP, lettered)
        letters = Letters(outbox, NotedInGroup(sent, partial(_note_sent, config)))
        # Before anything of a viewer is read: pages that waited may be labelled at once.
        forgotten = await read_forgotten(config, cluster)

        def parts_of(feed: WorldFeed) -> Parts:
            world = feed.world
            return Parts(
                feed,
                Embeddings(config, artifacts, outbox, live.get(IG2VEC), world),
                Training(
                    config, world, artifacts, outbox,
                    live=live.get(RANKERS), live_items=live.get(ITEMS), refuse=letters.refuse,
                ),
            )  # fmt: skip

        start = await start_learner(config, cluster, artifacts, parts_of, forgotten, letters.refuse)
        feed: WorldFeed = start.parts.feed
        embeddings: Embeddings = start.parts.embeddings
        training: Training = start.parts.training
        world = feed.world
        maps = AccountMaps(
            artifacts, lambda: next(iter(embeddings.live()), None), config.account_map_every_s
        )
        # Of labelled pages only so many that the examples kept cannot be of others: each gives one
        # or more on average.
        pages = -(-config.keep_examples // cluster.partitions[EXAMPLES_TOPIC])
        follower = Follower(
            config, cluster.partitions, followed(LEARNER),
            newest={EXAMPLES_TOPIC: pages}, first=(FORGOTTEN_TOPIC, *CATALOG), begin=start.begin,
        )  # fmt: skip
        snapshots = learner_snapshots(config, cluster, artifacts, start, forgotten)
        examples = ExampleStream(config, cluster, outbox, letters, forgotten)
        watch = PartitionWatch(config, cluster.partitions)
        # What was told and not yet taken in. Of what came before this process began only the
        # newest counts, and which that is shows when all of it is read.
        heard = Heard(letters.refuse)
        deleted: set[str] = set()

        async def tell() -> None:
            told, heard.live = heard.live, {}
            for version in told.values():
                embeddings.told(version)
                training.told(version)
            damaged, heard.damaged = heard.damaged, set()
            known = [*embeddings.live(), *training.live()] if damaged else []
            # Who starts next finds what is live again.
            await outbox.send([version_message(of) for of in known if of.kind in damaged])
            embeddings.deleted(world.catalog.gone_accounts(deleted))
            deleted.clear()

        async def handle(topic: str, records: Sequence[Record]) -> None:
            if topic == FORGOTTEN_TOPIC:
                if said := hear(forgotten, records, letters.refuse):
                    embeddings.forget(forgotten.is_forgotten)
                    examples.forget()
                    training.forget(forgotten.is_forgotten, {one.group for one in said})
                    world.forget(marks_of(said))
                return
            if topic in VIEWER_TOPICS:
                records = known(forgotten, records)
                if not records:
                    return
            if topic in EVENT_TOPICS:
                start.behind.events += len(records)
                # Popularity is counted by the example builder, at the time of each example.
                training.events(topic, records)
                return
            if topic == EXAMPLES_TOPIC:
                await training.examples(records)
                return
            if topic == CANDIDATES_TOPIC:
                training.candidates(records)
                return
            feed.apply(topic, records)
            if topic == ACCOUNTS_TOPIC:
                deleted.update(deleted_accounts(records))
            elif topic == VERSIONS_TOPIC:
                heard.hear(records)

        async def polled() -> None:
            feed.polled(follower.lag)
            await letters.send()
            if follower.caught_up:
                await tell()
                # Before something is begun that has to be waited for.
                await snapshots.polled(follower)
            await training.polled(follower.lag, follower.caught_up)

        async def closed(chunk: Chunk) -> None:
            partition = chunk.tp.partition
            records = known(forgotten, start.sessions.fresh(partition, chunk.records))
            sessions = closed_sessions(records, letters.refuse)
            await letters.send()
            # Both at once: a snapshot may be asked for between any two waits.
            embeddings.closed(sessions, chunk.finish)
            start.sessions.took(partition, chunk.next_offset)

        async def write_snapshots() -> None:
            while not follower.caught_up:
                await asyncio.sleep(LOOK_S)
            LEARNER_START_SECONDS.set(took_s := time.monotonic() - began_s)
            logger.info("what was there has been read %.1f s after the start", took_s)
            await snapshots.run(took_s)

        app = faust_app(LEARNER_GROUP, config, prompt=False)
        agent(app, flow("embeddings"), closed)
        failed = await stack.enter_async_context(running(app))

        def assigned() -> int:
            return sum(tp.topic == SESSIONS_TOPIC for tp in app.consumer.assignment())

        alone = watch_for_another(
            assigned, lambda: watch.counts[SESSIONS_TOPIC], config.session_timeout_s
        )
        yield await stack.enter_async_context(
            background(
                failed,
                follower.run(handle, polled),
                watch.run(),
                embeddings.run(),
                maps.run(),
                examples.run(),
                write_snapshots(),
                alone,
            )
        )
