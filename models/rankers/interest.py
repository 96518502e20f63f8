"""Which candidates a viewer will engage with, shown or not: the order that grids are made in.

The final pass says how a media is received *when it is shown*, and learns it from exposures: media
that some system chose. Most candidates are not like those, so the order of candidates comes from
choices among them instead (:mod:`models.examples.choices`;
``docs/decisions/0026-value-of-choices.md`` says why the two stay apart).
"""

from __future__ import annotations

from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from models.actions import HEADS, NEGATIVE_HEADS
from models.arrays.types import Float
from models.feature_schema import ALL_COLUMNS, DENSE_INDEX, DENSE_NAMES, FeatureMatrix
from models.rankers.networks import Arrays, ModelError, Standardizer, sigmoid, take_array
from models.rankers.prior_order import prior_order

_WHAT: Final = "interest"
#: What is the same for all candidates says nothing of their order by itself, but of what counts:
#: newcomers go by what is popular, and who was away for long is not where the last likes were.
_OF_VIEWER: Final = (
    "viewer_likes", "viewer_saves", "viewer_views", "viewer_long_views", "viewer_like_rate",
    "viewer_idle", "viewer_vector_missing",
)  # fmt: skip
#: What it is told together with: what is worth most of each media.
_OF_MEDIA: Final = (
    "appeal", "likeness", "likeness_recent", "short_similarity", "media_likes", "media_like_rate",
    "media_trend_short", "media_trend_long", "media_age",
    "trend_short_gap", "trend_long_gap", "age_gap",
)  # fmt: skip
#: Products are many, so each is drawn to 0 by four times the penalty: what is halved needs a weight
#: twice as large.
_PRODUCT: Final = np.float32(0.5)
_VIEWER_COLUMNS: Final = [DENSE_INDEX[name] for name in _OF_VIEWER]
_MEDIA_COLUMNS: Final = [DENSE_INDEX[name] for name in _OF_MEDIA]
#: Inputs of the log-odds: all dense features, and the products.
INPUTS: Final = len(DENSE_NAMES) + len(_OF_VIEWER) * len(_OF_MEDIA)


def with_products(x_nf: Float) -> Float:
    """Standardised dense features, and behind them each one of the viewer times each of the media.

    Args:
        x_nf: all dense features, (n, f).

    Returns:
        (n, :data:`INPUTS`)
    """
    n, viewer, media = len(x_nf), len(_VIEWER_COLUMNS), len(_MEDIA_COLUMNS)
    product_nvm = x_nf[:, _VIEWER_COLUMNS, None] * x_nf[:, None, _MEDIA_COLUMNS]
    product_nvm *= _PRODUCT
    return np.concatenate((x_nf, product_nvm.reshape(n, viewer * media)), axis=1)


class Interest:
    """P(the viewer does it next | among the candidates), put to the scale of what is shown.

    Args:
        standardizer: of all dense features.
        weights_ih: what each input (:func:`with_products`) adds to the log-odds of each head.
        bias_h: log-odds of each head where all of that is 0.
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
        weights_ih: Float,
        bias_h: NDArray[np.float32],
        prior_h: NDArray[np.float32],
        scale_h: NDArray[np.float32],
    ) -> None:
        if weights_ih.shape != (INPUTS, len(HEADS)):
            raise ModelError(
                f"{_WHAT}: weights {weights_ih.shape}; expected {INPUTS} inputs × "
                f"{len(HEADS)} heads"
            )
        if scale_h.shape != (len(HEADS),) or (scale_h < 0).any():
            raise ModelError(f"{_WHAT}: scales {scale_h}; expected one of at least 0 a head")
        for name, of_h in (("prior", prior_h), ("bias", bias_h)):
            if of_h.shape != (len(HEADS),):
                raise ModelError(f"{_WHAT}: {name} {of_h}; expected a number for each head")
        self.standardizer, self.weights_ih, self.bias_h = standardizer, weights_ih, bias_h
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
        logits_nh = with_products(self.standardizer(features.select(ALL_COLUMNS))) @ self.weights_ih
        logits_nh += prior_order(features) * self.prior_h
        logits_nh += self.bias_h
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
        return Interest(self.standardizer, self.weights_ih, self.bias_h, self.prior_h, scale_h)

    @classmethod
    def random(cls, rng: np.random.Generator) -> Self:
        """Random weights in the shapes that training gives, to measure and to test with."""
        inputs, outputs = len(DENSE_NAMES), len(HEADS)
        standardizer = Standardizer(np.zeros(inputs, np.float32), np.ones(inputs, np.float32))
        weights_ih = (rng.normal(size=(INPUTS, outputs)) / np.sqrt(INPUTS)).astype(np.float32)
        ones_h = np.ones(outputs, np.float32)
        return cls(standardizer, weights_ih, np.zeros(outputs, np.float32), ones_h, ones_h)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The weights by name, as an artifact stores them."""
        return {
            "mean": self.standardizer.mean_f,
            "scale": self.standardizer.scale_f,
            "prior": self.prior_h,
            "heads": self.scale_h,
            "weights": self.weights_ih,
            "bias": self.bias_h,
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Rebuild from :meth:`to_arrays`.

        Raises:
            ModelError: a weight is missing, misshapen or not finite.
        """
        return cls(
            Standardizer(
                take_array(arrays, "mean", 1, _WHAT), take_array(arrays, "scale", 1, _WHAT)
            ),
            take_array(arrays, "weights", 2, _WHAT),
            take_array(arrays, "bias", 1, _WHAT),
            take_array(arrays, "prior", 1, _WHAT),
            take_array(arrays, "heads", 1, _WHAT),
        )

    @classmethod
    def none(cls) -> Self:
        """One that knows nothing: the final pass decides alone."""
        inputs, outputs = len(DENSE_NAMES), len(HEADS)
        standardizer = Standardizer(np.zeros(inputs, np.float32), np.ones(inputs, np.float32))
        zeros_h = np.zeros(outputs, np.float32)
        return cls(standardizer, np.zeros((INPUTS, outputs), np.float32), zeros_h, zeros_h, zeros_h)
