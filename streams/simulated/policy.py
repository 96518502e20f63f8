"""Whoever makes grids in a simulated world: the port, and the simplest ways to do it."""

from __future__ import annotations

from typing import Final, Protocol, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.actions import HEAD_NAMES
from models.rankers.value import Weights
from models.simulation.delivery import Happened
from models.simulation.population import Integers
from models.simulation.world import SimulatedWorld

#: Nothing but likes is worth anything.
ONE_HEAD: Final = msgspec.structs.replace(
    Weights(), **{name: float(name == "like") for name in HEAD_NAMES}
)
#: Which media each viewer was shown, (viewers, media) by number.
Shown = NDArray[np.bool_]


class Policy(Protocol):
    """Makes grids, from what it is told."""

    def post(self, media: Integers) -> None:
        """Media came into the catalogue."""
        ...

    def take_down(self, media: Integers) -> None:
        """Media must not be shown any more."""
        ...

    def apply(self, events: Happened, now_ms: int) -> None:
        """Events arrived; some are late and some come twice."""
        ...

    def pass_time(self, now_ms: int) -> None:
        """Learn what is due by now; called at every tick."""
        ...

    def serve(self, viewer_g: Integers, now_ms: int, shown_vm: Shown) -> Integers:
        """Grids of viewers, (g, k) media by number, −1 where there are too few.

        Args:
            shown_vm: what the product's client knows to have shown already.
        """
        ...


@runtime_checkable
class TellsFirstLikes(Protocol):
    """Can say what a grid would be had its viewer not done the first thing that she meant."""

    def without_first_like(
        self, viewer_g: Integers, now_ms: int, shown_vm: Shown
    ) -> dict[int, Integers]:
        """Grids as they would be now without the viewer's first like (save, share, comment).

        Returns:
            Media by number, by viewer; of newcomers who did it since they were last asked for.
        """
        ...


class RandomPolicy:
    """Any media that is there and was not shown, the same draw for the same viewer and time."""

    def __init__(self, world: SimulatedWorld, size: int) -> None:
        self._world, self._size = world, size

    def post(self, media: Integers) -> None:
        """Nothing to do: the library says what is there."""

    def take_down(self, media: Integers) -> None:
        """Nothing to do: the library says what is there."""

    def apply(self, events: Happened, now_ms: int) -> None:
        """It learns nothing from events."""

    def pass_time(self, now_ms: int) -> None:
        """It learns nothing with time."""

    def serve(self, viewer_g: Integers, now_ms: int, shown_vm: Shown) -> Integers:
        """Any media, each with the same chance."""
        there = self._world.library.available(now_ms)
        rng = np.random.default_rng([self._world.config.seed, now_ms // 1000])
        key_gm = rng.random((len(viewer_g), len(there)))
        key_gm[~(there & ~shown_vm[viewer_g])] = np.inf
        at_gk = np.argpartition(key_gm, self._size - 1, axis=1)[:, : self._size]
        return np.where(np.isinf(np.take_along_axis(key_gm, at_gk, 1)), -1, at_gk)
