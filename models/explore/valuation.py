"""What the final pass says of media, and what that is worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.actions import NEGATIVE_HEADS
from models.feature_schema import FeatureMatrix
from models.features.assembly import Assembly
from models.rankers.protocol import Rankers
from models.rankers.value import Weights, value


@dataclass(frozen=True, slots=True)
class Scored:
    """What the final pass says of n media, and what that is worth.

    Attributes:
        features: what it saw.
        probabilities_nh: of what happens when it is shown, columns :data:`models.actions.HEADS`.
        expected_nh: what the order is made of: those, spread by the viewer's interest.
        value_n: of what is expected, `penalty_n` taken off.
        penalty_n: value taken off for see-fewers on the same author.
    """

    features: FeatureMatrix
    probabilities_nh: NDArray[np.floating]
    expected_nh: NDArray[np.floating]
    value_n: NDArray[np.float64]
    penalty_n: NDArray[np.float64]

    def take(self, rows: NDArray[np.int64] | slice) -> Scored:
        """A new set of only these rows, in their order."""
        return Scored(
            self.features.take(rows),
            self.probabilities_nh[rows],
            self.expected_nh[rows],
            self.value_n[rows],
            self.penalty_n[rows],
        )


def score_final(assembly: Assembly, rankers: Rankers, weights: Weights, strength: float) -> Scored:
    """The final pass on these media, and their values.

    Args:
        strength: likelihood of a further see-fewer, given one on the same author now.
    """
    features = assembly.matrix()
    # Of NaN and 0, fmax takes 0.
    probabilities_nh = np.minimum(np.fmax(rankers.final.score(features), 0.0), 1.0)
    expected_nh = rankers.interest.expected(features, probabilities_nh)
    see_fewer_n = strength * see_fewer_likelihood(assembly)
    value_n = value(expect_see_fewer(expected_nh, see_fewer_n), weights)
    penalty_n = value(expected_nh, weights) - value_n
    return Scored(features, probabilities_nh, expected_nh, value_n, penalty_n)


def see_fewer_likelihood(assembly: Assembly) -> NDArray[np.float32]:
    """How certain a further see-fewer is by the rule alone, (n,), in [0, 1].

    1 just after one on the same author, half of it a week later, 0 where there was none. What it
    says of other authors is for the passes to learn.
    """
    column_n: NDArray[np.float32] = assembly.column("viewer_author_aversion")
    return column_n


def expect_see_fewer(
    probabilities_nh: NDArray[np.floating], likelihood_n: NDArray[np.floating]
) -> NDArray[np.float64]:
    """The probabilities, with an independent `likelihood_n` of a see-fewer added to the model's."""
    adjusted_nh = np.array(probabilities_nh, np.float64)
    bounded_n = np.minimum(np.maximum(likelihood_n, 0.0), 1.0)
    for h in NEGATIVE_HEADS:
        adjusted_nh[:, h] = 1.0 - (1.0 - adjusted_nh[:, h]) * (1.0 - bounded_n)
    return adjusted_nh
