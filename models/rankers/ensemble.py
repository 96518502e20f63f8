"""Small networks that are asked together, beside linear terms that they share, in NumPy.

Networks that begin at random and learn apart err apart, so the mean of their log-odds errs less
than each of them, and than one network of their size (Lakshminarayanan et al., Simple and Scalable
Predictive Uncertainty Estimation Using Deep Ensembles, 2017; for tables: Gorishniy et al., TabM,
2025). What a logistic regression can say is said once, by the linear terms, and the members learn
the rest.

All members' first layers and the linear terms are one product of matrices, and so are all members'
last layers, which hold the mean; only the layers between are a product for each member.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from models.arrays.types import Float
from models.rankers.networks import (
    Arrays,
    ModelError,
    layers_from_arrays,
    layers_to_arrays,
    take_array,
)

_PREFIX: Final = "member_layer"


class Ensemble:
    """Outputs of the linear terms, plus the mean of the members'.

    A member is linear layers with a ReLU between them; the last layer is linear.

    Args:
        linear: (weights_io, bias_o) of the linear terms.
        layers: (weights_kio, bias_ko) of each layer, of all k members; two layers at least.

    Raises:
        ModelError: the layers do not fit each other.
    """

    def __init__(self, linear: tuple[Float, Float], layers: Sequence[tuple[Float, Float]]) -> None:
        if len(layers) < 2:
            raise ModelError(f"members have {len(layers)} layers; expected two at least")
        members, width, _ = layers[0][0].shape
        inputs = width
        for number, (weights_kio, bias_ko) in enumerate(layers):
            if weights_kio.shape != (members, width, bias_ko.shape[1]) or len(bias_ko) != members:
                raise ModelError(
                    f"layer {number} has weights {weights_kio.shape} and biases {bias_ko.shape}; "
                    f"expected {members} members of {width} inputs"
                )
            width = bias_ko.shape[1]
        weights_io, bias_o = linear
        if weights_io.shape != (inputs, width) or bias_o.shape != (width,):
            raise ModelError(
                f"linear terms have weights {weights_io.shape} and {bias_o.size} biases; "
                f"expected {inputs} inputs and {width} outputs, as the members have"
            )
        self.linear, self.layers = linear, tuple(layers)
        self.members, self.inputs, self.outputs = members, inputs, width
        first_kiw, first_kw = layers[0]
        self._first_iw = np.concatenate((weights_io, *first_kiw), axis=1)
        self._first_w = np.concatenate((bias_o, *first_kw))
        last_kwo, last_ko = layers[-1]
        self._last_wo = np.concatenate(last_kwo) / np.float32(members)
        self._last_o: Float = last_ko.mean(axis=0, dtype=np.float32)

    def __call__(self, x_ni: Float) -> Float:
        """Outputs (n, o)."""
        first_nw = x_ni @ self._first_iw
        first_nw += self._first_w
        hidden_nw = first_nw[:, self.outputs :]
        np.maximum(hidden_nw, 0.0, out=hidden_nw)
        for weights_kio, bias_ko in self.layers[1:-1]:
            hidden_nki = hidden_nw.reshape(len(x_ni), self.members, weights_kio.shape[1])
            next_nko = np.empty((len(x_ni), *bias_ko.shape), np.float32)
            np.matmul(hidden_nki.swapaxes(0, 1), weights_kio, out=next_nko.swapaxes(0, 1))
            next_nko += bias_ko
            np.maximum(next_nko, 0.0, out=next_nko)
            hidden_nw = next_nko.reshape(len(x_ni), bias_ko.size)
        out_no: Float = hidden_nw @ self._last_wo
        out_no += self._last_o
        out_no += first_nw[:, : self.outputs]
        return out_no

    def calibrated(self, output: int, slope: float, shift: float, weights_f: Float) -> Self:
        """The same, with output z of the first inputs x as slope · z + weights · x + shift."""
        (linear_io, linear_o), (last_kio, last_ko) = self.linear, self.layers[-1]
        changed = [array.copy() for array in (linear_io, linear_o, last_kio, last_ko)]
        for array in changed:
            array[..., output] *= slope
        linear_io, linear_o, last_kio, last_ko = changed
        linear_io[: len(weights_f), output] += weights_f
        linear_o[output] += shift
        return type(self)((linear_io, linear_o), [*self.layers[:-1], (last_kio, last_ko)])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The weights by name, as an artifact stores them."""
        return {
            "linear.weights": self.linear[0],
            "linear.bias": self.linear[1],
            **layers_to_arrays(self.layers, _PREFIX),
        }

    @classmethod
    def random(cls, rng: np.random.Generator, widths: Sequence[int], members: int) -> Self:
        """Random weights, so that outputs are of the order of 1.

        Args:
            widths: of the inputs, the hidden layers, one at least, and the outputs.
            members: how many networks.
        """

        def normal(inputs: int, *shape: int) -> Float:
            weights: Float = (rng.normal(size=shape) / np.sqrt(inputs)).astype(np.float32)
            return weights

        inputs, outputs = widths[0], widths[-1]
        return cls(
            (normal(inputs, inputs, outputs), normal(outputs, outputs)),
            [(normal(i, members, i, o), normal(o, members, o)) for i, o in pairwise(widths)],
        )

    @classmethod
    def from_arrays(cls, arrays: Arrays, what: str) -> Self:
        """Rebuild from :meth:`to_arrays`.

        Raises:
            ModelError: a weight is missing, misshapen or not finite.
        """
        linear = (
            take_array(arrays, "linear.weights", 2, what),
            take_array(arrays, "linear.bias", 1, what),
        )
        return cls(linear, layers_from_arrays(arrays, _PREFIX, 3, what))
