"""First pass: 500 candidates → 150, by a small network on the minimal features.

It is distilled (:mod:`models.training.distillation`): trained on whole candidate sets to put the
final pass's order in front, not to predict what a viewer does. Its measure is how many of the
final pass's best survive it.
"""

from __future__ import annotations

from models.feature_schema import MINIMAL_COLUMNS
from models.rankers.networks import DensePass


class FirstPass(DensePass):
    """Scores every candidate from the columns :data:`models.feature_schema.MINIMAL`."""

    name = "first pass"
    columns = MINIMAL_COLUMNS
