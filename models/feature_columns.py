"""How each dense feature is computed: rows of many viewers → one column.

A value depends on its own row alone and comes out the same to the last bit, whichever rows and
columns are computed with it. What would break that is the order in which a matrix product adds
up, which a BLAS library chooses by shape; so vectors are rounded to steps of 2^−11, where every
partial sum of a product of two unit vectors is exact in float32 and the order does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.candidates import Candidates
from models.columns import UNKNOWN, Rows
from models.events import Action
from models.feature_schema import ACTION_COLUMNS, DENSE_NAMES, RATE_COLUMNS, SOURCES
from models.viewer_batch import Float, Shares, Taste, ViewerBatch, account_vectors, places
from models.world import World

HOUR_MS: Final = 3_600_000
_WEEK_MS: Final = 7 * 24 * HOUR_MS
#: Views that everybody's rate counts as, added to an author's, media's or viewer's own.
_PRIOR_VIEWS: Final = np.float32(20.0)


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
        # What several columns read, by name; the first axis is that of the rows.
        self._shared: dict[str, NDArray[np.generic]] = {}

    def __len__(self) -> int:
        return len(self.media_n)

    def take(self, rows: NDArray[np.integer]) -> FeatureRows:
        """These rows, their viewers in order still; what is computed is kept."""
        taken = FeatureRows(self.batch, self.candidates.take(rows), self.viewer_n[rows])
        taken._shared = {name: value[rows] for name, value in self._shared.items()}
        return taken

    def each(self) -> Iterator[tuple[Taste, slice]]:
        """What each viewer who has rows likes, and where the rows are."""
        bounds = np.searchsorted(self.viewer_n, np.arange(len(self.viewers) + 1)).tolist()
        for taste, start, end in zip(self.batch.tastes, bounds, bounds[1:], strict=False):
            if end > start:
                yield taste, slice(start, end)

    def of_viewer(self, value_v: NDArray[np.floating]) -> Float:
        """A column of the viewers' values; one value for all rows where there is one viewer."""
        value_v = value_v.astype(np.float32)
        if len(self.viewers) == 1:
            return value_v
        column_n: Float = value_v[self.viewer_n]
        return column_n

    # Shared by columns.

    def similarity_n4(self) -> Float:
        """Cosines of the author to what the viewer did: see :func:`_similarity`."""
        if "similarity" not in self._shared:
            self._shared["similarity"] = _similarity(self)
        return self._shared["similarity"]  # type: ignore[return-value]

    def counts_n5(self, entity: str) -> Float:
        """Decayed counts per action of each row's ``author`` or ``media``."""

        def read() -> NDArray[np.float32]:
            popularity = self.world.popularity
            if entity == "author":
                return popularity.decayed_authors(self.author_n, self.now_ms).astype(np.float32)
            return popularity.decayed_media(self.media_n, self.now_ms).astype(np.float32)

        return self._once(f"{entity}_counts", read)  # type: ignore[return-value]

    def counter_n(self) -> NDArray[np.int64]:
        """Position of each row's author in the counters of all viewers, −1 for none."""
        return self._once(  # type: ignore[return-value]
            "counter", lambda: places(self.batch.counter_c, self._authors())
        )

    def _authors(self) -> NDArray[np.int64]:
        return (self.viewer_n << 32) | self.author_n

    def counters_n5(self) -> Float:
        """log1p of the viewer's decayed count of each action on the row's author."""

        def read() -> Float:
            at_n = self.counter_n()
            found = np.flatnonzero(at_n != UNKNOWN)
            logs_n5 = np.zeros((len(self), len(Action)), np.float32)
            logs_n5[found] = self.batch.counters_c5[at_n[found]]
            return logs_n5

        return self._once("counters", read)  # type: ignore[return-value]

    def follows(self) -> Float:
        """1 where the viewer follows the author."""
        at_n = places(self.batch.followed_p, self._authors())
        follows_n: Float = (at_n != UNKNOWN).astype(np.float32)
        return follows_n

    def topic_share(self, shares: Shares) -> Float:
        """Share of the media a viewer acted on that have the row's topic."""
        share_n = np.zeros(len(self), np.float32)
        if len(shares.pair_p):
            topic_n = self.world.catalog.topic_n[self.media_n]
            at_n = places(shares.pair_p, (self.viewer_n << 32) | topic_n)
            found = np.flatnonzero((at_n != UNKNOWN) & (topic_n > 0))
            share_n[found] = shares.share_p[at_n[found]]
        return share_n

    @cached_property
    def age_n(self) -> NDArray[np.int64]:
        """Milliseconds since each media was posted."""
        age_n: NDArray[np.int64] = np.maximum(
            self.now_ms - self.world.catalog.created_ts_n[self.media_n], 0
        )
        return age_n

    def _once(self, name: str, compute: Callable[[], NDArray[np.generic]]) -> NDArray[np.generic]:
        found = self._shared.get(name)
        if found is None:
            found = self._shared[name] = compute()
        return found


