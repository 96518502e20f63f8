"""What an operator watches, in Prometheus' terms.

Metrics belong to the process, so they stand here as module variables and whoever knows a figure
sets it. ``METRICS_PORT`` makes a process serve them at ``/metrics``; without it they cost a few
additions per batch. Names and meanings are in ``docs/operations.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily

from infra.config import Settings
from infra.errors import PortInUseError

#: From a tenth of the freshness we are after to a backlog of an hour.
AGE_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)

EVENTS: Final = Counter(
    "freshgrid_events", "Records of event topics whose effect is stored", ["topic"]
)
EVENT_AGE: Final = Histogram(
    "freshgrid_event_age_seconds",
    "Age of a chunk's oldest record, by its Kafka timestamp, when its effect is stored",
    buckets=AGE_BUCKETS,
)
SLICES: Final = Counter(
    "freshgrid_slices",
    "Viewers' slices of a batch: put on top of the state (appended), or folded",
    ["stored"],
)
DEAD_LETTERS: Final = Counter("freshgrid_dead_letters", "Records dead-lettered", ["error"])
PARTITIONS: Final = Gauge("freshgrid_partitions", "Partitions that a topic has", ["topic"])
RECORDS_EXPIRED: Final = Counter(
    "freshgrid_records_expired",
    "Records that retention deleted before whoever reads them had come so far",
    ["topic"],
)
KAFKA_SILENT: Final = Gauge(
    "freshgrid_kafka_silent_seconds",
    "Time since Kafka last told what is in some partition that this process keeps a copy of",
)
BATCHES_UNREADABLE: Final = Counter(
    "freshgrid_unreadable_batches", "Batches of Kafka's log that cannot be read", ["topic"]
)
PARKED: Final = Gauge("freshgrid_parked_media", "Media that events wait for")
ACCOUNT_MAPS: Final = Counter(
    "freshgrid_account_maps", "Maps of the accounts: drawn, or failed", ["outcome"]
)
SESSIONS_LOOKED_AT: Final = Counter(
    "freshgrid_sessions_looked_at", "Viewers looked at for sessions that have closed"
)
SESSIONS_CLOSED: Final = Counter("freshgrid_sessions_closed", "Sessions sent as closed")
REDIS_FAILURES: Final = Counter(
    "freshgrid_redis_failures", "Failed attempts to reach Redis, each followed by another"
)
KAFKA_FAILURES: Final = Counter(
    "freshgrid_kafka_send_failures", "Failed attempts to send to Kafka, each followed by another"
)
GRIDS: Final = Counter("freshgrid_grids", "Grids made and stored")
GRIDS_FAILED: Final = Counter(
    "freshgrid_grids_failed", "Grids that cannot be made, of viewers who keep the last ones"
)
GRIDS_WAITING: Final = Gauge("freshgrid_grids_waiting", "Viewers who wait for a grid")
GRID_SECONDS: Final = Histogram(
    "freshgrid_grid_seconds",
    "Time to make a grid, a batch's shared among its grids",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
EVENT_TO_GRID: Final = Histogram(
    "freshgrid_event_to_grid_seconds",
    "From the time of a viewer's newest event to the grid with it being stored, of events that "
    "came in time",
    buckets=AGE_BUCKETS,
)
GRID_ITEMS: Final = Counter(
    "freshgrid_grid_items", "Media in the grids made, by the source that brought them", ["source"]
)

HTTP_REFUSED: Final = Counter(
    "freshgrid_http_refused", "Requests that were refused at the door, by why", ["why"]
)
FORGOTTEN_EVENTS: Final = Counter(
    "freshgrid_forgotten_events", "Events of forgotten viewers, which are dropped"
)

FUNNEL_BEST: Final = Counter(
    "freshgrid_funnel_best",
    "Media that the final pass puts on top of all candidates, of the grids audited",
)
FUNNEL_LOST: Final = Counter(
    "freshgrid_funnel_lost", "Of those, the media that an earlier pass had cut", ["ranking_pass"]
)
CANDIDATE_SETS: Final = Counter(
    "freshgrid_candidate_sets",
    "Candidate sets of sampled grids: too large to be logged (oversize), read by the learner, "
    "or left out by it (other_features, damaged)",
    ["outcome"],
)
QUERIES_REFUSED: Final = Counter(
    "freshgrid_queries_refused", "New versions of queries that were wrong; the old ones stay live"
)
EXPERIMENTS_REFUSED: Final = Counter(
    "freshgrid_experiments_refused",
    "Weights and arms found in Redis that cannot be served; the last good ones stay live",
)
SOURCES_OUT: Final = Counter(
    "freshgrid_query_sources",
    "Sources of candidates that were slow, failed, or were left out for it (skipped)",
    ["source", "outcome"],
)
IMAGES_REFUSED: Final = Counter(
    "freshgrid_images_refused", "Image vectors of no use: wrong dimension, not finite, or zero"
)
HELD_BACK: Final = Gauge(
    "freshgrid_accounts_held_back",
    "Accounts shown to nobody but who chose them: unusually many viewers asked for fewer",
)
UNCATALOGUED: Final = Gauge(
    "freshgrid_uncatalogued_events", "Events that are counted once the catalogue tells their media"
)
UNCATALOGUED_DROPPED: Final = Counter(
    "freshgrid_uncatalogued_dropped", "Of those, events dropped because too many waited"
)
VERSIONS: Final = Counter(
    "freshgrid_versions",
    "Trained versions: promoted, refused by the gate, diverged in training, unstored because the "
    "artifact store did not take them, or damaged when they were to be loaded",
    ["kind", "outcome"],
)
PAGES_LABELLED: Final = Counter(
    "freshgrid_pages_labelled", "Served pages sent as examples, with what came of them"
)
LABELS_LATE: Final = Counter(
    "freshgrid_labels_late", "Events on a served page that came after the page was labelled"
)
LABELS_DROPPED: Final = Counter(
    "freshgrid_labels_dropped", "Events dropped because too many waited for their pages"
)
LABELS_WAITING: Final = Gauge(
    "freshgrid_labels_waiting", "Pages that wait for their labels, events for their pages", ["what"]
)
EXAMPLES_LEARNED: Final = Counter(
    "freshgrid_examples_learned", "Examples that the rankers learned from between trainings"
)
OTHER_LEARNERS: Final = Gauge(
    "freshgrid_other_learners", "1 while another learner has some of the sessions, which is wrong"
)
SCORE_DRIFT: Final = Gauge(
    "freshgrid_score_drift",
    "KL divergence of served predictions from those when the rankers went live, in nats",
    ["head"],
)

IMPRESSIONS_DROPPED: Final = Counter(
    "freshgrid_impressions_dropped", "Pages answered and not logged, because too many waited"
)
STALE_READS: Final = Histogram(
    "freshgrid_stale_read_seconds",
    "Ready grids answered that are not of what is live: how long that had been live",
    buckets=(1, 5, 15, 60, 300, 900, 3600),
)
KEPT_READS: Final = Histogram(
    "freshgrid_kept_read_seconds",
    "Pages answered from memory while Redis answered no reads: how old they were",
    buckets=(1, 5, 15, 60, 300, 900, 3600),
)
FOREIGN_READS: Final = Counter(
    "freshgrid_foreign_reads",
    "Ready grids answered that another ranker made by something else than what is live here",
)
RELAXED: Final = Counter(
    "freshgrid_relaxed_grids",
    "Grids for which exclusions of the query gave way, by the last of them",
    ["exclusion"],
)
TAKEN_DOWN: Final = Counter(
    "freshgrid_taken_down_grids", "Ready grids that lost media which must not be shown any more"
)
TAKE_DOWN_AGE: Final = Histogram(
    "freshgrid_take_down_seconds",
    "From a record of the catalogue to its media being gone from the ready grids",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)

WORLD_SNAPSHOTS: Final = Counter(
    "freshgrid_world_snapshots",
    "Snapshots of the world: written, failed to be, used at a start, or refused there",
    ["outcome"],
)
WORLD_SNAPSHOT_AGE: Final = Gauge(
    "freshgrid_world_snapshot_age_seconds",
    "How old the snapshot was that this process started from; -1 for none",
)
LEARNER_SNAPSHOTS: Final = Counter(
    "freshgrid_learner_snapshots",
    "Snapshots of what a learner has read: written, failed to be, used at a start, or refused",
    ["outcome"],
)
LEARNER_SNAPSHOT_AGE: Final = Gauge(
    "freshgrid_learner_snapshot_age_seconds",
    "How old the snapshot was that this learner started from; -1 for none",
)
LEARNER_START_SECONDS: Final = Gauge(
    "freshgrid_learner_start_seconds",
    "From the start of a learner until it had read what was there",
)
START_SECONDS: Final = Gauge(
    "freshgrid_start_seconds", "From the start of a ranker to its first answer over HTTP"
)

#: Topic and partition → records that the broker has and the group has not committed.
Lag = Callable[[], Mapping[tuple[str, int], int]]


class _LagCollector:
    """Asks for the lag only when somebody looks."""

    def __init__(self, lag: Lag) -> None:
        self._lag = lag

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return []  # Nothing fixed to check against: a process may read as two groups.

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "freshgrid_lag_records",
            "Records in this process's partitions that are not committed",
            labels=["topic", "partition"],
        )
        for (topic, partition), records in self._lag().items():
            family.add_metric([topic, str(partition)], records)
        yield family


@contextmanager
def lag_exported(lag: Lag) -> Iterator[None]:
    """Export what `lag` answers while in the context."""
    collector = _LagCollector(lag)
    REGISTRY.register(collector)
    try:
        yield
    finally:
        REGISTRY.unregister(collector)


@contextmanager
def metrics_served(settings: Settings) -> Iterator[None]:
    """Serve ``/metrics`` on ``METRICS_PORT`` while in the context; 0 serves nothing.

    Raises:
        PortInUseError: somebody else listens there.
    """
    port, host = settings.metrics_port, settings.metrics_host
    if not port:
        yield
        return
    try:
        server, thread = start_http_server(port, host)
    except OSError as error:
        raise PortInUseError(f"METRICS_PORT {port} on {host} cannot be used: {error}") from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
