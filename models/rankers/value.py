"""The value of showing a media: predicted actions, weighed by what they are worth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

#: Probabilities are kept this far from 0 and 1 before a logarithm.
_EPSILON: Final = 1e-6
#: Like, save, see fewer.
_SIGNS: Final = np.array([1.0, 1.0, -1.0])


class InvalidWeightsError(ValueError):
    """A weight is of no action, negative or not a number, or the form is unknown."""


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a like, a save and a see-fewer are worth; a see-fewer counts against.

    The formula is set by ``form``::

        linear      w_like·P(like) + w_save·P(save) − w_see_fewer·P(see_fewer)
        log_linear  w_like·log P(like) + w_save·log P(save) + w_see_fewer·log(1 − P(see_fewer))

    Raises:
        InvalidWeightsError: a weight is negative, infinite or NaN.
    """

    like: float = 1.0
    save: float = 2.0
    see_fewer: float = 5.0
    form: Literal["linear", "log_linear"] = "linear"

    def __post_init__(self) -> None:
        for name in ("like", "save", "see_fewer"):
            weight = getattr(self, name)
            if not (math.isfinite(weight) and weight >= 0.0):
                raise InvalidWeightsError(
                    f"weight {name} is {weight}; give a finite number of at least 0 "
                    "(a see-fewer is subtracted by the formula)"
                )

    @property
    def version(self) -> str:
        """A hash of the weights: grids made by equal ones have equal versions."""
        return blake2b(msgspec.json.encode(self), digest_size=6).hexdigest()

    def changed(self, changes: Mapping[str, Any]) -> Weights:
        """These weights with some of them replaced.

        Raises:
            InvalidWeightsError: `changes` names no weight, or gives one that cannot be used.
        """
        for name in changes:
            if name not in self.__struct_fields__:
                raise InvalidWeightsError(
                    f"there is no weight {name!r}; weights are like, save and see_fewer, "
                    "and form is linear or log_linear"
                )
        try:
            return msgspec.convert({**msgspec.structs.asdict(self), **changes}, Weights)
        except msgspec.ValidationError as error:
            raise InvalidWeightsError(
                f"{error}; like, save and see_fewer are numbers of at least 0, "
                "form is linear or log_linear"
            ) from error


def value(probabilities_nh: NDArray[np.floating], weights: Weights) -> NDArray[np.float64]:
    """Value of each row of P(like), P(save), P(see_fewer)."""
    value_n: NDArray[np.float64] = np.add.reduce(terms(probabilities_nh, weights), axis=1)
    return value_n


def terms(probabilities_nh: NDArray[np.floating], weights: Weights) -> NDArray[np.float64]:
    """The three signed terms_nh that :func:`value` adds up, for explanations."""
    p_nh = np.asarray(probabilities_nh, np.float64)
    weight_h = np.array([weights.like, weights.save, weights.see_fewer])
    if weights.form == "linear":
        signed_nh: NDArray[np.float64] = p_nh * (weight_h * _SIGNS)
        return signed_nh
    p_nh = p_nh.copy()
    p_nh[:, 2] = 1.0 - p_nh[:, 2]
    logs: NDArray[np.float64] = weight_h * np.log(np.clip(p_nh, _EPSILON, 1.0))
    return logs
