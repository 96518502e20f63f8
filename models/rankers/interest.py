"""Which candidates a viewer will engage with, shown or not: the order that grids are made in.

The final pass says how a media is received *when it is shown*, and learns it from exposures: media
that some system chose. Most candidates are not like those, so the order of candidates comes from
choices among them instead (:mod:`models.examples.choices`;
``docs/decisions/0026-value-of-choices.md`` says why the two stay apart).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from models.actions import HEADS, NEGATIVE_HEADS
from models.arrays.types import Float
from models.feature_schema import ALL_COLUMNS, DENSE_NAMES, FeatureMatrix
from models.rankers.ensemble import Ensemble
from models.rankers.networks import Arrays, ModelError, Standardizer, sigmoid, take_array
from models.rankers.prior_order import prior_order

_WHAT: Final = "interest"


class Interest:
    """P(the viewer does it next | among the candidates), put to the scale of what is shown.

    Args:
        standardizer: of all dense features.
        ensemble: log-odds of each head, beside those of the prior.
        prior_h: what the order of the prior counts in the log-odds of each head. Training begins
            there, so that few choices move it little.
        scale_h: what makes the mean over candidates that of the final pass; 0 for a head that
            choices say nothing of, which is left to the final pass.

    Raises:
        ModelError: the parts do not fit each other.
    """

    def __init__(
        self,
        standardizer: Standardizer,
        ensemble: Ensemble,
        prior_h: NDArray[np.float32],
        scale_h: NDArray[np.float32],
    ) -> None:
        if ensemble.inputs != len(DENSE_NAMES) or ensemble.outputs != len(HEADS):
            raise ModelError(
                f"{_WHAT}: network {ensemble.inputs} → {ensemble.outputs}; expected "
                f"{len(DENSE_NAMES)} → {len(HEADS)}"
            )
        if scale_h.shape != (len(HEADS),) or (scale_h < 0).any():
            raise ModelError(f"{_WHAT}: scales {scale_h}; expected one of at least 0 a head")
        if prior_h.shape != (len(HEADS),):
            raise ModelError(f"{_WHAT}: prior {prior_h}; expected a number for each head")
        self.standardizer, self.ensemble = standardizer, ensemble
        self.prior_h, self.scale_h = prior_h, scale_h
        told_h = scale_h > 0
        # What viewers want less of is known only where it was shown.
        told_h[list(NEGATIVE_HEADS)] = False
        self._told = np.flatnonzero(told_h)

    @property
    def columns(self) -> tuple[int, ...]:
        """Dense columns it reads: all."""
        return ALL_COLUMNS

    def score(self, features: FeatureMatrix) -> Float:
        """P(next) of each head before scaling, (n, h)."""
        logits_nh = self.ensemble(self.standardizer(features.select(ALL_COLUMNS)))
        logits_nh += prior_order(features) * self.prior_h
        return sigmoid(logits_nh)

    def expected(self, features: FeatureMatrix, probabilities_nh: Float) -> Float:
        """What the order is made of: the final pass's probabilities, spread by interest.

        Args:
            probabilities_nh: of the final pass.
        """
        if not len(self._told):
            return probabilities_nh
        next_nh = self.score(features)
        expected_nh: Float = np.array(probabilities_nh, np.float32)
        told = self._told
        # May come out above 1: what is wanted far more than most keeps its place before the rest.
        expected_nh[:, told] = next_nh[:, told] * self.scale_h[told]
        return expected_nh

    def scaled(self, scale_h: NDArray[np.float32]) -> Interest:
        """The same with other scales."""
        return Interest(self.standardizer, self.ensemble, self.prior_h, scale_h)

    @classmethod
    def random(cls, rng: np.random.Generator, *, members: int, hidden: Sequence[int]) -> Self:
        """Random weights in the shapes that training gives, to measure and to test with."""
        inputs, outputs = len(DENSE_NAMES), len(HEADS)
        ensemble = Ensemble.random(rng, (inputs, *hidden, outputs), members)
        standardizer = Standardizer(np.zeros(inputs, np.float32), np.ones(inputs, np.float32))
        ones_h = np.ones(outputs, np.float32)
        return cls(standardizer, ensemble, ones_h, ones_h)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The weights by name, as an artifact stores them."""
        return {
            "mean": self.standardizer.mean_f,
            "scale": self.standardizer.scale_f,
            "prior": self.prior_h,
            "heads": self.scale_h,
            **self.ensemble.to_arrays(),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Rebuild from :meth:`to_arrays`.

        Raises:
            ModelError: a weight is missing, misshapen or not finite.
        """
        standardizer = Standardizer(
            take_array(arrays, "mean", 1, _WHAT), take_array(arrays, "scale", 1, _WHAT)
        )
        prior_h = take_array(arrays, "prior", 1, _WHAT)
        scale_h = take_array(arrays, "heads", 1, _WHAT)
        return cls(standardizer, Ensemble.from_arrays(arrays, _WHAT), prior_h, scale_h)

    @classmethod
    def none(cls) -> Self:
        """One that knows nothing: the final pass decides alone."""
        inputs, outputs = len(DENSE_NAMES), len(HEADS)
        ensemble = Ensemble(
            (np.zeros((inputs, outputs), np.float32), np.zeros(outputs, np.float32)),
            [
                (np.zeros((1, inputs, 1), np.float32), np.zeros((1, 1), np.float32)),
                (np.zeros((1, 1, outputs), np.float32), np.zeros((1, outputs), np.float32)),
            ],
        )
        standardizer = Standardizer(np.zeros(inputs, np.float32), np.ones(inputs, np.float32))
        zeros_h = np.zeros(outputs, np.float32)
        return cls(standardizer, ensemble, zeros_h, zeros_h)
