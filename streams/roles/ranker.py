"""The ranker: the world in memory, fresh grids for touched viewers, and the HTTP API."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from aiokafka.errors import KafkaError
from faust.types import TP

from infra.access.guard import open_access
from infra.artifacts import ArtifactStore
from infra.batch_sender import Outbox
from infra.config import Settings
from infra.http.door import Door, for_origins
from infra.http.ready_pages import ReadyPages
from infra.http.server import serving
from infra.http.streams import Streams
from infra.index_files import IndexFolder
from infra.kafka import ClusterInfo, Follower, Message
from infra.metrics import START_SECONDS
from infra.open_stores import open_stores
from infra.partitions import PartitionWatch
from infra.supervisor import check_port
from infra.topics import CANDIDATES_TOPIC, FORGOTTEN_TOPIC, IMPRESSIONS_TOPIC, VERSIONS_TOPIC
from infra.tracing import open_traces
from models.actions import EVENT_TOPICS
from models.events import ACCOUNTS_TOPIC, MEDIA_TOPIC
from models.viewers.forgotten import ForgottenViewers, marks_of
from streams.clock import now_ms
from streams.operations.desk import OperationsDesk
from streams.operations.repairs import Repairs
from streams.ranking import Ranking
from streams.records import Record, touches
from streams.rights.forgetting import Forgetting
from streams.rights.forgotten import hear, known
from streams.roles.runtime import agent, background, cancelled, faust_app, running
from streams.serving.api import Behind, explore_api
from streams.serving.arm_outcomes import ArmOutcomesDesk
from streams.serving.atlas import Atlas
from streams.serving.catalogue_export import CatalogueExport
from streams.serving.directory import Directory
from streams.serving.explorer import Explorer
from streams.serving.grid_traces import GridTraces
from streams.serving.handover import Handover
from streams.serving.igql_reference import Language
from streams.serving.impression_log import ImpressionLog
from streams.serving.index_refresh import refresh_index
from streams.serving.intake import Intake
from streams.serving.kept_grids import KeptGrids
from streams.serving.likeness import Likenesses
from streams.serving.live_experiment import LiveExperiment
from streams.serving.live_items import LiveItems
from streams.serving.live_queries import LiveQueries
from streams.serving.live_rankers import LiveRankers
from streams.serving.live_versions import LiveVersions
from streams.serving.lookup import Lookup
from streams.serving.office import Office
from streams.serving.own_operators import load_operators
from streams.serving.shelves import Shelves
from streams.serving.takedown import Takedown
from streams.serving.viewer_directory import ViewerDirectory
from streams.serving.weights import WeightsDesk
from streams.serving.world_feed import WorldFeed, world_config
from streams.serving.world_snapshots import start_world, world_snapshots
from streams.topology import CATALOG, RANKER, RANKER_GROUP, flow, followed
from streams.transport import Chunk

#: Read to their ends before anything of a viewer is.
FIRST: Final = (FORGOTTEN_TOPIC, *CATALOG)
#: Buffering a record takes microseconds, unless the buffer is full because the broker is away.
LOG_WAIT_S: Final = 0.02
#: Ready grids are looked for so long, at most, before a ranker serves.
FIND_GRIDS_S: Final = 3.0

logger = logging.getLogger(__name__)


@asynccontextmanager
async def ranker(config: Settings, cluster: ClusterInfo) -> AsyncIterator[asyncio.Future[None]]:
    """Rank and serve until left; the future ends when a part of it fails.

    Raises:
        PortInUseError: somebody listens where the API should.
    """
    began_s = time.monotonic()
    # Reading the topics takes its time: what cannot be served is said before.
    check_port(config.http_host, config.http_port, "HTTP_PORT")
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(open_stores(config, patient=True))
        store = stores.viewers
        await store.start()
        # Who is let in is settled before anything is read.
        access = await open_access(config, stores.access)
        outbox = Outbox(config)
        await outbox.start()
        stack.push_async_callback(outbox.stop)

        artifacts = ArtifactStore(config.artifacts_url)
        start = await start_world(config, cluster, artifacts, world_config(config, details=True))
        feed: WorldFeed = start.feed
        world = feed.world
        queries = LiveQueries(config, load_operators(config))
        rankers = LiveRankers(artifacts)
        items = LiveItems(artifacts, world)
        atlas = Atlas(world, artifacts)
        experiment = LiveExperiment(stores.experiments, queries, rankers, artifacts)
        await experiment.start()
        explorer = Explorer(config, world, store, queries, experiment.of, access.cursor_key)
        forgotten = ForgottenViewers()
        kept = KeptGrids(config.kept_grids_bytes, config.kept_grids_s)
        held: set[TP] = set()
        handover = Handover(outbox.send, lambda: not held)

        def made(viewer_id: str, grid: bytes) -> None:
            kept.replace(viewer_id, grid)
            handover.made(viewer_id, grid)

        grid_traces = None
        if (traces := open_traces(config, RANKER)) is not None:
            stack.callback(traces.close)
            grid_traces = GridTraces(traces)
        ranking = Ranking(
            store, explorer, made, forgotten.is_forgotten,
            (lambda _: None) if grid_traces is None else grid_traces.stored,
        )  # fmt: skip
        takedown = Takedown(store, explorer, world, ranking.later, kept.fill)
        follower = Follower(
            config, cluster.partitions, followed(RANKER), first=FIRST, begin=start.begin
        )
        snapshots = world_snapshots(config, cluster, artifacts, feed, forgotten)

        async def handle(topic: str, records: Sequence[Record]) -> None:
            if topic == FORGOTTEN_TOPIC:
                if said := hear(forgotten, records):
                    world.forget(marks_of(said))
                    ranking.forget()
                    kept.forget(forgotten.is_forgotten)
                return
            feed.apply(topic, known(forgotten, records) if topic in EVENT_TOPICS else records)
            if topic == VERSIONS_TOPIC:
                newest = feed.newest_versions(records)
                atlas.told(newest)
                swapped = [await rankers.apply(newest), await items.apply(newest)]
                if any(swapped):
                    ranking.refresh()
            elif topic == MEDIA_TOPIC:
                ranking.inventory_changed()
            if topic in (MEDIA_TOPIC, ACCOUNTS_TOPIC) and follower.caught_up and records:
                takedown.look(min(record.timestamp for record in records))

        async def polled() -> None:
            feed.polled(follower.lag)
            if follower.caught_up:
                takedown.hold(world.held_accounts(now_ms()))
                await snapshots.polled(follower)

        async def log(topic: str, viewer_id: str, value: bytes) -> None:
            # A page is not held up by a log that takes nothing.
            try:
                await asyncio.wait_for(outbox.post(Message(topic, viewer_id, value)), LOG_WAIT_S)
            except (TimeoutError, KafkaError) as error:
                logger.warning("%s: nothing logged of %s: %r", topic, viewer_id, error)

        impressions = ImpressionLog(partial(log, IMPRESSIONS_TOPIC))
        live = LiveVersions(world, experiment.of, experiment.arm_of)
        lookup = Lookup(
            config, world, rankers, store, explorer, ranking, follower, live,
            impressions.shown, kept, forgotten.is_forgotten,
        )  # fmt: skip
        outcomes = ArmOutcomesDesk()
        stack.push_async_callback(outcomes.close)
        forgetting = Forgetting(config, stores, outbox.send)
        directory = Directory(world)
        repairs = Repairs(config)
        behind = Behind(
            lookup=lookup,
            explorer=explorer,
            desk=WeightsDesk(stores.experiments, experiment),
            office=Office(config, cluster, stores.experiments, experiment, outcomes),
            directory=directory,
            atlas=atlas,
            export=CatalogueExport(world, directory),
            likeness=Likenesses(config, world, directory, queries, experiment.of),
            shelves=Shelves(world, directory),
            viewers=ViewerDirectory(store, ranking, experiment.of),
            intake=Intake(outbox.send, forgotten.refuses),
            grids=stores.grids,
            language=Language(queries),
            operations=OperationsDesk(
                config, lookup, repairs, lambda: experiment.refused, stores.work
            ),
            repairs=repairs,
            tokens=access.guard.tokens,
            forgetting=forgetting,
        )
        streams = Streams()
        api = explore_api(behind, streams, config.request_timeout_s)
        pages = ReadyPages(api, lookup, config.request_timeout_s)
        door = Door(
            pages,
            access.guard,
            required=access.required,
            per_address_s=config.rate_per_address,
            at_once=config.expensive_at_once,
            origins=(origins := [one.strip() for one in config.cors_origins.split(",") if one]),
        )

        async def touched(chunk: Chunk) -> None:
            # Finished when the last viewer in it has a grid.
            said = touches(known(forgotten, chunk.records))
            if grid_traces is not None:
                grid_traces.touched(said)
            ranking.touch(said, chunk.finish)

        def assigned(partitions: set[TP]) -> None:
            if partitions - held:
                takedown.search()
            held.clear()
            held.update(partitions)

        following = asyncio.ensure_future(follower.run(handle, polled))
        stack.push_async_callback(cancelled, following)
        # Grids made before the catalogue has been read would be poor ones.
        while not follower.caught_up and not following.done():
            await asyncio.sleep(0.01)
        # Were Redis away a moment after this ranker is ready, it would have nothing to answer.
        finding = asyncio.ensure_future(takedown.begin(FIND_GRIDS_S))
        stack.push_async_callback(cancelled, finding)
        ranks: list[asyncio.Future[None]] = []
        if config.rank_touched:
            app = faust_app(RANKER_GROUP, config)
            agent(app, flow("ranking"), touched)
            ranks.append(await stack.enter_async_context(running(app, assigned)))
        await finding
        served = await stack.enter_async_context(
            serving(for_origins(door, origins), config, streams)
        )
        START_SECONDS.set(took_s := time.monotonic() - began_s)
        folder = IndexFolder(config.index_folder) if config.index_folder else None
        yield await stack.enter_async_context(
            background(
                *ranks,
                served,
                following,
                PartitionWatch(config, cluster.partitions).run(),
                ranking.run(),
                handover.run(),
                takedown.run(),
                impressions.run(),
                refresh_index(world, folder),
                snapshots.run(took_s),
                queries.follow(ranking.refresh),
                explorer.sampled.run(partial(log, CANDIDATES_TOPIC)),
                experiment.follow(ranking.refresh),
                stores.grids.listen(),
                access.guard.follow(),
                forgetting.run(),
            )
        )
