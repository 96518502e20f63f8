"""Load and figures → processes, memory, bytes and money, and what breaks first.

A sum, without queues and without bursts: it says of which part there is too little, not how long
somebody waits. Every core is planned to be busy for a share of its time (`Assumptions.busy`).
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

from streams.planning.figures import Figures

DAY_S: Final = 86_400
HOURS_OF_MONTH: Final = 730
GIB: Final = 2**30


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of an installation.

    Attributes:
        viewers: of a day.
        media: in the catalogue, that may be shown.
        events_per_s: of all topics, at the busiest time.
    """

    viewers: int
    media: int
    events_per_s: float


class Assumptions(msgspec.Struct, frozen=True, kw_only=True):
    """What no benchmark knows. Each is an option of ``freshgrid plan``.

    Attributes:
        pages_per_event: pages asked for, by event: a page has 25 items, and who looks at all of
            them sends that many views.
        grids_per_event: grids made, by event. Events of a viewer that come close together are
            ranked once.
        sessions_per_viewer: of a day.
        peak: the busiest time over the mean of a day.
        stored_viewers: viewers whose state Redis keeps (`VIEWER_TTL_S`), by viewer of a day.
        ready_grids: the same of ready grids (`GRID_TTL_S`).
        events_per_write: events of a viewer that one write of her state takes in.
        busy: share of a core's time that is planned for.
        replicas: copies of each record in Kafka, and (one less) of each key in Redis.
        kept_days: of events in Kafka.
        process_gib: memory of one process at most: of a ranker, of a Redis server.
        empty_gib: of a ranker that holds nothing yet.
        learner_cores, learner_gib: of the learner, while it trains; the limit of the compose file.
        broker_cores, broker_gib: of one broker.
        partition_mb_s: what one partition of Kafka takes, in 10^6 bytes a second.
        core_hour, gib_hour, disk_gib_month: prices of a core, of memory and of disk.
    """

    pages_per_event: float = 0.04
    grids_per_event: float = 0.1
    sessions_per_viewer: float = 2.0
    peak: float = 2.0
    stored_viewers: float = 3.0
    ready_grids: float = 1.5
    events_per_write: float = 2.0
    busy: float = 0.6
    replicas: int = 3
    kept_days: float = 7.0
    process_gib: float = 64.0
    empty_gib: float = 0.25
    learner_cores: float = 2.0
    learner_gib: float = 6.0
    broker_cores: float = 8.0
    broker_gib: float = 8.0
    partition_mb_s: float = 10.0
    core_hour: float = 0.04
    gib_hour: float = 0.005
    disk_gib_month: float = 0.08


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """Of one kind of process, all of them together; `processes` is None where no number does."""

    processes: int | None
    cores: float
    memory_gib: float


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """Something that no further process helps against.

    Attributes:
        name: what is used up.
        used: of what there is, as a share: above 1 it is too little.
        moved_by: the setting, or the work, that moves it.
    """

    name: str
    used: float
    moved_by: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What an installation needs. Bytes are 10^6 a second at the busiest time.

    Attributes:
        partitions: of each topic (`PARTITIONS`).
        roles: by name; ``kafka`` are brokers, ``redis`` servers with their replicas.
        kafka_in_mb_s, kafka_out_mb_s, redis_in_mb_s, redis_out_mb_s: with replication.
        disk_gib: of Kafka, all replicas.
        month: money a month, in the unit of the prices.
        limits: the first to break is the first.
    """

    partitions: int
    roles: dict[str, Role]
    kafka_in_mb_s: float
    kafka_out_mb_s: float
    redis_in_mb_s: float
    redis_out_mb_s: float
    disk_gib: float
    month: float
    limits: list[Limit]

    @property
    def feasible(self) -> bool:
        """Whether every limit is kept."""
        return all(limit.used <= 1 for limit in self.limits)


def plan(load: Load, figures: Figures, assumed: Assumptions) -> Plan:
    """What `load` needs on machines of these `figures`.

    A number of processes is None where a limit does not allow any number; what follows from it is
    then of one process.
    """
    rates = _Rates(load, assumed)
    worker = _worker(rates, figures, assumed)
    ranker, follows = _ranker(load, rates, figures, assumed)
    learner, learns = _learner(rates, figures, assumed)
    redis, stores, holds = _redis(load, rates, figures, assumed)
    followers = (ranker.processes or 1) + 1
    event_mb = rates.events * figures.event_bytes / 1e6
    page_mb = 2 * rates.pages * figures.page_record_bytes / 1e6
    kafka_in = (event_mb + page_mb) * assumed.replicas
    # Each ranker and the learner read every event; a worker its part; replicas what is written.
    kafka_out = event_mb * (1 + followers) + page_mb + (event_mb + page_mb) * (assumed.replicas - 1)
    most = max(worker.processes or 1, ranker.processes or 1)
    partitions = _power_of_two(max(8, 2 * most, (event_mb + page_mb) / assumed.partition_mb_s))
    day_share = DAY_S / assumed.peak
    disk = kafka_in * 1e6 * day_share * assumed.kept_days / GIB
    broker_cores = rates.events * assumed.replicas / figures.broker_per_core_s / assumed.busy
    brokers = max(assumed.replicas, math.ceil(broker_cores / assumed.broker_cores))
    kafka = Role(
        processes=brokers,
        cores=max(brokers, broker_cores),
        memory_gib=brokers * assumed.broker_gib,
    )
    roles = {"worker": worker, "ranker": ranker, "learner": learner, "redis": redis, "kafka": kafka}
    cores = sum(role.cores for role in roles.values())
    memory = sum(role.memory_gib for role in roles.values())
    # Each write sends a state, each grid made reads one; the other copies are sent what is written.
    writes = rates.events / assumed.events_per_write
    redis_in = (writes * figures.state_bytes + rates.grids * figures.grid_bytes) / 1e6
    redis_out = (rates.grids * figures.state_bytes + rates.pages * figures.grid_bytes) / 1e6
    redis_out += redis_in * ((redis.processes or 1) - 1)
    limits = [follows, *learns, stores, holds]
    limits.append(_inventory(load, figures, assumed))
    return Plan(
        partitions=partitions,
        roles=roles,
        kafka_in_mb_s=kafka_in,
        kafka_out_mb_s=kafka_out,
        redis_in_mb_s=redis_in,
        redis_out_mb_s=redis_out,
        disk_gib=disk,
        month=HOURS_OF_MONTH * (cores * assumed.core_hour + memory * assumed.gib_hour)
        + disk * assumed.disk_gib_month,
        limits=sorted(limits, key=lambda limit: -limit.used),
    )


class _Rates:
    """Things per second at the busiest time."""

    def __init__(self, load: Load, assumed: Assumptions) -> None:
        self.events = load.events_per_s
        self.pages = load.events_per_s * assumed.pages_per_event
        self.grids = load.events_per_s * assumed.grids_per_event
        self.sessions = load.viewers * assumed.sessions_per_viewer / DAY_S * assumed.peak


def _worker(rates: _Rates, figures: Figures, assumed: Assumptions) -> Role:
    cores = (
        rates.events / figures.fold_per_core_s + rates.sessions / figures.close_per_core_s
    ) / assumed.busy
    processes = max(2, math.ceil(cores))
    return Role(processes=processes, cores=cores, memory_gib=processes * figures.worker_bytes / GIB)


def _ranker(
    load: Load, rates: _Rates, figures: Figures, assumed: Assumptions
) -> tuple[Role, Limit]:
    """Each follows all events, whatever their number, and divides the rest with the others."""
    following = rates.events / figures.follow_per_core_s
    shared = rates.grids / figures.grids_per_core_s + rates.pages / figures.pages_per_core_s
    limit = Limit(
        name="every ranker reads every event",
        used=following / assumed.busy,
        moved_by="popularity and co-engagement computed once, by partition (not there yet)",
    )
    left = assumed.busy - following
    processes = max(2, math.ceil(shared / left)) if left > 0 else None
    # A snapshot takes as much again while it is written.
    each_gib = assumed.empty_gib + 2 * load.media * figures.media_bytes / GIB
    count = processes or 1
    return (
        Role(
            processes=processes,
            cores=(count * following + shared) / assumed.busy,
            memory_gib=count * each_gib,
        ),
        limit,
    )


def _inventory(load: Load, figures: Figures, assumed: Assumptions) -> Limit:
    return Limit(
        name="every ranker holds every media",
        used=2 * load.media * figures.media_bytes / GIB / assumed.process_gib,
        moved_by="memory of a ranker (--process-gib); WORLD_SNAPSHOT_EVERY_S=0 halves it; beyond, "
        "sharded retrieval (not there yet)",
    )


def _learner(rates: _Rates, figures: Figures, assumed: Assumptions) -> tuple[Role, list[Limit]]:
    limits = [
        Limit(
            name="one learner takes in every labelled page",
            used=rates.pages / figures.learn_pages_per_s,
            moved_by="fewer impressions to learn from; several learners (not there yet)",
        )
    ]
    if figures.learn_events_per_s:
        limits.append(
            Limit(
                name="one learner makes examples of every event",
                used=rates.events / figures.learn_events_per_s,
                moved_by="several learners that share the join by partition (not there yet)",
            )
        )
    role = Role(processes=1, cores=assumed.learner_cores, memory_gib=assumed.learner_gib)
    return role, limits


def _redis(
    load: Load, rates: _Rates, figures: Figures, assumed: Assumptions
) -> tuple[Role, Limit, Limit]:
    """One server: what it takes of its one core, and of its memory."""
    core = (rates.events / figures.store_per_core_s) / assumed.busy
    held = (
        load.viewers * assumed.stored_viewers * figures.viewer_bytes
        + load.viewers * assumed.ready_grids * figures.grid_bytes
    ) / GIB
    moved = "GRID_TTL_S and VIEWER_TTL_S; more servers (Redis Cluster: not there yet)"
    copies = max(1, assumed.replicas - 1)
    return (
        Role(processes=copies, cores=copies * max(1.0, core), memory_gib=copies * held),
        Limit(
            name="one Redis has one core for commands",
            used=core,
            moved_by="CHUNK_MAX_RECORDS (more events in a write); more servers (Redis Cluster: not "
            "there yet)",
        ),
        Limit(name="one Redis holds everybody", used=held / assumed.process_gib, moved_by=moved),
    )


def _power_of_two(at_least: float) -> int:
    return 1 << math.ceil(math.log2(at_least))
