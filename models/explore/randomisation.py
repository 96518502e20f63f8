"""A share of the grids in a random order, so that logs can tell what other orders are worth.

Whoever would order media in another way asks what viewers would have done with what they were not
shown. A uniformly random order of the whole pool answers for every order of it: each item is at
each position with the same known chance, one over the size of the pool (Li, Chu, Langford and Wang,
"Unbiased offline evaluation of contextual-bandit-based news article recommendation algorithms",
WSDM 2011; by position Li et al., KDD 2018). The pool goes into the log with all that an order is
made of, also what was not shown of it.

A viewer gets such grids for a whole hour or not at all: whether she does depends on nothing that
she did. The order depends on the viewer and on the time of the grid alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.actions import HEAD_NAMES
from models.arrays.mixing import mix
from models.arrays.types import Mask, Positions, Rows
from models.events import HOUR_MS, Count, Id
from models.explore.slate import Slate, groups
from models.explore.stage import Stage
from models.explore.valuation import Scored, expect_see_fewer, see_fewer_likelihood
from models.inventory.catalog import Catalog

#: What sets apart the numbers that decide whether and how.
_WHETHER: Final = np.uint64(0xA0761D6478BD642F)
_ORDER: Final = np.uint64(0xE7037ED1A0B428DB)
_TO_SHARE: Final = 1.0 / (1 << 53)


class RandomisationConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the traffic is put into a random order.

    Attributes:
        share: of the viewers in each hour; 0 for nobody.
    """

    share: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 1.0:
            raise ValueError(
                f"the share of randomised traffic is {self.share}; give a number from 0 to 1"
            )


class PoolItem(msgspec.Struct, frozen=True):
    """One media that a random order was drawn from, with what any order is made of.

    Attributes:
        group: number within the pool of what grids are spread over: its seed, else its topic; −1
            for neither.
        personal: found through the viewer's own accounts.
        age_ms: since it was posted.
        expected: by action, what the value is a weighted sum of, the rule about see-fewers applied.
    """

    media_id: Id
    author_id: Id
    group: Annotated[int, msgspec.Meta(ge=-1, lt=1 << 31)]
    personal: bool
    age_ms: Count
    expected: dict[str, float]


class RandomOrder(msgspec.Struct, frozen=True):
    """That a page is the beginning of a uniformly random order, and of what.

    Attributes:
        pool: all of which the order is; each was at each position with the chance 1 / their number.
    """

    pool: list[PoolItem]

    @property
    def chance(self) -> float:
        """The chance of each item of the pool at each position of the page."""
        return 1.0 / len(self.pool)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The columns of one viewer's pool, p items.

    Attributes:
        media_p, author_p: catalogue rows.
        group_p: as in :class:`PoolItem`.
        expected_ph: columns :data:`models.actions.HEADS`.
    """

    media_p: Rows
    author_p: Rows
    group_p: NDArray[np.int64]
    personal_p: Mask
    age_p: NDArray[np.int64]
    expected_ph: NDArray[np.float64]

    def shares(self, size: int) -> NDArray[np.float64]:
        """For each of the first `size` items of the order, the chance to be among them."""
        return np.full(size, size / len(self.media_p))

    def document(self, catalog: Catalog) -> RandomOrder:
        """The pool as it is logged."""
        columns = zip(
            catalog.media_ids(self.media_p),
            catalog.author_ids(self.author_p),
            self.group_p.tolist(),
            self.personal_p.tolist(),
            np.maximum(self.age_p, 0).tolist(),
            self.expected_ph.tolist(),
            strict=True,
        )
        return RandomOrder(
            [
                PoolItem(
                    media, author, group, personal, age, dict(zip(HEAD_NAMES, of, strict=True))
                )
                for media, author, group, personal, age, of in columns
            ]
        )


def is_randomised(
    viewer_hash_v: NDArray[np.integer], now_ms: int, config: RandomisationConfig
) -> Mask:
    """Which viewers get random orders in the hour of `now_ms`."""
    hour = np.uint64(now_ms // HOUR_MS)
    mixed_v = mix(mix(viewer_hash_v.astype(np.uint64), _WHETHER) ^ hour, _WHETHER)
    drawn_v: NDArray[np.float64] = (mixed_v >> np.uint64(11)).astype(np.float64) * _TO_SHARE
    return drawn_v < config.share


def put_into_random_order(
    slates: Sequence[Slate],
    left: Stage,
    scored: Scored,
    size: int,
    see_fewer_strength: float,
    config: RandomisationConfig,
) -> tuple[list[Slate], list[Pool | None]]:
    """The slates with a random order in place of those of some viewers, and what that is of.

    What comes behind all others for a see-fewer on its author is in no pool. Nothing is drawn for
    new media: all of the pool have the same chance.

    Args:
        left: what the passes left.
        scored: what the final pass says of it.
        see_fewer_strength: see :class:`models.explore.pipeline.ExploreConfig`.
    """
    rows, found = left.assembly.rows, list(slates)
    pools: list[Pool | None] = [None] * len(found)
    chosen_v = is_randomised(rows.batch.hash_v, rows.now_ms, config)
    if not chosen_v.any():
        return found, pools
    group_m, hash_m = groups(left), rows.world.catalog.media_hash_n[rows.media_n]
    expected_mh = expect_see_fewer(
        scored.expected_nh, see_fewer_strength * see_fewer_likelihood(left.assembly)
    )
    seed_v = mix(mix(rows.batch.hash_v.astype(np.uint64), _ORDER) ^ np.uint64(rows.now_ms), _ORDER)
    for at in chosen_v.nonzero()[0].tolist():
        span = left.spans[at]
        pool_p: Positions = (~left.behind_n[span]).nonzero()[0]
        if not len(pool_p):
            continue
        key_p = mix(hash_m[span][pool_p].astype(np.uint64) ^ seed_v[at], _ORDER)
        found[at] = Slate(pool_p[np.argsort(key_p, kind="stable")][:size], None)
        m = pool_p + span.start
        number_p = np.unique(np.maximum(group_m[m], -1), return_inverse=True)[1]
        pools[at] = Pool(
            media_p=rows.media_n[m],
            author_p=rows.author_n[m],
            group_p=np.where(group_m[m] < 0, -1, number_p),
            personal_p=left.personal_n[m],
            age_p=rows.age_n[m],
            expected_ph=expected_mh[m],
        )
    return found, pools
