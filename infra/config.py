"""Settings: the only place that reads the environment."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

from pydantic import Field, PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.secrets import remember
from models.evaluation.ranker_gate import MARGIN as RANKER_MARGIN
from models.ig2vec.gate import MARGIN
from models.inventory.image import DIMENSION
from models.viewers.state import FoldConfig

Milliseconds = Annotated[int, Field(gt=0)]


class Settings(BaseSettings):
    """Settings of every Freshgrid process, one environment variable each (upper case)."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    # Where things are.
    kafka_bootstrap_servers: str = "127.0.0.1:9092"
    redis_url: str = "redis://127.0.0.1:6379/0"
    http_host: str = "127.0.0.1"
    http_port: int = 8000
    #: Within this the HTTP API answers every request.
    request_timeout_s: Annotated[float, Field(gt=0)] = 5.0
    artifacts_url: str = "artifacts"
    #: A local folder where the rankers of one machine share the built account index, so
    #: that it is built and held in memory once; empty where each has its own.
    index_folder: str = ""

    # Kafka.
    partitions: PositiveInt = 8
    replication_factor: PositiveInt = 1
    #: Largest record the topics take. Larger than any valid value, so that an oversize one can
    #: be read and dead-lettered instead of blocking its producer.
    max_message_bytes: PositiveInt = 8 * 1024 * 1024
    rebalance_timeout_s: float = 20.0
    #: On the embedded broker a group join waits for half of this, so its profile sets it low.
    session_timeout_s: float = 10.0
    #: How long the broker may hold a fetch that finds nothing. Apache Kafka answers as soon as a
    #: record arrives; the embedded broker looks only now and then, so its profile sets it low.
    fetch_max_wait_ms: PositiveInt = 500
    #: Bytes of one partition that a worker fetches at once; they wait in its memory.
    fetch_max_bytes: PositiveInt = 1024 * 1024
    #: Records handed to an agent at once. More are folded faster, and held longer.
    chunk_max_records: PositiveInt = 5000

    # Viewer state.
    half_life_ms: Milliseconds = 7 * 24 * 3600 * 1000
    session_gap_ms: Milliseconds = 30 * 60 * 1000
    viewer_ttl_s: PositiveInt = 90 * 24 * 3600
    max_strong: PositiveInt = 200
    max_views: PositiveInt = 100

    # Parking: events without an author on media the catalogue does not know yet.
    parking_ttl_s: float = 600.0
    parking_max_media: PositiveInt = 10_000
    parking_max_events_per_media: PositiveInt = 100
    catalog_ttl_s: PositiveInt = 365 * 24 * 3600

    #: What viewers did, by viewer, media and action, of which it is remembered at least that it was
    #: counted; views apart.
    remembered_actions: PositiveInt = 1 << 20

    #: Length of `image_embedding`; the default is that of `freshgrid embed-images`.
    image_dimension: PositiveInt = DIMENSION

    # Candidates.
    #: File, or folder of *.igql, of the queries that find candidates; empty for the bundled one.
    explore_query: str = ""
    #: Modules with operators of one's own, separated by commas; installed packages may name more.
    igql_operators: str = ""

    # Grid.
    grid_size: PositiveInt = 25
    grid_ttl_s: PositiveInt = 7 * 24 * 3600
    pages_ttl_s: PositiveInt = 30 * 60
    #: A page over HTTP was made at most so long ago.
    stale_grid_s: PositiveInt = 3600
    #: Grids that a ranker ranks again without cuts, a minute at most: to see what the
    #: earlier passes lose, and to log the whole candidate set that they are to sort.
    sampled_grids_per_minute: Annotated[float, Field(ge=0.0)] = 4.0
    #: Positions from one media of an author to the next at least, and most media of an author and
    #: of a seed in a grid, as long as there are others.
    author_spacing: PositiveInt = 2
    author_cap: PositiveInt = 3
    seed_cap: PositiveInt = 15
    #: Share of a grid's positions that new media are drawn for, and until when a media is new.
    exploration_share: Annotated[float, Field(ge=0.0, le=0.5)] = 0.04
    exploration_max_age_ms: Milliseconds = 72 * 3600 * 1000
    exploration_max_views: Annotated[float, Field(gt=0.0)] = 50.0

    # Learning.
    #: The first fit of ig2vec waits for this many sessions of two accounts or more.
    bootstrap_sessions: PositiveInt = 500
    #: A fit takes what happened within this time; an account that nobody engaged with for as long
    #: loses its vector.
    embedding_window_ms: Milliseconds = 90 * 24 * 3600 * 1000
    #: An event counts for a page or an exposure at most this long before it.
    label_window_ms: Milliseconds = 10 * 60 * 1000
    #: A served page waits this much longer for events that come late.
    label_late_ms: Milliseconds = 60 * 1000
    #: A training of the rankers from the beginning waits for this many new examples with an action
    #: other than a view. Between trainings they learn on from every example.
    train_every_positives: PositiveInt = 10_000
    #: What the rankers have learned on is judged, and goes live if it passes, every so often.
    rankers_every_s: Annotated[float, Field(gt=0)] = 300.0
    #: Item weights that were fitted anew go live at most every so often: each time the grids of
    #: recently active viewers are made again.
    items_every_s: Annotated[float, Field(gt=0)] = 300.0
    #: AUC of a head that new rankers may lose to the live ones on the newest examples.
    ranker_margin: Annotated[float, Field(ge=0.0, le=1.0)] = RANKER_MARGIN
    #: KL divergence in nats of served predictions from those at promotion that is warned of.
    score_drift_alarm: Annotated[float, Field(gt=0)] = 0.2
    bootstrap_positives: PositiveInt = 300
    #: Where no exposure came of anything, the first training waits for this many choices among
    #: candidates instead (:mod:`models.examples.choices`).
    bootstrap_choices: PositiveInt = 200
    keep_examples: PositiveInt = 300_000
    training_threads: PositiveInt = 1
    #: Of torch, where the final pass is trained from the beginning.
    training_device: str = "cpu"
    #: Macro-F1 of the topic probe that a new version of the account vectors may lose to the live.
    embedding_margin: Annotated[float, Field(ge=0.0, le=1.0)] = MARGIN
    #: Seconds from one map of the accounts to the next while the space learns on; 0 draws none.
    account_map_every_s: Annotated[float, Field(ge=0)] = 3600.0
    #: Newest versions of each kind that are kept, and how far back one can roll.
    keep_versions: PositiveInt = 5

    log_level: str = "WARNING"
    #: `text`, or `json`: one object a line.
    log_format: str = "text"
    #: Where this process serves Prometheus metrics; port 0 for nowhere.
    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0

    def model_post_init(self, _: object) -> None:
        """Passwords in settings are masked in whatever this process says."""
        for url in (self.redis_url, self.artifacts_url):
            remember(url)

    def fold_config(self) -> FoldConfig:
        """The part of the settings that the fold of a viewer's state depends on."""
        return FoldConfig(
            half_life_ms=self.half_life_ms, max_strong=self.max_strong, max_views=self.max_views
        )


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
