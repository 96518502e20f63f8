"""A trace goes from the producer's header over fold and touch to the stored grid."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from infra.batch_sender import Outbox
from infra.config import Settings
from infra.embedded import embedded_kafka, embedded_redis
from infra.errors import SettingsError
from infra.http.events import events_routes
from infra.kafka import prepare_cluster
from infra.kafka_clients import kafka_consumer, kafka_producer
from infra.open_stores import open_stores
from infra.topics import TOUCHED_TOPIC
from infra.tracing import TRACEPARENT, Traces, open_traces, traceparent_of
from models.world import World, WorldConfig
from streams.clock import now_ms
from streams.ingest import Ingest
from streams.ranking import Ranking
from streams.records import Record, touches
from streams.serving.grid_traces import GridTraces
from streams.serving.intake import Intake
from tests.explorers import explorer_of
from tests.http import client_of
from tests.paths import ROOT

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
LIMIT_S = 30.0


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traces(exporter: InMemorySpanExporter):
    opened = open_traces(Settings(traces=True), "test", exporter)
    assert opened is not None
    yield opened
    opened.close()


def ids(span: ReadableSpan) -> tuple[str, str, str]:
    """Of its trace, of itself and of its parent."""
    assert span.context is not None and span.parent is not None
    return (
        f"{span.context.trace_id:032x}",
        f"{span.context.span_id:016x}",
        f"{span.parent.span_id:016x}",
    )


async def read(settings: Settings, topic: str, least: int) -> list[Record]:
    consumer = kafka_consumer(settings, topic, auto_offset_reset="earliest")
    await consumer.start()
    found: list[Record] = []
    try:
        async with asyncio.timeout(LIMIT_S):
            while len(found) < least:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += records
    finally:
        await consumer.stop()
    return found


async def test_from_the_header_to_the_grid(traces: Traces, exporter: InMemorySpanExporter) -> None:
    with embedded_kafka() as kafka, embedded_redis() as redis:
        settings = Settings(kafka_bootstrap_servers=kafka, redis_url=redis, partitions=1)
        cluster = await prepare_cluster(settings)
        producer = kafka_producer(settings)
        await producer.start()
        headers: Sequence[tuple[str, bytes]]
        for viewer, headers in (
            ("traced", [("other", b"x"), (TRACEPARENT, SAMPLED.encode())]),
            ("unsampled", [(TRACEPARENT, UNSAMPLED.encode())]),
            ("strange", [(TRACEPARENT, b"\xff nonsense")]),
            ("plain", []),
        ):
            event = {
                "event_id": viewer, "viewer_id": viewer, "media_id": "m", "author_id": "a",
                "ts": now_ms(),
            }  # fmt: skip
            value = json.dumps(event).encode()
            await producer.send_and_wait("events.like", value, key=viewer.encode(), headers=headers)
        await producer.stop()
        outbox = Outbox(settings)
        await outbox.start()
        async with open_stores(settings) as stores:
            await stores.viewers.start()
            ingest = Ingest(
                stores.viewers, outbox, settings.fold_config(), cluster.log_id, traces=traces
            )
            events = await read(settings, "events.like", 4)
            await ingest.events("events.like", 0, events, now_ms())
            await outbox.stop()
            said = touches(await read(settings, TOUCHED_TOPIC, 4))
            grid_traces, finished = GridTraces(traces), asyncio.Event()
            ranking = Ranking(
                stores.viewers,
                explorer_of(World(WorldConfig()), settings),
                stored=grid_traces.stored,
            )
            grid_traces.touched(said)
            ranking.touch(said, finished.set)
            running = asyncio.ensure_future(ranking.run())
            async with asyncio.timeout(LIMIT_S):
                await finished.wait()
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            assert await stores.viewers.grid("traced") is not None
    fold, rank = exporter.get_finished_spans()
    assert (fold.name, rank.name) == ("fold", "rank")
    trace, fold_id, before = ids(fold)
    assert (trace, before) == (TRACE, PARENT)
    assert ids(rank)[0] == TRACE and ids(rank)[2] == fold_id
    assert fold.start_time and fold.end_time and rank.start_time and rank.end_time
    assert fold.start_time <= fold.end_time and rank.start_time <= rank.end_time
    # Who is not traced leaves no word of it.
    by_viewer = {touch.viewer_id: touch.trace for touch in said}
    assert by_viewer["plain"] == by_viewer["strange"] == ""
    assert by_viewer["unsampled"].endswith("-00")


async def test_a_request_with_events_gives_its_trace_to_their_records() -> None:
    with embedded_kafka() as kafka:
        settings = Settings(kafka_bootstrap_servers=kafka, partitions=1)
        await prepare_cluster(settings)
        outbox = Outbox(settings)
        await outbox.start()
        async with client_of(events_routes(Intake(outbox.send))) as client:
            for viewer, said in (
                ("traced", SAMPLED),
                ("strange", "nonsense"),
                ("endless", SAMPLED + "-" + "a" * 300),
                ("plain", None),
            ):
                event = {
                    "action": "like", "event_id": viewer, "viewer_id": viewer, "media_id": "m",
                    "author_id": "a", "ts": now_ms(),
                }  # fmt: skip
                headers = {} if said is None else {TRACEPARENT: said}
                answer = await client.post("/v1/events", json=event, headers=headers)
                assert answer.status_code == 202, answer.text
        await outbox.stop()
        records = await read(settings, "events.like", 4)
    known = {(record.key or b"").decode(): traceparent_of(record) for record in records}
    assert known == {"traced": SAMPLED, "strange": None, "endless": None, "plain": None}


def test_more_events_of_a_viewer_are_linked(traces: Traces, exporter: InMemorySpanExporter) -> None:
    other = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01"
    span = traces.begin("fold", [other, "nonsense", SAMPLED], {})
    assert span is not None
    span.end()
    [ended] = exporter.get_finished_spans()
    assert ids(ended)[0] == TRACE
    assert [f"{link.context.trace_id:032x}" for link in ended.links] == ["a" * 32]


def test_without_the_setting_nothing_is_traced_and_without_the_library_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert open_traces(Settings(), "worker") is None
    monkeypatch.setattr("infra.tracing.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"freshgrid\[telemetry\]"):
        open_traces(Settings(traces=True), "worker")


def test_who_does_not_trace_does_not_load_the_library() -> None:
    # redis-py and FastAPI load its API themselves where it is installed: of ours alone.
    code = (
        "import sys; from infra.config import Settings; from infra.tracing import open_traces; "
        "off = open_traces(Settings(), 'worker') is None; "
        "sys.exit(not off or 'opentelemetry' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0
