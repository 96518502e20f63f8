"""How each dense feature is computed: rows of many viewers → one column.

A value depends on its own row alone and comes out the same to the last bit, whichever rows and
columns are computed with it. What would break that is the order in which a matrix product adds
up, which a BLAS library chooses by shape; so vectors are rounded to steps of 2^−11, where every
partial sum of a product of two unit vectors is exact in float32 and the order does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.candidates import Candidates
from models.columns import UNKNOWN, Rows
from models.events import Action
from models.feature_schema import (
    ACTION_COLUMNS,
    DENSE_NAMES,
    LONG_TERM,
    RATE_COLUMNS,
    SHORT_TERM,
    SOURCES,
)
from models.viewer_context import ViewerContext
from models.world import World

SEE_FEWERS: Final = 30
HOUR_MS: Final = 3_600_000
_WEEK_MS: Final = 7 * 24 * HOUR_MS
#: A see-fewer weighs half after this long, in similarity and so in the penalty on value.
SEE_FEWER_HALF_LIFE_MS: Final = 30 * 24 * HOUR_MS
#: Views that everybody's rate counts as, added to an author's, media's or viewer's own.
_PRIOR_VIEWS: Final = np.float32(20.0)
#: Everybody's rates while there is no traffic to measure them on.
_DEFAULT_RATES: Final = {"like": 0.02, "save": 0.01, "see_fewer": 0.002, "long_view": 0.25}
_PRIOR_TRAFFIC: Final = 100.0
#: Steps per unit that components of vectors are rounded to. Products are whole multiples of
#: 2^−22, and a float32 holds those exactly up to 4.
_VECTOR_STEPS: Final = np.float32(1 << 11)

Float = NDArray[np.float32]


class FeatureRows:
    """Candidates of a batch of viewers, one viewer's after the other's, and what columns share.

    Args:
        viewers: of the batch.
        candidates: known media rows of all viewers.
        viewer_n: position of each row's viewer, ascending.
        world: read when a column is asked for: ask before it changes.
        now_ms: of the request or of the exposures.
    """

    def __init__(
        self,
        viewers: Sequence[ViewerContext],
        candidates: Candidates,
        viewer_n: NDArray[np.int64],
        world: World,
        now_ms: int,
    ) -> None:
        self.viewers = viewers
        self.candidates = candidates
        self.viewer_n = viewer_n
        self.world = world
        self.now_ms = now_ms
        self.media_n: Rows = candidates.media_n
        self.author_n: Rows = world.catalog.author_n[candidates.media_n]
        # What several columns read, by name; the first axis is that of the rows.
        self._shared: dict[str, NDArray[np.generic]] = {}

    def __len__(self) -> int:
        return len(self.media_n)

    def take(self, rows: NDArray[np.integer]) -> FeatureRows:
        """These rows, their viewers in order still; what is computed is kept."""
        taken = FeatureRows(
            self.viewers, self.candidates.take(rows), self.viewer_n[rows], self.world, self.now_ms
        )
        taken._shared = {name: value[rows] for name, value in self._shared.items()}
        return taken

    def each(self) -> Iterator[tuple[ViewerContext, slice]]:
        """The viewers who have rows, and where these are."""
        bounds = np.searchsorted(self.viewer_n, np.arange(len(self.viewers) + 1)).tolist()
        for viewer, start, end in zip(self.viewers, bounds, bounds[1:], strict=False):
            if end > start:
                yield viewer, slice(start, end)

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
            self._shared["similarity"], self._shared["seed"] = _similarity(self)
        return self._shared["similarity"]  # type: ignore[return-value]

    def seed_n(self) -> Rows:
        """The author behind ``seed_similarity``, −1 for none."""
        self.similarity_n4()
        return self._shared["seed"]  # type: ignore[return-value]

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
        return self._once("counter", self._find_counters)  # type: ignore[return-value]

    def _find_counters(self) -> NDArray[np.int64]:
        return _places(_pairs([v.counter_authors for v in self.viewers]), self._authors())

    def _authors(self) -> NDArray[np.int64]:
        return (self.viewer_n << 32) | self.author_n

    def counters_n5(self) -> Float:
        """log1p of the viewer's decayed count of each action on the row's author."""

        def read() -> Float:
            at_n = self.counter_n()
            found = np.flatnonzero(at_n != UNKNOWN)
            logs_n5 = np.zeros((len(self), len(Action)), np.float32)
            if len(found):
                counts_c5 = np.concatenate([v.counters_c5 for v in self.viewers])
                logs_n5[found] = np.log1p(counts_c5[at_n[found]].astype(np.float32))
            return logs_n5

        return self._once("counters", read)  # type: ignore[return-value]

    def follows(self) -> Float:
        """1 where the viewer follows the author."""
        followed = _pairs([v.followed for v in self.viewers])
        follows_n: Float = (_places(followed, self._authors()) != UNKNOWN).astype(np.float32)
        return follows_n

    def topic_share(self, events_of: Callable[[ViewerContext], NDArray[np.int64]]) -> Float:
        """Share of the media a viewer acted on that have the row's topic."""
        topic_n = self.world.catalog.topic_n
        acted = [viewer.media_e[events_of(viewer)] for viewer in self.viewers]
        topics = [topic_n[media[media != UNKNOWN]] for media in acted]
        if not any(map(len, topics)):
            return np.zeros(len(self), np.float32)
        pairs, count_p = np.unique(_pairs(topics), return_counts=True)
        share_p = (count_p / np.maximum([len(t) for t in topics], 1)[pairs >> 32]).astype(
            np.float32
        )
        of_media = topic_n[self.media_n]
        at_n = _places(pairs, (self.viewer_n << 32) | of_media)
        found = np.flatnonzero((at_n != UNKNOWN) & (of_media > 0))
        share_n = np.zeros(len(self), np.float32)
        share_n[found] = share_p[at_n[found]]
        return share_n

    @cached_property
    def age_n(self) -> NDArray[np.int64]:
        """Milliseconds since each media was posted."""
        age_n: NDArray[np.int64] = np.maximum(
            self.now_ms - self.world.catalog.created_ts_n[self.media_n], 0
        )
        return age_n

    @cached_property
    def everybody(self) -> Mapping[str, np.float32]:
        """Rate of each action per view over all viewers."""
        total_5 = self.world.popularity.decayed_total(self.now_ms)
        views = total_5[Action.VIEW] + total_5[Action.LONG_VIEW]
        return {
            name: np.float32(
                (total_5[ACTION_COLUMNS.index(name)] + _PRIOR_TRAFFIC * rate)
                / (views + _PRIOR_TRAFFIC)
            )
            for name, rate in _DEFAULT_RATES.items()
        }

    @cached_property
    def totals_v5(self) -> Float:
        """Decayed counts per action of each viewer."""
        return np.array([v.totals_5 for v in self.viewers], np.float32).reshape(-1, len(Action))

    def _once(self, name: str, compute: Callable[[], NDArray[np.generic]]) -> NDArray[np.generic]:
        found = self._shared.get(name)
        if found is None:
            found = self._shared[name] = compute()
        return found


