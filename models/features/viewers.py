"""What features say of the viewers of a batch, whatever the media: computed once for all passes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.actions import HEADS, VIEWS, Action
from models.arrays.types import UNKNOWN, Float, Rows
from models.arrays.viewer_pairs import PairSet, pairs_of
from models.events import DAY_MS, HOUR_MS
from models.feature_schema import (
    LONG_TERM,
    SHORT_TERM,
    SPARSE_BUCKETS,
)
from models.features.hashed_ids import OF_VIEWER, buckets, hash_of
from models.viewers.context import ViewerContext
from models.world import World

WEEK_MS: Final = 7 * DAY_MS
SEE_FEWERS: Final = 30
#: A see-fewer weighs half after this long, in similarity and so in the penalty on value.
SEE_FEWER_HALF_LIFE_MS: Final = 30 * DAY_MS
#: Actions of `RATE_COLUMNS`, and everybody's rates while there is no traffic to measure them on.
_RATED: Final = list(HEADS)
_DEFAULT_RATES: Final = np.array([head.row.rate for head in HEADS])
#: Of the viewer alone these rates say something: of the others a viewer has too few.
_PRIOR_TRAFFIC: Final = 100.0
#: Views that everybody's rate counts as, added to an author's, media's or viewer's own.
_PRIOR_VIEWS: Final = np.float32(20.0)
#: A float32 of this size ends in 2^−11: adding and subtracting it rounds to that. Products of
#: what is rounded so are whole multiples of 2^−22, and a float32 holds those exactly up to 4.
_ROUNDS_TO_STEPS: Final = np.float32(3 << 11)

#: Where the two means stand among the accounts of a taste.
_MEANS: Final = np.full(2, UNKNOWN, np.int32)
_NO_DECAY: Final = np.empty(0, np.float32)


class Taste(NamedTuple):
    """Whose media a viewer likes, and whose not, as vectors in steps.

    Attributes:
        liked_p, hated_s: author rows of the recent positives and see-fewers, newest first.
        decay_s: what a see-fewer weighs still.
        to_md: vectors of both, then the mean of the last few positives and that of all.
        known: whether any of those liked has a vector.
    """

    liked_p: Rows
    hated_s: Rows
    decay_s: Float
    to_md: Float
    known: bool


class ViewerBatch:
    """Viewers at a moment, and what several columns read of them.

    Args:
        viewers: of the batch.
        world: read when something is asked for: ask before it changes.
        now_ms: of the request or of the exposures.
    """

    def __init__(self, viewers: Sequence[ViewerContext], world: World, now_ms: int) -> None:
        self.viewers = viewers
        self.world = world
        self.now_ms = now_ms

    @cached_property
    def tastes(self) -> list[Taste]:
        """The taste of each viewer, in the order of the batch."""
        liked, hated = self._authors(self._liked), self._authors(self._hated)
        of_viewers = list(zip(liked, hated, strict=True))
        vectors_md, known_m = account_vectors(
            self.world, np.concatenate([rows for both in of_viewers for rows in (*both, _MEANS)])
        )
        sizes_v2 = np.array([(len(p), len(p) + len(s) + len(_MEANS)) for p, s in of_viewers])
        end_v = sizes_v2[:, 1].cumsum()
        start_v = end_v - sizes_v2[:, 1]
        middle_v = start_v + sizes_v2[:, 0]
        recent_v = np.minimum(start_v + SHORT_TERM, middle_v)
        vectors_md[end_v - 2] = mean_directions(vectors_md, start_v, recent_v)
        vectors_md[end_v - 1] = mean_directions(vectors_md, start_v, middle_v)
        bounds_v = zip(start_v.tolist(), middle_v.tolist(), end_v.tolist(), strict=True)
        return [
            Taste(
                liked_p=p,
                hated_s=s,
                decay_s=self._decay(at),
                to_md=vectors_md[start:end],
                known=bool(known_m[start:middle].any()),
            )
            for at, ((p, s), (start, middle, end)) in enumerate(
                zip(of_viewers, bounds_v, strict=True)
            )
        ]

    def _decay(self, at: int) -> Float:
        events = self._hated[at]
        if not len(events):
            return _NO_DECAY
        age_s = np.maximum(self.now_ms - self.viewers[at].ts_e[events], 0)
        return np.exp2(-age_s / SEE_FEWER_HALF_LIFE_MS).astype(np.float32)

    @cached_property
    def liked_topics(self) -> list[NDArray[np.int32]]:
        """Topic code of each known media among each viewer's recent positives."""
        return self._topics(self._liked)

    @cached_property
    def hated_topics(self) -> list[NDArray[np.int32]]:
        """Of each known media among the recent see-fewers."""
        return self._topics(self._hated)

    @cached_property
    def liked_media(self) -> list[Rows]:
        """Known media among all of each viewer's positives, newest first."""
        media = [viewer.media_e[viewer.positives(len(viewer.ts_e))] for viewer in self.viewers]
        return [rows[rows != UNKNOWN] for rows in media]

    def _topics(self, events_v: list[NDArray[np.int64]]) -> list[NDArray[np.int32]]:
        topic_n = self.world.catalog.topic_n
        media = [viewer.media_e[e] for viewer, e in zip(self.viewers, events_v, strict=True)]
        return [topic_n[media_e[media_e != UNKNOWN]] for media_e in media]

    @cached_property
    def _liked(self) -> list[NDArray[np.int64]]:
        return [viewer.positives(LONG_TERM) for viewer in self.viewers]

    @cached_property
    def _hated(self) -> list[NDArray[np.int64]]:
        return [viewer.see_fewers(SEE_FEWERS) for viewer in self.viewers]

    def _authors(self, events_v: list[NDArray[np.int64]]) -> list[Rows]:
        return [viewer.author_e[e] for viewer, e in zip(self.viewers, events_v, strict=True)]

    @cached_property
    def followed(self) -> PairSet:
        """(viewer, author) of who is followed."""
        return PairSet(pairs_of([viewer.followed for viewer in self.viewers]))

    @cached_property
    def counters(self) -> PairSet:
        """(viewer, author) of who has counters."""
        return PairSet(pairs_of([viewer.counter_authors for viewer in self.viewers]))

    @cached_property
    def history_fc(self) -> Float:
        """Of each of them: log1p of the decayed count of each action, recency of the last positive
        and of the last see-fewer."""
        history_fc = np.empty((len(Action) + 2, len(self.counters)), np.float32)
        counts_cx = np.concatenate([viewer.counters_cx for viewer in self.viewers])
        np.log1p(counts_cx.T.astype(np.float32), out=history_fc[: len(Action)])
        last_positive = np.concatenate([viewer.last_positive_c for viewer in self.viewers])
        last_see_fewer = np.concatenate([viewer.last_see_fewer_c for viewer in self.viewers])
        for at, last_c in enumerate((last_positive, last_see_fewer), len(Action)):
            age_c = np.maximum(self.now_ms - last_c, 0)
            history_fc[at] = np.where(last_c > 0, np.exp2(-age_c / WEEK_MS), 0.0)
        return history_fc

    @cached_property
    def of_viewer_fv(self) -> Float:
        """What is the same for all media: counts, rates, idle time."""
        totals_xv = np.array([v.totals_x for v in self.viewers], np.float32).T
        rates_hv = relative_rates(totals_xv, self.everybody)
        reflects_v = np.array([viewer.reflects_ts for viewer in self.viewers], np.int64)
        hours_v = np.maximum(self.now_ms - reflects_v, 0) / HOUR_MS
        idle_v = np.where(reflects_v > 0, np.log1p(hours_v) / 3, 5.0).astype(np.float32)
        return np.vstack([logs(totals_xv), rates_hv, idle_v])

    @cached_property
    def unknown_v(self) -> NDArray[np.bool_]:
        """Whether no vector of whom the viewer likes is known."""
        return np.array([not taste.known for taste in self.tastes], np.bool_)

    @cached_property
    def hash_v(self) -> NDArray[np.int32]:
        """Hash of each viewer's id."""
        return np.array([viewer.viewer_hash for viewer in self.viewers], np.int32)

    @cached_property
    def ids_vs(self) -> NDArray[np.int32]:
        """Buckets of the hashed ids that are the same for all media, 0 in the other columns."""
        hash_sv = np.empty((len(OF_VIEWER), len(self.viewers)), np.int32)
        hash_sv[0] = self.hash_v
        hash_sv[1] = self.now_ms // HOUR_MS % 24
        hash_sv[2:] = hash_of(self.world.catalog.account_hash_a, self.liked_lv)
        ids_vs = np.zeros((len(self.viewers), len(SPARSE_BUCKETS)), np.int32)
        ids_vs[:, OF_VIEWER] = buckets(hash_sv, OF_VIEWER).T
        return ids_vs

    @cached_property
    def liked_lv(self) -> Rows:
        """Author rows of each viewer's recent positives, newest first; −1 where there are fewer."""
        liked_lv = np.full((LONG_TERM, len(self.viewers)), UNKNOWN, np.int32)
        for at, authors in enumerate(self._authors(self._liked)):
            liked_lv[: len(authors), at] = authors
        return liked_lv

    @cached_property
    def pictures_vd(self) -> Float:
        """Mean direction of the pictures of each viewer's recent positives."""
        media = [viewer.media_e[e] for viewer, e in zip(self.viewers, self._liked, strict=True)]
        sizes_v = np.array([len(rows) for rows in media])
        end_v = sizes_v.cumsum()
        vectors_nd, _ = self.world.images.vectors_of(np.concatenate(media))
        return mean_directions(stepped(vectors_nd), end_v - sizes_v, end_v)

    @cached_property
    def everybody(self) -> Float:
        """Over all viewers, how often each of `RATE_COLUMNS` is done per view."""
        total_x = self.world.popularity.decayed_total(self.now_ms)
        views = total_x[list(VIEWS)].sum()
        done_h = total_x[_RATED] + _PRIOR_TRAFFIC * _DEFAULT_RATES
        everybody: Float = (done_h / (views + _PRIOR_TRAFFIC)).astype(np.float32)
        return everybody


