"""How events reach whoever serves: most at once, some late, some twice."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.actions import HEADS, Action
from models.arrays.mixing import uniform
from models.events import MINUTE_MS
from models.simulation.audience import LOOK_MS, Looked
from models.simulation.config import SimulationConfig
from models.simulation.population import Integers

#: Who is late is so by up to two hours.
_LATEST_MS: Final = 120 * MINUTE_MS
_LONG: Final = HEADS.index(Action.LONG_VIEW)


class Happened(msgspec.Struct, frozen=True, eq=False):
    """Events, n of them, in order of time.

    Attributes:
        ts_n: event time, epoch ms.
        viewer_n, media_n: whole numbers.
        action_n: codes of :class:`models.actions.Action`.
        number_n: the same for copies of one event, and for no others.
    """

    ts_n: Integers
    viewer_n: Integers
    media_n: Integers
    action_n: NDArray[np.int8]
    number_n: Integers

    def __len__(self) -> int:
        return len(self.ts_n)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Happened:
        """These rows, in this order."""
        return Happened(*(getattr(self, name)[rows] for name in self.__struct_fields__))

    @classmethod
    def joined(cls, parts: list[Happened]) -> Happened:
        """The events of all parts in order of time."""
        whole, codes = np.zeros(0, np.int64), np.zeros(0, np.int8)
        none = Happened(whole, whole, whole, codes, whole)
        columns = (
            np.concatenate([getattr(part, name) for part in (none, *parts)])
            for name in cls.__struct_fields__
        )
        events = cls(*columns)
        return events.take(np.argsort(events.ts_n, kind="stable"))


def events_of(
    looked: Looked, viewer_g: Integers, media_gk: Integers, ts_ms: int, first_number: int
) -> Happened:
    """A view of each look, a long one where that was drawn, and an event of all else she did."""
    g_n, k_n = np.nonzero(looked.looked_gk)
    done_nh = looked.done_gkh[g_n, k_n]
    view_n = np.where(done_nh[:, _LONG], int(Action.LONG_VIEW), int(Action.VIEW))
    rows, heads = np.nonzero(np.delete(done_nh, _LONG, axis=1))
    meant = np.array([int(head) for head in HEADS if head is not Action.LONG_VIEW])[heads]
    at = np.concatenate([np.arange(len(g_n)), rows])
    ts_n = ts_ms + k_n[at] * LOOK_MS
    ts_n[len(g_n) :] += LOOK_MS // 2
    events = Happened(
        ts_n=ts_n,
        viewer_n=viewer_g[g_n][at],
        media_n=media_gk[g_n, k_n][at],
        action_n=np.concatenate([view_n, meant]).astype(np.int8),
        number_n=first_number + np.arange(len(at)),
    )
    return events.take(np.argsort(events.ts_n, kind="stable"))


def deliver(events: Happened, config: SimulationConfig) -> tuple[Happened, Integers]:
    """What arrives and when: every event once or twice, not before it happened."""
    drawn_n = uniform(config.seed + 3, events.number_n)
    wait_n = uniform(config.seed + 4, events.number_n) * _LATEST_MS
    late_n = np.where(drawn_n < config.late, wait_n, 0.0).astype(np.int64)
    twice = np.flatnonzero(uniform(config.seed + 5, events.number_n) < config.doubled)
    again = events.take(twice)
    arrives_n = np.concatenate([events.ts_n + late_n, again.ts_n + wait_n[twice].astype(np.int64)])
    copies = Happened(
        *(
            np.concatenate([getattr(events, name), getattr(again, name)])
            for name in Happened.__struct_fields__
        )
    )
    order = np.argsort(arrives_n, kind="stable")
    return copies.take(order), arrives_n[order]
