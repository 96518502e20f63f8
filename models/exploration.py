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
    if new_n.any():
        counts_n5 = world.popularity.decayed_media(media_n, now_ms)
        views_n = counts_n5[:, Action.VIEW] + counts_n5[:, Action.LONG_VIEW]
        new_n &= views_n < config.max_views
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
    pool = pool[~np.isin(author_n[pool], author_n[certain])]
    authors, group_p, size_g = np.unique(author_n[pool], return_inverse=True, return_counts=True)
    if slots == 0 or len(authors) <= slots:
        return None
    key = np.uint64(seed)
    author_hash_g = world.catalog.account_hash_a[authors].astype(np.uint64)
    groups = np.argsort(_mix(author_hash_g ^ key, _AUTHOR), kind="stable")[:slots]
    media_key_p = _mix(world.catalog.media_hash_n[media_n[pool]].astype(np.uint64) ^ key, _MEDIA)
    rows = np.empty(slots, np.int64)
    for at, group in enumerate(groups.tolist()):
        members = np.flatnonzero(group_p == group)
        rows[at] = pool[members[np.argmin(media_key_p[members])]]
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
