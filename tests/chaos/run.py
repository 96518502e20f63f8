"""One chaos run on one broker: events flow, things break, the state is judged."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

from infra.batch_sender import send_in_batches
from infra.config import Settings
from infra.kafka import prepare_cluster
from tests.chaos.faults import ALL, Fault
from tests.chaos.injector import (
    Injected,
    Injector,
    each_once,
    one_of_each_group,
    possible,
    reflects_ms,
    with_kills,
)
from tests.chaos.processes import StuckError
from tests.chaos.producer import Producer
from tests.chaos.reader import Reader
from tests.chaos.scene import Scene
from tests.chaos.servers import Apache, Embedded, Redis, free_port
from tests.chaos.verification import backlog, verify, without_letters
from tests.chaos.workload import make_workload

PARTITIONS: Final = 8
#: Short, so that many faults fit into little time; every pause is longer.
SESSION_TIMEOUT_S: Final = 2.0
PAUSE_S: Final = 2 * SESSION_TIMEOUT_S
#: Events wait for their media for longer than any run takes, by whatever clock: none may expire.
PARKING_TTL_S: Final = 4 * 3600.0
#: Few enough that account vectors are fitted, and stored, in a run.
BOOTSTRAP_SESSIONS: Final = 50
#: More than a run has: training rankers would take the machine from everything else.
NEVER: Final = 10**9
#: Events flow for so long between the beginnings of two faults, unless a fault takes longer.
FLOW_S: Final = 1.5
#: Far more than the backlog of any fault needs.
CAUGHT_UP_TIMEOUT_S: Final = 90.0
#: Viewers whose ready grids are asked for all the time.
READERS: Final = 20
#: Moments at which one of a plan is held up by the ones before it.
FAULT_TIMEOUT_S: Final = 180.0

Tell = Callable[[str], None]


class Options(NamedTuple):
    """How much of everything; equal options give equal events and faults.

    Attributes:
        kills: of workers, beside the faults of the rounds.
        rounds: how often each fault happens; 0 for one of each group.
        longest_away_s: a server that is restarted is away for up to this long.
        until_s: no further fault begins after so many seconds.
        only: names of the faults that may happen; empty for all.
    """

    broker: str
    seed: int
    events: int
    kills: int
    rounds: int
    longest_away_s: float
    until_s: float = float("inf")
    only: tuple[str, ...] = ()


def run(options: Options, tell: Tell) -> dict[str, Any]:
    """Run it; the report's ``ok`` says whether everything held."""
    began = time.monotonic()
    tell(f"making {options.events} events from seed {options.seed}")
    folder = Path(tempfile.mkdtemp(prefix="freshgrid-chaos-"))
    report: dict[str, Any] = {**options._asdict(), "faults": {}, "notes": []}
    report |= {"lookups_served_between": 0, "lookups_failed_between": 0}
    del report["until_s"], report["only"]
    try:
        with ExitStack() as stack:
            _run(options, folder, stack, tell, report)
    except StuckError as error:
        report |= {"ok": False, "stuck": str(error)}
    report["seconds"] = round(time.monotonic() - began, 1)
    report |= {"cores": os.cpu_count(), "load": round(os.getloadavg()[1], 1)}
    if report["ok"]:
        shutil.rmtree(folder)
    else:
        report["logs"] = str(folder)
    return report


def planned(rng: random.Random, options: Options) -> list[Fault]:
    """The faults of a run, in order."""
    faults = possible(options.broker == "apache")
    if options.only:
        faults = [fault for fault in faults if fault.name in options.only]
    plan: list[Fault] = []
    for _ in range(options.rounds):
        plan += each_once(rng, faults)
    return with_kills(rng, plan or one_of_each_group(rng, faults), options.kills)


def opened(options: Options, folder: Path, stack: ExitStack, rng: random.Random) -> Scene:
    """Servers, catalogue and one process of each role, all ready."""
    workload = make_workload(options.seed, options.events)
    redis = Redis(folder / "redis")
    stack.callback(redis.close)
    redis.start()
    kafka: Apache | Embedded
    if options.broker == "apache":
        kafka = Apache(folder / "kafka")
        stack.callback(kafka.close)
        kafka.start()
    else:
        kafka = Embedded()
        stack.callback(kafka.close)
    settings = Settings(
        kafka_bootstrap_servers=kafka.servers,
        redis_url=redis.url,
        http_port=free_port(),
        artifacts_url=str(folder / "artifacts"),
        partitions=PARTITIONS,
        session_timeout_s=SESSION_TIMEOUT_S,
        rebalance_timeout_s=2 * SESSION_TIMEOUT_S,
        fetch_max_wait_ms=500 if options.broker == "apache" else 20,
        parking_ttl_s=PARKING_TTL_S,
        bootstrap_sessions=BOOTSTRAP_SESSIONS,
        bootstrap_positives=NEVER,
        bootstrap_choices=NEVER,
    )
    asyncio.run(prepare_cluster(settings))
    asyncio.run(send_in_batches(settings, workload.catalogue))
    scene = Scene(rng, settings, folder, redis, kafka, workload, PAUSE_S, options.longest_away_s)
    stack.callback(scene.close)
    for processes in scene.processes:
        processes.start()
    return scene


