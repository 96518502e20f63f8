"""How far what the rankers predict today is from what they predicted when they went live.

The first predictions that a version serves are its reference. Those after it fade with age; their
distribution over bins of log-odds is compared by Kullback–Leibler divergence. A drift says that
viewers, media or features have changed, or that a feature broke.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.actions import HEAD_NAMES

#: Predictions that make the reference; as many again before a drift is told.
REFERENCE: Final = 5_000
#: After so many more a prediction counts half.
_HALF_LIFE: Final = 5_000.0
#: Log-odds −12 to 4 in steps of 0.5, everything beyond in the outer bins.
_EDGES: Final = np.linspace(-12.0, 4.0, 33)
#: Added to every bin, so that an empty one is unlikely and not impossible.
_PRIOR: Final = 0.5


class ScoreDrift:
    """Watches the predictions of one version after the other."""

    def __init__(self) -> None:
        self.version = ""
        self._begin("")

    def add(self, version: str, probabilities_nh: NDArray[np.floating]) -> None:
        """Take in served predictions; another version than the one before begins anew.

        Args:
            version: of the rankers that made them.
            probabilities_nh: columns :data:`models.actions.HEADS`.
        """
        if version != self.version:
            self._begin(version)
        if not len(probabilities_nh):
            return
        p_nh = np.clip(np.nan_to_num(probabilities_nh, nan=0.5), 1e-6, 1 - 1e-6)
        bin_nh = np.digitize(np.log(p_nh / (1 - p_nh)), _EDGES)
        counts_hb = np.stack(
            [np.bincount(bin_nh[:, h], minlength=len(_EDGES) + 1) for h in range(len(HEAD_NAMES))]
        ).astype(np.float64)
        if self._served < REFERENCE:
            self._reference_hb += counts_hb
        else:
            self._current_hb *= 0.5 ** (len(p_nh) / _HALF_LIFE)
            self._current_hb += counts_hb
        self._served += len(p_nh)

    def drift(self) -> dict[str, float]:
        """Head → KL(now ‖ at promotion) in nats; empty until enough was served."""
        if self._served < 2 * REFERENCE:
            return {}
        now_hb, then_hb = _shares(self._current_hb), _shares(self._reference_hb)
        divergence_h = (now_hb * np.log(now_hb / then_hb)).sum(axis=1)
        return {head: float(of) for head, of in zip(HEAD_NAMES, divergence_h, strict=True)}

    def _begin(self, version: str) -> None:
        self.version = version
        self._served = 0
        self._reference_hb = np.zeros((len(HEAD_NAMES), len(_EDGES) + 1))
        self._current_hb = np.zeros_like(self._reference_hb)


def _shares(counts_hb: NDArray[np.float64]) -> NDArray[np.float64]:
    smoothed_hb = counts_hb + _PRIOR
    shares_hb: NDArray[np.float64] = smoothed_hb / smoothed_hb.sum(axis=1, keepdims=True)
    return shares_hb
