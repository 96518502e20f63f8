"""Rates per arm with intervals, from what was shown and what came of it.

Viewers are dealt to arms, so viewers are what is independent, not the items they were shown: an
interval over items alone would be too narrow. The variance of a rate is that of a ratio of sums
over viewers (linearised; Deng, Knoblich and Lu, "Applying the Delta Method in Metric Analytics",
KDD 2018). What it is larger than the binomial one by, the design effect, shrinks the number of
items in Wilson's score interval (Wilson, 1927), which holds for rare actions, where none was seen,
too. The interval of a difference of two rates is Newcombe's from those (1998, method 10).

That one is for who looks once. Who looks every day and stops when it pleases needs an interval that
holds at all times together: a normal mixture's confidence sequence (Robbins, 1970; Johari, Koomen,
Pekelis and Walsh, "Always Valid Inference", Operations Research 2022). It is wider, and it may be
looked at as often as one likes.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

#: Quantile of the normal distribution for 95 %.
Z: Final = 1.959963984540054
#: Chance that a confidence sequence ever leaves the truth out.
ALPHA: Final = 0.05


class Rate(msgspec.Struct, frozen=True):
    """A rate and where it lies with 95 % confidence.

    Attributes:
        count: actions.
        rate: actions per item shown; 0 where nothing was shown.
    """

    count: int
    rate: float
    low: float
    high: float


class Difference(msgspec.Struct, frozen=True):
    """How much higher a rate is than another.

    Attributes:
        low, high: where it lies with 95 % confidence, for one look that was planned before.
        always_low, always_high: where it lies with 95 % confidence at all looks together.
        decided: ``higher`` or ``lower`` once the latter leaves 0 out; null until then.
    """

    difference: float
    low: float
    high: float
    always_low: float
    always_high: float
    decided: Literal["higher", "lower"] | None


def rate(shown_v: NDArray[np.integer], acted_v: NDArray[np.integer]) -> Rate:
    """The rate of an action.

    Args:
        shown_v: items shown to each viewer, at least 1.
        acted_v: items of those that the viewer acted on.
    """
    shown, acted = int(shown_v.sum()), int(acted_v.sum())
    if shown == 0:
        return Rate(0, 0.0, 0.0, 1.0)
    p = acted / shown
    n = shown / design_effect(shown_v, acted_v)
    middle = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    return Rate(acted, p, max(0.0, middle - half), min(1.0, middle + half))


def design_effect(shown_v: NDArray[np.integer], acted_v: NDArray[np.integer]) -> float:
    """Variance of the rate by viewers over that by items, at least 1."""
    viewers, shown, acted = len(shown_v), int(shown_v.sum()), int(acted_v.sum())
    if viewers < 2 or not 0 < acted < shown:
        return 1.0
    p = acted / shown
    residual_v = acted_v - p * shown_v
    clustered = float(residual_v @ residual_v) * viewers / (viewers - 1) / shown**2
    return max(1.0, clustered * shown / (p * (1 - p)))


def difference(arm: Rate, against: Rate, usual: float) -> Difference:
    """How much higher the rate of `arm` is.

    Args:
        usual: difference that the sequence is narrowest for, chosen before anything was seen.
            Another one makes it wider, and no less right.
    """
    between = arm.rate - against.rate
    low = math.hypot(arm.rate - arm.low, against.high - against.rate)
    high = math.hypot(arm.high - arm.rate, against.rate - against.low)
    reach = always_reach(_variance(arm) + _variance(against), usual)
    decided: Literal["higher", "lower"] | None = None
    if abs(between) > reach:
        decided = "higher" if between > 0 else "lower"
    return Difference(
        between, between - low, between + high, between - reach, between + reach, decided
    )


def always_reach(variance: float, usual: float) -> float:
    """How far a confidence sequence reaches to both sides of an estimate with this variance.

    ``√(2 v (v + τ²) / τ² · ln(√((v + τ²) / v) / α))``, for v the variance and τ the `usual` effect.
    """
    spread = usual * usual
    ratio = (variance + spread) / variance
    return math.sqrt(
        2.0 * variance * (variance + spread) / spread * math.log(math.sqrt(ratio) / ALPHA)
    )


def _variance(of: Rate) -> float:
    """Of a rate, by its interval: above 0 where no action was seen, too."""
    return ((of.high - of.low) / (2.0 * Z)) ** 2
