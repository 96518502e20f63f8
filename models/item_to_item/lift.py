"""What everybody's liking is worth beside a viewer's own.

Item weights say how much a viewer's history speaks for a media. How much its popularity adds to
that, and over which time, differs from log to log: where trends rule, what rose today counts and
what always was liked counts against it; where histories are short, little else counts. So summed
weights are multiplied by a power of a media's worth over each time: its lift. The powers are fitted
to what viewers chose (:mod:`models.item_to_item.lift_fit`).
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.arrays.types import Float

#: Added to worth, in likes, before its logarithm.
WORTH_FLOOR: Final = 0.1


class Lift(msgspec.Struct, frozen=True):
    """Powers of worth over each time, the shortest first, that summed weights are multiplied by."""

    powers: tuple[float, ...]

    def of(self, worth_np: NDArray[np.float64]) -> Float:
        """Lift of each media by its worth."""
        lift_n: Float = np.exp(log_worth(worth_np) @ np.array(self.powers)).astype(np.float32)
        return lift_n


def log_worth(worth: NDArray[np.floating]) -> NDArray[np.float64]:
    """Logarithm of worth, which may be 0 and, while undos outweigh what they undo, below."""
    logs: NDArray[np.float64] = np.log(np.maximum(worth, 0.0) + WORTH_FLOOR)
    return logs


#: Until choices say more: between what three logs say (``docs/evaluation.md``).
USUAL: Final = Lift((0.3, 0.5, 0.3))