def logs(counts_xn: Float) -> Float:
    """Counts (…, actions, n) on the scale of features."""
    scaled_xn = np.log1p(counts_xn)
    scaled_xn /= np.float32(3)
    return scaled_xn


def relative_rates(counts_xn: Float, everybody: Float) -> Float:
    """log(rate / everybody's rate) / 2 of `RATE_COLUMNS`, each smoothed towards everybody's.

    Args:
        counts_xn: (…, actions, n).
        everybody: rates of everybody.
    """
    views_1n = counts_xn[..., list(VIEWS), :].sum(axis=-2, keepdims=True)
    views_1n += _PRIOR_VIEWS
    rates_hn: Float = counts_xn[..., _RATED, :] / everybody[:, None]
    rates_hn += _PRIOR_VIEWS
    rates_hn /= views_1n
    np.log(rates_hn, out=rates_hn)
    rates_hn /= np.float32(2)
    return rates_hn


def account_vectors(world: World, account_rows: Rows) -> tuple[Float, NDArray[np.bool_]]:
    """Vectors_nd of accounts in steps, zeros where there is none, and whether each has one."""
    vectors_nd, known_n = world.vectors_of(account_rows)
    return stepped(vectors_nd), known_n


def stepped(vectors_nd: Float) -> Float:
    """Vectors rounded to steps, in which products of them are exact; components are at most 1."""
    vectors_nd = vectors_nd + _ROUNDS_TO_STEPS
    vectors_nd -= _ROUNDS_TO_STEPS
    return vectors_nd


def mean_directions(
    vectors_nd: Float, start_v: NDArray[np.int64], end_v: NDArray[np.int64]
) -> Float:
    """Of each span of vectors in steps the mean direction, again in steps; zeros for none."""
    # In float64, sums of steps and of their squares are exact, so the order does not matter.
    sums_nd = np.zeros((len(vectors_nd) + 1, vectors_nd.shape[1]))
    vectors_nd.cumsum(axis=0, dtype=np.float64, out=sums_nd[1:])
    total_vd = sums_nd[end_v] - sums_nd[start_v]
    norm_v1 = np.sqrt(np.square(total_vd).sum(axis=1, keepdims=True))
    unit_vd = np.divide(
        total_vd.astype(np.float32),
        norm_v1.astype(np.float32),
        out=np.zeros(total_vd.shape, np.float32),
        where=norm_v1 > 1e-6,
    )
    return stepped(unit_vd)
