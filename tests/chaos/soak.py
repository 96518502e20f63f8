"""``python -m tests.chaos.soak``: half of what the machine can, for long, with a fault a minute.

Looks at what a short run cannot see: whether memory and file descriptors grow, and how fresh grids
stay. What it saw goes into ``docs/reliability.md``.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import random
import re
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer

from infra.kafka import Message
from tests.chaos.__main__ import tell
from tests.chaos.faults import ALL, Fault
from tests.chaos.injector import Injector, reflects_ms
from tests.chaos.producer import Producer
from tests.chaos.reliability import keep, write
from tests.chaos.reliability_page import quantile
from tests.chaos.run import (
    CAUGHT_UP_TIMEOUT_S,
    Options,
    Tell,
    opened,
    read_all_the_time,
    seen,
)
from tests.chaos.scene import Scene
from tests.chaos.verification import backlog, unranked, verify
from tests.kafka.apache_kafka import apache_kafka_missing

#: Events of the workload, each difficult in its way.
DIFFICULT_EVENTS: Final = 20_000
#: Events that tell of how many viewers a second the machine folds what they do and makes grids,
#: while all roles run.
PEAK_EVENTS: Final = 5_000
DONE_TIMEOUT_S: Final = 300.0
#: What a fault leaves of a process is another one: memory is looked at within one process only.
LOOK_S: Final = 5.0
FAULT_EVERY_S: Final = 60.0
PROBE_EVERY_S: Final = 1.0
#: Faults that end no process, so that what they leave behind is seen in one that goes on.
LASTING: Final = (
    "Redis killed", "Redis restarted", "Redis hangs", "Redis READONLY", "Redis OOM", "Redis BUSY",
    "Kafka killed", "Kafka restarted", "Kafka paused", "artifact store away", "artifact store full",
    "poison in internal topics", "poison in a stored viewer", "ranker paused", "learner paused",
)  # fmt: skip
MOST_EVENTS: Final = 2_000_000
#: So many times the viewers of the workload come back all the time.
AUDIENCES: Final = 2
_TIME: Final = re.compile(rb'"ts":\d+')


class Look(NamedTuple):
    """What a process had at a moment."""

    pid: int
    at_s: float
    memory_mib: float
    files: int


def look(pid: int, at_s: float) -> Look | None:
    """Resident memory and open files of a process, None where it has ended."""
    process = Path("/proc") / str(pid)
    try:
        pages = int((process / "statm").read_text().split()[1])
        files = len(list((process / "fd").iterdir()))
    except OSError:
        return None
    return Look(pid, at_s, pages * 4096 / 2**20, files)


def slope_per_h(points: Sequence[tuple[float, float]]) -> float:
    """Growth in an hour of a straight line through (seconds, value); 0 for less than two."""
    if len(points) < 2:
        return 0.0
    mean_s = sum(at_s for at_s, _ in points) / len(points)
    mean = sum(value for _, value in points) / len(points)
    spread = sum((at_s - mean_s) ** 2 for at_s, _ in points)
    together = sum((at_s - mean_s) * (value - mean) for at_s, value in points)
    return 3600 * together / spread if spread else 0.0


def longest_life(looks: Sequence[Look]) -> list[Look]:
    """The looks at the process that was seen most often, without its first third: its start."""
    by_pid: defaultdict[int, list[Look]] = defaultdict(list)
    for one in looks:
        by_pid[one.pid].append(one)
    lives = sorted(by_pid.values(), key=len)
    return lives[-1][len(lives[-1]) // 3 :] if lives else []


def soak(
    minutes: Annotated[float, typer.Option(min=1)] = 30.0,
    seed: Annotated[int, typer.Option()] = 1,
    rate: Annotated[
        float, typer.Option(min=0, help="Events a second; 0: half of what the machine can.")
    ] = 0.0,
) -> None:
    """Run for long, with a fault a minute, and tell how memory, files and freshness went."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    broker = "embedded" if apache_kafka_missing(tell) else "apache"
    folder = Path(tempfile.mkdtemp(prefix="freshgrid-soak-"))
    with ExitStack() as stack:
        report = _run(broker, seed, minutes * 60, rate, folder, stack, tell)
    keep("soak", report)
    write()
    print(json.dumps(report))
    if report["ok"]:
        shutil.rmtree(folder)
    raise typer.Exit(0 if report["ok"] else 1)


