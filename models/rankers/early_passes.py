"""The two passes before the final one: 500 candidates → 150 → 50.

Both are distilled (:mod:`models.training.distillation`): trained on whole candidate sets to put the
final pass's order in front, not to predict what a viewer does. Their measure is how many of the
final pass's best survive them.
"""

from __future__ import annotations

from models.feature_schema import MINIMAL_COLUMNS
from models.rankers.networks import DensePass


class FirstPass(DensePass):
    """A small network on the columns :data:`models.feature_schema.MINIMAL`: 500 → 150."""

    name = "first pass"
    columns = MINIMAL_COLUMNS


class SecondPass(DensePass):
    """A light network on all dense features: 150 → 50."""

    name = "second pass"
