"""Events per second through one worker, beside stock Faust and the bare Kafka client."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Annotated, Any, Final

import msgspec
from aiokafka import TopicPartition
from msgspec import Meta

from infra.batch_sender import send_in_batches
from infra.config import Settings
from infra.kafka import Ends
from infra.kafka_clients import kafka_consumer
from infra.memory_store import MemoryStore
from streams.bench.population import Population
from streams.bench.progress import say
from streams.bench.servers import BenchServers, bench_servers, redis_version
from streams.bench.stock_worker import StockReport
from streams.bench.verification import fold_offline, verify
from streams.bench.worker_run import NotFoldedInTimeError, run_worker

#: Enough that the wait for the last commit, a second at most, weighs little.
EVENTS: Final = 600_000
#: Stock Faust is slow: so many take it ten seconds or more.
STOCK_EVENTS: Final = 15_000
STOCK_TIMEOUT_S: Final = 600.0
POLL_S: Final = 0.1


def run(
    settings: Settings,
    *,
    events: Annotated[int, Meta(ge=1, description="Events to fold.")] = EVENTS,
    stock_events: Annotated[int, Meta(ge=1, description="Events for stock Faust.")] = STOCK_EVENTS,
) -> dict[str, Any]:
    """Fill the event topics, then let each reader in turn have the machine to itself."""
    population = Population()
    viewers = population.viewers_for(events)
    say(f"{events} events of {viewers} viewers …")
    messages = list(population.stream(viewers, events))
    names = {message.key for message in messages}
    size = sum(len(message.key.encode()) + len(message.value or b"") for message in messages)
    with bench_servers(settings) as servers:
        ends = asyncio.run(send_in_batches(servers.settings, messages))
        say("folding them in memory, for comparison …")
        expected = MemoryStore(settings)
        asyncio.run(fold_offline(expected, messages, settings))
        del messages
        say("reading them with aiokafka alone …")
        raw = asyncio.run(read_raw(servers, ends))
        say("one worker …")
        worker = run_worker(servers, events, ends)
        asyncio.run(verify(servers.settings, expected, names))
        say(f"{worker.events_per_s} events/s; stock Faust, {stock_events} events …")
        servers.empty_redis()
        stock = run_stock(servers, min(stock_events, events))
        redis = redis_version(servers.redis)
    stock_per_s = stock.events / stock.seconds
    return {
        "events_per_s": worker.events_per_s,
        "stock_events_per_s": round(stock_per_s),
        "ratio": round(worker.events_per_s / stock_per_s, 1),
        "raw_aiokafka_events_per_s": raw,
        "max_rss_mb": worker.max_rss_mb,
        "events": events,
        "bytes_per_event": round(size / events, 1),
        "viewers": len(names),
        "partitions": len(ends),
        "seconds": worker.seconds,
        "worker_cpu_s": worker.worker_cpu_s,
        "redis_cpu_s": worker.redis_cpu_s,
        "broker_cpu_s": worker.broker_cpu_s,
        "stock_events": stock.events,
        "stock_seconds": round(stock.seconds, 2),
        "verified": True,
        "redis": redis,
    }


async def read_raw(servers: BenchServers, ends: Ends) -> int:
    """Events per second that aiokafka reads when nobody does anything with them."""
    consumer = kafka_consumer(
        servers.settings,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        places = [TopicPartition(*place) for place in ends]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        left, records = dict(zip(places, ends.values(), strict=True)), 0
        started = time.perf_counter()
        while left:
            for place, found in (await consumer.getmany(timeout_ms=1000)).items():
                records += len(found)
                if found and found[-1].offset + 1 >= left[place]:
                    del left[place]
        return round(records / (time.perf_counter() - started))
    finally:
        await consumer.stop()


def run_stock(servers: BenchServers, events: int) -> StockReport:
    """Let stock Faust fold some of the events."""
    path = servers.run_dir / "stock.json"
    servers.start(
        "stock", sys.executable, "-m", "streams.bench.stock_worker", str(events), str(path)
    )
    try:
        deadline = time.monotonic() + STOCK_TIMEOUT_S
        while not path.exists():
            servers.check()
            if time.monotonic() > deadline:
                raise NotFoldedInTimeError(
                    f"stock Faust did not fold {events} events within {STOCK_TIMEOUT_S:g} s"
                )
            time.sleep(POLL_S)
        return msgspec.json.decode(path.read_bytes(), type=StockReport)
    finally:
        servers.stop_last()
