"""Who posts and who looks: accounts and viewers as columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.events import DAY_MS
from models.simulation.config import SimulationConfig
from models.simulation.topics import LANGUAGE_SHARES, LANGUAGES, TOPICS, nearness

#: Length of the vectors of style: what media of one topic differ by, and tastes within it.
STYLES: Final = 4
NEVER_MS: Final = 1 << 60

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Accounts:
    """Accounts that post.

    Attributes:
        topic_a: what each posts about, a number of :data:`TOPICS`.
        later_topic_a, turn_ms_a: what it posts about from a time on; never for most.
        language_a: a number of :data:`LANGUAGES`.
        quality_a: mean quality of its media.
        style_as: mean style of its media.
        rate_a: media a day.
        joined_ms_a: when it posts first.
        spam_a: it belongs to a wave of spam.
    """

    topic_a: Integers
    later_topic_a: Integers
    turn_ms_a: Integers
    language_a: Integers
    quality_a: Floats
    style_as: Floats
    rate_a: Floats
    joined_ms_a: Integers
    spam_a: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Viewers:
    """Viewers that look.

    Attributes:
        affinity_vt, later_affinity_vt: what each thinks of topics at first and in the end, at most
            1.
        drift_ms_v, drift_length_v: when the first begins to turn into the second, and for how long.
        sudden_v: it turns at once.
        style_vs: tastes within topics.
        language_v: a number of :data:`LANGUAGES`.
        generosity_v: added to the log-odds of everything that is meant.
        rate_v: sessions a day.
        joined_ms_v: when each comes first.
    """

    affinity_vt: Floats
    later_affinity_vt: Floats
    drift_ms_v: Integers
    drift_length_v: Integers
    sudden_v: NDArray[np.bool_]
    style_vs: Floats
    language_v: Integers
    generosity_v: Floats
    rate_v: Floats
    joined_ms_v: Integers

    def drifted(self, viewer_n: NDArray[np.integer], ts_n: NDArray[np.integer]) -> Floats:
        """How far the interests have turned, from 0 to 1, in the shape of both broadcast."""
        since_n = (ts_n - self.drift_ms_v[viewer_n]) / self.drift_length_v[viewer_n]
        turned_n: Floats = np.clip(since_n, 0.0, 1.0)
        return turned_n


def make_accounts(config: SimulationConfig, rng: np.random.Generator) -> Accounts:
    """The accounts of a world, those of a wave of spam last."""
    spam = 0 if config.spam is None else config.spam.accounts
    count = config.accounts + spam
    topic_a = rng.integers(len(TOPICS), size=count)
    turning_a = rng.random(count) < config.turners
    new_a = rng.random(count) < 0.1
    spam_a = np.arange(count) >= config.accounts
    turn_ms_a = config.start_ms + (rng.random(count) * config.days * DAY_MS).astype(np.int64)
    joined_ms_a = np.where(
        new_a, config.start_ms + (rng.random(count) * config.days * DAY_MS).astype(np.int64), 0
    )
    rate_a = np.exp(rng.normal(size=count))
    rate_a *= config.posts_per_day / rate_a.mean()
    return Accounts(
        topic_a=topic_a,
        later_topic_a=rng.integers(len(TOPICS), size=count),
        turn_ms_a=np.where(turning_a & ~spam_a, turn_ms_a, NEVER_MS),
        language_a=rng.choice(len(LANGUAGES), size=count, p=LANGUAGE_SHARES),
        quality_a=np.where(spam_a, -2.0, rng.normal(size=count) * 0.6),
        style_as=rng.normal(size=(count, STYLES)),
        rate_a=np.where(spam_a, 0.0, rate_a),
        joined_ms_a=np.where(spam_a, NEVER_MS, joined_ms_a),
        spam_a=spam_a,
    )


def make_viewers(config: SimulationConfig, rng: np.random.Generator) -> Viewers:
    """The viewers of a world."""
    count, span_ms = config.viewers, config.days * DAY_MS
    sudden_v = rng.random(count) < config.drifters
    # Who changes at once has been there before.
    newcomer_v = (rng.random(count) < config.newcomers) & ~sudden_v
    first_vt, second_vt = _affinities(count, rng), _affinities(count, rng)
    slow_vt = 0.6 * first_vt + 0.4 * second_vt
    # Who came more often still would have seen everything there is within days.
    rate_v = np.minimum(np.exp(rng.normal(size=count) * config.activity_spread), 4.0)
    joined_ms_v = config.start_ms + (rng.random(count) * span_ms).astype(np.int64)
    return Viewers(
        affinity_vt=first_vt,
        later_affinity_vt=np.where(sudden_v[:, None], second_vt, slow_vt),
        drift_ms_v=np.where(sudden_v, config.at(config.drift_day), config.start_ms),
        drift_length_v=np.where(sudden_v, 1, span_ms),
        sudden_v=sudden_v,
        style_vs=rng.normal(size=(count, STYLES)),
        language_v=rng.choice(len(LANGUAGES), size=count, p=LANGUAGE_SHARES),
        generosity_v=rng.normal(size=count) * config.generosity_spread,
        rate_v=rate_v * config.sessions_per_day / rate_v.mean(),
        joined_ms_v=np.where(newcomer_v, joined_ms_v, config.start_ms),
    )


def _affinities(count: int, rng: np.random.Generator) -> Floats:
    """What viewers think of topics: two to four interests each, and what lies near them."""
    weight_vt = np.zeros((count, len(TOPICS)))
    for viewer, interests in enumerate(rng.integers(2, 5, size=count).tolist()):
        chosen = rng.choice(len(TOPICS), size=interests, replace=False)
        weight_vt[viewer, chosen] = rng.uniform(0.4, 1.0, size=interests)
    found_vt: Floats = np.minimum(weight_vt @ nearness(), 1.0)
    return found_vt
