"""Second pass: 150 candidates → 50, by a light network on all dense features.

It learns to put the final pass's best of the whole candidate set in front
(:mod:`models.training.distillation`).
"""

from __future__ import annotations

from models.rankers.networks import DensePass


class SecondPass(DensePass):
    """Scores candidates from all dense features."""

    name = "second pass"