def _similarity(rows: FeatureRows) -> Float:
    """Cosines_n4 of each row's author to what the viewer likes and does not.

    To the nearest of the recent positives' authors, to the mean of the last few and of all of
    them, to the nearest author of a see-fewer (decayed). An account is similar to itself even
    without a vector.
    """
    out_4n = np.zeros((4, len(rows)), np.float32)
    vectors_nd, _ = account_vectors(rows.world, rows.author_n)
    for taste, span in rows.each():
        p, author_n = len(taste.liked_p), rows.author_n[span]
        cosine_mn = taste.to_md @ vectors_nd[span].T
        out_4n[1:3, span] = cosine_mn[-2:]
        if p:
            _alike(cosine_mn[:p], taste.liked_p, author_n).max(axis=0, out=out_4n[0, span])
        if len(taste.hated_s):
            to_hated_sn = _alike(cosine_mn[p:-2], taste.hated_s, author_n)
            to_hated_sn *= taste.decay_s[:, None]
            to_hated_sn.max(axis=0, out=out_4n[3, span])
    np.maximum(out_4n[0], 0.0, out=out_4n[0])
    np.maximum(out_4n[3], 0.0, out=out_4n[3])
    return out_4n.T


def seeds(rows: FeatureRows) -> Rows:
    """The author behind ``seed_similarity``, the newest of equal ones; −1 for none."""
    seed_n = np.full(len(rows), UNKNOWN, np.int32)
    vectors_nd, _ = account_vectors(rows.world, rows.author_n)
    for taste, span in rows.each():
        p = len(taste.liked_p)
        if p:
            cosine_pn = taste.to_md[:p] @ vectors_nd[span].T
            nearest_n = _alike(cosine_pn, taste.liked_p, rows.author_n[span]).argmax(axis=0)
            seed_n[span] = taste.liked_p[nearest_n]
    seed_n[rows.similarity_n4()[:, 0] <= 0.0] = UNKNOWN
    return seed_n


def _alike(cosine_mn: Float, account_m: Rows, author_n: Rows) -> Float:
    """The cosines, 1 where an account meets itself."""
    np.copyto(cosine_mn, 1.0, where=account_m[:, None] == author_n)
    return cosine_mn


def _relative_rate(
    counts_n5: Float, name: str, everybody: Mapping[str, np.float32]
) -> NDArray[np.floating]:
    """log(rate / everybody's rate) / 2, the rate smoothed towards everybody's."""
    views_n = counts_n5[:, Action.VIEW] + counts_n5[:, Action.LONG_VIEW] + _PRIOR_VIEWS
    count_n = counts_n5[:, ACTION_COLUMNS.index(name)] / everybody[name] + _PRIOR_VIEWS
    rate_n: NDArray[np.floating] = np.log(count_n / views_n) / np.float32(2)
    return rate_n


# The columns.

Column = Callable[[FeatureRows], NDArray[np.floating]]


def _similarity_column(at: int) -> Column:
    return lambda rows: rows.similarity_n4()[:, at]


def _author_vector_missing(rows: FeatureRows) -> Float:
    return (~rows.world.vectors_of(rows.author_n)[1]).astype(np.float32)


