"""Served pages become examples, once each, whatever restarts; rankers are swapped under load."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import httpx
import msgspec
import pytest

from infra.artifacts import ArtifactStore
from infra.batch_sender import Outbox, send_in_batches
from infra.config import Settings
from infra.embedded import embedded_kafka
from infra.kafka import Follower, Message, committed_offsets, prepare_cluster
from infra.log_reader import LogReader
from infra.metrics import LABELS_LATE
from infra.topics import EXAMPLES_TOPIC, IMPRESSIONS_TOPIC
from models.actions import Action
from models.events import MediaEvent
from models.examples.from_pages import parse_labelled_page
from models.explore.impressions import Impression, unpack_features
from streams.clock import now_ms
from streams.examples import ExampleStream
from streams.learning.version_list import promote, rollback
from streams.topology import EXAMPLES_GROUP
from streams.versions import RANKERS
from tests.rankers import bundle
from tests.unit.models.examples.test_from_pages import page

WINDOW_MS = 600
LATE_MS = 100


@pytest.fixture(scope="module")
def broker():
    with embedded_kafka() as address:
        yield Settings(
            kafka_bootstrap_servers=address,
            partitions=3,
            fetch_max_wait_ms=20,
            label_window_ms=WINDOW_MS,
            label_late_ms=LATE_MS,
        )


@contextlib.asynccontextmanager
async def labelling(settings, cluster):
    """The stream while in the context; leaving it is as sudden as a crash."""
    outbox = Outbox(settings)
    await outbox.start()
    task = asyncio.create_task(ExampleStream(settings, cluster, outbox).run())
    try:
        yield task
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await outbox.stop()


async def logged(settings, cluster, topic):
    places = [(topic, number) for number in range(cluster.partitions[topic])]
    async with LogReader(settings) as reader:
        return [
            record.value
            async for batch in reader.read(await reader.spans(places))
            for record in batch.records
        ]


async def labelled(settings, cluster):
    values = await logged(settings, cluster, EXAMPLES_TOPIC)
    return [parse_labelled_page(value, now_ms()) for value in values]


async def reaches(settings, cluster, names):
    async with asyncio.timeout(30):
        while True:
            pages = await labelled(settings, cluster)
            if {of.request_id for of in pages} >= names:
                return pages
            await asyncio.sleep(0.1)


async def show(settings, *names):
    at = now_ms()
    pages = [page(name, viewer=f"viewer-of-{name}", served=at) for name in names]
    messages = [Message(IMPRESSIONS_TOPIC, of.viewer_id, msgspec.json.encode(of)) for of in pages]
    await send_in_batches(settings, messages)


async def act(settings, action, name, media, ts=None):
    viewer = f"viewer-of-{name}"
    at = now_ms() if ts is None else ts
    event = MediaEvent(f"{action.name}-{name}-{media}", viewer, f"m{media}", at, "a", name)
    topic = f"events.{action.name.lower()}"
    await send_in_batches(settings, [Message(topic, viewer, msgspec.json.encode(event))])


async def test_each_page_is_labelled_once_whatever_restarts(broker):
    cluster = await prepare_cluster(broker)
    async with labelling(broker, cluster):
        await show(broker, "one", "two")
        await act(broker, Action.LIKE, "one", 2)
        await reaches(broker, cluster, {"one", "two"})
        # Killed while a page waits for its labels.
        await show(broker, "three")
        await act(broker, Action.SAVE, "three", 1)
        await asyncio.sleep(0.3)
    # Labels go on coming while nobody listens, and a broken record comes, too.
    await act(broker, Action.SEE_FEWER, "three", 3)
    await send_in_batches(broker, [Message(IMPRESSIONS_TOPIC, "v", b"{")])
    # The client asks for the page again.
    await show(broker, "one")
    async with labelling(broker, cluster):
        await reaches(broker, cluster, {"three"})
        await show(broker, "four")
        pages = await reaches(broker, cluster, {"four"})
    assert sorted(of.request_id for of in pages) == ["four", "one", "three", "two"]
    labels = {of.request_id: of.labels for of in pages}
    assert labels["one"] == {"like": [2]}
    assert labels["three"] == {"save": [1], "see_fewer": [3]}
    assert labels["two"] == labels["four"] == {}


async def test_late_labels_count_while_the_page_waits_and_are_told_of_afterwards(broker):
    cluster = await prepare_cluster(broker)
    patient = broker.model_copy(update={"label_late_ms": 3_000})
    before = LABELS_LATE._value.get()
    async with labelling(patient, cluster):
        await show(broker, "late")
        shown = now_ms()
        # The window is over, the page still waits.
        await asyncio.sleep(2 * WINDOW_MS / 1000)
        await act(broker, Action.LIKE, "late", 1, ts=shown)
        # Done after the window: no label, however soon it is told.
        await act(broker, Action.SAVE, "late", 2)
        await reaches(broker, cluster, {"late"})
        await act(broker, Action.LIKE, "late", 3, ts=shown)
        async with asyncio.timeout(10):
            while LABELS_LATE._value.get() == before:
                await asyncio.sleep(0.1)
    [only] = [of for of in await labelled(broker, cluster) if of.request_id == "late"]
    assert only.labels == {"like": [1]}
    assert LABELS_LATE._value.get() == before + 1


async def test_offsets_are_committed_when_nothing_waits_for_them(broker):
    cluster = await prepare_cluster(broker)
    places = [(IMPRESSIONS_TOPIC, n) for n in range(cluster.partitions[IMPRESSIONS_TOPIC])]

    async def committed():
        return sum((await committed_offsets(broker, EXAMPLES_GROUP, places)).values())

    long = broker.model_copy(update={"label_window_ms": 3_000})
    async with labelling(long, cluster):
        before = len(await logged(broker, cluster, IMPRESSIONS_TOPIC))
        async with asyncio.timeout(10):
            while await committed() != before:
                await asyncio.sleep(0.1)
        await show(broker, "waits")
        await asyncio.sleep(1.7)
        assert await committed() == before
        await reaches(broker, cluster, {"waits"})
        async with asyncio.timeout(10):
            while await committed() != before + 1:
                await asyncio.sleep(0.1)


def test_a_served_page_is_logged_with_its_features(explore):
    viewer = explore.new_viewer()
    served = explore.page(viewer).json()

    def logged():
        records = explore.records(IMPRESSIONS_TOPIC)
        found = [msgspec.json.decode(r.value, type=Impression) for r in records]
        return [of for of in found if of.request_id == served["request_id"]]

    [impression] = explore.wait(logged)
    assert "features" not in served
    assert [item.media_id for item in impression.items] == [
        item["media_id"] for item in served["items"]
    ]
    features = unpack_features(
        impression.features, len(impression.items), impression.versions["features"]
    )
    assert features.dense_nf.any()
    assert impression.served_ms >= impression.generated_at_ms


def test_rankers_are_swapped_without_a_failed_request(explore):
    artifacts = ArtifactStore(explore.settings.artifacts_url)
    address, stop, answers = str(explore.http.base_url), threading.Event(), []

    def ask():
        with httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
            number = 0
            while not stop.is_set():
                number += 1
                answer = client.get(f"/v1/explore/swap-{number % 7}")
                rankers = answer.json().get("versions", {}).get("rankers")
                answers.append((answer.status_code, rankers))

    def asked_of(version):
        explore.wait(lambda: answers and answers[-1][1] == version)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for seed in (21, 22):
            made = bundle(seed=seed)
            version = artifacts.put(RANKERS, *made.to_arrays())
            asyncio.run(promote(explore.settings, RANKERS, version))
            asked_of(made.version)
        asyncio.run(rollback(explore.settings, RANKERS, None))
        asked_of(bundle(seed=21).version)
        explore.wait(lambda: len(answers) > 20)
    finally:
        stop.set()
        asking.join()
    asyncio.run(rollback(explore.settings, RANKERS, None))
    assert {status for status, _ in answers} == {200}


async def test_a_follower_reads_the_newest_of_a_topic_only_and_all_that_come(broker):
    cluster = await prepare_cluster(broker)
    places = [
        ("explore.candidates", number) for number in range(cluster.partitions["explore.candidates"])
    ]

    async def send(*values):
        await send_in_batches(
            broker, [Message("explore.candidates", v, v.encode()) for v in values]
        )

    # The end that the embedded broker lists is the beginning of the last batch.
    for number in range(0, 60, 3):
        await send(*(f"old-{at}" for at in range(number, number + 3)))
    async with LogReader(broker) as reader:
        there = {at: span.end for at, span in (await reader.spans(places)).items()}
    read = []

    async def handle(topic, records):
        read.extend((record.partition, record.offset, record.value) for record in records)

    follower = Follower(
        broker, cluster.partitions, ["explore.candidates"], newest={"explore.candidates": 2}
    )
    task = asyncio.create_task(follower.run(handle))
    try:
        async with asyncio.timeout(30):
            while not follower.caught_up:
                await asyncio.sleep(0.02)
            await send("new")
            while not any(value == b"new" for *_, value in read):
                await asyncio.sleep(0.02)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert 0 < len(read) < 61
    assert all(offset >= there["explore.candidates", at] - 60 for at, offset, _ in read)
