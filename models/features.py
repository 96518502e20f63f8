"""The ONE assembly of features, used by serving and by training alike.

Training passes the viewer, the world and the time as they were at an exposure, serving as they
are now; nothing else decides a value, so both see the same numbers.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.candidates import Candidates
from models.columns import UNKNOWN, Rows
from models.events import Action
from models.feature_schema import (
    ACTION_COLUMNS,
    DENSE_INDEX,
    DENSE_NAMES,
    FEATURE_VERSION,
    FEATURES,
    MINIMAL,
    MINIMAL_COLUMNS,
    RATE_COLUMNS,
    SOURCES,
    SPARSE_BUCKETS,
    SPARSE_NAMES,
    Feature,
    FeatureMatrix,
)
from models.viewer_context import ViewerContext
from models.world import World

__all__ = [
    "DENSE_INDEX",
    "DENSE_NAMES",
    "FEATURES",
    "FEATURE_VERSION",
    "MINIMAL",
    "MINIMAL_COLUMNS",
    "SOURCES",
    "SPARSE_BUCKETS",
    "SPARSE_NAMES",
    "Feature",
    "FeatureMatrix",
    "assemble",
]

LONG_TERM: Final = 30
SHORT_TERM: Final = 5
SEE_FEWERS: Final = 30
_HOUR_MS: Final = 3_600_000
_WEEK_MS: Final = 7 * 24 * _HOUR_MS
#: A see-fewer weighs half after this long, in similarity and so in the penalty on value.
SEE_FEWER_HALF_LIFE_MS: Final = 30 * 24 * _HOUR_MS
#: Views that everybody's rate counts as, added to an author's, media's or viewer's own.
_PRIOR_VIEWS: Final = 20.0
#: Everybody's rates while there is no traffic to measure them on.
_DEFAULT_RATES: Final = {"like": 0.02, "save": 0.01, "see_fewer": 0.002, "long_view": 0.25}
_PRIOR_TRAFFIC: Final = 100.0
_LOW, _HIGH = -1.0, 5.0

Columns = dict[str, NDArray[np.floating] | float]


def assemble(
    viewer: ViewerContext, candidates: Candidates, world: World, now_ms: int
) -> FeatureMatrix:
    """Features of one viewer's candidates at `now_ms`.

    Candidates are known media rows; logged exposures are ``Candidates.of(media_rows)``. Every
    value is finite and every dense one within [−1, 5].
    """
    n = len(candidates)
    media_n = candidates.media_n
    author_n: Rows = world.catalog.author_n[media_n]
    columns: Columns = {}
    seed_n = _affinity(columns, viewer, media_n, author_n, world, now_ms)
    _history(columns, viewer, author_n, now_ms)
    _popularity(columns, viewer, media_n, author_n, world, now_ms)
    _media(columns, media_n, world, now_ms)
    for code, name in enumerate(SOURCES[1:], 1):
        columns[f"source_{name}"] = (candidates.source_n == code).astype(np.float32)
    columns["viewer_idle"] = (
        np.log1p(max(now_ms - viewer.reflects_ts, 0) / _HOUR_MS) / 3 if viewer.reflects_ts else 5.0
    )
    dense_fn = np.empty((len(DENSE_NAMES), n), np.float32)
    for row, name in enumerate(DENSE_NAMES):
        dense_fn[row] = columns[name]
    np.clip(dense_fn, _LOW, _HIGH, out=dense_fn)
    return FeatureMatrix(
        np.ascontiguousarray(dense_fn.T), _sparse(viewer, media_n, author_n, seed_n, world, now_ms)
    )


def _affinity(
    columns: Columns,
    viewer: ViewerContext,
    media_n: Rows,
    author_n: Rows,
    world: World,
    now_ms: int,
) -> Rows:
    """Fill the columns of similarity; returns the seed author behind each, −1 for none."""
    positives, see_fewers = viewer.positives(LONG_TERM), viewer.see_fewers(SEE_FEWERS)
    liked_p, hated_s = viewer.author_e[positives], viewer.author_e[see_fewers]
    vectors_nd, known_n = world.vectors_of(author_n)
    vectors_pd, known_p = world.vectors_of(liked_p)

    to_liked_np = _similarity(vectors_nd, author_n, vectors_pd, liked_p)
    columns["seed_similarity"] = to_liked_np.max(axis=1, initial=0.0)
    seed_n = np.full(len(media_n), UNKNOWN, np.int32)
    if len(liked_p):
        best_n = to_liked_np.argmax(axis=1)
        found = to_liked_np[np.arange(len(media_n)), best_n] > 0.0
        seed_n[found] = liked_p[best_n[found]]
    columns["short_similarity"] = vectors_nd @ _mean(vectors_pd[:SHORT_TERM])
    columns["long_similarity"] = vectors_nd @ _mean(vectors_pd)

    decay_s = np.exp2(-np.maximum(now_ms - viewer.ts_e[see_fewers], 0) / SEE_FEWER_HALF_LIFE_MS)
    vectors_sd, _ = world.vectors_of(hated_s)
    to_hated_ns = _similarity(vectors_nd, author_n, vectors_sd, hated_s) * decay_s
    columns["see_fewer_similarity"] = to_hated_ns.max(axis=1, initial=0.0)

    topic_n = world.catalog.topic_n
    columns["topic_affinity"] = _share(topic_n, viewer.media_e[positives], media_n)
    columns["topic_aversion"] = _share(topic_n, viewer.media_e[see_fewers], media_n)
    columns["author_vector_missing"] = (~known_n).astype(np.float32)
    columns["viewer_vector_missing"] = float(not known_p.any())
    return seed_n


def _history(columns: Columns, viewer: ViewerContext, author_n: Rows, now_ms: int) -> None:
    at_n = viewer.counter_positions(author_n)
    known_n = at_n != UNKNOWN
    at = at_n[known_n]
    counts_n5 = np.zeros((len(author_n), len(Action)))
    counts_n5[known_n] = np.log1p(viewer.counters_c5[at])
    for action, name in enumerate(ACTION_COLUMNS):
        columns[f"viewer_author_{name}"] = counts_n5[:, action]
    for column, last_c in (
        ("viewer_author_recency", viewer.last_positive_c),
        ("viewer_author_aversion", viewer.last_see_fewer_c),
    ):
        value_n = np.zeros(len(author_n))
        last = last_c[at]
        value_n[known_n] = np.where(
            last > 0, np.exp2(-np.maximum(now_ms - last, 0) / _WEEK_MS), 0.0
        )
        columns[column] = value_n
    columns["follows_author"] = np.isin(author_n, viewer.followed).astype(np.float32)
    for action, name in enumerate(ACTION_COLUMNS):
        columns[f"viewer_{name}s"] = float(np.log1p(viewer.totals_5[action])) / 3


def _popularity(
    columns: Columns,
    viewer: ViewerContext,
    media_n: Rows,
    author_n: Rows,
    world: World,
    now_ms: int,
) -> None:
    popularity = world.popularity
    everybody = _base_rates(popularity.decayed_total(now_ms))
    for entity, counts_n5 in (
        ("author", popularity.decayed_authors(author_n, now_ms)),
        ("media", popularity.decayed_media(media_n, now_ms)),
    ):
        logs_n5 = np.log1p(counts_n5) / 3
        for action, name in enumerate(ACTION_COLUMNS):
            columns[f"{entity}_{name}s"] = logs_n5[:, action]
        for name, rate_n in _relative_rates(counts_n5, everybody).items():
            columns[f"{entity}_{name}_rate"] = rate_n
    own = _relative_rates(viewer.totals_5[None, :], everybody)
    columns["viewer_like_rate"] = float(own["like"][0])
    columns["viewer_long_view_rate"] = float(own["long_view"][0])


def _media(columns: Columns, media_n: Rows, world: World, now_ms: int) -> None:
    catalog = world.catalog
    age_n = np.maximum(now_ms - catalog.created_ts_n[media_n], 0)
    columns["media_age"] = np.log1p(age_n / _HOUR_MS) / 3
    columns["media_freshness"] = np.exp2(-age_n / _WEEK_MS)
    columns["nsfw"] = catalog.nsfw_n[media_n]
    columns["spam"] = catalog.spam_n[media_n]
    columns["misinformation"] = catalog.misinformation_n[media_n]


def _sparse(
    viewer: ViewerContext, media_n: Rows, author_n: Rows, seed_n: Rows, world: World, now_ms: int
) -> NDArray[np.int32]:
    catalog = world.catalog
    hour = now_ms // _HOUR_MS % 24
    # Hashes by feature, −1 for an unknown id.
    hashes: dict[str, NDArray[np.int32]] = {
        "author_id": _hash_of(catalog.account_hash_a, author_n),
        "media_id": catalog.media_hash_n[media_n],
        "seed_id": _hash_of(catalog.account_hash_a, seed_n),
        "viewer_id": np.full(len(media_n), viewer.viewer_hash, np.int32),
        "topic": _code_hash(catalog.topic_hash_t, catalog.topic_n[media_n]),
        "language": _code_hash(catalog.language_hash_l, catalog.language_n[media_n]),
        "hour": np.full(len(media_n), hour, np.int32),
    }
    sparse_ns = np.empty((len(media_n), len(SPARSE_NAMES)), np.int32)
    for column, (name, buckets) in enumerate(zip(SPARSE_NAMES, SPARSE_BUCKETS, strict=True)):
        hash_n = hashes[name]
        sparse_ns[:, column] = np.where(hash_n < 0, 0, 1 + hash_n % (buckets - 1))
    return sparse_ns


def _hash_of(hash_r: NDArray[np.int32], rows: Rows) -> NDArray[np.int32]:
    hashes = hash_r[rows]
    hashes[rows == UNKNOWN] = -1
    return hashes


def _code_hash(hash_c: NDArray[np.int32], codes: NDArray[np.int32]) -> NDArray[np.int32]:
    # Code 0 is "none".
    return np.where(codes > 0, hash_c[codes], np.int32(UNKNOWN))


def _similarity(
    vectors_nd: NDArray[np.float32], rows_n: Rows, vectors_md: NDArray[np.float32], rows_m: Rows
) -> NDArray[np.float32]:
    """Cosines_nm; an account is similar to itself even without a vector."""
    cosine_nm = vectors_nd @ vectors_md.T
    cosine_nm[rows_n[:, None] == rows_m[None, :]] = 1.0
    return cosine_nm


def _mean(vectors_md: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean direction as a unit vector, zeros if there is none."""
    total_d = vectors_md.sum(axis=0)
    norm = float(np.linalg.norm(total_d))
    direction_d: NDArray[np.float32] = total_d / norm if norm > 1e-6 else np.zeros_like(total_d)
    return direction_d


