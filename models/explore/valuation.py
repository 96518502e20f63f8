"""What the final pass says of media, and what that is worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.feature_schema import FeatureMatrix
from models.features.assembly import Assembly
from models.rankers.protocol import Rankers
from models.rankers.value import Weights, value


@dataclass(frozen=True, slots=True)
class Scored:
    """What the final pass says of n media, and what that is worth.

    Attributes:
        features: what it saw.
        probabilities_nh: like, save, see_fewer.
        value_n: `penalty_n` taken off.
        penalty_n: value taken off for likeness to what the viewer saw fewer of.
    """

    features: FeatureMatrix
    probabilities_nh: NDArray[np.floating]
    value_n: NDArray[np.float64]
    penalty_n: NDArray[np.float64]

    def take(self, rows: NDArray[np.int64] | slice) -> Scored:
        """These rows."""
        return Scored(
            self.features.take(rows),
            self.probabilities_nh[rows],
            self.value_n[rows],
            self.penalty_n[rows],
        )

    def append(self, more: Scored) -> Scored:
        """These rows, then those of `more`."""
        return Scored(
            FeatureMatrix.concatenate([self.features, more.features]),
            np.concatenate([self.probabilities_nh, more.probabilities_nh]),
            np.concatenate([self.value_n, more.value_n]),
            np.concatenate([self.penalty_n, more.penalty_n]),
        )


def score_final(assembly: Assembly, rankers: Rankers, weights: Weights, strength: float) -> Scored:
    """The final pass on these media, and their values.

    Args:
        strength: likelihood of a further see-fewer, given one on the same author now.
    """
    features = assembly.matrix()
    # Of NaN and 0, fmax takes 0.
    probabilities_nh = np.minimum(np.fmax(rankers.final.score(features), 0.0), 1.0)
    see_fewer_n = strength * assembly.column("see_fewer_similarity")
    value_n = value(expect_see_fewer(probabilities_nh, see_fewer_n), weights)
    penalty_n = value(probabilities_nh, weights) - value_n
    return Scored(features, probabilities_nh, value_n, penalty_n)


def expect_see_fewer(
    probabilities_nh: NDArray[np.floating], likelihood_n: NDArray[np.floating]
) -> NDArray[np.float64]:
    """The probabilities, with an independent `likelihood_n` of a see-fewer added to the model's."""
    adjusted_nh = np.array(probabilities_nh, np.float64)
    bounded_n = np.minimum(np.maximum(likelihood_n, 0.0), 1.0)
    adjusted_nh[:, 2] = 1.0 - (1.0 - adjusted_nh[:, 2]) * (1.0 - bounded_n)
    return adjusted_nh
