"""What ranks until a trained version exists."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from models.actions import HEAD_NAMES, HEADS, Action
from models.arrays.types import Float
from models.feature_schema import DENSE_INDEX, FeatureMatrix
from models.rankers.interest import Interest
from models.rankers.protocol import Pass, Spread


class PriorRankers:
    """Passes without training: popularity rates moved by similarity, in log-odds.

    They serve until a trained version exists, so that a grid always comes. The coefficients are
    round numbers, checked once on KuaiRand to rank like popularity there, yet near enough to the
    viewer's accounts that a first like shows.
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
        odds_nh = _log_odds(features)
        score_n: Float = odds_nh[:, _LIKE] + 0.5 * odds_nh[:, _SAVE] - 0.5 * odds_nh[:, _SEE_FEWER]
        return score_n


class _PriorProbabilities:
    @property
    def columns(self) -> tuple[int, ...]:
        return _READ

    def score(self, features: FeatureMatrix) -> Float:
        return (1.0 / (1.0 + np.exp(-_log_odds(features)))).astype(np.float32)


_LIKE: Final = HEADS.index(Action.LIKE)
_SAVE: Final = HEADS.index(Action.SAVE)
_SEE_FEWER: Final = HEADS.index(Action.SEE_FEWER)

#: Dense columns that :func:`_log_odds` reads.
_READ: Final = tuple(
    sorted(
        DENSE_INDEX[name]
        for name in (
            "seed_similarity", "short_similarity", "long_similarity", "see_fewer_similarity",
            "topic_affinity", "topic_aversion", "viewer_author_like", "viewer_author_aversion",
            "media_freshness", "author_like_rate", "viewer_like_rate",
            *(f"media_{name}s" for name in HEAD_NAMES),
            *(f"media_{name}_rate" for name in HEAD_NAMES),
        )
    )
)  # fmt: skip


def _log_odds(features: FeatureMatrix) -> Float:
    """Log-odds_nh of every head."""
    column = features.column
    see_fewer_similarity = column("see_fewer_similarity")
    affinity = (
        0.8 * column("seed_similarity")
        + 0.5 * column("short_similarity")
        + 0.3 * column("long_similarity")
        + 0.5 * column("topic_affinity")
        + 0.5 * column("viewer_author_like")
        + 0.3 * column("media_freshness")
        - 4.0 * see_fewer_similarity
    )
    # How much a media holds its viewers says more than anything else while little is known.
    held = 2.0 * column("media_long_views") + 0.5 * column("media_long_view_rate")
    odds_nh = np.empty((len(features), len(HEADS)), np.float32)
    for h, (name, head) in enumerate(zip(HEAD_NAMES, HEADS, strict=True)):
        odds_nh[:, h] = (
            np.float32(math.log(head.row.rate / (1 - head.row.rate)))
            + affinity * head.row.polarity
            + 0.5 * column(f"media_{name}_rate")
        )
    # Of these more is known.
    odds_nh[:, _LIKE] = (
        np.float32(-4.5)
        + affinity
        + held
        + 1.0 * column("media_likes")
        + 1.5 * column("media_like_rate")
        + 0.5 * column("author_like_rate")
        + 2.0 * column("viewer_like_rate")
    )
    odds_nh[:, _SAVE] = (
        np.float32(-5.5)
        + affinity
        + held
        + 1.0 * column("media_saves")
        + 0.5 * column("media_save_rate")
    )
    odds_nh[:, _SEE_FEWER] = (
        np.float32(-6.0)
        - 0.5 * affinity
        + 3.0 * see_fewer_similarity
        + 1.0 * column("topic_aversion")
        + 1.5 * column("media_see_fewer_rate")
        + 1.0 * column("viewer_author_aversion")
    )
    return odds_nh
