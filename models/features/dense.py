"""How dense features are computed: rows of many viewers → columns, a block of like ones at once.

A value depends on its own row alone and comes out the same to the last bit, whichever rows and
columns are computed with it. What would break that is the order in which a matrix product adds
up, which a BLAS library chooses by shape; so vectors are rounded to steps of 2^−11, where every
partial sum of a product of two unit vectors is exact in float32 and the order does not matter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays.types import NO_ROWS, Float, Rows
from models.events import HOUR_MS
from models.feature_schema import ACTION_COLUMNS, DENSE_NAMES, RATE_COLUMNS, SHORT_TERM, SOURCES
from models.features.rows import FeatureRows
from models.features.viewers import WEEK_MS, logs, relative_rates, stepped
from models.item_to_item.appeal import USUAL
from models.item_to_item.sums import Histories
from models.item_to_item.weights import ItemWeights
from models.world import World

#: Fills a block: one row of `out_kn` a column.
Block = Callable[[FeatureRows, Float], None]

# Likeness to what the viewer did.


def _similarity(rows: FeatureRows, out_4n: Float) -> None:
    """Cosines of each row's author to what the viewer likes and does not.

    To the nearest of the recent positives' authors, to the mean of the last few and of all of
    them, to the nearest author of a see-fewer (decayed). An account is similar to itself even
    without a vector.
    """
    vectors_nd = rows.vectors_nd
    out_4n[0] = out_4n[3] = 0.0
    for _, taste, span, met in rows.of_viewers:
        p, author_n = len(taste.liked_p), rows.author_n[span]
        cosine_mn = taste.to_md @ vectors_nd[span].T
        out_4n[1:3, span] = cosine_mn[-2:]
        if p:
            to_liked_pn = alike(cosine_mn[:p], taste.liked_p, author_n, met)
            np.maximum.reduce(to_liked_pn, axis=0, out=out_4n[0, span])
        if len(taste.hated_s):
            to_hated_sn = alike(cosine_mn[p:-2], taste.hated_s, author_n, met)
            to_hated_sn *= taste.decay_s[:, None]
            np.maximum.reduce(to_hated_sn, axis=0, out=out_4n[3, span])
    np.maximum(out_4n[0], 0.0, out=out_4n[0])
    np.maximum(out_4n[3], 0.0, out=out_4n[3])


def alike(cosine_mn: Float, account_m: Rows, author_n: Rows, met: NDArray[np.int64]) -> Float:
    """The cosines, 1 where an account meets itself.

    Args:
        met: rows of which that may be: only these are compared.
    """
    if len(met):
        cosine_mk = cosine_mn[:, met]
        np.copyto(cosine_mk, 1.0, where=account_m[:, None] == author_n[met])
        cosine_mn[:, met] = cosine_mk
    return cosine_mn


def _topics(rows: FeatureRows, out_2n: Float) -> None:
    """Share of the media that a viewer liked, then of those seen fewer of, with the row's topic."""
    catalog, batch = rows.world.catalog, rows.batch
    topic_n, topics = catalog.topic_n[rows.media_n], len(catalog.topic_hash_t)
    for out_n, topics_v in zip(out_2n, (batch.liked_topics, batch.hated_topics), strict=True):
        for at, _, span, _ in rows.of_viewers:
            size = len(topics_v[at])
            if size == 0:
                out_n[span] = 0.0
                continue
            count_t = np.bincount(topics_v[at], minlength=topics)
            count_t[0] = 0  # Code 0 is "none".
            out_n[span] = count_t[topic_n[span]] / size


def _likeness(rows: FeatureRows, out_4n: Float) -> None:
    """What the item weights say of each row, from all that its viewer liked and from the last.

    And together with what the row is worth to everybody.
    """
    weights, worth_np = rows.world.item_weights, rows.world.worth(rows.media_n, rows.now_ms)
    appeal = USUAL if weights is None or weights.appeal is None else weights.appeal
    out_4n[:] = 0.0
    if weights is not None and len(weights):
        _add_likeness(rows, weights, out_4n[:3])
    np.divide(appeal.log_odds(out_4n[0], worth_np), np.float32(3), out=out_4n[3])
    out_4n[:2] *= np.float32(10)
    np.log1p(out_4n[:2], out=out_4n[:2])


def _add_likeness(rows: FeatureRows, weights: ItemWeights, out_3n: Float) -> None:
    slot_n = weights.slots_of(rows.media_n)
    histories = Histories.of(rows.batch.liked_media)
    out_3n[0], out_3n[1], highest_v = weights.likeness(histories, slot_n, rows.spans, SHORT_TERM)
    np.divide(out_3n[0], np.maximum(highest_v, _TINY)[rows.viewer_n], out=out_3n[2])


def _trends(rows: FeatureRows, out_kn: Float) -> None:
    _trends_of(rows.world, rows.media_n, rows.now_ms, out_kn)


def _trends_of(world: World, media_n: Rows, now_ms: int, out_kn: Float) -> None:
    for out_n, trend in zip(out_kn, world.trends, strict=True):
        out_n[:] = logs(trend.worth(media_n, now_ms).astype(np.float32))


def _history(rows: FeatureRows, out_kn: Float) -> None:
    """What the viewer did on the author before."""
    out_kn[:] = 0.0
    met, counters = rows.met
    if len(met):
        out_kn[:, met] = rows.batch.history_fc[:, counters]


def _follows(rows: FeatureRows, out_1n: Float) -> None:
    out_1n[:] = 0.0
    out_1n[0, rows.batch.followed.find(rows.author_p)[0]] = 1.0


def _of_author(rows: FeatureRows, out_kn: Float) -> None:
    counts_ax = rows.world.popularity.decayed_authors(rows.authors.rows_a, rows.now_ms)
    out_kn[:] = _counts_and_rates(rows, counts_ax).take(rows.authors.at_n, axis=1)


