"""Training of the second pass: distilled like the first, on all dense features."""

from __future__ import annotations

from typing import Final

from models.arrays.types import Float
from models.examples.examples import CandidateSets
from models.rankers.early_passes import SecondPass
from models.training.distillation import DistillationConfig, distil

SECOND: Final = DistillationConfig(hidden=(48, 24))


def train_second(
    sets: CandidateSets, teacher_n: Float, config: DistillationConfig = SECOND
) -> SecondPass:
    """Train the second pass to find the final pass's best; see :func:`distil` for errors."""
    return distil(SecondPass, sets, teacher_n, config)