def _run(
    broker: str, seed: int, lasts_s: float, rate: float, folder: Path, stack: ExitStack, tell: Tell
) -> dict[str, Any]:
    rng = random.Random(seed)
    scene = opened(Options(broker, seed, DIFFICULT_EVENTS, 0, 0, 3.0), folder, stack, rng)
    first = Producer(scene.settings, scene.workload.records, 1e9)
    scene.producer = first
    scene.wait_ready()
    _sent_and_done(scene, first)
    peak = _again(scene.workload.records, PEAK_EVENTS, 1e9, 0)
    began = time.monotonic()
    _sent_and_done(scene, Producer(scene.settings, peak, 1e9))
    # Of a burst each viewer is ranked once; events that come evenly are each of another one.
    most = len({event.key for event in peak}) / (time.monotonic() - began)
    rate = rate or min(most / 2, MOST_EVENTS / lasts_s)
    tell(f"{most:.0f} viewers/s can be ranked; {rate:.0f} events/s for {lasts_s / 60:g} minutes")
    events = _again(scene.workload.records, int(rate * lasts_s), rate, 1)
    scene.producer = Producer(scene.settings, events, rate)
    scene.producer.allow(len(events))
    scene.producer.start()
    stack.callback(scene.producer.finish)
    reader = read_all_the_time(scene, stack)
    injector = Injector(scene, reader, tell)
    looks: dict[str, list[Look]] = {of.role: [] for of in scene.processes}
    fresh_s: list[float] = []
    began = time.monotonic()
    faults = _faults(rng, broker)
    next_fault, next_look, next_probe = began + FAULT_EVERY_S / 2, began, began
    while (now := time.monotonic()) < began + lasts_s:
        if now >= next_fault:
            fault = next(faults)
            next_fault += FAULT_EVERY_S
            tell(f"{(now - began) / 60:.1f} min: {fault.name}")
            injector.inject(fault)
        if now >= next_look:
            next_look = now + LOOK_S
            for of in scene.processes:
                found = [look(child.pid, now - began) for child in of.running]
                looks[of.role] += [one for one in found if one is not None]
        if now >= next_probe:
            next_probe = now + PROBE_EVERY_S
            fresh_s.append(_fresh_s(scene))
        scene.rest(0.05)
    scene.producer.finish()
    scene.wait(lambda: not scene.producer.is_alive(), "all events sent", CAUGHT_UP_TIMEOUT_S)
    scene.wait(lambda: not asyncio.run(backlog(scene.settings)), "all events folded", 600.0)
    reader.close()
    tell("everything is folded; comparing")
    # The copies are not among what was written down beforehand: the hash judges them.
    findings = asyncio.run(verify(scene.settings, scene.workload, scene.truncated))
    lives = {role: longest_life(of_role) for role, of_role in looks.items()}
    lost = findings.dead_letters_expected - findings.dead_letters
    return {
        "broker": broker,
        "minutes": lasts_s / 60,
        "events_per_s": rate,
        "events": len(events),
        "faults": len(injector.injected),
        "freshness_p50_s": quantile(fresh_s, 0.5),
        "freshness_p99_s": quantile(fresh_s, 0.99),
        "memory_mib_per_h": {
            role: slope_per_h([(one.at_s, one.memory_mib) for one in of_role])
            for role, of_role in lives.items()
        },
        "memory_mib": {
            role: max((one.memory_mib for one in of_role), default=0.0)
            for role, of_role in lives.items()
        },
        "files_per_h": {
            role: slope_per_h([(one.at_s, float(one.files)) for one in of_role])
            for role, of_role in lives.items()
        },
        "hash_equal": findings.hash_stored == findings.hash_log,
        "lost": lost,
        "double": findings.dead_letters_again,
        "seen": seen(injector.injected, reader, scene),
        "ok": findings.hash_stored == findings.hash_log and not lost,
    }


def _sent_and_done(scene: Scene, producer: Producer) -> None:
    """Send all that a producer has, and wait until it is folded and its viewers are ranked."""
    scene.producer = producer
    producer.finish()
    producer.start()
    scene.wait(lambda: not producer.is_alive(), "the first events sent", CAUGHT_UP_TIMEOUT_S)
    scene.wait(lambda: not asyncio.run(backlog(scene.settings)), "them folded", DONE_TIMEOUT_S)
    scene.wait(lambda: not asyncio.run(unranked(scene.settings)), "them ranked", DONE_TIMEOUT_S)


def _again(records: Sequence[Message], count: int, rate: float, time_no: int) -> list[Message]:
    """So many records: those given, done again and again by an audience that comes back.

    Every time they are other events, and happen when they are sent.

    Args:
        time_no: other events than those of another number.
    """
    made: list[Message] = []
    now_ms = round(time.time() * 1000)
    for turn in itertools.count():
        viewer = b"%%%d" % (turn % AUDIENCES)
        for record in records:
            if len(made) == count:
                return made
            value = record.value or b""
            if "poison" in record.key or b'"viewer_id":"' not in value:
                continue
            event = b"#%d.%d" % (time_no, turn)
            for name, ending in ((b"viewer_id", viewer), (b"event_id", event)):
                head, of, tail = value.partition(b'"%s":"' % name)
                said, quote, rest = tail.partition(b'"')
                value = head + of + said + ending + quote + rest
            value = _TIME.sub(b'"ts":%d' % (now_ms + round(len(made) * 1000 / rate)), value)
            made.append(Message(record.topic, record.key + viewer.decode(), value))
    raise AssertionError("there is no end to turns")


def _fresh_s(scene: Scene) -> float:
    """Seconds from a like to a grid that reflects it, while nothing is broken."""
    viewer = f"fresh-{scene.number()}"
    began = time.monotonic()
    ts = scene.like(viewer)
    scene.wait(lambda: reflects_ms(scene, viewer) >= ts, "a fresh grid", CAUGHT_UP_TIMEOUT_S)
    return time.monotonic() - began


def _faults(rng: random.Random, broker: str) -> Iterator[Fault]:
    """Faults that end no role, for ever, each once before any comes again."""
    known = [of for of in ALL if of.name in LASTING and (broker == "apache" or not of.durable)]
    while True:
        yield from rng.sample(known, len(known))


if __name__ == "__main__":
    typer.run(soak)
