"""Candidate generation: plain functions over columns, each one an operator of the query language.

A query reads from the viewer outwards::

    seeds   = authors_of(engaged(viewer, 30), world)
    found   = posted_media(account_nn(seeds, world, 40), world, 10)
    allowed = exclude_seen(exclude_deleted(found, world), viewer, world)

Every function is pure in its arguments and the world, takes any number of rows including none,
and works on whole columns. :mod:`models.default_query` puts them together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.columns import UNKNOWN, Rows
from models.events import Action
from models.feature_schema import SOURCES
from models.viewer_context import POSITIVE, ViewerContext
from models.world import World

_NO_ROWS: Final = np.empty(0, np.int32)
SOURCE_CODE: Final = {name: code for code, name in enumerate(SOURCES)}


@dataclass(frozen=True, slots=True)
class Accounts:
    """Accounts, best first, with the seed account that led to each (−1: none)."""

    account_n: Rows
    seed_n: Rows
    score_n: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.account_n)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Media with their provenance.

    Attributes:
        media_n: media rows.
        source_n: codes of :data:`models.feature_schema.SOURCES`.
        seed_n: account row of the seed, −1 for none.
        score_n: the source's own score, comparable within one source only.
        rank_n: position within the source, from 0.
    """

    media_n: Rows
    source_n: NDArray[np.int8]
    seed_n: Rows
    score_n: NDArray[np.float32]
    rank_n: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.media_n)

    @classmethod
    def of(
        cls,
        media_n: Rows,
        source: str = "logged",
        seed_n: Rows | None = None,
        score_n: NDArray[np.float32] | None = None,
    ) -> Candidates:
        """Media of one source, in its order; without a source, e.g. logged exposures."""
        n = len(media_n)
        return cls(
            np.asarray(media_n, np.int32),
            np.full(n, SOURCE_CODE[source], np.int8),
            np.full(n, UNKNOWN, np.int32) if seed_n is None else seed_n,
            np.zeros(n, np.float32) if score_n is None else score_n,
            np.arange(n, dtype=np.int32),
        )

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Candidates:
        """These rows (or where a mask is true), ranks as they were."""
        return Candidates(
            self.media_n[rows],
            self.source_n[rows],
            self.seed_n[rows],
            self.score_n[rows],
            self.rank_n[rows],
        )

    def where(self, keep_n: NDArray[np.bool_]) -> Candidates:
        """The rows where `keep_n` is true."""
        return self if keep_n.all() else self.take(keep_n)

    def ranked(self) -> Candidates:
        """The same rows, ranked in their present order."""
        return Candidates(
            self.media_n,
            self.source_n,
            self.seed_n,
            self.score_n,
            np.arange(len(self), dtype=np.int32),
        )


# Viewer → media.


def liked(viewer: ViewerContext, max_num_to_retrieve: int = 30) -> Candidates:
    """Media the viewer liked, newest first; the author is the seed."""
    return _acted_on(viewer, (Action.LIKE,), max_num_to_retrieve)


def saved(viewer: ViewerContext, max_num_to_retrieve: int = 30) -> Candidates:
    """Media the viewer saved, newest first; the author is the seed."""
    return _acted_on(viewer, (Action.SAVE,), max_num_to_retrieve)


def engaged(viewer: ViewerContext, max_num_to_retrieve: int = 30) -> Candidates:
    """Media the viewer liked, saved or viewed long, newest first; the author is the seed."""
    return _acted_on(viewer, POSITIVE, max_num_to_retrieve)


def _acted_on(viewer: ViewerContext, actions: Iterable[Action], most: int) -> Candidates:
    at = viewer.events_of(actions, most)
    return Candidates.of(viewer.media_e[at], seed_n=viewer.author_e[at])


# Viewer, media → accounts.


def followed(viewer: ViewerContext, max_num_to_retrieve: int = 100) -> Accounts:
    """Accounts the viewer follows, each its own seed."""
    rows = viewer.followed[:max_num_to_retrieve]
    return Accounts(rows, rows, np.ones(len(rows), np.float32))


