"""The closed loop: what is served is looked at, and what came of it is what is learned from."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.actions import HEADS, Action
from models.arrays.mixing import uniform
from models.simulation.audience import Audience
from models.simulation.config import TICK_MS
from models.simulation.delivery import Happened, deliver, events_of
from models.simulation.population import Floats, Integers
from models.simulation.world import SimulatedWorld
from streams.simulated.policy import Policy, RandomPolicy, TellsFirstLikes

#: Told the share of the time that has gone by.
Tell = Callable[[float], None]
_SEE_FEWER: Final = HEADS.index(Action.SEE_FEWER)


def _told_to_nobody(done: float) -> None:
    """What becomes of progress that nobody asked for."""


class Grids(msgspec.Struct, frozen=True, eq=False):
    """What was served, a row a grid in order of time.

    Attributes:
        ts_g, viewer_g: when and for whom.
        media_gk: what was shown, −1 for nothing.
        looked_gk: whether the viewer got so far.
        value_g: what it was worth by the truth, before anybody looked.
        oracle_g: what the best grid would have been worth to the same viewer then; NaN where nobody
            asked.
        unliked_g: what the grid would have been worth without the first like (save, share, comment)
            of its viewer, a newcomer, where that came since her last grid; NaN for all others.
        engaged_g: long views and stronger actions of the viewer before.
        see_fewer_g: looks of the grid that ended in a see-fewer.
        drift_g: long views and stronger actions of the viewer since the interests of some changed
            at once; −1 before.
    """

    ts_g: Integers
    viewer_g: Integers
    media_gk: NDArray[np.int32]
    looked_gk: NDArray[np.bool_]
    value_g: Floats
    oracle_g: Floats
    unliked_g: Floats
    engaged_g: Integers
    see_fewer_g: Integers
    drift_g: Integers

    def __len__(self) -> int:
        return len(self.ts_g)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Grids:
        """These rows, in this order."""
        return Grids(**{name: getattr(self, name)[rows] for name in self.__struct_fields__})


class Outcome(msgspec.Struct, frozen=True, eq=False):
    """One run of a policy in a world.

    Attributes:
        events: everything that viewers did, robots left out, each once.
        seconds: by part: ``serve``, ``fold``, ``learn``, ``world``, ``oracle``, ``all``.
    """

    grids: Grids
    events: Happened
    seconds: dict[str, float]

    @property
    def steps(self) -> int:
        """Looks: a viewer who looked at one media and decided what to do with it."""
        return int(self.grids.looked_gk.sum())


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since, self._begun = time.perf_counter(), time.perf_counter()

    def took(self, part: str) -> None:
        now = time.perf_counter()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._since
        self._since = now

    def whole(self) -> dict[str, float]:
        return {**self.seconds, "all": time.perf_counter() - self._begun}


def simulate(
    world: SimulatedWorld,
    policy: Policy,
    *,
    size: int,
    warm_days: float = 0.0,
    delay_ms: int = 0,
    oracle_every: int = 7,
    tell: Tell = _told_to_nobody,
) -> Outcome:
    """Run a policy through the whole time of a world.

    Args:
        size: positions of a grid.
        warm_days: until then everybody is shown media at random, whatever the policy, which looks
            on and learns: nobody has an advantage by what it began with.
        delay_ms: events reach the policy so much later.
        oracle_every: the oracle is asked at every so many grids; 0 for never.
        tell: about ten times, how much of the time has gone by.
    """
    return _Loop(world, policy, size, warm_days, delay_ms, oracle_every).run(tell)


class _Loop:
    def __init__(
        self, world: SimulatedWorld, policy: Policy, size: int, warm_days: float, delay_ms: int,
        oracle_every: int,
    ) -> None:  # fmt: skip
        self._world, self._policy, self._size = world, policy, size
        self._anything, self._warm_ms = RandomPolicy(world, size), world.config.at(warm_days)
        self._delay_ms, self._oracle_every = delay_ms, oracle_every
        config = world.config
        self._audience = Audience(world, size)
        self._shown_vm = np.zeros((config.viewers, len(world.library)), np.bool_)
        self._engaged_v = np.zeros(config.viewers, np.int64)
        self._before_drift_v = np.full(config.viewers, -1, np.int64)
        # Events on their way: when they arrive, and what.
        self._waiting = Happened.joined([])
        self._arrives_n = np.zeros(0, np.int64)
        self._number = 0
        self._clock = _Clock()

    def run(self, tell: Tell) -> Outcome:
        world, config = self._world, self._world.config
        ticks = range(config.start_ms, config.end_ms, TICK_MS)
        self._robots()
        present = _present(world)
        grids: list[Grids] = []
        events: list[Happened] = []
        posted_ms = -1
        for number, now_ms in enumerate(ticks):
            self._catalogue(posted_ms, now_ms)
            posted_ms = now_ms
            self._clock.took("world")
            self._deliver(now_ms)
            self._clock.took("fold")
            self._policy.pass_time(now_ms)
            self._clock.took("learn")
            viewer_g = present.get(now_ms)
            if viewer_g is not None:
                grid, done = self._serve(viewer_g, now_ms)
                grids.append(grid)
                events.append(done)
            if number % max(len(ticks) // 10, 1) == 0:
                tell(number / len(ticks))
        joined = Grids(
            **{
                name: np.concatenate([getattr(grid, name) for grid in grids])
                for name in Grids.__struct_fields__
            }
        )
        return Outcome(joined, Happened.joined(events), self._clock.whole())

    def _robots(self) -> None:
        viewer_n, media_n, ts_n = self._world.robot_likes()
        count = len(ts_n)
        self._number = count
        likes = Happened(
            ts_n, viewer_n, media_n, np.full(count, Action.LIKE, np.int8), np.arange(count)
        )
        self._send(likes)

    def _catalogue(self, since_ms: int, now_ms: int) -> None:
        library = self._world.library
        for of_m, tell in (
            (library.created_ms_m, self._policy.post),
            (library.deleted_ms_m, self._policy.take_down),
        ):
            rows = np.flatnonzero((of_m >= since_ms) & (of_m < now_ms))
            if len(rows):
                tell(rows)

    def _send(self, events: Happened) -> None:
        sent, arrives_n = deliver(events, self._world.config)
        waiting = [self._waiting, sent]
        self._waiting = Happened(
            *(
                np.concatenate([getattr(part, name) for part in waiting])
                for name in Happened.__struct_fields__
            )
        )
        self._arrives_n = np.append(self._arrives_n, arrives_n + self._delay_ms)

    def _deliver(self, now_ms: int) -> None:
        here_n = self._arrives_n < now_ms
        if not here_n.any():
            return
        rows = np.flatnonzero(here_n)
        rows = rows[np.argsort(self._arrives_n[rows], kind="stable")]
        self._policy.apply(self._waiting.take(rows), now_ms)
        self._waiting = self._waiting.take(~here_n)
        self._arrives_n = self._arrives_n[~here_n]

    def _serve(self, viewer_g: Integers, now_ms: int) -> tuple[Grids, Happened]:
        policy = self._policy if now_ms >= self._warm_ms else self._anything
        media_gk = policy.serve(viewer_g, now_ms, self._shown_vm)
        self._clock.took("serve")
        oracle_g = np.full(len(viewer_g), np.nan)
        asked = self._asked(viewer_g, now_ms)
        if len(asked):
            oracle_g[asked] = self._audience.best(viewer_g[asked], now_ms, self._size)[1]
            self._clock.took("oracle")
        unliked_g = self._unliked(viewer_g, now_ms)
        looked = self._audience.look(viewer_g, media_gk, now_ms)
        events = events_of(looked, viewer_g, media_gk, now_ms, self._number)
        self._number += len(events)
        self._send(events)
        rows, places = np.nonzero(looked.looked_gk)
        self._shown_vm[viewer_g[rows], media_gk[rows, places]] = True
        since_g = self._drifted(viewer_g, now_ms)
        grids = Grids(
            ts_g=np.full(len(viewer_g), now_ms, np.int64),
            viewer_g=viewer_g,
            media_gk=media_gk.astype(np.int32),
            looked_gk=looked.looked_gk,
            value_g=looked.value_gk.sum(axis=1),
            oracle_g=oracle_g,
            unliked_g=unliked_g,
            engaged_g=self._engaged_v[viewer_g],
            see_fewer_g=looked.done_gkh[:, :, _SEE_FEWER].sum(axis=1),
            drift_g=since_g,
        )
        positive = [h for h, head in enumerate(HEADS) if head.row.polarity > 0]
        self._engaged_v[viewer_g] += looked.done_gkh[:, :, positive].any(axis=2).sum(axis=1)
        self._clock.took("world")
        return grids, events

    def _asked(self, viewer_g: Integers, now_ms: int) -> Integers:
        """The grids that the oracle is asked for: the same ones whatever the policy."""
        if not self._oracle_every or now_ms < self._warm_ms:
            return np.zeros(0, np.int64)
        drawn_g = uniform(self._world.config.seed + 6, viewer_g, np.full(len(viewer_g), now_ms))
        return np.flatnonzero(drawn_g < 1.0 / self._oracle_every)

    def _unliked(self, viewer_g: Integers, now_ms: int) -> Floats:
        worth_g = np.full(len(viewer_g), np.nan)
        if isinstance(self._policy, TellsFirstLikes):
            without = self._policy.without_first_like(viewer_g, now_ms, self._shown_vm)
            for at in np.flatnonzero(np.isin(viewer_g, list(without))).tolist():
                one = viewer_g[at : at + 1]
                worth_g[at] = self._audience.worth(one, without[int(one[0])][None, :], now_ms)[0]
        return worth_g

    def _drifted(self, viewer_g: Integers, now_ms: int) -> Integers:
        config = self._world.config
        if now_ms < config.at(config.drift_day):
            return np.full(len(viewer_g), -1, np.int64)
        first = viewer_g[self._before_drift_v[viewer_g] < 0]
        self._before_drift_v[first] = self._engaged_v[first]
        return self._engaged_v[viewer_g] - self._before_drift_v[viewer_g]


def _present(world: SimulatedWorld) -> dict[int, Integers]:
    """Who looks at a grid at each tick."""
    schedule = world.schedule
    rounds_s = (schedule.end_s - schedule.begin_s) // TICK_MS
    viewer_n = np.repeat(schedule.viewer_s, rounds_s)
    first_s = np.cumsum(rounds_s) - rounds_s
    within_n = np.arange(len(viewer_n)) - np.repeat(first_s, rounds_s)
    tick_n = np.repeat(schedule.begin_s, rounds_s) + within_n * TICK_MS
    order = np.lexsort((viewer_n, tick_n))
    ticks, starts = np.unique(tick_n[order], return_index=True)
    parts = np.split(viewer_n[order], starts[1:])
    return dict(zip(ticks.tolist(), parts, strict=True))
