"""How dense features are computed: rows of many viewers → columns, a block of like ones at once.

A value depends on its own row alone and comes out the same to the last bit, whichever rows and
columns are computed with it. What would break that is the order in which a matrix product adds
up, which a BLAS library chooses by shape; so vectors are rounded to steps of 2^−11, where every
partial sum of a product of two unit vectors is exact in float32 and the order does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.candidates import Candidates
from models.columns import UNKNOWN, Rows
from models.feature_schema import ACTION_COLUMNS, DENSE_NAMES, RATE_COLUMNS, SOURCES
from models.viewer_batch import (
    HOUR_MS,
    WEEK_MS,
    Float,
    Shares,
    Taste,
    ViewerBatch,
    account_vectors,
    logs,
    places,
    relative_rates,
    stepped,
)
from models.world import World


class FeatureRows:
    """Candidates of a batch of viewers, one viewer's after the other's, and what columns share.

    Args:
        batch: the viewers.
        candidates: known media rows of all viewers.
        viewer_n: position of each row's viewer, ascending.
    """

    def __init__(
        self, batch: ViewerBatch, candidates: Candidates, viewer_n: NDArray[np.int64]
    ) -> None:
        self.batch = batch
        self.viewers = batch.viewers
        self.world: World = batch.world
        self.now_ms = batch.now_ms
        self.candidates = candidates
        self.viewer_n = viewer_n
        self.media_n: Rows = candidates.media_n
        self.author_n: Rows = self.world.catalog.author_n[candidates.media_n]

    def __len__(self) -> int:
        return len(self.media_n)

    def take(self, rows: NDArray[np.integer]) -> FeatureRows:
        """These rows, their viewers in order still."""
        return FeatureRows(self.batch, self.candidates.take(rows), self.viewer_n[rows])

    def each(self) -> Iterator[tuple[Taste, slice]]:
        """What each viewer who has rows likes, and where the rows are."""
        bounds = np.searchsorted(self.viewer_n, np.arange(len(self.viewers) + 1)).tolist()
        for taste, start, end in zip(self.batch.tastes, bounds, bounds[1:], strict=False):
            if end > start:
                yield taste, slice(start, end)

    def authors(self) -> NDArray[np.int64]:
        """(viewer, author) pairs."""
        return (self.viewer_n << 32) | self.author_n


# Likeness to what the viewer did.


def _similarity(rows: FeatureRows) -> Float:
    """Cosines of each row's author to what the viewer likes and does not, and if it has no vector.

    To the nearest of the recent positives' authors, to the mean of the last few and of all of
    them, to the nearest author of a see-fewer (decayed). An account is similar to itself even
    without a vector.
    """
    out_5n = np.zeros((5, len(rows)), np.float32)
    vectors_nd, known_n = account_vectors(rows.world, rows.author_n)
    out_5n[4] = ~known_n
    for taste, span in rows.each():
        p, author_n = len(taste.liked_p), rows.author_n[span]
        cosine_mn = taste.to_md @ vectors_nd[span].T
        out_5n[1:3, span] = cosine_mn[-2:]
        if p:
            _alike(cosine_mn[:p], taste.liked_p, author_n).max(axis=0, out=out_5n[0, span])
        if len(taste.hated_s):
            to_hated_sn = _alike(cosine_mn[p:-2], taste.hated_s, author_n)
            to_hated_sn *= taste.decay_s[:, None]
            to_hated_sn.max(axis=0, out=out_5n[3, span])
    np.maximum(out_5n[0], 0.0, out=out_5n[0])
    np.maximum(out_5n[3], 0.0, out=out_5n[3])
    return out_5n


def seeds(rows: FeatureRows) -> Rows:
    """The author behind ``seed_similarity``, the newest of equal ones; −1 for none."""
    seed_n = np.full(len(rows), UNKNOWN, np.int32)
    vectors_nd, _ = account_vectors(rows.world, rows.author_n)
    for taste, span in rows.each():
        p = len(taste.liked_p)
        if p:
            cosine_pn = taste.to_md[:p] @ vectors_nd[span].T
            nearest_n = _alike(cosine_pn, taste.liked_p, rows.author_n[span]).argmax(axis=0)
            alike_n = cosine_pn[nearest_n, np.arange(len(nearest_n))] > 0.0
            seed_n[span] = np.where(alike_n, taste.liked_p[nearest_n], UNKNOWN)
    return seed_n


def _alike(cosine_mn: Float, account_m: Rows, author_n: Rows) -> Float:
    """The cosines, 1 where an account meets itself."""
    np.copyto(cosine_mn, 1.0, where=account_m[:, None] == author_n)
    return cosine_mn


# The columns. Each function gives the values of its block, one row a column.

Block = Callable[[FeatureRows], NDArray[np.floating]]


def _topic_share(shares: Callable[[ViewerBatch], Shares]) -> Block:
    """Share of the media a viewer acted on that have the row's topic."""

    def block(rows: FeatureRows) -> Float:
        pair_p, share_p = shares(rows.batch)
        share_n = np.zeros((1, len(rows)), np.float32)
        if len(pair_p):
            topic_n = rows.world.catalog.topic_n[rows.media_n]
            at_n = places(pair_p, (rows.viewer_n << 32) | topic_n)
            found = ((at_n != UNKNOWN) & (topic_n > 0)).nonzero()[0]
            share_n[0, found] = share_p[at_n[found]]
        return share_n

    return block


