"""One chaos run on one broker: events flow, things break, the state is judged."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

from infra.batch_sender import send_in_batches
from infra.config import Settings
from infra.kafka import prepare_cluster
from tests.chaos.faults import Injector, plan
from tests.chaos.producer import Producer
from tests.chaos.servers import Apache, Embedded, Redis, Server
from tests.chaos.verification import backlog, verify
from tests.chaos.workers import StuckError, Workers
from tests.chaos.workload import Workload, make_workload

PARTITIONS: Final = 8
#: Short, so that many faults fit into little time; every pause is longer.
SESSION_TIMEOUT_S: Final = 2.0
PAUSE_S: Final = 2 * SESSION_TIMEOUT_S
#: Events wait for their media for longer than any run takes: none may expire.
PARKING_TTL_S: Final = 3600.0
#: Events flow for so long between the beginnings of two faults, unless a fault takes longer.
FLOW_S: Final = 2.0
#: Far more than the backlog of any fault needs.
CAUGHT_UP_TIMEOUT_S: Final = 60.0

Tell = Callable[[str], None]


class Options(NamedTuple):
    """How much of everything; equal options give equal events and faults.

    Attributes:
        rounds: how often each fault beside the kills happens.
        longest_away_s: a server that is restarted is away for up to this long.
    """

    broker: str
    seed: int
    events: int
    kills: int
    rounds: int
    longest_away_s: float


def run(options: Options, tell: Tell) -> dict[str, Any]:
    """Run it; the report's ``ok`` says whether everything held."""
    began = time.monotonic()
    tell(f"making {options.events} events from seed {options.seed}")
    workload = make_workload(options.seed, options.events)
    folder = Path(tempfile.mkdtemp(prefix="freshgrid-chaos-"))
    report: dict[str, Any] = {**options._asdict(), "made": dict(workload.made)}
    try:
        with ExitStack() as stack:
            _run(options, workload, folder, stack, tell, report)
    except StuckError as error:
        report |= {"ok": False, "stuck": str(error)}
    report["seconds"] = round(time.monotonic() - began, 1)
    if report["ok"]:
        shutil.rmtree(folder)
    else:
        report["logs"] = str(folder)
    return report


def _run(
    options: Options,
    workload: Workload,
    folder: Path,
    stack: ExitStack,
    tell: Tell,
    report: dict[str, Any],
) -> None:
    rng = random.Random(options.seed)
    redis = Redis(folder / "redis")
    stack.callback(redis.close)
    redis.start()
    servers: dict[str, Server] = {"redis": redis}
    if options.broker == "apache":
        kafka = Apache(folder / "kafka")
        stack.callback(kafka.close)
        kafka.start()
        servers["kafka"] = kafka
        address = kafka.servers
    else:
        tell("the embedded broker keeps its log in memory: faults of Kafka are left out")
        embedded = Embedded()
        stack.callback(embedded.close)
        address = embedded.servers
    settings = Settings(
        kafka_bootstrap_servers=address,
        redis_url=redis.url,
        partitions=PARTITIONS,
        session_timeout_s=SESSION_TIMEOUT_S,
        rebalance_timeout_s=2 * SESSION_TIMEOUT_S,
        fetch_max_wait_ms=500 if options.broker == "apache" else 20,
        parking_ttl_s=PARKING_TTL_S,
    )
    asyncio.run(prepare_cluster(settings))
    asyncio.run(send_in_batches(settings, workload.catalogue))
    workers = Workers(settings, folder)
    stack.callback(workers.close)
    workers.start()
    injector = Injector(rng, workers, servers, PAUSE_S, options.longest_away_s)
    # Filled from here on, and of interest above all when something gets stuck.
    report |= {"faults": injector.done, "exits": workers.exits, "notes": workers.notes}
    injector.wait_ready()

    faults = plan(rng, options.kills, options.rounds, servers)
    rate = len(workload.records) / (len(faults) * FLOW_S)
    producer = Producer(settings, workload.records, rate)
    producer.start()
    _break(rng, faults, producer, injector, tell)
    producer.allow(len(workload.records))
    injector.wait(lambda: not producer.is_alive(), "all events sent", CAUGHT_UP_TIMEOUT_S)
    if producer.error is not None:
        raise producer.error
    tell("all events sent; waiting for the workers")
    injector.wait_ready()
    _catch_up(settings, injector)
    tell("everything is folded; comparing")
    findings = asyncio.run(verify(settings, workload))
    report |= findings._asdict()
    report |= {
        "hash_equal": findings.hash_stored == findings.hash_log,
        "resent": producer.resent,
        "unstopped": workers.unstopped,
        "ok": findings.ok and not workers.unstopped,
    }


def _catch_up(settings: Settings, injector: Injector) -> None:
    """Wait until the workers have committed the log to its end, which they may still append to.

    Raises:
        StuckError: they do not get on; says where.
    """
    behind: dict[str, str] = {}

    def look() -> bool:
        nonlocal behind
        behind = asyncio.run(backlog(settings))
        return not behind

    try:
        injector.wait(look, "the whole log folded", CAUGHT_UP_TIMEOUT_S)
    except StuckError as error:
        where = ", ".join(f"{place} {offsets}" for place, offsets in list(behind.items())[:10])
        raise StuckError(f"{error}; {len(behind)} partitions are behind: {where}") from None


def _break(
    rng: random.Random, faults: list[str], producer: Producer, injector: Injector, tell: Tell
) -> None:
    """Spread the faults over the events; each begins at a random one of its part."""
    part = len(producer.records) / len(faults)
    for number, fault in enumerate(faults):
        at = int((number + rng.random()) * part)
        # Events flow on behind the one that the fault begins at.
        producer.allow(int((number + 2) * part))
        injector.wait(lambda at=at: producer.sent >= at or producer.error, fault, 180.0)
        if producer.error is not None:
            raise producer.error
        tell(f"fault {number + 1} of {len(faults)} after {producer.sent} records: {fault}")
        injector.inject(fault)