def _share(topic_n: NDArray[np.int32], acted: Rows, media_n: Rows) -> NDArray[np.float64]:
    """For each media the share of the acted-on media that have its topic (topic 0: none)."""
    topics = topic_n[acted[acted != UNKNOWN]]
    counts = np.bincount(topics[topics > 0], minlength=1)
    of_media = topic_n[media_n]
    inside = (of_media > 0) & (of_media < len(counts))
    share_n = np.zeros(len(media_n))
    share_n[inside] = counts[of_media[inside]] / max(len(topics), 1)
    return share_n


def _base_rates(total_5: NDArray[np.float64]) -> dict[str, float]:
    views = total_5[Action.VIEW] + total_5[Action.LONG_VIEW]
    return {
        name: float(
            (total_5[ACTION_COLUMNS.index(name)] + _PRIOR_TRAFFIC * rate) / (views + _PRIOR_TRAFFIC)
        )
        for name, rate in _DEFAULT_RATES.items()
    }


def _relative_rates(
    counts_n5: NDArray[np.float64], everybody: dict[str, float]
) -> dict[str, NDArray[np.float64]]:
    """log(rate / everybody's rate) / 2, the rate smoothed towards everybody's."""
    views_n = counts_n5[:, Action.VIEW] + counts_n5[:, Action.LONG_VIEW] + _PRIOR_VIEWS
    return {
        name: np.log(
            (counts_n5[:, ACTION_COLUMNS.index(name)] / everybody[name] + _PRIOR_VIEWS) / views_n
        )
        / 2
        for name in RATE_COLUMNS
    }