def read_all_the_time(scene: Scene, stack: ExitStack) -> Reader:
    """Begin to ask for grids, once they are ready."""
    viewers = [f"reader-{number}" for number in range(READERS)]
    asked = {viewer: scene.like(viewer) for viewer in viewers}
    scene.wait_ready()
    for viewer, ts in asked.items():
        scene.wait(
            lambda viewer=viewer, ts=ts: reflects_ms(scene, viewer) >= ts,
            "the first grids",
            CAUGHT_UP_TIMEOUT_S,
        )
    settings = scene.settings
    reader = Reader(f"http://{settings.http_host}:{settings.http_port}", viewers)
    stack.callback(reader.close)
    reader.start()
    return reader


def _run(
    options: Options, folder: Path, stack: ExitStack, tell: Tell, report: dict[str, Any]
) -> None:
    rng = random.Random(options.seed)
    if options.broker != "apache":
        tell("the embedded broker keeps its log in memory: faults that end it are left out")
    scene = opened(options, folder, stack, rng)
    faults = planned(rng, options)
    workload = scene.workload
    producer = Producer(
        scene.settings, workload.records, len(workload.records) / (len(faults) * FLOW_S)
    )
    scene.producer = producer
    producer.start()
    stack.callback(producer.finish)
    reader = read_all_the_time(scene, stack)
    injector = Injector(scene, reader, tell)
    # Filled from here on, and of interest above all when something gets stuck.
    report |= {"made": dict(workload.made)}
    try:
        _break(options, faults, scene, injector, tell)
        producer.finish()
        scene.wait(lambda: not producer.is_alive(), "all events sent", CAUGHT_UP_TIMEOUT_S)
        tell("all events sent; waiting for the workers")
        scene.wait_ready()
        _catch_up(scene)
    finally:
        reader.close()
        report |= seen(injector.injected, reader, scene)
    tell("everything is folded; comparing")
    findings = asyncio.run(verify(scene.settings, workload, scene.truncated))
    unexcused = sum(kind["failed"] for kind in report["faults"].values() if not kind["excused"])
    unstopped = sum(of.unstopped for of in scene.processes)
    report |= findings._asdict()
    report |= {
        "hash_equal": findings.hash_stored == findings.hash_log,
        "sent": producer.sent,
        "resent": producer.resent,
        "unstopped": unstopped,
        "failed_unexcused": unexcused + report["lookups_failed_between"],
    }
    report["ok"] = findings.ok and not unstopped and not report["failed_unexcused"]


def seen(injected: Sequence[Injected], reader: Reader, scene: Scene) -> dict[str, Any]:
    """What the report says of faults and of those who asked for grids meanwhile."""
    excused = {fault.name: fault.excuses for fault in ALL}
    kinds: defaultdict[str, list[Injected]] = defaultdict(list)
    for done in injected:
        kinds[done.name].append(done)
    faults = {
        name: {
            "injected": len(of_kind),
            "recovery_s": [round(done.recovery_s, 3) for done in of_kind],
            "served": reader.served[name],
            "failed": reader.failed[name].total(),
            "excused": excused[name],
            "slowest_s": round(reader.slowest_s[name], 3),
            "crashed": sum(done.crashed for done in of_kind),
        }
        for name, of_kind in sorted(kinds.items())
    }
    exits: Counter[str] = Counter()
    for of in scene.processes:
        exits.update(of.exits)
    return {
        "faults": faults,
        "lookups_served_between": reader.served[""],
        "lookups_failed_between": reader.failed[""].total(),
        "lookup_failures": dict(reader.failures),
        "exits": dict(exits),
        "notes": [note for of in scene.processes for note in of.notes],
    }


def _catch_up(scene: Scene) -> None:
    """Wait until the workers have committed the log to its end, which they may still append to,
    and until what is bad in it has its letters.

    Raises:
        StuckError: they do not get on; says where.
    """
    behind: dict[str, str] = {}

    def look() -> bool:
        nonlocal behind
        behind = asyncio.run(backlog(scene.settings))
        if not behind:
            lacking = asyncio.run(without_letters(scene.settings, scene.workload))
            behind = {f"{topic}[{at}]": f"no letter of {offset}" for topic, at, offset in lacking}
        return not behind

    try:
        scene.wait(look, "the whole log folded", CAUGHT_UP_TIMEOUT_S)
    except StuckError as error:
        where = ", ".join(f"{place} {offsets}" for place, offsets in list(behind.items())[:10])
        raise StuckError(f"{error}; {len(behind)} partitions are behind: {where}") from None


def _break(
    options: Options, faults: Sequence[Fault], scene: Scene, injector: Injector, tell: Tell
) -> None:
    """Spread the faults over the events; each begins at a random one of its part."""
    producer, began = scene.producer, time.monotonic()
    part = len(producer.records) / len(faults)
    for number, fault in enumerate(faults):
        if time.monotonic() - began > options.until_s:
            tell(f"{len(faults) - number} faults are left out: the time is over")
            return
        at = int((number + scene.rng.random()) * part)
        # Events flow on behind the one that the fault begins at.
        producer.allow(int((number + 2) * part))
        scene.wait(lambda at=at: producer.sent >= at, fault.name, FAULT_TIMEOUT_S)
        tell(f"fault {number + 1} of {len(faults)} after {producer.sent} records: {fault.name}")
        injector.inject(fault)
