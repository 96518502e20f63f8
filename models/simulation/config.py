"""Sizes and time constants of a simulated world."""

from __future__ import annotations

from typing import Final

import msgspec

from models.events import DAY_MS, HOUR_MS, MINUTE_MS

#: Midnight UTC of 1 May 2024.
START_MS: Final = 1_714_521_600_000


class Wave(msgspec.Struct, frozen=True, kw_only=True):
    """A wave of spam.

    Attributes:
        day: when it begins, in days since the start.
        accounts, media: how many accounts post, and how many media each.
        robots: viewers that like all of it within its first minutes.
    """

    day: float = 3.5
    accounts: int = 6
    media: int = 10
    robots: int = 20


class SimulationConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One world. Equal configurations give equal worlds.

    Attributes:
        viewers, accounts: how many there are.
        days: length of the simulated time.
        posts_per_day: media of an account a day, on average.
        backlog_days: media there are at the start were posted over so many days before.
        sessions_per_day: of a viewer, on average; a few come far more often, at most four times.
        rounds: grids of a session, on average.
        slot_ms: sessions begin at full multiples of it. Longer ones put more viewers into one step,
            which costs less, and leave steps empty.
        newcomers: share of the viewers who come after the start.
        drifters: share whose interests change at once, at `drift_day`; those of all others move
            slowly.
        turners: share of the accounts that change their topic.
        spam: None for a world without.
        late, doubled: share of the events that arrive minutes to hours late, and of those that
            arrive twice.
        deleted: share of the media that are taken down some day.
        duplicates: share of the media that are near copies of others.
        continues: chance to look at the next position after one.
        activity_spread, generosity_spread: standard deviation of the logarithm of how often viewers
            come, and of the log-odds that they like.
    """

    seed: int = 7
    start_ms: int = START_MS
    viewers: int = 200
    accounts: int = 400
    days: int = 5
    posts_per_day: float = 2.0
    backlog_days: float = 7.0
    sessions_per_day: float = 2.0
    rounds: float = 4.0
    slot_ms: int = 15 * MINUTE_MS
    newcomers: float = 0.2
    drifters: float = 0.15
    drift_day: float = 3.0
    turners: float = 0.05
    spam: Wave | None = Wave()
    late: float = 0.01
    doubled: float = 0.005
    deleted: float = 0.05
    duplicates: float = 0.05
    continues: float = 0.92
    activity_spread: float = 0.9
    generosity_spread: float = 1.3

    def __post_init__(self) -> None:
        for name in ("viewers", "accounts", "days"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give a whole number from 1 on")
        for name in ("newcomers", "drifters", "turners", "late", "doubled", "deleted",
                     "duplicates", "continues"):  # fmt: skip
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}; give a share from 0 to 1")

    @property
    def end_ms(self) -> int:
        """When the simulated time is over."""
        return self.start_ms + self.days * DAY_MS

    def at(self, day: float) -> int:
        """Epoch ms of so many days after the start."""
        return self.start_ms + round(day * DAY_MS)


#: One tick: a viewer in a session looks at one grid in it.
TICK_MS: Final = MINUTE_MS
#: Between the first and the last like of the robots of a wave.
ROBOTS_MS: Final = HOUR_MS // 4
