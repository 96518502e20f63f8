"""What the final pass needs of the network that turns its inputs into log-odds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from models.arrays.types import Float
from models.rankers.networks import Arrays


class Body(Protocol):
    """A network in NumPy; :data:`models.rankers.final_pass.BODY` says which one serves.

    How one learns is said by its twin in :mod:`models.training.bodies`. Arrays of one body are not
    those of another, by their names, so an artifact of another body is refused when it is read.
    """

    @property
    def inputs(self) -> int:
        """Columns of the inputs that it reads."""

    @property
    def outputs(self) -> int:
        """Columns that it gives, one for each head."""

    def __call__(self, x_ni: Float) -> Float:
        """Outputs (n, o), each row for itself."""

    def calibrated(self, output: int, slope: float, shift: float, weights_f: Float) -> Self:
        """The same, with output z of the first inputs x as slope · z + weights · x + shift."""

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The weights by name, as an artifact stores them."""

    @classmethod
    def from_arrays(cls, arrays: Arrays, what: str) -> Self:
        """Rebuild from :meth:`to_arrays`.

        Raises:
            ModelError: a weight is missing, misshapen or not finite.
        """

    @classmethod
    def random(cls, rng: np.random.Generator, widths: Sequence[int], members: int) -> Self:
        """Random weights, outputs of the order of 1.

        Args:
            widths: of the inputs, the hidden layers and the outputs.
            members: networks of an ensemble; for a body that has none it says nothing.
        """
