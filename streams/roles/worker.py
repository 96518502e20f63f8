"""The ingest worker: events, catalogue and sessions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, cast

from infra.batch_sender import Outbox
from infra.config import Settings
from infra.errors import UnreachableError
from infra.kafka import ClusterInfo, Follower
from infra.metrics import PARKED
from infra.open_stores import open_stores
from infra.partitions import PartitionWatch
from infra.tracing import open_traces
from models.events import MEDIA_TOPIC
from models.viewers.forgotten import ForgottenViewers
from streams.batches import Collector, fold_together, handle_together
from streams.clock import now_ms
from streams.ingest import Ingest
from streams.letters import Letters, NotedInStore
from streams.records import Record, touches
from streams.rights.forgotten import hear, known
from streams.roles.runtime import agent, background, cancelled, faust_app, running
from streams.sessions import Sessions
from streams.topology import WORKER, WORKER_GROUP, flow, followed
from streams.transport import BatchedConsumer, Chunk

#: How often open sessions and parked events are looked through.
SWEEP_INTERVAL_S: Final = 1.0
#: A worker that is asked to stop, or whose partitions move, finishes what it has taken, unless
#: Redis or Kafka keep it waiting.
DRAIN_TIMEOUT_S: Final = 10.0


@asynccontextmanager
async def worker(config: Settings, cluster: ClusterInfo) -> AsyncIterator[asyncio.Future[None]]:
    """Fold until left; the future ends when a part of it fails."""
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(open_stores(config, patient=True))
        await stores.viewers.start()
        outbox = Outbox(config)
        await outbox.start()
        stack.push_async_callback(outbox.stop)
        letters = Letters(outbox, NotedInStore(stores.viewers, cluster.log_id))
        forgotten = ForgottenViewers()
        if (traces := open_traces(config, WORKER)) is not None:
            stack.callback(traces.close)
        ingest = Ingest(
            stores.viewers, outbox, config.fold_config(), cluster.log_id,
            letters=letters, forgotten=forgotten, traces=traces,
        )  # fmt: skip
        follower = Follower(config, cluster.partitions, followed(WORKER))

        async def heard(_: str, records: Sequence[Record]) -> None:
            hear(forgotten, records)

        sessions = Sessions(stores.viewers, stores.sessions, outbox, config.session_gap_ms)
        events, touched = Collector(config.chunk_max_records), Collector(config.chunk_max_records)
        app = faust_app(WORKER_GROUP, config, finish_wait_s=DRAIN_TIMEOUT_S)
        watch = PartitionWatch(config, cluster.partitions)

        async def catalog(chunk: Chunk) -> None:
            apply = ingest.media if chunk.tp.topic == MEDIA_TOPIC else ingest.accounts
            await apply(chunk.tp.topic, chunk.tp.partition, chunk.records, now_ms())
            chunk.finish()

        async def note(chunks: Sequence[Chunk]) -> None:
            records = known(forgotten, [record for chunk in chunks for record in chunk.records])
            await sessions.touched(touches(records, letters.refuse), now_ms())
            await letters.send()

        async def added_none(partitions: int) -> bool:
            try:
                return (await watch.look())[MEDIA_TOPIC] == partitions
            except UnreachableError:
                return False  # Whoever asks later may learn it.

        async def sweep() -> None:
            await sessions.sweep(now_ms())
            until_ms = cast(BatchedConsumer, app.consumer).read_until_ms(MEDIA_TOPIC)
            partitions = watch.counts[MEDIA_TOPIC]
            read_ms = await ingest.catalog_read(until_ms, partitions)
            ttl_ms = int(config.parking_ttl_s * 1000)
            # A media may stand in a partition that was added since the last look.
            if await ingest.overdue(read_ms, ttl_ms) and await added_none(partitions):
                await ingest.expire_parked(read_ms, ttl_ms)
            PARKED.set(await ingest.parked_media())

        agent(app, flow("ingest"), events.put)
        agent(app, flow("catalog"), catalog)
        agent(app, flow("sessions"), touched.put)
        app.timer(SWEEP_INTERVAL_S)(sweep)
        following = asyncio.ensure_future(follower.run(heard))
        stack.push_async_callback(cancelled, following)
        # Before anything is applied it is known of whom nothing may be.
        while not follower.caught_up and not following.done():
            await asyncio.sleep(0.01)
        if following.done():
            await following
        stopped = await stack.enter_async_context(running(app))
        failed = await stack.enter_async_context(
            background(
                stopped,
                following,
                fold_together(events, ingest),
                handle_together(touched, note),
                watch.run(),
            )
        )
        yield failed
        # What is under way is finished and committed, so that nobody has to do it again.
        if failed.cancelled() or not failed.done():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_TIMEOUT_S):
                    await asyncio.gather(events.drain(), touched.drain())
