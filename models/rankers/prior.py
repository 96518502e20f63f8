"""What ranks until a trained version exists."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from models.actions import HEAD_NAMES, HEADS, NEGATIVE_HEADS, SIGNS
from models.arrays.types import Float
from models.feature_schema import DENSE_INDEX, FeatureMatrix
from models.rankers.interest import Interest
from models.rankers.prior_order import RATE, READ, wanted
from models.rankers.protocol import Pass, Spread


class PriorRankers:
    """Passes without training: popularity, moved by what the viewer's history is like.

    They serve until a trained version exists, so that a grid always comes, in the order of
    :mod:`models.rankers.prior_order`.
    """

    def __init__(self) -> None:
        self.version = "prior"
        self.first: Pass = _PriorScore()
        self.second: Pass = self.first
        self.final: Pass = _PriorProbabilities()
        self.interest: Spread = Interest.none()


class _PriorScore:
    """Rank by the sum of the log-odds' contributions to value."""

    @property
    def columns(self) -> tuple[int, ...]:
        return _READ

    def score(self, features: FeatureMatrix) -> Float:
        # No product of matrices: that adds up in an order that depends on how many rows there are.
        score_n: Float = np.add.reduce(_log_odds(features) * _WORTH_H, axis=1)
        return score_n


class _PriorProbabilities:
    @property
    def columns(self) -> tuple[int, ...]:
        return _READ

    def score(self, features: FeatureMatrix) -> Float:
        return (1.0 / (1.0 + np.exp(-_log_odds(features)))).astype(np.float32)


#: What log-odds of each head count, with its sign.
_WORTH_H: Final = (np.array([head.row.worth for head in HEADS]) * SIGNS).astype(np.float32)
#: Dense columns that :func:`_log_odds` reads.
_READ: Final = tuple(
    sorted(
        DENSE_INDEX[name]
        for name in (
            *READ, "topic_aversion", "viewer_author_aversion",
            *(f"media_{name}_rate" for name in HEAD_NAMES),
        )
    )
)  # fmt: skip


def _log_odds(features: FeatureMatrix) -> Float:
    """Log-odds_nh of every head."""
    column = features.column
    wanted_n, _ = wanted(features)
    odds_nh = np.empty((len(features), len(HEADS)), np.float32)
    for h, (name, head) in enumerate(zip(HEAD_NAMES, HEADS, strict=True)):
        base = math.log(head.row.rate / (1 - head.row.rate))
        rate_n = RATE * column(f"media_{name}_rate")
        # A part of it: the order is what counts, and a sigmoid must not run into 1.
        if h in NEGATIVE_HEADS:
            averse_n = column("topic_aversion") + column("viewer_author_aversion")
            # Of what is wanted it says nothing: then the order is that which training begins with.
            odds_nh[:, h] = base + rate_n + averse_n
        else:
            odds_nh[:, h] = base - 1.0 + 0.3 * (wanted_n + rate_n)
    return odds_nh