def _of_media(rows: FeatureRows, out_kn: Float) -> None:
    out_kn[:] = _counts_and_rates(
        rows, rows.world.popularity.decayed_media(rows.media_n, rows.now_ms)
    )


def _counts_and_rates(rows: FeatureRows, counts_nx: NDArray[np.floating]) -> Float:
    counts_xn = counts_nx.T.astype(np.float32)
    return np.concatenate([logs(counts_xn), relative_rates(counts_xn, rows.batch.everybody)])


def _age(rows: FeatureRows, out_2n: Float) -> None:
    age_n = rows.age_n.astype(np.float32)
    out_2n[0] = _age_logs(age_n)
    np.exp2(age_n / np.float32(-WEEK_MS), out=out_2n[1])


def _age_logs(age_n: Float) -> Float:
    found_n: Float = np.log1p(age_n / np.float32(HOUR_MS)) / np.float32(3)
    return found_n


def _gaps(rows: FeatureRows, out_3n: Float) -> None:
    """How much older and more in demand each media is than what its viewer liked last."""
    recent = [media[:SHORT_TERM] for media in rows.batch.liked_media]
    sizes_v = np.array([len(media) for media in recent])
    media_r = np.concatenate([NO_ROWS, *recent])
    of_both = np.concatenate((rows.media_n, media_r))
    value_3b = np.empty((3, len(of_both)), np.float32)
    age_b = np.maximum(rows.now_ms - rows.world.catalog.created_ts_n[of_both], 0)
    value_3b[2] = _age_logs(age_b.astype(np.float32))
    _trends_of(rows.world, of_both, rows.now_ms, value_3b[:2])
    n = len(rows.media_n)
    viewer_r = np.arange(len(recent)).repeat(sizes_v)
    for out_n, value_b in zip(out_3n, value_3b, strict=True):
        mean_v = np.bincount(viewer_r, value_b[n:], len(recent)) / np.maximum(sizes_v, 1)
        np.subtract(value_b[:n], mean_v.astype(np.float32)[rows.viewer_n], out=out_n)
        out_n /= np.float32(3)
        out_n[(sizes_v == 0)[rows.viewer_n]] = 0.0


def _integrity(rows: FeatureRows, out_3n: Float) -> None:
    catalog = rows.world.catalog
    scores = (catalog.nsfw_n, catalog.spam_n, catalog.misinformation_n)
    for out_n, score_n in zip(out_3n, scores, strict=True):
        out_n[:] = score_n[rows.media_n]


def _viewer(rows: FeatureRows, out_kn: Float) -> None:
    of_viewer_fv = rows.batch.of_viewer_fv
    out_kn[:] = of_viewer_fv if len(rows.viewers) == 1 else of_viewer_fv.take(rows.viewer_n, axis=1)


def _missing(rows: FeatureRows, out_2n: Float) -> None:
    """Whether the author has no vector, and whether nobody has whom the viewer likes."""
    out_2n[0] = ~rows.known_n
    out_2n[1] = rows.batch.unknown_v[rows.viewer_n]


def _pictures(rows: FeatureRows, out_2n: Float) -> None:
    """Cosine of the media's picture to those of what the viewer liked, and whether it has none."""
    images = rows.world.images
    out_2n[0], out_2n[1] = 0.0, 1.0
    if len(images):
        vectors_nd, known_n = images.vectors_of(rows.media_n)
        liked_nd = rows.batch.pictures_vd[rows.viewer_n]
        np.einsum("nd,nd->n", stepped(vectors_nd), liked_nd, out=out_2n[0])
        out_2n[1] = ~known_n


def _source(rows: FeatureRows, out_kn: Float) -> None:
    np.equal(rows.candidates.source_n, _SOURCE_CODES, out=out_kn)


_TINY: Final = np.float32(1e-9)
_SOURCE_CODES: Final = np.arange(1, len(SOURCES), dtype=np.int16)[:, None]

_COUNTS_AND_RATES: Final = {
    entity: (
        *(f"{entity}_{name}s" for name in ACTION_COLUMNS),
        *(f"{entity}_{name}_rate" for name in RATE_COLUMNS),
    )
    for entity in ("author", "media")
}

#: By the names of a block's columns, how it is filled.
BLOCKS: Final[dict[tuple[str, ...], Block]] = {
    (
        "seed_similarity", "short_similarity", "long_similarity", "see_fewer_similarity",
    ): _similarity,
    ("topic_affinity", "topic_aversion"): _topics,
    ("author_vector_missing", "viewer_vector_missing"): _missing,
    ("image_similarity", "image_missing"): _pictures,
    ("likeness", "likeness_recent", "likeness_share", "appeal"): _likeness,
    (
        *(f"viewer_author_{name}" for name in ACTION_COLUMNS),
        "viewer_author_recency", "viewer_author_aversion",
    ): _history,
    ("follows_author",): _follows,
    _COUNTS_AND_RATES["author"]: _of_author,
    _COUNTS_AND_RATES["media"]: _of_media,
    ("media_trend_short", "media_trend_long"): _trends,
    ("trend_short_gap", "trend_long_gap", "age_gap"): _gaps,
    ("media_age", "media_freshness"): _age,
    ("nsfw", "spam", "misinformation"): _integrity,
    (
        *(f"viewer_{name}s" for name in ACTION_COLUMNS),
        *(f"viewer_{name}_rate" for name in RATE_COLUMNS), "viewer_idle",
    ): _viewer,
    tuple(f"source_{name}" for name in SOURCES[1:]): _source,
}  # fmt: skip
# Columns of a block lie together, so that it is filled in place.
assert tuple(name for names in BLOCKS for name in names) == DENSE_NAMES
