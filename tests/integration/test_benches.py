"""Every benchmark runs, at sizes that say nothing about speed, and gives the figures it names."""

import asyncio
import shutil
from functools import partial
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer
from redis import Redis

from infra.config import Settings
from infra.embedded import embedded_kafka, embedded_redis
from infra.kafka import prepare_cluster
from models.ig2vec.config import Ig2VecConfig
from streams.bench import (
    embeddings,
    growth,
    http,
    http_events,
    ingest,
    learner,
    memory,
    retrieval,
    sessions,
    takedown,
)
from streams.bench.background import send_steadily
from streams.bench.population import TOPICS
from streams.bench.servers import NotEmptyError, bench_servers
from streams.clock import now_ms


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "PARTITIONS"):
        monkeypatch.delenv(name, raising=False)


def test_ingest_reports_all_readers_of_the_same_events() -> None:
    figures = ingest.run(Settings(), events=2_000, stock_events=20)
    assert figures["verified"] is True
    assert (figures["events"], figures["stock_events"]) == (2_000, 20)
    for name in ("events_per_s", "stock_events_per_s", "ratio", "raw_aiokafka_events_per_s"):
        assert figures[name] > 0
    if Path("/proc/self/status").exists():
        assert figures["max_rss_mb"] > 10


def test_growth_compares_populations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "FEW", 50)
    figures = growth.run(Settings(), events=500, viewers=200)
    assert figures["verified"] is True
    assert [each["viewers"] for each in figures["runs"]] == [50, 200, 200, 50]
    assert figures["growth_viewers"] > 0
    assert figures["growth_viewers_all_active"] > 0


def test_memory_measures_what_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "GRIDS", 3)
    figures = memory.run(Settings(), viewers=4_000)
    # A key holds its value, its name and a time to live.
    assert figures["redis_bytes_per_viewer"] > figures["value_bytes_mean"] > 0
    assert figures["grid_bytes"] > figures["grid_json_bytes"] > 1000
    assert figures["grids"] > 0
    # What waits for a media has no time: it is swept, into dead letters.
    assert set(figures["ttl_missing"]) <= {"parked"}


def test_retrieval_finds_what_it_should_at_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "QUIET_S", 0.2)
    monkeypatch.setattr(retrieval, "INSERTS", 5)
    figures = retrieval.run(Settings(), accounts=4_000)
    assert (figures["removed_seen"], figures["failed_lookups"]) == (0, 0)
    # A scan at this size, and an exact one.
    assert figures["recall_at_100"] == figures["recall_at_100_100k"] == 1
    # Vectors once for the main and once for FAISS' scan.
    assert 2 * 4 * retrieval.DIMENSION < figures["bytes_per_account"] < 1000
    for name in ("speedup_over_exact", "insert_visible_ms", "swap_p99_ratio", "growth_100k_1m"):
        assert figures[name] > 0


def test_embeddings_are_measured_beside_fits_and_gensim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "Ig2VecConfig", partial(Ig2VecConfig, epochs=1))
    figures = embeddings.run(Settings(), seeds=1)
    for name in ("full", "incremental", "default", "random", "start"):
        assert 0 < figures[f"probe_f1_{name}"] < 1
    for name in ("cpu_share", "tokens_per_s", "gensim_tokens_per_s"):
        assert figures[name] > 0
    [of_seed] = figures["runs"]
    assert of_seed["full"]["accounts"] == of_seed["default"]["accounts"] == figures["accounts"]
    assert of_seed["new_words"] > 0
    assert (figures["fitted_days"], figures["stream_days"]) == (7, 7)


async def test_the_background_is_steady_and_tells_its_ends() -> None:
    with embedded_kafka() as kafka:
        settings = Settings(kafka_bootstrap_servers=kafka, partitions=2)
        await prepare_cluster(settings)
        stop = asyncio.Event()
        sending = asyncio.ensure_future(send_steadily(settings, 500, stop))
        reader = AIOKafkaConsumer(*TOPICS, bootstrap_servers=kafka, auto_offset_reset="earliest")
        await reader.start()
        event = msgspec.json.decode((await reader.getone()).value)
        await reader.stop()
        stop.set()
        sent = await sending
    assert event["ts"] == pytest.approx(now_ms(), abs=60_000)
    assert sum(end for _, _, end in sent.ends) == sent.events
    assert 0 < sent.events <= 500 * sent.seconds + 1


def test_servers_that_hold_something_are_refused() -> None:
    with embedded_redis() as url:
        with Redis.from_url(url) as redis:
            redis.set("somebody's", 1)
        with pytest.raises(NotEmptyError, match="1 keys"), bench_servers(Settings(redis_url=url)):
            pytest.fail("took somebody's Redis")
        with Redis.from_url(url) as redis:
            assert redis.get("somebody's") == b"1"


def test_learner_takes_in_pages_with_its_room_full_and_builds_examples() -> None:
    figures = learner.run(Settings(), pages=600, kept=2_000, events=2_000, viewers=100_000)
    assert figures["events"] == 2_000 and figures["events_per_s"] > 0
    assert 0 < figures["built_examples"] < 2_000 and figures["built_choices"] > 0
    assert figures["pages_per_s"] > 0
    assert (figures["pages"], figures["kept_examples"]) == (600, 2_000)
    assert 0 < figures["positives"] < 600
    assert figures["loop_late_max_ms"] >= figures["loop_late_p99_ms"] >= 0


def test_sessions_looks_at_every_viewer_twice() -> None:
    figures = sessions.run(Settings(), viewers=2_500)
    assert figures["viewers"] == 2_500
    assert min(figures["viewers_per_s"], figures["closing_viewers_per_s"]) > 0
    # One each, of all but those without actions.
    assert 0 < figures["sessions_closed"] <= 2_500


def test_takedown_sees_what_it_took_down_go(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = takedown.run(Settings(), grids=30, takedowns=4)
    assert (figures["grids"], figures["takedowns"], figures["held_after"]) == (30, 4, 0)
    # Viewers who have done nothing see the same.
    assert figures["held"] >= figures["held_least"] > 0
    assert 0 < figures["p50_s"] <= figures["p99_s"] <= figures["max_s"] < takedown.TIMEOUT_S


@pytest.mark.skipif(shutil.which("wrk") is None, reason="needs wrk")
def test_http_asks_for_ready_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "ROUNDS", 1)
    monkeypatch.setattr(http_events, "WARM", 500)
    figures = http.run(Settings(), viewers=20, seconds=1, events=1_000)
    assert figures["events_in_per_s"] > 0
    assert figures["failed"] == 0
    assert figures["page_bytes"] > 5_000
    for name in ("requests_per_s_1", "requests_per_s_8", "p99_ms", "share_of_empty", "ids_per_s_8"):
        assert figures[name] > 0
