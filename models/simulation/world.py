"""One simulated world, from a seed: who is there, what is posted, who comes when, and the truth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from models.events import Account, Integrity, Media
from models.simulation.config import ROBOTS_MS, SimulationConfig
from models.simulation.library import Library, make_library
from models.simulation.population import Accounts, Integers, Viewers, make_accounts, make_viewers
from models.simulation.schedule import Schedule, make_schedule
from models.simulation.tides import Tides, make_tides
from models.simulation.topics import LANGUAGES, TOPICS
from models.simulation.truth import Truth


@dataclass(frozen=True)
class SimulatedWorld:
    """Everything that does not depend on what is served."""

    config: SimulationConfig
    accounts: Accounts
    viewers: Viewers
    library: Library
    schedule: Schedule
    tides: Tides
    truth: Truth

    @classmethod
    def of(cls, config: SimulationConfig) -> SimulatedWorld:
        """The world of a configuration; the same each time."""
        # A stream of numbers for each part: a change of one leaves the others as they are.
        streams = [np.random.default_rng(s) for s in np.random.SeedSequence(config.seed).spawn(6)]
        accounts = make_accounts(config, streams[0])
        viewers = make_viewers(config, streams[1])
        library = make_library(config, accounts, streams[2])
        schedule = make_schedule(config, viewers, streams[3])
        tides = make_tides(config, library, streams[4])
        truth = Truth(config, viewers, library, schedule, tides, streams[5])
        return cls(config, accounts, viewers, library, schedule, tides, truth)

    @cached_property
    def viewer_ids(self) -> list[str]:
        """Names of the viewers; behind them those of the robots of a wave of spam."""
        spam = self.config.spam
        robots = 0 if spam is None else spam.robots
        return [
            *(f"v{n}" for n in range(self.config.viewers)),
            *(f"robot{n}" for n in range(robots)),
        ]

    @cached_property
    def media_ids(self) -> list[str]:
        """Names of the media in the order of the library."""
        return [f"m{n}" for n in range(len(self.library))]

    @cached_property
    def account_ids(self) -> list[str]:
        """Names of the accounts by number."""
        return [f"a{n}" for n in range(len(self.accounts.topic_a))]

    def media(self, m: int, *, deleted: bool = False) -> Media:
        """One media as the catalogue tells of it."""
        library = self.library
        return Media(
            self.media_ids[m],
            self.account_ids[int(library.author_m[m])],
            int(library.created_ms_m[m]),
            integrity=Integrity(spam=float(library.integrity_m[m])),
            topics=(TOPICS[int(library.topic_m[m])],),
            language=LANGUAGES[int(library.language_m[m])],
            deleted=deleted,
        )

    def account(self, a: int) -> Account:
        """One account as the catalogue tells of it; that it changes its topic is not told."""
        accounts = self.accounts
        return Account(
            self.account_ids[a],
            topics=(TOPICS[int(accounts.topic_a[a])],),
            language=LANGUAGES[int(accounts.language_a[a])],
        )

    def robot_likes(self) -> tuple[Integers, Integers, Integers]:
        """Viewer, media and time of each like of the robots of a wave, in order of time."""
        spam, config = self.config.spam, self.config
        if spam is None:
            none = np.zeros(0, np.int64)
            return none, none, none
        wave = np.flatnonzero(self.library.spam_m)
        robot_n = np.repeat(np.arange(spam.robots) + config.viewers, len(wave))
        media_n = np.tile(wave, spam.robots)
        rng = np.random.default_rng(config.seed)
        ts_n = self.library.created_ms_m[media_n] + rng.integers(1, ROBOTS_MS, size=len(media_n))
        order = np.argsort(ts_n, kind="stable")
        return robot_n[order], media_n[order], ts_n[order]
