"""A bounded share of each grid for media too new for anybody to know whether they are good.

A drawn media is shown with a known probability, its propensity. Whoever learns from impressions or
estimates another policy's value from them can weigh by 1 / propensity (Horvitz and Thompson, 1952;
for logged rankings Li et al., "Unbiased offline evaluation of contextual-bandit-based news article
recommendation algorithms", WSDM 2011).

What is drawn is a function of the viewer and of the time of the grid, so a grid can be computed
again and nothing here holds a random generator. All else in the grid is decided before the draw and
does not depend on it: it is shown for certain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.actions import VIEWS
from models.arrays.types import NO_POSITIONS, Rows
from models.arrays.viewer_pairs import PairSet, pairs
from models.events import DAY_MS
from models.world import World

Seeds = NDArray[np.uint64]

_MEDIA: Final = np.uint64(0x9E3779B97F4A7C15)
_AUTHOR: Final = np.uint64(0xD1B54A32D192ED03)
_PLACE: Final = np.uint64(0x8CB92BA72F3D8DD7)


class ExplorationConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Which media are new, and how many positions they get.

    Attributes:
        share: of the positions of a grid, rounded down; 0 for no exploration.
        max_age_ms: a media older than this is not new.
        max_views: neither is one with as many views, long ones included, decayed as popularity is.
        first_position: share of the grid, from its top, that is never drawn for.
    """

    share: float = 0.04
    max_age_ms: int = 3 * DAY_MS
    max_views: float = 50.0
    first_position: float = 0.2

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 0.5:
            raise ValueError(
                f"the share of exploration is {self.share}; give a number from 0 to 0.5"
            )

    def slots(self, size: int) -> int:
        """Positions of a grid of `size` that are drawn for."""
        return int(self.share * size + 1e-9)


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was drawn for a grid of which `base` items are certain.

    Attributes:
        rows: candidates drawn.
        propensity_n: probability of each to be drawn, over all draws.
        order: of the certain items and behind them the drawn ones, which comes at each position.
    """

    rows: NDArray[np.int64]
    propensity_n: NDArray[np.float64]
    order: list[int]


def seeds_of(viewer_hash_v: NDArray[np.integer], generated_at_ms: int) -> Seeds:
    """The seed of the draw for each viewer's grid."""
    return _mix(_mix(viewer_hash_v.astype(np.uint64), _MEDIA) ^ np.uint64(generated_at_ms), _PLACE)


def is_new(
    media_n: Rows, age_n: NDArray[np.int64], world: World, now_ms: int, config: ExplorationConfig
) -> NDArray[np.bool_]:
    """Which media are young and little viewed.

    Args:
        age_n: milliseconds since each was posted.
    """
    new_n: NDArray[np.bool_] = age_n <= config.max_age_ms
    young = new_n.nonzero()[0]
    if len(young):
        counts_yx = world.popularity.decayed_media(media_n[young], now_ms)
        views_y = counts_yx[:, VIEWS].sum(axis=1)
        new_n[young] = views_y < config.max_views
    return new_n


def draw(
    pool: NDArray[np.int64],
    viewer_n: NDArray[np.int64],
    media_n: Rows,
    author_n: Rows,
    certain_v: Sequence[NDArray[np.int64]],
    slots: int,
    seed_v: Seeds,
    world: World,
    config: ExplorationConfig,
) -> list[Drawn | None]:
    """Draw `slots` candidates for each viewer: first authors, with equal chances, then one media of
    each.

    So an author gains nothing by posting often. Authors of what is shown for certain are left out.
    Suffixes: p for the pool, g for each author of a viewer, k for those drawn, m for their media,
    w for the viewers who are drawn for.

    Args:
        pool: candidates of all viewers that may be drawn.
        viewer_n, media_n, author_n: of all candidates.
        certain_v: candidates that are in each viewer's grid already.
        seed_v: decide; see :func:`seeds_of`.

    Returns:
        None for a viewer who has not more authors than slots: nothing is left to chance then, and
        the places are better filled by value.
    """
    viewers, catalog = len(certain_v), world.catalog
    pair_p, unseen_p = pairs(viewer_n[pool], author_n[pool]), np.ones(len(pool), np.bool_)
    certain = np.concatenate(certain_v)
    shown = PairSet(np.sort(pairs(viewer_n[certain], author_n[certain])))
    unseen_p[shown.find(pair_p)[0]] = False
    pool, pair_p = pool[unseen_p], pair_p[unseen_p]
    order = pair_p.argsort()
    pool, pair_p = pool[order], pair_p[order]
    first_p = np.ones(len(pool), np.bool_)
    np.not_equal(pair_p[1:], pair_p[:-1], out=first_p[1:])
    start_g = first_p.nonzero()[0]
    size_g = np.diff(start_g, append=len(pool))
    viewer_g, author_g = pair_p[start_g] >> 32, author_n[pool[start_g]]
    authors_v = np.bincount(viewer_g, minlength=viewers)
    drawing = (authors_v > slots).nonzero()[0] if slots else NO_POSITIONS
    if not len(drawing):
        return [None] * viewers

    key_g = _mix(catalog.account_hash_a[author_g].astype(np.uint64) ^ seed_v[viewer_g], _AUTHOR)
    by_key = np.lexsort((key_g, viewer_g))
    start_v = authors_v.cumsum() - authors_v
    drawn_k = by_key[(start_v[drawing, None] + np.arange(slots)).ravel()]
    viewer_k, size_k = viewer_g[drawn_k], size_g[drawn_k]
    # Of their media, the one with the lowest key.
    start_k = size_k.cumsum() - size_k
    group_m = np.arange(len(drawn_k)).repeat(size_k)
    member_m = pool[np.arange(len(group_m)) + (start_g[drawn_k] - start_k)[group_m]]
    media_hash_m = catalog.media_hash_n[media_n[member_m]].astype(np.uint64)
    key_m = _mix(media_hash_m ^ seed_v[viewer_k][group_m], _MEDIA)
    rows_k = member_m[np.lexsort((member_m, key_m, group_m))[start_k]]
    propensity_k = slots / authors_v[viewer_k] / size_k
    base_w = np.array([len(certain_v[at]) for at in drawing.tolist()])
    first_w = (config.first_position * (base_w + slots)).astype(np.int64)
    places_ws = _mix(np.arange(slots, dtype=np.uint64) ^ seed_v[drawing, None], _PLACE)
    free_w = (base_w - first_w + 1).astype(np.uint64)
    at_ws = first_w[:, None] + (places_ws % free_w[:, None]).astype(np.int64)

    drawn: list[Drawn | None] = [None] * viewers
    for w, (at, base, places) in enumerate(
        zip(drawing.tolist(), base_w.tolist(), at_ws.tolist(), strict=True)
    ):
        mine = slice(w * slots, (w + 1) * slots)
        drawn[at] = Drawn(rows_k[mine], propensity_k[mine], _inserted(base, places))
    return drawn


def _inserted(base: int, places: list[int]) -> list[int]:
    """Numbers below `base` in order, and the next ones before those at `places`."""
    order = list(range(base))
    for place, number in sorted(zip(places, range(base, base + len(places)), strict=True))[::-1]:
        order.insert(place, number)
    return order


def _mix(state_n: NDArray[np.uint64], constant: np.uint64) -> NDArray[np.uint64]:
    """Scatter 64-bit numbers: the finaliser of splitmix64 (Steele et al., OOPSLA 2014)."""
    z = state_n + constant
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
