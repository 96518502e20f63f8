"""The baseline of ``freshgrid bench ingest``: the same fold in an agent of stock Faust.

``python -m streams.bench.stock_worker EVENTS REPORT`` folds that many events and writes to the
file REPORT how long it took. It is what Freshgrid would be without its batched transport: Faust's
own aiokafka transport with its default settings gives the agent one event after the other, and
`Ingest.events` is called with one record. The fold, the store and the sender are the worker's;
records stay bytes until the fold, so that nothing is decoded twice.

In its favour: the time is taken inside this process, from the first event that the agent receives
to the last one folded, without start, join and last commit; and sessions are not looked after.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import faust
import msgspec

from infra.batch_sender import Outbox
from infra.config import Settings
from infra.kafka import prepare_cluster
from infra.kafka_clients import faust_credentials
from infra.open_stores import open_stores
from streams.bench.population import TOPICS
from streams.clock import now_ms
from streams.ingest import Ingest

GROUP: Final = "freshgrid-bench-stock"


class StockReport(msgspec.Struct):
    """How long stock Faust took; `seconds` from the first event received to the last one folded."""

    events: int
    seconds: float


def stock_app(settings: Settings) -> faust.App:
    """Faust as it comes, but for what decides how fast it starts and not how fast it runs."""
    servers = settings.kafka_bootstrap_servers.split(",")
    return faust.App(
        GROUP,
        broker=";".join(f"aiokafka://{server.strip()}" for server in servers),
        broker_credentials=faust_credentials(settings),
        key_serializer="raw",
        value_serializer="raw",
        web_enabled=False,
        datadir=str(Path(tempfile.gettempdir()) / "freshgrid-faust"),
        autodiscover=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        # On the embedded broker a group join waits for half of this.
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.session_timeout_s / 4,
        broker_rebalance_timeout=settings.rebalance_timeout_s,
    )


async def fold(settings: Settings, events: int) -> StockReport:
    """Fold that many events of :data:`TOPICS`, each on its own."""
    cluster = await prepare_cluster(settings)
    async with open_stores(settings) as stores:
        await stores.viewers.start()
        outbox = Outbox(settings)
        await outbox.start()
        ingest = Ingest(stores.viewers, outbox, settings.fold_config(), cluster.log_id)
        app = stock_app(settings)
        report: asyncio.Future[StockReport] = asyncio.get_running_loop().create_future()

        async def consume(stream: Any) -> None:
            done, started = 0, 0.0
            async for event in stream.events():
                started = started or time.perf_counter()
                message = event.message
                await ingest.events(message.topic, message.partition, [message], now_ms())
                done += 1
                if done == events:
                    report.set_result(StockReport(done, time.perf_counter() - started))

        app.agent(app.topic(*TOPICS), name=f"{GROUP}.ingest")(consume)
        await app.start()
        print("ready", flush=True)
        try:
            stopped = asyncio.ensure_future(app.wait_until_stopped())
            await asyncio.wait((report, stopped), return_when=asyncio.FIRST_COMPLETED)
            return report.result()
        finally:
            stopped.cancel()
            await app.stop()
            await outbox.stop()


def main() -> None:
    """Fold, report, and wait to be ended."""
    events, path = int(sys.argv[1]), Path(sys.argv[2])
    report = asyncio.run(fold(Settings(), events))
    # Moved into place whole: whoever waits for the file reads it at once.
    part = path.with_suffix(".part")
    part.write_bytes(msgspec.json.encode(report))
    part.rename(path)
    # A child that ends by itself counts as dead.
    signal.pause()


if __name__ == "__main__":
    main()