def _similarity(rows: FeatureRows) -> tuple[Float, Rows]:
    """Cosines_n4 of each row's author, and the nearest author whom the viewer likes.

    To the nearest of the recent positives' authors, to the mean of the last few and of all of
    them, to the nearest author of a see-fewer (decayed). An account is similar to itself even
    without a vector.
    """
    out_n4 = np.zeros((len(rows), 4), np.float32)
    seed_n = np.full(len(rows), UNKNOWN, np.int32)
    for viewer, span in rows.each():
        positives, see_fewers = viewer.positives(LONG_TERM), viewer.see_fewers(SEE_FEWERS)
        liked_p, hated_s = viewer.author_e[positives], viewer.author_e[see_fewers]
        p, author_n = len(liked_p), rows.author_n[span]
        if not p + len(hated_s):
            continue
        to_md = _vectors(rows.world, np.concatenate((liked_p, hated_s)))
        directions = (_mean(to_md[: min(SHORT_TERM, p)]), _mean(to_md[:p]))
        cosine_nm = _vectors(rows.world, author_n) @ np.vstack((to_md, *directions)).T
        to_liked_np = cosine_nm[:, :p]
        if p:
            np.copyto(to_liked_np, 1.0, where=author_n[:, None] == liked_p)
            best_n = to_liked_np.argmax(axis=1)
            nearest_n = np.take_along_axis(to_liked_np, best_n[:, None], 1)[:, 0]
            out_n4[span, 0] = np.maximum(nearest_n, 0.0)
            seed_n[span] = np.where(nearest_n > 0.0, liked_p[best_n], UNKNOWN)
        out_n4[span, 1:3] = cosine_nm[:, -2:]
        if len(hated_s):
            age_s = np.maximum(rows.now_ms - viewer.ts_e[see_fewers], 0)
            to_hated_ns = cosine_nm[:, p:-2]
            np.copyto(to_hated_ns, 1.0, where=author_n[:, None] == hated_s)
            to_hated_ns *= np.exp2(-age_s / SEE_FEWER_HALF_LIFE_MS).astype(np.float32)
            out_n4[span, 3] = to_hated_ns.max(axis=1, initial=0.0)
    return out_n4, seed_n


