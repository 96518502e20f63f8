"""What there is to look at: all media of the simulated time as columns, posted as it goes by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.events import DAY_MS, MINUTE_MS
from models.simulation.config import SimulationConfig
from models.simulation.population import NEVER_MS, STYLES, Accounts, Floats, Integers


@dataclass(frozen=True, slots=True)
class Library:
    """Media in the order in which they are posted.

    Attributes:
        author_m, topic_m, language_m: whole numbers.
        quality_m: what everybody thinks of it, about normal.
        style_ms: what it is like beside its topic.
        created_ms_m, deleted_ms_m: when it is posted, and taken down; never for most.
        original_m: the media it is a near copy of; itself for most.
        spam_m: it belongs to a wave of spam.
        integrity_m: what the classifier of spam says, from 0 to 1; late to know of a new wave.
    """

    author_m: Integers
    topic_m: Integers
    language_m: Integers
    quality_m: Floats
    style_ms: Floats
    created_ms_m: Integers
    deleted_ms_m: Integers
    original_m: Integers
    spam_m: NDArray[np.bool_]
    integrity_m: Floats

    def __len__(self) -> int:
        return len(self.author_m)

    def available(self, ts_ms: int) -> NDArray[np.bool_]:
        """Which media can be shown at a time."""
        return (self.created_ms_m < ts_ms) & (self.deleted_ms_m > ts_ms)


def make_library(config: SimulationConfig, accounts: Accounts, rng: np.random.Generator) -> Library:
    """All media that the accounts post, the wave of spam among them."""
    author_m, created_ms_m = _posts(config, accounts, rng)
    if config.spam is not None:
        spammers = np.flatnonzero(accounts.spam_a)
        wave = np.repeat(spammers, config.spam.media)
        author_m = np.append(author_m, wave)
        minutes = rng.integers(0, 5 * MINUTE_MS, size=len(wave))
        created_ms_m = np.append(created_ms_m, config.at(config.spam.day) + minutes)
    order = np.argsort(created_ms_m, kind="stable")
    author_m, created_ms_m = author_m[order], created_ms_m[order]
    count = len(author_m)
    spam_m = accounts.spam_a[author_m]
    turned_m = created_ms_m >= accounts.turn_ms_a[author_m]
    quality_m = accounts.quality_a[author_m] + 0.7 * rng.normal(size=count)
    style_ms = accounts.style_as[author_m] + 0.6 * rng.normal(size=(count, STYLES))
    topic_m = np.where(turned_m, accounts.later_topic_a[author_m], accounts.topic_a[author_m])
    # Copies come after their originals, from whoever, and are a little worse.
    original_m = np.arange(count)
    copies = np.flatnonzero((rng.random(count) < config.duplicates) & (original_m > 0) & ~spam_m)
    of = original_m[(rng.random(len(copies)) * copies).astype(np.int64)]
    copies, of = copies[~spam_m[of]], of[~spam_m[of]]
    for copy, source in zip(copies.tolist(), of.tolist(), strict=True):
        original_m[copy] = original_m[source]
    topic_m[copies] = topic_m[original_m[copies]]
    style_ms[copies] = style_ms[original_m[copies]]
    quality_m[copies] = quality_m[original_m[copies]] - 0.3
    lives_m = (rng.random(count) * 10 * DAY_MS).astype(np.int64)
    deleted_m = (rng.random(count) < config.deleted) & (created_ms_m + lives_m > config.start_ms)
    flagged_m = rng.random(count) < 0.02
    return Library(
        author_m=author_m,
        topic_m=topic_m,
        language_m=accounts.language_a[author_m],
        quality_m=np.where(flagged_m, quality_m - 1.0, quality_m),
        style_ms=style_ms,
        created_ms_m=created_ms_m,
        deleted_ms_m=np.where(deleted_m, created_ms_m + lives_m, NEVER_MS),
        original_m=original_m,
        spam_m=spam_m,
        integrity_m=np.where(flagged_m, rng.uniform(0.3, 1.0, count), rng.uniform(0, 0.15, count)),
    )


def _posts(
    config: SimulationConfig, accounts: Accounts, rng: np.random.Generator
) -> tuple[Integers, Integers]:
    """Author and time of all posts but spam."""
    from_ms = config.start_ms - round(config.backlog_days * DAY_MS)
    days = (config.end_ms - from_ms) / DAY_MS
    posts_a = rng.poisson(accounts.rate_a * days)
    author_m = np.repeat(np.arange(len(posts_a)), posts_a)
    created_ms_m = from_ms + (rng.random(len(author_m)) * days * DAY_MS).astype(np.int64)
    there_m = created_ms_m >= accounts.joined_ms_a[author_m]
    return author_m[there_m], created_ms_m[there_m]
