"""What makes viewers choose a media: their own histories, and what it is worth to everybody.

Item weights say how much a viewer's history speaks for a media. How much its popularity adds to
that, and over which time, differs from log to log: where trends rule, what rose today counts and
what always was liked counts against it; where histories are short, little else counts. So both are
weighed by what viewers chose (:mod:`models.item_to_item.appeal_fit`):

    log-odds = likeness · log(weights summed) + Σ worth · log(worth)

Where nothing is summed, because the viewer or the media is new, popularity is all there is and
counts by weights of its own: where histories say much, what always was liked may count against a
media, and for a newcomer it never does.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.arrays.types import Float

#: Added to worth, in likes, and to summed weights before their logarithms.
_WORTH_FLOOR: Final = 0.1
_SUM_FLOOR: Final = 1e-3
_LOG_OF_NONE: Final = float(np.log(_WORTH_FLOOR))
#: Powers of lift are held within these: a log may say nothing of likeness.
_LEAST_LIKENESS: Final = 0.1
_LOWEST, _HIGHEST = -2.0, 3.0


class Appeal(msgspec.Struct, frozen=True):
    """Weights of the log-odds that a media is chosen among all.

    Attributes:
        likeness: of the logarithm of summed item weights.
        unlike: where they are 0.
        worth: of the logarithm of worth over each time, the shortest first.
        worth_alone: the same where summed weights are 0.
    """

    likeness: float
    unlike: float
    worth: tuple[float, ...]
    worth_alone: tuple[float, ...]

    def log_odds(self, sum_n: NDArray[np.floating], worth_np: NDArray[np.floating]) -> Float:
        """Of media with these summed weights and worths, above one with neither."""
        alone_n = sum_n == 0
        logs_np = _log_worth(worth_np) - _LOG_OF_NONE
        odds_n = self.likeness * np.log((sum_n + _SUM_FLOOR) / _SUM_FLOOR)
        odds_n += np.where(alone_n, 0.0, self._begins_at)
        # Not a product of matrices: a value must not depend on how many there are.
        for log_n, weight, alone in zip(logs_np.T, self.worth, self.worth_alone, strict=True):
            odds_n += log_n * np.where(alone_n, alone, weight)
        found_n: Float = odds_n.astype(np.float32)
        return found_n

    @property
    def _begins_at(self) -> float:
        """Log-odds of a media without worth as soon as there is some likeness."""
        return _LOG_OF_NONE * (sum(self.worth) - sum(self.worth_alone)) - self.unlike

    def lift(self, worth_np: NDArray[np.floating]) -> Float:
        """What summed weights are multiplied by: in the order of that are the log-odds."""
        powers_p = np.array(self.worth) / max(self.likeness, _LEAST_LIKENESS)
        log_lift_n = _log_worth(worth_np) @ np.clip(powers_p, _LOWEST, _HIGHEST)
        lift_n: Float = np.exp(log_lift_n).astype(np.float32)
        return lift_n

    @property
    def weights(self) -> NDArray[np.float64]:
        """All weights, as :func:`appeal_columns` has the columns."""
        return np.array([self.likeness, self.unlike, *self.worth, *self.worth_alone])

    @classmethod
    def of_weights(cls, weights_f: NDArray[np.floating]) -> Appeal:
        """The appeal with these weights."""
        likeness, unlike, *worths = weights_f.tolist()
        times = len(worths) // 2
        return cls(likeness, unlike, tuple(worths[:times]), tuple(worths[times:]))


#: Until choices say more: between what three logs say (``docs/evaluation.md``).
USUAL: Final = Appeal(0.8, 0.0, (0.2, 0.4, 0.3), (0.2, 0.4, 0.3))


def appeal_columns(
    sum_n: NDArray[np.floating], worth_np: NDArray[np.floating]
) -> NDArray[np.float64]:
    """What log-odds are made of, on the last axis.

    Log of the sum, whether it is 0, log of each worth where it is not, and where it is.
    """
    sum_n1 = sum_n.astype(np.float64)[..., None]
    alone_n1, logs_np = sum_n1 == 0, _log_worth(worth_np)
    return np.concatenate(
        [np.log(sum_n1 + _SUM_FLOOR), alone_n1, logs_np * ~alone_n1, logs_np * alone_n1], axis=-1
    )


def _log_worth(worth: NDArray[np.floating]) -> NDArray[np.float64]:
    # Below 0 while undos weigh more than what they undo.
    logs: NDArray[np.float64] = np.log(np.maximum(worth, 0.0) + _WORTH_FLOOR)
    return logs