def _vectors(world: World, account_rows: Rows) -> Float:
    """Vectors_nd of accounts in steps, zeros where there is none."""
    vectors_nd, _ = world.vectors_of(account_rows)
    return _stepped(vectors_nd)


def _stepped(vectors_nd: Float) -> Float:
    vectors_nd = vectors_nd * _VECTOR_STEPS
    np.rint(vectors_nd, out=vectors_nd)
    vectors_nd /= _VECTOR_STEPS
    return vectors_nd


def _mean(vectors_md: Float) -> Float:
    """The mean direction as a unit vector in steps, zeros if there is none."""
    total_d = vectors_md.sum(axis=0)
    norm = float(np.linalg.norm(total_d))
    return _stepped(total_d / np.float32(norm)) if norm > 1e-6 else np.zeros_like(total_d)


def _pairs(of_v: Sequence[NDArray[np.integer]]) -> NDArray[np.int64]:
    """(viewer, row) of each viewer's rows as one number; ascending where each viewer's are."""
    sizes = [len(rows) for rows in of_v]
    viewer = np.repeat(np.arange(len(of_v), dtype=np.int64), sizes)
    return (viewer << 32) | np.concatenate(of_v) if of_v else viewer


def _places(sorted_p: NDArray[np.int64], wanted_n: NDArray[np.int64]) -> NDArray[np.int64]:
    """Position of each number in an ascending array, −1 where it is not in it."""
    if not len(sorted_p):
        return np.full(len(wanted_n), UNKNOWN, np.int64)
    at_n = np.searchsorted(sorted_p, wanted_n)
    at_n[at_n == len(sorted_p)] = 0
    return np.where(sorted_p[at_n] == wanted_n, at_n, UNKNOWN)


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
    authors = [viewer.author_e[viewer.positives(LONG_TERM)] for viewer in rows.viewers]
    known = [bool(rows.world.vectors_of(liked_p)[1].any()) for liked_p in authors]
    return rows.of_viewer(1.0 - np.array(known, np.float32))


def _image_similarity(rows: FeatureRows) -> Float:
    images, value_n = rows.world.images, np.zeros(len(rows), np.float32)
    if len(images):
        for viewer, span in rows.each():
            liked_pd, _ = images.vectors_of(viewer.media_e[viewer.positives(LONG_TERM)])
            pictures_nd, _ = images.vectors_of(rows.media_n[span])
            value_n[span] = _stepped(pictures_nd) @ _mean(_stepped(liked_pd))
    return value_n


def _image_missing(rows: FeatureRows) -> Float:
    return (~rows.world.images.vectors_of(rows.media_n)[1]).astype(np.float32)


def _counter(action: int) -> Column:
    return lambda rows: rows.counters_n5()[:, action]


def _recency(last_of: Callable[[ViewerContext], NDArray[np.int64]]) -> Column:
    def column(rows: FeatureRows) -> Float:
        at_n = rows.counter_n()
        value_n = np.zeros(len(rows), np.float32)
        found = np.flatnonzero(at_n != UNKNOWN)
        if len(found):
            last = np.concatenate([last_of(v) for v in rows.viewers])[at_n[found]]
            age = np.maximum(rows.now_ms - last, 0)
            value_n[found] = np.where(last > 0, np.exp2(-age / _WEEK_MS), 0.0)
        return value_n

    return column


def _count(entity: str, action: int) -> Column:
    return lambda rows: np.log1p(rows.counts_n5(entity)[:, action]) / np.float32(3)


def _rate(entity: str, name: str) -> Column:
    return lambda rows: _relative_rate(rows.counts_n5(entity), name, rows.everybody)


def _viewer_count(action: int) -> Column:
    return lambda rows: rows.of_viewer(np.log1p(rows.totals_v5[:, action]) / np.float32(3))


def _viewer_rate(name: str) -> Column:
    return lambda rows: rows.of_viewer(_relative_rate(rows.totals_v5, name, rows.everybody))


def _viewer_idle(rows: FeatureRows) -> Float:
    reflects_v = np.array([viewer.reflects_ts for viewer in rows.viewers], np.int64)
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
    "topic_affinity": lambda rows: rows.topic_share(lambda v: v.positives(LONG_TERM)),
    "topic_aversion": lambda rows: rows.topic_share(lambda v: v.see_fewers(SEE_FEWERS)),
    "author_vector_missing": _author_vector_missing,
    "viewer_vector_missing": _viewer_vector_missing,
    "image_similarity": _image_similarity,
    "image_missing": _image_missing,
    **{f"viewer_author_{name}": _counter(at) for at, name in enumerate(ACTION_COLUMNS)},
    "viewer_author_recency": _recency(lambda viewer: viewer.last_positive_c),
    "viewer_author_aversion": _recency(lambda viewer: viewer.last_see_fewer_c),
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