def authors_of(seeds: Candidates) -> Accounts:
    """The distinct seed authors of media, in order of first appearance."""
    _, first = np.unique(seeds.seed_n, return_index=True)
    rows = seeds.seed_n[np.sort(first)]
    rows = rows[rows != UNKNOWN]
    return Accounts(rows, rows, np.ones(len(rows), np.float32))


def account_nn(seeds: Accounts, world: World, max_num_to_retrieve: int = 40) -> Accounts:
    """The nearest accounts of each seed by vector, the seed itself left out; score is the cosine.

    An account near several seeds is kept once, under the seed it is nearest to.
    """
    vectors_sd, known_s = world.vectors_of(seeds.account_n)
    if world.space is None or not known_s.any():
        return Accounts(_NO_ROWS, _NO_ROWS, np.empty(0, np.float32))
    seed_rows = seeds.account_n[known_s]
    # One more than asked: a seed is its own nearest account.
    near_sk, cosine_sk = world.space.nearest(vectors_sd[known_s], max_num_to_retrieve + 1)
    account_n = near_sk.ravel()
    seed_n = np.repeat(seed_rows, near_sk.shape[1])
    score_n = cosine_sk.ravel()
    keep = np.flatnonzero((account_n != UNKNOWN) & (account_n != seed_n))
    keep = keep[np.argsort(-score_n[keep], kind="stable")]
    _, first = np.unique(account_n[keep], return_index=True)
    keep = keep[np.sort(first)]
    return Accounts(account_n[keep], seed_n[keep], score_n[keep])


# Accounts, world → media.


def posted_media(
    accounts: Accounts, world: World, max_media_per_account: int = 10, source: str = "account_nn"
) -> Candidates:
    """The newest posts of each account, under the account's seed and score."""
    media_n, at = world.catalog.posted_by(accounts.account_n, max_media_per_account)
    return Candidates.of(media_n, source, accounts.seed_n[at], accounts.score_n[at])


def popular(world: World, now_ms: int, max_num_to_retrieve: int) -> Candidates:
    """The media with the highest decayed weighted counts, best first."""
    rows = world.popularity.most_popular(max_num_to_retrieve)
    score_n = world.popularity.score(rows, now_ms).astype(np.float32)
    return Candidates.of(rows, "popular", score_n=score_n)


def fresh(world: World, max_num_to_retrieve: int) -> Candidates:
    """The newest media, newest first."""
    return Candidates.of(world.catalog.newest(max_num_to_retrieve), "fresh")


# Filters.


def exclude_deleted(candidates: Candidates, world: World) -> Candidates:
    """Without deleted media and media of private or disabled accounts."""
    catalog = world.catalog
    candidates = candidates.where(~catalog.deleted_n[candidates.media_n])
    return candidates.where(~catalog.hidden_account_a[catalog.author_n[candidates.media_n]])


def filter_integrity(
    candidates: Candidates,
    world: World,
    nsfw: float = 0.2,
    spam: float = 0.2,
    misinformation: float = 0.2,
) -> Candidates:
    """Without media whose score of any integrity classifier is above its threshold."""
    media_n, catalog = candidates.media_n, world.catalog
    return candidates.where(
        (catalog.nsfw_n[media_n] <= nsfw)
        & (catalog.spam_n[media_n] <= spam)
        & (catalog.misinformation_n[media_n] <= misinformation)
    )


def exclude_media(candidates: Candidates, world: World, media_rows: Rows) -> Candidates:
    """Without these media, e.g. those of earlier pages."""
    return candidates.where(~_member(candidates.media_n, media_rows, world.catalog.media_count))


def exclude_seen(candidates: Candidates, viewer: ViewerContext, world: World) -> Candidates:
    """Without media the viewer viewed or acted on."""
    return exclude_media(candidates, world, viewer.seen)


def exclude_suppressed(candidates: Candidates, viewer: ViewerContext, world: World) -> Candidates:
    """Without media the viewer wants fewer of and without blocked or muted authors."""
    candidates = exclude_media(candidates, world, viewer.suppressed)
    return _exclude_authors(candidates, world, viewer.blocked)


