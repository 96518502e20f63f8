"""The value of showing a media: predicted actions, weighed by what they are worth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.actions import HEAD_NAMES, HEADS, NEGATIVE_HEADS, SIGNS

#: Probabilities are kept this far from 0 and 1 before a logarithm.
_EPSILON: Final = 1e-6
_SIGNS_H: Final = np.array(SIGNS)


class InvalidWeightsError(ValueError):
    """A weight is of no action, negative or not a number, or the form is unknown."""


class _Formula(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    form: Literal["linear", "log_linear"] = "linear"

    def __post_init__(self) -> None:
        for name, weight in zip(HEAD_NAMES, self.worth_h().tolist(), strict=True):
            if not (math.isfinite(weight) and weight >= 0.0):
                raise InvalidWeightsError(
                    f"weight {name} is {weight}; give a finite number of at least 0 "
                    "(what viewers want less of is subtracted by the formula)"
                )

    def worth_h(self) -> NDArray[np.float64]:
        """The weights in the order of :data:`models.actions.HEADS`, none below 0."""
        return np.array([getattr(self, name) for name in HEAD_NAMES], np.float64)

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
                raise InvalidWeightsError(f"there is no weight {name!r}; {WEIGHTS_ARE}")
        try:
            return msgspec.convert({**msgspec.structs.asdict(self), **changes}, Weights)
        except msgspec.ValidationError as error:
            raise InvalidWeightsError(f"{error}; {WEIGHTS_ARE}") from error


WEIGHTS_ARE: Final = (
    f"weights are {', '.join(HEAD_NAMES)} (numbers of at least 0) and form (linear or log_linear)"
)

if TYPE_CHECKING:

    class Weights(_Formula, frozen=True, kw_only=True):
        """See below: its fields are the heads of the table of actions."""

        def __init__(
            self, *, form: Literal["linear", "log_linear"] = "linear", **worth: float
        ) -> None: ...

else:
    Weights = msgspec.defstruct(
        "Weights",
        [(head.word, float, head.row.worth) for head in HEADS],
        bases=(_Formula,),
        module=__name__,
        namespace={
            "__doc__": """What each action that the final pass predicts is worth.

    An action that viewers want less of counts against. The formula is set by ``form``::

        linear      Σ ± w·P          e.g. w_like·P(like) − w_see_fewer·P(see_fewer)
        log_linear  Σ w·log P, for what counts against w·log(1 − P)

    Raises:
        InvalidWeightsError: a weight is negative, infinite or NaN.
    """
        },
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )


def value(probabilities_nh: NDArray[np.floating], weights: Weights) -> NDArray[np.float64]:
    """Value of each row of probabilities, columns :data:`models.actions.HEADS`."""
    value_n: NDArray[np.float64] = np.add.reduce(terms(probabilities_nh, weights), axis=1)
    return value_n


def terms(probabilities_nh: NDArray[np.floating], weights: Weights) -> NDArray[np.float64]:
    """The signed terms_nh that :func:`value` adds up, for explanations."""
    p_nh = np.asarray(probabilities_nh, np.float64)
    worth_h = weights.worth_h()
    if weights.form == "linear":
        signed_nh: NDArray[np.float64] = p_nh * (worth_h * _SIGNS_H)
        return signed_nh
    p_nh = p_nh.copy()
    for h in NEGATIVE_HEADS:
        p_nh[:, h] = 1.0 - p_nh[:, h]
    logs_nh: NDArray[np.float64] = worth_h * np.log(np.maximum(p_nh, _EPSILON))
    return logs_nh
