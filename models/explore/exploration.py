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

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.actions import VIEWS
from models.arrays.mixing import mix
from models.arrays.types import Rows
from models.events import DAY_MS
from models.world import World

Seeds = NDArray[np.uint64]

#: What sets apart the numbers that decide on media, authors and places of one seed.
MEDIA: Final = np.uint64(0x9E3779B97F4A7C15)
AUTHOR: Final = np.uint64(0xD1B54A32D192ED03)
PLACE: Final = np.uint64(0x8CB92BA72F3D8DD7)


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


def seeds_of(viewer_hash_v: NDArray[np.integer], generated_at_ms: int) -> Seeds:
    """The seed of the draw for each viewer's grid."""
    return mix(mix(viewer_hash_v.astype(np.uint64), MEDIA) ^ np.uint64(generated_at_ms), PLACE)


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