def exclude_own_accounts(
    candidates: Candidates, viewer: ViewerContext, world: World, seeds: Accounts
) -> Candidates:
    """Without posts of the seeds, which belong to the home feed, and of the viewer."""
    rows = seeds.account_n
    if viewer.own_author != UNKNOWN:
        rows = np.append(rows, np.int32(viewer.own_author))
    return _exclude_authors(candidates, world, rows)


def exclude_followed(candidates: Candidates, viewer: ViewerContext, world: World) -> Candidates:
    """Without posts of accounts the viewer follows."""
    return _exclude_authors(candidates, world, viewer.followed)


def _exclude_authors(candidates: Candidates, world: World, rows: Rows) -> Candidates:
    if not len(rows):
        return candidates
    author_n = world.catalog.author_n[candidates.media_n]
    return candidates.where(~_member(author_n, rows, world.catalog.account_count))


# Order and combination.


def take(candidates: Candidates, n: int) -> Candidates:
    """The first n."""
    return candidates if len(candidates) <= n else candidates.take(np.arange(n))


def dedupe(candidates: Candidates) -> Candidates:
    """Each media once, its first appearance."""
    _, first = np.unique(candidates.media_n, return_index=True)
    if len(first) == len(candidates):
        return candidates
    return candidates.take(np.sort(first))


def order_by_score(candidates: Candidates) -> Candidates:
    """Highest score first; equal scores keep their order."""
    return candidates.take(np.argsort(-candidates.score_n, kind="stable"))


def diversify_by(candidates: Candidates, group_n: NDArray[np.integer]) -> Candidates:
    """Round robin: the first of every group, then the second of every group, and so on.

    Groups are visited in the order of their first candidate; within a group order is kept.
    """
    n = len(candidates)
    if n == 0:
        return candidates
    _, first, code_n = np.unique(group_n, return_index=True, return_inverse=True)
    # Position within its group: candidates sorted by group, counted from each group's start.
    by_group = np.argsort(code_n, kind="stable")
    sizes = np.bincount(code_n)
    starts = np.cumsum(sizes) - sizes
    turn_n = np.empty(n, np.int64)
    turn_n[by_group] = np.arange(n) - np.repeat(starts, sizes)
    return candidates.take(np.lexsort((first[code_n], turn_n)))


def blend(parts: Sequence[tuple[Candidates, float]], n: int) -> Candidates:
    """Interleave ordered parts in proportion to their weights, to n candidates.

    A media in several parts is kept in the first of them that lists it, so name the part with
    the most telling provenance first. A part that runs out leaves its share to the others.
    """
    live = [(part, weight) for part, weight in parts if weight > 0.0]
    if not live:
        return Candidates.of(_NO_ROWS)
    part_n = np.repeat(np.arange(len(live)), [len(part) for part, _ in live])
    joined = concatenate([part for part, _ in live])
    _, first = np.unique(joined.media_n, return_index=True)
    kept = np.sort(first)
    joined, part_n = joined.take(kept), part_n[kept]
    sizes = np.bincount(part_n, minlength=len(live))
    turn_n = np.arange(len(kept)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    due_n = (turn_n + 0.5) / np.array([weight for _, weight in live])[part_n]
    return joined.take(np.argsort(due_n, kind="stable")[:n])


def concatenate(parts: Sequence[Candidates]) -> Candidates:
    """All candidates of all parts, in order."""
    return Candidates(
        np.concatenate([part.media_n for part in parts]),
        np.concatenate([part.source_n for part in parts]),
        np.concatenate([part.seed_n for part in parts]),
        np.concatenate([part.score_n for part in parts]),
        np.concatenate([part.rank_n for part in parts]),
    )


def _member(rows_n: Rows, of: Rows, size: int) -> NDArray[np.bool_]:
    # A table of bytes: the pages it does not touch are never really allocated.
    table = np.zeros(size, np.bool_)
    table[of] = True
    found: NDArray[np.bool_] = table[rows_n]
    return found
