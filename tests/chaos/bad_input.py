"""Malformed records of all topics among good ones, at full speed: nobody stops, nothing is lost."""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from infra.batch_sender import send_in_batches
from infra.config import Settings
from infra.kafka_clients import kafka_admin
from infra.topics import DEAD_LETTERS_TOPIC, TOPICS
from tests.chaos.malformed import messages, places
from tests.chaos.producer import Producer
from tests.chaos.run import Options, Tell, opened
from tests.chaos.verification import backlog, log_ends, verify

#: One good record for so many malformed ones.
BAD_PER_GOOD: Final = 20
LEAST_GOOD: Final = 4000
#: Letters of so many records come in a second at least, on any machine.
LEAST_PER_S: Final = 1000


def bad_input(broker: str, seed: int, count: int, tell: Tell) -> dict[str, Any]:
    """Send so many malformed records among good ones, and look what became of all of them.

    Raises:
        StuckError: not all of them have their letters in time.
    """
    folder = Path(tempfile.mkdtemp(prefix="freshgrid-bad-input-"))
    with ExitStack() as stack:
        report = _run(broker, seed, count, folder, stack, tell)
    if report["ok"]:
        shutil.rmtree(folder)
    return report


async def _keep_everything(settings: Settings) -> None:
    """Let no topic keep its newest alone: what retention takes before it is read has no letter."""
    admin = kafka_admin(settings)
    await admin.start()
    try:
        await admin.alter_configs(
            [
                ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.bytes": "-1"})
                for topic, config in TOPICS.items()
                if "retention.bytes" in config
            ]
        )
    finally:
        await admin.close()


def _run(
    broker: str, seed: int, count: int, folder: Path, stack: ExitStack, tell: Tell
) -> dict[str, Any]:
    rng = random.Random(seed)
    good = max(count // BAD_PER_GOOD, LEAST_GOOD)
    scene = opened(Options(broker, seed, good, 0, 0, 0.0), folder, stack, rng)
    # It sends nothing here, and is what the scene looks at while it waits.
    scene.producer = Producer(scene.settings, [], 1.0)
    scene.wait_ready()
    if broker == "apache":
        asyncio.run(_keep_everything(scene.settings))
    workload = scene.workload
    tell(f"making {count} malformed records")
    bad = messages(rng, count)
    workload.poison.update(places())
    share = max(len(bad) // len(workload.records), 1)
    begun = time.monotonic()
    mixed = itertools.chain.from_iterable(
        (record, *bad[at * share : (at + 1) * share]) for at, record in enumerate(workload.records)
    )
    rest = bad[len(workload.records) * share :]
    asyncio.run(send_in_batches(scene.settings, itertools.chain(mixed, rest)))
    tell(f"sent in {time.monotonic() - begun:.0f} s; waiting for their letters")
    expected = len(bad) + workload.made["poison"]

    def letters() -> int:
        return sum(asyncio.run(log_ends(scene.settings, DEAD_LETTERS_TOPIC)).values())

    limit_s = 120 + count / LEAST_PER_S

    def done() -> bool:
        time.sleep(0.5)
        return letters() >= expected and not asyncio.run(backlog(scene.settings))

    scene.wait(done, f"{expected} letters", limit_s)
    seconds = time.monotonic() - begun
    tell(f"all lettered after {seconds:.0f} s; comparing")
    findings = asyncio.run(verify(scene.settings, workload, {}))
    crashed = sum(of.exits.total() for of in scene.processes)
    return {
        "broker": broker,
        "malformed": len(bad),
        "good": len(workload.records) - workload.made["poison"],
        "lettered": findings.dead_letters,
        "lettered_again": findings.dead_letters_again,
        "lost": findings.lost,
        "double": findings.double,
        "crashed": crashed,
        "notes": [note for of in scene.processes for note in of.notes],
        "differences": findings.differences,
        "hash_equal": findings.hash_stored == findings.hash_log,
        "records_per_s": (len(bad) + len(workload.records)) / seconds,
        "ok": findings.ok and not crashed and not findings.dead_letters_again,
    }