def _viewer_vector_missing(rows: FeatureRows) -> Float:
    return rows.of_viewer(np.array([not taste.known for taste in rows.batch.tastes], np.float32))


def _counter(action: int) -> Column:
    return lambda rows: rows.counters_n5()[:, action]


def _recency(last_of: Callable[[ViewerBatch], NDArray[np.int64]]) -> Column:
    def column(rows: FeatureRows) -> Float:
        at_n = rows.counter_n()
        value_n = np.zeros(len(rows), np.float32)
        found = np.flatnonzero(at_n != UNKNOWN)
        if len(found):
            last = last_of(rows.batch)[at_n[found]]
            age = np.maximum(rows.now_ms - last, 0)
            value_n[found] = np.where(last > 0, np.exp2(-age / _WEEK_MS), 0.0)
        return value_n

    return column


def _count(entity: str, action: int) -> Column:
    return lambda rows: np.log1p(rows.counts_n5(entity)[:, action]) / np.float32(3)


def _rate(entity: str, name: str) -> Column:
    return lambda rows: _relative_rate(rows.counts_n5(entity), name, rows.batch.everybody)


def _viewer_count(action: int) -> Column:
    return lambda rows: rows.of_viewer(np.log1p(rows.batch.totals_v5[:, action]) / np.float32(3))


def _viewer_rate(name: str) -> Column:
    return lambda rows: rows.of_viewer(
        _relative_rate(rows.batch.totals_v5, name, rows.batch.everybody)
    )


def _viewer_idle(rows: FeatureRows) -> Float:
    reflects_v = rows.batch.reflects_v
    hours_v = np.maximum(rows.now_ms - reflects_v, 0) / HOUR_MS
    return rows.of_viewer(np.where(reflects_v > 0, np.log1p(hours_v) / 3, 5.0))


def _source(code: int) -> Column:
    return lambda rows: (rows.candidates.source_n == code).astype(np.float32)


#: By name, how a column is computed.
COLUMNS: Final[Mapping[str, Column]] = {
    "seed_similarity": _similarity_column(0),
    "short_similarity": _similarity_column(1),
    "long_similarity": _similarity_column(2),
    "see_fewer_similarity": _similarity_column(3),
    "topic_affinity": lambda rows: rows.topic_share(rows.batch.liked_topics),
    "topic_aversion": lambda rows: rows.topic_share(rows.batch.hated_topics),
    "author_vector_missing": _author_vector_missing,
    "viewer_vector_missing": _viewer_vector_missing,
    **{f"viewer_author_{name}": _counter(at) for at, name in enumerate(ACTION_COLUMNS)},
    "viewer_author_recency": _recency(lambda batch: batch.last_positive_c),
    "viewer_author_aversion": _recency(lambda batch: batch.last_see_fewer_c),
    "follows_author": FeatureRows.follows,
    **{
        f"{entity}_{name}s": _count(entity, at)
        for entity in ("author", "media")
        for at, name in enumerate(ACTION_COLUMNS)
    },
    **{
        f"{entity}_{name}_rate": _rate(entity, name)
        for entity in ("author", "media")
        for name in RATE_COLUMNS
    },
    "media_age": lambda rows: np.log1p(rows.age_n / HOUR_MS) / 3,
    "media_freshness": lambda rows: np.exp2(-rows.age_n / _WEEK_MS),
    "nsfw": lambda rows: rows.world.catalog.nsfw_n[rows.media_n],
    "spam": lambda rows: rows.world.catalog.spam_n[rows.media_n],
    "misinformation": lambda rows: rows.world.catalog.misinformation_n[rows.media_n],
    **{f"viewer_{name}s": _viewer_count(at) for at, name in enumerate(ACTION_COLUMNS)},
    "viewer_like_rate": _viewer_rate("like"),
    "viewer_long_view_rate": _viewer_rate("long_view"),
    "viewer_idle": _viewer_idle,
    **{f"source_{name}": _source(code) for code, name in enumerate(SOURCES[1:], 1)},
}
assert set(COLUMNS) == set(DENSE_NAMES), set(COLUMNS) ^ set(DENSE_NAMES)
