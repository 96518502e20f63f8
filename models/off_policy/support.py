"""Whether a log can tell of another way to make grids, and what it would take.

Errors::

    ValueError
    └── ThinSupportError   the log says too little; names what is missing and the remedy
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from models.off_policy.estimators import effective_rows
from models.off_policy.logged import Floats, Logged

#: Rows that an estimate is of at least, in effect: with fewer, the intervals are guesses too.
MIN_EFFECTIVE: Final = 100.0
#: The mean weight is 1 where everything had a chance. So many standard errors below it, something
#: that is to be judged was never tried.
_ERRORS_OFF: Final = 4.0


class ThinSupportError(ValueError):
    """Too little of what is to be judged was tried."""


def check_support(logged: Logged) -> None:
    """Refuse a log that cannot tell.

    Raises:
        ThinSupportError: with what is missing, and how much more randomised traffic it takes.
    """
    weight_n = logged.weight_n
    effective = effective_rows(weight_n)
    if not len(logged) or not weight_n.any():
        raise ThinSupportError(
            f"none of {len(logged)} logged rows would be shown by what is to be judged; "
            "randomise a share of the traffic and log its chances"
        )
    if effective < MIN_EFFECTIVE:
        more = math.ceil(MIN_EFFECTIVE / effective)
        raise ThinSupportError(
            f"{len(logged)} logged rows tell as much as {effective:.0f} of what is to be judged, "
            f"and {MIN_EFFECTIVE:.0f} are needed: log {more} times as many randomised grids "
            f"(now {logged.grids}), or randomise more of the traffic"
        )
    total_g = np.bincount(np.unique(logged.grid_n, return_inverse=True)[1], weight_n - 1.0)
    mean = float(weight_n.mean())
    error = float(np.sqrt((total_g**2).sum()) / len(logged))
    if mean + _ERRORS_OFF * error < 1.0:
        raise ThinSupportError(
            f"weights of the log are {mean:.2f} on average, where 1 is what they must be: "
            f"{1.0 - mean:.0%} of what is to be judged had no chance to be shown. Log the whole "
            "pool that it chooses from, with a chance above 0 for each item"
        )


def randomised_grids(target_nc: Floats, pool: int) -> int:
    """Grids that have to be put into a random order until estimates are of enough rows.

    Args:
        target_nc: chances of what is to be judged for the items of pools at some position, (n, c).
        pool: items that a random order is of.
    """
    # Under a random order the second moment of the weights is the pool times that of the chances.
    second = float((target_nc**2).sum(axis=1).mean()) * pool
    return math.ceil(MIN_EFFECTIVE * second)
