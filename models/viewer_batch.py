"""What features say of the viewers of a batch, whatever the media: computed once for all passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.columns import UNKNOWN, Rows
from models.events import Action
from models.feature_schema import ACTION_COLUMNS, LONG_TERM, RATE_COLUMNS, SHORT_TERM
from models.viewer_context import ViewerContext
from models.world import World

HOUR_MS: Final = 3_600_000
WEEK_MS: Final = 7 * 24 * HOUR_MS
SEE_FEWERS: Final = 30
#: A see-fewer weighs half after this long, in similarity and so in the penalty on value.
SEE_FEWER_HALF_LIFE_MS: Final = 30 * 24 * HOUR_MS
#: Actions of `RATE_COLUMNS`, and everybody's rates while there is no traffic to measure them on.
_RATED: Final = [ACTION_COLUMNS.index(name) for name in RATE_COLUMNS]
_DEFAULT_RATES: Final = np.array([0.02, 0.01, 0.002, 0.25])
_PRIOR_TRAFFIC: Final = 100.0
#: Views that everybody's rate counts as, added to an author's, media's or viewer's own.
_PRIOR_VIEWS: Final = np.float32(20.0)
#: Steps per unit that components of vectors are rounded to. Products are whole multiples of
#: 2^−22, and a float32 holds those exactly up to 4.
_VECTOR_STEPS: Final = np.float32(1 << 11)

Float = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Taste:
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


class Shares(NamedTuple):
    """Shares of each viewer's media with a topic.

    Attributes:
        pair_p: (viewer, topic), ascending.
        share_p: of all the viewer's media in question.
    """

    pair_p: NDArray[np.int64]
    share_p: Float


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
        """Of each viewer."""
        liked, hated = self._authors(self._liked), self._authors(self._hated)
        vectors_nd, known_n = account_vectors(self.world, np.concatenate([*liked, *hated]))
        ends = np.cumsum([len(rows) for rows in (*liked, *hated)])
        parts = np.split(vectors_nd, ends[:-1])
        knows = np.split(known_n, ends[:-1])
        short = [vectors_pd[:SHORT_TERM] for vectors_pd in parts[: len(liked)]]
        directions = zip(mean_directions(short), mean_directions(parts[: len(liked)]), strict=True)
        tastes = []
        for at, (viewer, (short_d, long_d)) in enumerate(
            zip(self.viewers, directions, strict=True)
        ):
            age_s = np.maximum(self.now_ms - viewer.ts_e[self._hated[at]], 0)
            tastes.append(
                Taste(
                    liked_p=liked[at],
                    hated_s=hated[at],
                    decay_s=np.exp2(-age_s / SEE_FEWER_HALF_LIFE_MS).astype(np.float32),
                    to_md=np.vstack((parts[at], parts[len(liked) + at], short_d, long_d)),
                    known=bool(knows[at].any()),
                )
            )
        return tastes

    @cached_property
    def liked_topics(self) -> Shares:
        """Of the recent positives."""
        return self._topics(self._liked)

    @cached_property
    def hated_topics(self) -> Shares:
        """Of the recent see-fewers."""
        return self._topics(self._hated)

    def _topics(self, events_v: list[NDArray[np.int64]]) -> Shares:
        media = [viewer.media_e[e] for viewer, e in zip(self.viewers, events_v, strict=True)]
        media_e, viewer_e = np.concatenate(media), repeated(media)
        if not len(media_e):
            return Shares(viewer_e, np.empty(0, np.float32))
        known = media_e != UNKNOWN
        viewer_e, topic_e = viewer_e[known], self.world.catalog.topic_n[media_e[known]]
        size_v = np.bincount(viewer_e, minlength=len(self.viewers))
        pair_p, count_p = np.unique((viewer_e << 32) | topic_e, return_counts=True)
        return Shares(pair_p, (count_p / size_v[pair_p >> 32]).astype(np.float32))

    @cached_property
    def _liked(self) -> list[NDArray[np.int64]]:
        return [viewer.positives(LONG_TERM) for viewer in self.viewers]

    @cached_property
    def _hated(self) -> list[NDArray[np.int64]]:
        return [viewer.see_fewers(SEE_FEWERS) for viewer in self.viewers]

    def _authors(self, events_v: list[NDArray[np.int64]]) -> list[Rows]:
        return [viewer.author_e[e] for viewer, e in zip(self.viewers, events_v, strict=True)]

    @cached_property
    def followed_p(self) -> NDArray[np.int64]:
        """(viewer, author) pairs of who is followed."""
        return pairs_of([viewer.followed for viewer in self.viewers])

    @cached_property
    def counter_c(self) -> NDArray[np.int64]:
        """(viewer, author) pairs of who has counters."""
        return pairs_of([viewer.counter_authors for viewer in self.viewers])

    @cached_property
    def history_7c(self) -> Float:
        """Of each of them: log1p of the decayed count of each action, recency of the last positive
        and of the last see-fewer."""
        history_7c = np.empty((len(Action) + 2, len(self.counter_c)), np.float32)
        counts_c5 = np.concatenate([viewer.counters_c5 for viewer in self.viewers])
        np.log1p(counts_c5.T.astype(np.float32), out=history_7c[: len(Action)])
        last_positive = np.concatenate([viewer.last_positive_c for viewer in self.viewers])
        last_see_fewer = np.concatenate([viewer.last_see_fewer_c for viewer in self.viewers])
        for at, last_c in enumerate((last_positive, last_see_fewer), len(Action)):
            age_c = np.maximum(self.now_ms - last_c, 0)
            history_7c[at] = np.where(last_c > 0, np.exp2(-age_c / WEEK_MS), 0.0)
        return history_7c

    @cached_property
    def of_viewer_9v(self) -> Float:
        """What is the same for all media: whether no vector is known, counts, rates, idle time."""
        totals_5v = np.array([v.totals_5 for v in self.viewers], np.float32).T
        rates_4v = relative_rates(totals_5v, self.everybody)
        reflects_v = np.array([viewer.reflects_ts for viewer in self.viewers], np.int64)
        hours_v = np.maximum(self.now_ms - reflects_v, 0) / HOUR_MS
        of_viewer_9v = np.empty((9, len(self.viewers)), np.float32)
        of_viewer_9v[0] = [not taste.known for taste in self.tastes]
        of_viewer_9v[1:6] = logs(totals_5v)
        of_viewer_9v[6] = rates_4v[RATE_COLUMNS.index("like")]
        of_viewer_9v[7] = rates_4v[RATE_COLUMNS.index("long_view")]
        of_viewer_9v[8] = np.where(reflects_v > 0, np.log1p(hours_v) / 3, 5.0)
        return of_viewer_9v

    @cached_property
    def hash_v(self) -> NDArray[np.int32]:
        """Hash of each viewer's id."""
        return np.array([viewer.viewer_hash for viewer in self.viewers], np.int32)

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
        images = self.world.images
        return mean_directions([stepped(images.vectors_of(rows)[0]) for rows in media])

    @cached_property
    def everybody(self) -> Float:
        """Over all viewers, how often each of `RATE_COLUMNS` is done per view."""
        total_5 = self.world.popularity.decayed_total(self.now_ms)
        views = total_5[Action.VIEW] + total_5[Action.LONG_VIEW]
        done_4 = total_5[_RATED] + _PRIOR_TRAFFIC * _DEFAULT_RATES
        everybody: Float = (done_4 / (views + _PRIOR_TRAFFIC)).astype(np.float32)
        return everybody


