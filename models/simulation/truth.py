"""What each viewer would do with each media at each time, if it were looked at for the first time.

Everything is a logistic function of one utility: interests in the topic (which drift), the mood of
the session, taste in style, language, quality, age, trends, and a part that nothing explains. What
was shown before counts, too, but follows from what serves: see :mod:`models.simulation.audience`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.actions import HEADS, Action
from models.arrays.mixing import uniform
from models.events import DAY_MS
from models.simulation.config import SimulationConfig
from models.simulation.library import Library
from models.simulation.population import Floats, Integers, Viewers
from models.simulation.schedule import Schedule
from models.simulation.tides import Tides
from models.simulation.topics import nearness

#: Utility of each part.
_INTEREST: Final = 2.2
_MOOD: Final = 1.5
_STYLE: Final = 0.22
_QUALITY: Final = 0.6
_FOREIGN: Final = -1.2
_AGE: Final = -0.25
_UNEXPLAINED: Final = 0.5
#: How much of the utility goes into the log-odds of each head.
_SLOPES: Final = {
    Action.LIKE: 0.9, Action.SAVE: 1.0, Action.SEE_FEWER: -0.9, Action.LONG_VIEW: 0.8,
    Action.SHARE: 1.0, Action.COMMENT: 0.8,
}  # fmt: skip
#: Added to the log-odds for spam: it makes people look, and angry.
_SPAM: Final = {Action.LIKE: -1.5, Action.SEE_FEWER: 3.5, Action.LONG_VIEW: 1.0}
#: Rate of each head on media that nobody chose with care. KuaiRand-Pure has these of likes,
#: see-fewers, long views and forwards; its follows stand for saves, and it has no comments.
RATES: Final = {
    Action.LIKE: 0.0171, Action.SAVE: 0.0013, Action.SEE_FEWER: 0.0008, Action.LONG_VIEW: 0.311,
    Action.SHARE: 0.0009, Action.COMMENT: 0.001,
}  # fmt: skip
#: Pairs that the rates are held to.
_PAIRS: Final = 20_000
#: What each head is worth, in the order of :data:`models.actions.HEADS`, signed.
WORTH_H: Final = np.array([head.row.polarity * (head.row.worth or 0.0) for head in HEADS])


def value(probabilities_nh: Floats, worth_h: Floats = WORTH_H) -> Floats:
    """What looks are worth, from the probabilities of what comes of them, (…, h) → (…)."""
    worth_n: Floats = probabilities_nh @ worth_h
    return worth_n


class Truth:
    """Answers for every viewer, media and time; all arguments broadcast against each other."""

    def __init__(
        self,
        config: SimulationConfig,
        viewers: Viewers,
        library: Library,
        schedule: Schedule,
        tides: Tides,
        rng: np.random.Generator,
    ) -> None:
        self._viewers, self._library, self._schedule, self._tides = (
            viewers, library, schedule, tides,
        )  # fmt: skip
        self._seed, self._near_tt = config.seed, nearness()
        self._slope_h = np.array([_SLOPES[head] for head in HEADS])
        self._spam_h = np.array([_SPAM.get(head, 0.0) for head in HEADS])
        # Generosity concerns what is meant, not what is watched or disliked.
        self._generous_h = np.array(
            [float(head not in (Action.LONG_VIEW, Action.SEE_FEWER)) for head in HEADS]
        )
        self._bias_h = np.zeros(len(HEADS))
        self._bias_h = self._calibrated(config, rng)

    def utility(self, viewer_n: Integers, media_n: Integers, ts_n: Integers) -> Floats:
        """How much a media is to a viewer's taste at a time; about 0 on average."""
        viewers, library = self._viewers, self._library
        topic_n = library.topic_m[media_n]
        table_nt = self._topics(viewer_n, ts_n)
        utility_n: Floats = np.take_along_axis(table_nt, topic_n[..., None], -1)[..., 0]
        style_n = np.einsum("...s,...s->...", viewers.style_vs[viewer_n], library.style_ms[media_n])
        utility_n = utility_n + _STYLE * style_n + _QUALITY * library.quality_m[media_n]
        foreign_n = viewers.language_v[viewer_n] != library.language_m[media_n]
        age_n = np.maximum(ts_n - library.created_ms_m[media_n], 0) / DAY_MS
        utility_n += _FOREIGN * foreign_n + _AGE * np.log1p(age_n)
        utility_n += self._tides.media(media_n, ts_n)
        # Copies please as much as their originals do.
        original_n = library.original_m[media_n]
        return utility_n + _UNEXPLAINED * (uniform(self._seed, viewer_n, original_n) - 0.5) * 2.0

    def probabilities(
        self, viewer_n: Integers, media_n: Integers, ts_n: Integers, less_n: Floats | float = 0.0
    ) -> Floats:
        """P of each head, (…, h), columns :data:`models.actions.HEADS`.

        Args:
            less_n: taken off the utility for what the viewer was shown before.
        """
        utility_n = self.utility(viewer_n, media_n, ts_n) - less_n
        return self.of_utility(viewer_n, media_n, utility_n)

    def of_utility(self, viewer_n: Integers, media_n: Integers, utility_n: Floats) -> Floats:
        """P of each head where the utility is known, (…, h)."""
        odds_nh = self._bias_h + self._slope_h * utility_n[..., None]
        odds_nh = odds_nh + self._generous_h * self._viewers.generosity_v[viewer_n][..., None]
        odds_nh += self._spam_h * self._library.spam_m[media_n][..., None]
        return _sigmoid(odds_nh)

    def _topics(self, viewer_n: Integers, ts_n: Integers) -> Floats:
        """What viewers think of each topic at times, (…, t)."""
        viewer_n, ts_n = np.broadcast_arrays(viewer_n, ts_n)
        viewers = self._viewers
        turned_n1 = viewers.drifted(viewer_n, ts_n)[..., None]
        table_nt: Floats = viewers.affinity_vt[viewer_n] * (1.0 - turned_n1)
        table_nt += viewers.later_affinity_vt[viewer_n] * turned_n1
        table_nt *= _INTEREST
        mood_n = self._schedule.mood(viewer_n.ravel(), ts_n.ravel()).reshape(viewer_n.shape)
        table_nt += _MOOD * self._near_tt[mood_n] * (mood_n >= 0)[..., None]
        times, at_n = np.unique(ts_n, return_inverse=True)
        return table_nt + self._tides.topics(times)[at_n.reshape(ts_n.shape)]

    def _calibrated(self, config: SimulationConfig, rng: np.random.Generator) -> Floats:
        """Log-odds of each head at utility 0, so that looks at random have :data:`RATES`."""
        ordinary = np.flatnonzero(~self._library.spam_m)
        viewer_n = rng.integers(config.viewers, size=_PAIRS)
        media_n = rng.choice(ordinary, size=_PAIRS)
        ts_n = rng.integers(config.start_ms, config.end_ms, size=_PAIRS)
        odds_nh = self._slope_h * self.utility(viewer_n, media_n, ts_n)[:, None]
        odds_nh += self._generous_h * self._viewers.generosity_v[viewer_n][:, None]
        low_h, high_h = np.full(len(HEADS), -30.0), np.full(len(HEADS), 30.0)
        wanted_h = np.array([RATES[head] for head in HEADS])
        for _ in range(50):
            middle_h = (low_h + high_h) / 2.0
            above_h = _sigmoid(odds_nh + middle_h).mean(axis=0) > wanted_h
            low_h, high_h = np.where(above_h, low_h, middle_h), np.where(above_h, middle_h, high_h)
        return low_h


def _sigmoid(odds: NDArray[np.float64]) -> Floats:
    chance: Floats = 1.0 / (1.0 + np.exp(-odds))
    return chance
