"""The port of the ranking passes."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from models.feature_schema import DENSE_INDEX, FeatureMatrix


class Pass(Protocol):
    """One ranking pass.

    ``score`` gives scores_n (first and second pass, higher is better) or probabilities_nh
    (final pass: like, save, see_fewer). Any n is valid, zero included.
    """

    @property
    def columns(self) -> tuple[int, ...]:
        """Dense columns it reads; what is scored has at least these."""
        ...

    def score(self, features: FeatureMatrix) -> NDArray[np.float32]:
        """Score every row of `features`, independently of its neighbours."""
        ...


class Rankers(Protocol):
    """The three passes of one version, swapped as one."""

    @property
    def version(self) -> str:
        """Name of the version for grids, metrics and impressions."""
        ...

    @property
    def first(self) -> Pass:
        """Candidates → first cut."""
        ...

    @property
    def second(self) -> Pass:
        """First cut → second cut."""
        ...

    @property
    def final(self) -> Pass:
        """Second cut → probabilities."""
        ...


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


class _PriorScore:
    """Rank by the sum of the three log-odds' contributions to value."""

    @property
    def columns(self) -> tuple[int, ...]:
        return _READ

    def score(self, features: FeatureMatrix) -> NDArray[np.float32]:
        like_n, save_n, see_fewer_n = _log_odds(features)
        score_n: NDArray[np.float32] = like_n + 0.5 * save_n - 0.5 * see_fewer_n
        return score_n


class _PriorProbabilities:
    @property
    def columns(self) -> tuple[int, ...]:
        return _READ

    def score(self, features: FeatureMatrix) -> NDArray[np.float32]:
        odds_nh = np.stack(_log_odds(features), axis=1)
        return (1.0 / (1.0 + np.exp(-odds_nh))).astype(np.float32)


#: Dense columns that :func:`_log_odds` reads.
_READ: Final = tuple(
    sorted(
        DENSE_INDEX[name]
        for name in (
            "seed_similarity", "short_similarity", "long_similarity", "see_fewer_similarity",
            "topic_affinity", "topic_aversion", "viewer_author_like", "viewer_author_aversion",
            "media_freshness", "media_long_views", "media_long_view_rate", "media_likes",
            "media_like_rate", "media_saves", "media_save_rate", "media_see_fewer_rate",
            "author_like_rate", "viewer_like_rate",
        )
    )
)  # fmt: skip


def _log_odds(
    features: FeatureMatrix,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
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
    like = (
        np.float32(-4.5)
        + affinity
        + held
        + 1.0 * column("media_likes")
        + 1.5 * column("media_like_rate")
        + 0.5 * column("author_like_rate")
        + 2.0 * column("viewer_like_rate")
    )
    save = (
        np.float32(-5.5)
        + affinity
        + held
        + 1.0 * column("media_saves")
        + 0.5 * column("media_save_rate")
    )
    see_fewer = (
        np.float32(-6.0)
        - 0.5 * affinity
        + 3.0 * see_fewer_similarity
        + 1.0 * column("topic_aversion")
        + 1.5 * column("media_see_fewer_rate")
        + 1.0 * column("viewer_author_aversion")
    )
    return like, save, see_fewer
