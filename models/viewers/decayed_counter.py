"""Viewer–author interaction counters that do not depend on the order of delivery.

An exponentially decayed count is normally a running float, and floats added in another order
differ in their last bits. Here every event adds an integer: its weight within its own half-life
period, in fixed point. Integers commute, so any order of delivery ends in the same bytes; the
decayed count at a time t is one short sum when it is read::

    decayed(t) = Σ_p  weight_p · 2^(p − t / half_life) / 2^16

where p numbers the half-life periods since the epoch.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

FIXED_POINT: Final = 1 << 16
# After 12 half-lives an event weighs 1/4096: dropped.
KEPT_PERIODS: Final = 12


class DecayedCounter(msgspec.Struct, array_like=True):
    """How often, when last and how recently one viewer did one action to one author.

    Attributes:
        count: actions not undone.
        last_ts: newest event time in ms, undone actions included.
        weights: half-life period → summed weight in 1/65536.
    """

    count: int = 0
    last_ts: int = 0
    weights: dict[int, int] = {}

    def touch(self, ts: int, half_life_ms: int) -> None:
        """Record that something happened at `ts`, whether it counts or was undone."""
        if ts <= self.last_ts:
            return
        self.last_ts = ts
        oldest = ts // half_life_ms - KEPT_PERIODS
        for period in [p for p in self.weights if p <= oldest]:
            del self.weights[period]

    def add(self, ts: int, half_life_ms: int, sign: int = 1) -> None:
        """Count an action at `ts` (`sign` 1) or take it back (`sign` −1); call `touch` before."""
        self.count += sign
        period, within = divmod(ts, half_life_ms)
        if period <= self.last_ts // half_life_ms - KEPT_PERIODS:
            return
        weight = round(FIXED_POINT * 2.0 ** (within / half_life_ms))
        total = self.weights.get(period, 0) + sign * weight
        if total:
            self.weights[period] = total
        else:
            self.weights.pop(period, None)

    def decayed(self, at_ms: int, half_life_ms: int) -> float:
        """The count with each action halved per half-life before `at_ms`."""
        now = at_ms / half_life_ms
        return math.fsum(w * 2.0 ** (p - now) for p, w in self.weights.items()) / FIXED_POINT