def _history(rows: FeatureRows) -> Float:
    """What the viewer did on the author before."""
    batch, value_7n = rows.batch, np.zeros((7, len(rows)), np.float32)
    at_n = places(batch.counter_c, rows.authors())
    found = (at_n != UNKNOWN).nonzero()[0]
    if len(found):
        value_7n[:, found] = batch.history_7c[:, at_n[found]]
    return value_7n


def _follows(rows: FeatureRows) -> Float:
    at_n = places(rows.batch.followed_p, rows.authors())
    follows_1n: Float = (at_n != UNKNOWN)[None].astype(np.float32)
    return follows_1n


def _popularity(entity: str) -> Block:
    """Counts of an author or a media, then rates."""

    def block(rows: FeatureRows) -> Float:
        popularity, now_ms = rows.world.popularity, rows.now_ms
        counts_n5 = (
            popularity.decayed_authors(rows.author_n, now_ms)
            if entity == "author"
            else popularity.decayed_media(rows.media_n, now_ms)
        )
        counts_5n = counts_n5.T.astype(np.float32, order="C")
        return np.concatenate((logs(counts_5n), relative_rates(counts_5n, rows.batch.everybody)))

    return block


def _age(rows: FeatureRows) -> NDArray[np.float64]:
    age_n = np.maximum(rows.now_ms - rows.world.catalog.created_ts_n[rows.media_n], 0)
    return np.stack((np.log1p(age_n / HOUR_MS) / 3, np.exp2(-age_n / WEEK_MS)))


def _integrity(rows: FeatureRows) -> Float:
    catalog, media_n = rows.world.catalog, rows.media_n
    return np.stack(
        (catalog.nsfw_n[media_n], catalog.spam_n[media_n], catalog.misinformation_n[media_n])
    )


def _viewer(rows: FeatureRows) -> Float:
    of_viewer_v = rows.batch.of_viewer_9v
    return of_viewer_v if len(rows.viewers) == 1 else of_viewer_v.take(rows.viewer_n, axis=1)


def _pictures(rows: FeatureRows) -> Float:
    """Cosine of the media's picture to those of what the viewer liked, and whether it has none."""
    images, out_2n = rows.world.images, np.zeros((2, len(rows)), np.float32)
    vectors_nd, known_n = images.vectors_of(rows.media_n)
    out_2n[1] = ~known_n
    if known_n.any():
        liked_nd = rows.batch.pictures_vd[rows.viewer_n]
        np.einsum("nd,nd->n", stepped(vectors_nd), liked_nd, out=out_2n[0])
    return out_2n


def _source(rows: FeatureRows) -> Float:
    is_of_sn: Float = (rows.candidates.source_n == _SOURCE_CODES).astype(np.float32)
    return is_of_sn


_SOURCE_CODES: Final = np.arange(1, len(SOURCES))[:, None]

#: By the names of a block's columns, how it is computed.
BLOCKS: Final[Mapping[tuple[str, ...], Block]] = {
    (
        "seed_similarity", "short_similarity", "long_similarity", "see_fewer_similarity",
        "author_vector_missing",
    ): _similarity,
    ("image_similarity", "image_missing"): _pictures,
    ("topic_affinity",): _topic_share(lambda batch: batch.liked_topics),
    ("topic_aversion",): _topic_share(lambda batch: batch.hated_topics),
    (
        *(f"viewer_author_{name}" for name in ACTION_COLUMNS),
        "viewer_author_recency", "viewer_author_aversion",
    ): _history,
    ("follows_author",): _follows,
    **{
        (
            *(f"{entity}_{name}s" for name in ACTION_COLUMNS),
            *(f"{entity}_{name}_rate" for name in RATE_COLUMNS),
        ): _popularity(entity)
        for entity in ("author", "media")
    },
    ("media_age", "media_freshness"): _age,
    ("nsfw", "spam", "misinformation"): _integrity,
    (
        "viewer_vector_missing", *(f"viewer_{name}s" for name in ACTION_COLUMNS),
        "viewer_like_rate", "viewer_long_view_rate", "viewer_idle",
    ): _viewer,
    tuple(f"source_{name}" for name in SOURCES[1:]): _source,
}  # fmt: skip
assert {name for names in BLOCKS for name in names} == set(DENSE_NAMES)
