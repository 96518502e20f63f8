"""The port of the ranking passes."""

from __future__ import annotations

from typing import Protocol

from models.arrays.types import Float
from models.feature_schema import FeatureMatrix


class Pass(Protocol):
    """One ranking pass.

    ``score`` gives scores_n (first and second pass, higher is better) or probabilities_nh
    (final pass: columns :data:`models.actions.HEADS`). Any n is valid, zero included.
    """

    @property
    def columns(self) -> tuple[int, ...]:
        """Dense columns it reads; what is scored has at least these."""
        ...

    def score(self, features: FeatureMatrix) -> Float:
        """Score every row of `features`, independently of its neighbours."""
        ...


class Spread(Protocol):
    """How the final pass's probabilities are spread over candidates that were never shown."""

    def expected(self, features: FeatureMatrix, probabilities_nh: Float) -> Float:
        """What the value of each row is made of, columns as `probabilities_nh`."""
        ...


class Rankers(Protocol):
    """The three passes of one version, swapped as one."""

    @property
    def version(self) -> str:
        """Name of the version for grids, metrics and impressions."""
        ...

    @property
    def first(self) -> Pass:
        """Scores all candidates, of which the first cut goes on."""
        ...

    @property
    def second(self) -> Pass:
        """Scores the first cut, of which the second goes on."""
        ...

    @property
    def final(self) -> Pass:
        """Scores the second cut: a probability for each head."""
        ...

    @property
    def interest(self) -> Spread:
        """What makes the order of candidates of these probabilities."""
        ...
