"""What other weights and another spread would have been worth, from pages in random order.

Whatever order is to be judged, it is an order of the pools that were logged: how varied it is and
how much of it is new is known exactly, what viewers would have done is estimated, by item and
position (:mod:`models.off_policy`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.actions import HEAD_NAMES, HEADS, SIGNS, Action
from models.events import DAY_MS
from models.explore.diversity import DiversityConfig, diversify
from models.explore.randomisation import RandomOrder
from models.off_policy.estimators import ESTIMATORS, Estimate
from models.off_policy.logged import Floats, Logged
from models.off_policy.outcome import cross_fitted
from models.off_policy.support import ThinSupportError, check_support
from models.rankers.value import Weights, value

#: A media posted since is new.
NEW_MS: Final = DAY_MS
#: What is worth something by itself, in the order of the columns of rewards.
_WORTH_H: Final = Weights().worth_h() * np.array(SIGNS)
#: The estimate that is relied on.
RELIED_ON: Final = "shrunken"


class RandomPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page that was served in random order, and what came of it.

    Attributes:
        viewer: her number; viewers, not pages, are taken for independent.
        order: what it was drawn from.
        media_ids: shown, in order.
        done: action → positions of what it was done to.
    """

    viewer: int
    order: RandomOrder
    media_ids: Sequence[str]
    done: Mapping[Action, Collection[int]]


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What an order of the logged pools is worth, by position.

    Attributes:
        actions: estimated rate of each action that has a weight.
        worth: estimated value of the actions by the default weights.
        variety: different authors of a page over its items, known exactly.
        new_media: share of the items that are younger than a day, known exactly.
    """

    actions: dict[str, Estimate]
    worth: Estimate
    variety: float
    new_media: float


class RandomOrders:
    """Pages in random order as columns, to judge other orders of their pools by.

    Suffixes: p for the items of all pools, n for what was shown, h for actions, f for features.

    Raises:
        ThinSupportError: there are none.
    """

    def __init__(self, pages: Sequence[RandomPage]) -> None:
        if not pages:
            raise ThinSupportError(
                "no page was served in random order; set RANDOMISED_SHARE to a share of the "
                "traffic, e.g. 0.02, and wait until there are some thousands"
            )
        self._sizes = [len(page.media_ids) for page in pages]
        pools = [page.order.pool for page in pages]
        self._pools = np.cumsum([0, *map(len, pools)])
        items = [item for pool in pools for item in pool]
        self._expected_ph = np.array(
            [[item.expected.get(name, 0.0) for name in HEAD_NAMES] for item in items]
        )
        authors: dict[str, int] = {}
        self._author_p = np.array([authors.setdefault(i.author_id, len(authors)) for i in items])
        self._group_p = np.array([item.group for item in items])
        self._personal_p = np.array([item.personal for item in items])
        self._new_p = np.array([item.age_ms < NEW_MS for item in items])

        self._viewer_n = np.repeat([page.viewer for page in pages], self._sizes)
        self._chance_n = np.repeat([page.order.chance for page in pages], self._sizes)
        self._place_n = np.concatenate([np.arange(size) for size in self._sizes])
        self._shown_n = np.concatenate(
            [_places(page) + first for page, first in zip(pages, self._pools, strict=False)]
        )
        self._reward_nh = np.zeros((len(self._viewer_n), len(HEADS)))
        first = 0
        for page, size in zip(pages, self._sizes, strict=True):
            for h, head in enumerate(HEADS):
                self._reward_nh[[first + at for at in page.done.get(head, ()) if at < size], h] = 1
            first += size
        folds = cross_fitted(self._features(self._shown_n), self._reward_nh, self._viewer_n)
        self._folds = folds
        self._predicted_nh = self._predicted(self._shown_n)

    def __len__(self) -> int:
        return len(self._sizes)

    def judge(
        self, weights: Weights, diversity: DiversityConfig, personal_share: float = 0.3
    ) -> Judged:
        """What another order would have been worth.

        Args:
            personal_share: see :class:`models.explore.pipeline.ExploreConfig`.

        Raises:
            ThinSupportError: there are too few pages; says how many it takes.
        """
        wanted_n = self._wanted(weights, diversity, personal_share)
        target_n = (wanted_n == self._shown_n).astype(np.float64)
        expected_nh = self._predicted(wanted_n)

        def estimate(worth_h: Floats) -> Estimate:
            logged = Logged.of(
                self._viewer_n, self._reward_nh @ worth_h, self._chance_n, target_n,
                self._predicted_nh @ worth_h, expected_nh @ worth_h,
            )  # fmt: skip
            check_support(logged)
            return ESTIMATORS[RELIED_ON](logged)

        return Judged(
            actions={
                name: estimate(one_h)
                for name, one_h in zip(HEAD_NAMES, np.eye(len(HEADS)), strict=True)
            },
            worth=estimate(_WORTH_H),
            variety=self._variety(wanted_n),
            new_media=float(self._new_p[wanted_n].mean()),
        )

    def _wanted(
        self, weights: Weights, diversity: DiversityConfig, personal_share: float
    ) -> NDArray[np.int64]:
        """What would be shown at each place."""
        value_p, found = value(self._expected_ph, weights), []
        for at, size in enumerate(self._sizes):
            p = slice(self._pools[at], self._pools[at + 1])
            order = diversify(
                value_p[p], self._author_p[p], self._group_p[p], size, diversity,
                self._personal_p[p], int(personal_share * size),
            )  # fmt: skip
            found.append(order + p.start)
        return np.concatenate(found)

    def _variety(self, wanted_n: NDArray[np.int64]) -> float:
        page_n = np.arange(len(self)).repeat(self._sizes)
        pairs = np.stack([page_n, self._author_p[wanted_n]])
        return float(np.unique(pairs, axis=1).shape[1] / len(wanted_n))

    def _features(self, shown_n: NDArray[np.int64]) -> Floats:
        """What rewards are explained by: what is expected, less of it the further down."""
        ones_n1 = np.ones((len(shown_n), 1))
        of_nf = np.concatenate([ones_n1, self._expected_ph[shown_n]], axis=1)
        down_n1 = 1.0 / (1.0 + self._place_n[:, None] / 10.0)
        return np.concatenate([of_nf, of_nf * down_n1], axis=1)

    def _predicted(self, shown_n: NDArray[np.int64]) -> Floats:
        """Rates of actions that a model fitted on other viewers predicts, (n, h)."""
        features_nf = self._features(shown_n)
        predicted_nh = np.zeros_like(self._reward_nh)
        for of_n, weights_fh in self._folds:
            predicted_nh[of_n] = features_nf[of_n] @ weights_fh
        return predicted_nh


def _places(page: RandomPage) -> NDArray[np.int64]:
    """Where in the pool what was shown is."""
    at = {item.media_id: number for number, item in enumerate(page.order.pool)}
    return np.array([at[media_id] for media_id in page.media_ids], np.int64)
