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

from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.columns import Rows
from models.events import Action
from models.world import World

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
    max_age_ms: int = 72 * 3_600_000
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
    order: NDArray[np.int64]


def seed_of(viewer_hash: int, generated_at_ms: int) -> int:
    """The seed of a grid's draw."""
    mixed = _mix(np.array([viewer_hash], np.uint64), _MEDIA) ^ np.uint64(generated_at_ms)
    return int(_mix(mixed, _PLACE)[0])


def is_new(
    media_n: Rows, world: World, now_ms: int, config: ExplorationConfig
) -> NDArray[np.bool_]:
    """Which media are young and little viewed."""
    new_n: NDArray[np.bool_] = now_ms - world.catalog.created_ts_n[media_n] <= config.max_age_ms
    young = new_n.nonzero()[0]
    if len(young):
        counts_y5 = world.popularity.decayed_media(media_n[young], now_ms)
        views_y = counts_y5[:, Action.VIEW] + counts_y5[:, Action.LONG_VIEW]
        new_n[young] = views_y < config.max_views
    return new_n


def draw(
    pool: NDArray[np.int64],
    media_n: Rows,
    author_n: Rows,
    certain: NDArray[np.int64],
    slots: int,
    seed: int,
    world: World,
    config: ExplorationConfig,
) -> Drawn | None:
    """Draw `slots` rows of `pool`: first authors, all with the same chance, then a media of each.

    So an author gains nothing by posting often. Authors of what is shown for certain are left out.

    Args:
        pool: candidates that may be drawn.
        media_n, author_n: of all candidates.
        certain: candidates that are in the grid already.
        seed: decides; see :func:`seed_of`.

    Returns:
        None where there are not more authors than slots: nothing is left to chance then, and the
        places are better filled by value.
    """
    # Few against few: comparing all with all costs less than sorting them.
    author_p = author_n[pool]
    left = ~(author_p[:, None] == author_n[certain]).any(axis=1)
    pool, author_p = pool[left], author_p[left]
    order = author_p.argsort(kind="stable")
    pool, author_p = pool[order], author_p[order]
    first_p = np.ones(len(pool), np.bool_)
    np.not_equal(author_p[1:], author_p[:-1], out=first_p[1:])
    start_g = first_p.nonzero()[0]
    authors = author_p[start_g]
    if slots == 0 or len(authors) <= slots:
        return None
    size_g = np.append(start_g[1:], len(pool)) - start_g
    key = np.uint64(seed)
    author_hash_g = world.catalog.account_hash_a[authors].astype(np.uint64)
    groups = _mix(author_hash_g ^ key, _AUTHOR).argsort(kind="stable")[:slots]
    rows = np.empty(slots, np.int64)
    for at, (start, size) in enumerate(zip(start_g[groups], size_g[groups], strict=True)):
        members = pool[start : start + size]
        media_hash_p = world.catalog.media_hash_n[media_n[members]].astype(np.uint64)
        rows[at] = members[_mix(media_hash_p ^ key, _MEDIA).argmin()]
    base = len(certain)
    first = int(config.first_position * (base + slots))
    places = _mix(np.arange(slots, dtype=np.uint64) ^ key, _PLACE)
    at_s = first + (places % np.uint64(base - first + 1)).astype(np.int64)
    return Drawn(
        rows=rows,
        propensity_n=slots / len(authors) / size_g[groups],
        order=np.insert(np.arange(base), at_s, base + np.arange(slots)),
    )


def _mix(state_n: NDArray[np.uint64], constant: np.uint64) -> NDArray[np.uint64]:
    """Scatter 64-bit numbers: the finaliser of splitmix64 (Steele et al., OOPSLA 2014)."""
    z = state_n + constant
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
