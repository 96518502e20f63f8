"""Second pass: 150 candidates → 50, by a light network on all dense features.

Its score is the logit of being among the final pass's best of the whole candidate set (Meta's
PSelect), learnt in :mod:`models.training.distillation`.
"""

from __future__ import annotations

from models.networks import DensePass


class SecondPass(DensePass):
    """Scores candidates from all dense features."""

    name = "second pass"
