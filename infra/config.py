"""Settings: the only place that reads the environment.

A secret setting may stand in a file instead: ``REDIS_URL_FILE=/run/secrets/redis_url``.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from infra.secrets import SECRET, SECRET_URL, given_secret, remember
from models.defaults import EMBEDDING_MARGIN, IMAGE_DIMENSION, RANKER_MARGIN
from models.viewers.state import FoldConfig

Milliseconds = Annotated[int, Field(gt=0)]
#: Settings that no process says, from a variable or from the file that NAME_FILE names: all of it,
#: or the password in it.
Secret = Annotated[str, Field(repr=False), SECRET]
SecretUrl = Annotated[str, Field(repr=False), SECRET_URL]


def _kind(field: FieldInfo) -> str | None:
    """Which secret a setting is, None for none."""
    return next((kind for kind in (SECRET, SECRET_URL) if kind in field.metadata), None)


class _Secrets(PydanticBaseSettingsSource):
    """Secret settings, whichever way they are given."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The value of a field, None where it is not given or no secret."""
        value = None
        if (kind := _kind(field)) is not None:
            value = given_secret(field_name.upper(), os.environ)
            if value is not None:
                # Before it is looked at: what is wrong with it is said without it.
                remember(value, kind)
        return value, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Name → value of all that are given."""
        found = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
        }
        return {name: value for name, value in found.items() if value is not None}


class Settings(BaseSettings):
    """Settings of every Freshgrid process, one environment variable each (upper case)."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    # Where things are.
    kafka_bootstrap_servers: str = "127.0.0.1:9092"
    redis_url: SecretUrl = "redis://127.0.0.1:6379/0"
    http_host: str = "127.0.0.1"
    http_port: int = 8000
    #: Whether a ranker takes a part of the touched viewers; one that does not only answers.
    rank_touched: bool = True
    #: Within this the HTTP API answers every request.
    request_timeout_s: Annotated[float, Field(gt=0)] = 5.0
    artifacts_url: SecretUrl = "artifacts"
    #: A local folder where the rankers of one machine share the built account index, so
    #: that it is built and held in memory once; empty where each has its own.
    index_folder: str = ""

    # Who may ask, and how much.
    #: A key with all scopes, besides those that ``freshgrid keys create`` makes; empty for none.
    api_key: Secret = ""
    #: Signs tokens of viewers and cursors; empty: one is made, and kept in Redis.
    signing_secret: Secret = ""
    #: Ask for keys on loopback, too: where a proxy stands before it.
    require_keys: bool = False
    #: Addresses or networks of proxies whose X-Forwarded-For is believed, with commas; empty: none.
    trusted_proxies: str = ""
    #: Origins whose pages may ask from a browser, with commas; empty: none but its own page.
    cors_origins: str = ""
    #: Requests per second of one address without a key, and of one viewer's token.
    rate_per_address: Annotated[float, Field(gt=0)] = 50.0
    #: Queries, explanations and the like that are answered at once.
    expensive_at_once: PositiveInt = 4

    # How Kafka is reached, by every client (infra.kafka_clients). Files are in PEM.
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    #: Who is trusted; empty for whom the system trusts.
    kafka_ca_file: str = ""
    #: Of this client, where brokers ask for one, and its key.
    kafka_certificate_file: str = ""
    kafka_key_file: str = ""
    kafka_key_password: Secret = ""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = (
        "SCRAM-SHA-512"
    )
    kafka_username: str = ""
    kafka_password: Secret = ""
    #: ``package.module:function``, which gives the token of OAUTHBEARER.
    kafka_token_provider: str = ""

    #: Replicas of Redis that must have a write before it counts: behind Sentinel, so that a
    #: failover loses nothing.
    redis_wait_replicas: NonNegativeInt = 0

    # How Redis is reached, beside its URL (infra.redis_clients).
    redis_username: str = ""
    redis_password: Secret = ""
    redis_ca_file: str = ""
    redis_certificate_file: str = ""
    redis_key_file: str = ""
    redis_key_password: Secret = ""

    # The API by HTTPS, where no proxy does that.
    http_certificate_file: str = ""
    http_key_file: str = ""
    http_key_password: Secret = ""

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
    image_dimension: PositiveInt = IMAGE_DIMENSION

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
    #: Ready grids that a ranker answered are kept in its memory, so many bytes of them at most, and
    #: answered again for so long at most while Redis answers no reads.
    kept_grids_bytes: NonNegativeInt = 64 * 1024 * 1024
    kept_grids_s: NonNegativeInt = 900
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
    #: Share of the viewers in each hour whose grids are in random order, so that the log can tell
    #: what other weights are worth.
    randomised_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0

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
    embedding_margin: Annotated[float, Field(ge=0.0, le=1.0)] = EMBEDDING_MARGIN
    #: Seconds from one map of the accounts to the next while the space learns on; 0 draws none.
    account_map_every_s: Annotated[float, Field(ge=0)] = 3600.0
    #: Newest versions of each kind that are kept, and how far back one can roll.
    keep_versions: PositiveInt = 5

    #: Seconds from one snapshot of what rankers read whole to the next, which they start from; 0
    #: for none. And how many are kept.
    world_snapshot_every_s: Annotated[float, Field(ge=0)] = 3600.0
    keep_world_snapshots: PositiveInt = 3
    #: The same of what the learner reads whole: a restart reads what came since, so more often.
    learner_snapshot_every_s: Annotated[float, Field(ge=0)] = 600.0
    keep_learner_snapshots: PositiveInt = 2

    log_level: str = "WARNING"
    #: `text`, or `json`: one object a line.
    log_format: str = "text"
    #: Spans of events whose producers trace them, by OpenTelemetry (`freshgrid[telemetry]`).
    traces: bool = False
    #: Where this process serves Prometheus metrics; port 0 for nowhere.
    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given in code, then secrets, then the environment."""
        return init_settings, _Secrets(settings_cls), env_settings

    def model_post_init(self, _: object) -> None:
        """Secrets are masked in whatever this process says."""
        for name, field in type(self).model_fields.items():
            if (kind := _kind(field)) is not None:
                remember(getattr(self, name), kind)

    def fold_config(self) -> FoldConfig:
        """The part of the settings that the fold of a viewer's state depends on."""
        return FoldConfig(
            half_life_ms=self.half_life_ms, max_strong=self.max_strong, max_views=self.max_views
        )


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
