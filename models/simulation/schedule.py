"""When viewers come, for how long, and what they are in the mood for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from models.events import DAY_MS
from models.simulation.config import TICK_MS, SimulationConfig
from models.simulation.population import Floats, Integers, Viewers
from models.simulation.topics import TOPICS

#: Share of the sessions without a particular mood.
_NO_MOOD: Final = 0.4
#: Share of the moods that have nothing to do with what the viewer likes otherwise.
_STRANGE: Final = 0.15


@dataclass(frozen=True, slots=True)
class Schedule:
    """Sessions in order of viewer, then of time. One viewer's never overlap.

    Attributes:
        viewer_s: whose each is.
        begin_s, end_s: epoch ms, whole ticks; the viewer looks at one grid a tick.
        mood_s: topic that it is about, −1 for none.
    """

    viewer_s: Integers
    begin_s: Integers
    end_s: Integers
    mood_s: Integers

    def at(self, viewer_n: Integers, ts_n: Integers) -> Integers:
        """The session that a viewer is in at a time, −1 for none."""
        key_n = self._key(viewer_n, ts_n)
        at_n = np.searchsorted(self._key(self.viewer_s, self.begin_s), key_n, side="right") - 1
        safe_n = np.maximum(at_n, 0)
        in_n = (at_n >= 0) & (self.viewer_s[safe_n] == viewer_n) & (ts_n < self.end_s[safe_n])
        return np.where(in_n, at_n, -1)

    def mood(self, viewer_n: Integers, ts_n: Integers) -> Integers:
        """What a viewer is in the mood for at a time, −1 for nothing."""
        session_n = self.at(viewer_n, ts_n)
        return np.where(session_n >= 0, self.mood_s[session_n], -1)

    def _key(self, viewer_n: Integers, ts_n: Integers) -> Integers:
        key_n: Integers = viewer_n.astype(np.int64) * (1 << 42) + ts_n
        return key_n


def make_schedule(config: SimulationConfig, viewers: Viewers, rng: np.random.Generator) -> Schedule:
    """All sessions of the simulated time."""
    count_v = rng.poisson(viewers.rate_v * config.days)
    # A newcomer's first session is why she is known at all.
    count_v = np.where(viewers.joined_ms_v > config.start_ms, np.maximum(count_v, 1), count_v)
    viewer_s = np.repeat(np.arange(config.viewers), count_v)
    day_s = rng.integers(config.days, size=len(viewer_s))
    begin_s = config.start_ms + day_s * DAY_MS + _time_of_day(len(viewer_s), rng)
    first_s = np.searchsorted(viewer_s, viewer_s) == np.arange(len(viewer_s))
    newcomer_s = viewers.joined_ms_v[viewer_s] > config.start_ms
    begin_s = np.where(first_s & newcomer_s, viewers.joined_ms_v[viewer_s], begin_s)
    begin_s = begin_s // config.slot_ms * config.slot_ms
    rounds_s = rng.geometric(1.0 / config.rounds, size=len(viewer_s))
    end_s = np.minimum(begin_s + rounds_s * TICK_MS, config.end_ms)
    mood_s = _moods(viewers, viewer_s, begin_s, rng)
    order = np.lexsort((begin_s, viewer_s))
    viewer_s, begin_s, end_s, mood_s = (
        column[order] for column in (viewer_s, begin_s, end_s, mood_s)
    )
    joined_s = begin_s >= viewers.joined_ms_v[viewer_s] // config.slot_ms * config.slot_ms
    latest_s = np.maximum.accumulate(viewer_s * (1 << 42) + end_s)
    apart_s = np.ones(len(viewer_s), np.bool_)
    apart_s[1:] = viewer_s[1:] * (1 << 42) + begin_s[1:] >= latest_s[:-1] + TICK_MS
    kept = joined_s & apart_s
    return Schedule(viewer_s[kept], begin_s[kept], end_s[kept], mood_s[kept])


def _time_of_day(count: int, rng: np.random.Generator) -> Integers:
    """Milliseconds since midnight: evenings more than nights, evenly else."""
    evening_n, any_n = rng.normal(19.0, 2.5, count), rng.uniform(7.0, 24.0, count)
    hour_n = np.where(rng.random(count) < 0.5, evening_n, any_n)
    return ((hour_n % 24.0) / 24.0 * DAY_MS).astype(np.int64)


def _moods(
    viewers: Viewers, viewer_s: Integers, begin_s: Integers, rng: np.random.Generator
) -> Integers:
    turned_s = viewers.drifted(viewer_s, begin_s)[:, None]
    affinity_st: Floats = viewers.affinity_vt[viewer_s] * (1.0 - turned_s)
    affinity_st = affinity_st + viewers.later_affinity_vt[viewer_s] * turned_s
    total_st = np.cumsum(affinity_st, axis=1)
    drawn_s = rng.random(len(viewer_s)) * total_st[:, -1]
    topic_s = (total_st < drawn_s[:, None]).sum(axis=1)
    strange_s = rng.random(len(viewer_s)) < _STRANGE
    topic_s = np.where(strange_s, rng.integers(len(TOPICS), size=len(viewer_s)), topic_s)
    return np.where(rng.random(len(viewer_s)) < _NO_MOOD, -1, np.minimum(topic_s, len(TOPICS) - 1))
