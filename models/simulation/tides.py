"""What moves everybody at a time: trends of topics, and media that a crowd comes for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.events import DAY_MS, HOUR_MS
from models.simulation.config import SimulationConfig
from models.simulation.library import Library
from models.simulation.population import Floats, Integers
from models.simulation.topics import TOPICS


@dataclass(frozen=True, slots=True)
class Tides:
    """Rises of what everybody thinks of a topic, or of one media; each grows and fades.

    Attributes:
        topic_i, media_i: of each rise; −1 for one of the other kind.
        peak_ms_i, width_ms_i: when it is highest, and how long it takes.
        height_i: added to the utility at its peak.
    """

    topic_i: Integers
    media_i: Integers
    peak_ms_i: Integers
    width_ms_i: Integers
    height_i: Floats

    def topics(self, ts_n: Integers) -> Floats:
        """What is added for each topic at times, (n, t)."""
        rise_nt = np.zeros((len(ts_n), len(TOPICS)))
        for i in np.flatnonzero(self.topic_i >= 0).tolist():
            rise_nt[:, self.topic_i[i]] += self._height(i, ts_n)
        return rise_nt

    def media(self, media_n: Integers, ts_n: Integers) -> Floats:
        """What is added for media at times, in the shape of both broadcast."""
        rise_n = np.zeros(np.broadcast_shapes(media_n.shape, ts_n.shape))
        for i in np.flatnonzero(self.media_i >= 0).tolist():
            rise_n += np.where(media_n == self.media_i[i], self._height(i, ts_n), 0.0)
        return rise_n

    def _height(self, i: int, ts_n: Integers) -> Floats:
        off_n = (ts_n - self.peak_ms_i[i]) / self.width_ms_i[i]
        risen: Floats = self.height_i[i] * np.exp(-0.5 * off_n**2)
        return risen


def make_tides(config: SimulationConfig, library: Library, rng: np.random.Generator) -> Tides:
    """A trend every other day, and every other day a media that a crowd comes for."""
    each = max(config.days // 2, 1)
    span_ms = config.days * DAY_MS
    posted = np.flatnonzero((library.created_ms_m > config.start_ms) & ~library.spam_m)
    crowds = rng.choice(posted, size=min(each, len(posted)), replace=False)
    none = np.full(each, -1)
    return Tides(
        topic_i=np.append(rng.choice(len(TOPICS), size=each, replace=each > len(TOPICS)),
                          np.full(len(crowds), -1)),
        media_i=np.append(none, crowds),
        peak_ms_i=np.append(
            config.start_ms + (rng.random(each) * span_ms).astype(np.int64),
            library.created_ms_m[crowds] + 3 * HOUR_MS,
        ),
        width_ms_i=np.append(np.full(each, DAY_MS // 2), np.full(len(crowds), 2 * HOUR_MS)),
        height_i=np.append(np.full(each, 0.8), np.full(len(crowds), 2.0)),
    )  # fmt: skip