def logs(counts_5n: NDArray[np.floating]) -> NDArray[np.floating]:
    """Counts on the scale of features."""
    scaled_5n: NDArray[np.floating] = np.log1p(counts_5n) / np.float32(3)
    return scaled_5n


def relative_rates(counts_5n: Float, everybody: Float) -> Float:
    """log(rate / everybody's rate) / 2 of `RATE_COLUMNS`, each smoothed towards everybody's."""
    views_n = counts_5n[Action.VIEW] + counts_5n[Action.LONG_VIEW] + _PRIOR_VIEWS
    rates_4n = counts_5n[_RATED] / everybody[:, None]
    rates_4n += _PRIOR_VIEWS
    rates_4n /= views_n
    np.log(rates_4n, out=rates_4n)
    rates_4n /= np.float32(2)
    return rates_4n


def account_vectors(world: World, account_rows: Rows) -> tuple[Float, NDArray[np.bool_]]:
    """Vectors_nd of accounts in steps, zeros where there is none, and whether each has one."""
    vectors_nd, known_n = world.vectors_of(account_rows)
    return stepped(vectors_nd), known_n


def stepped(vectors_nd: Float) -> Float:
    """Vectors rounded to steps, in which products of them are exact."""
    vectors_nd = vectors_nd * _VECTOR_STEPS
    np.rint(vectors_nd, out=vectors_nd)
    vectors_nd /= _VECTOR_STEPS
    return vectors_nd


def mean_directions(vectors: Sequence[Float]) -> Float:
    """Of each array of vectors in steps the mean direction, again in steps; zeros for none."""
    total_vd = np.array([vectors_pd.sum(axis=0) for vectors_pd in vectors], np.float32)
    # Squares of steps, too, add up exactly in a float64.
    norm_v1 = np.sqrt(np.square(total_vd, dtype=np.float64).sum(axis=1, keepdims=True))
    unit_vd = np.divide(
        total_vd, norm_v1.astype(np.float32), out=np.zeros_like(total_vd), where=norm_v1 > 1e-6
    )
    return stepped(unit_vd)


def repeated(of_v: Sequence[NDArray[np.integer]]) -> NDArray[np.int64]:
    """The viewer's position for each entry of each viewer's array."""
    return np.repeat(np.arange(len(of_v), dtype=np.int64), [len(rows) for rows in of_v])


def pairs_of(of_v: Sequence[Rows]) -> NDArray[np.int64]:
    """(viewer, row) of each viewer's rows as one number; ascending where each viewer's are."""
    return (repeated(of_v) << 32) | np.concatenate(of_v)


def places(sorted_p: NDArray[np.int64], wanted_n: NDArray[np.int64]) -> NDArray[np.int64]:
    """Position of each number in an ascending array, −1 where it is not in it."""
    if not len(sorted_p):
        return np.full(len(wanted_n), UNKNOWN, np.int64)
    at_n = np.searchsorted(sorted_p, wanted_n)
    at_n[at_n == len(sorted_p)] = 0
    return np.where(sorted_p[at_n] == wanted_n, at_n, UNKNOWN)
