"""How viewers look at grids: from the top, until they have enough; what they saw, they are full of.

What comes of a look is drawn from numbers that follow from the seed, viewer, media and how often
she saw it: two systems that show the same get the same answer, so that they can be compared on few
seeds.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.actions import HEADS, Action
from models.arrays.mixing import uniform
from models.simulation.population import Floats, Integers
from models.simulation.topics import TOPICS
from models.simulation.truth import WORTH_H, value
from models.simulation.world import SimulatedWorld

#: Taken off the utility for each earlier look in the same session at the same author, at the same
#: topic, and for each earlier look ever at the same media or a copy of it.
_AUTHOR: Final = 0.35
_TOPIC: Final = 0.08
_AGAIN: Final = 1.5
#: Media that the oracle looks at more closely.
_SHORT_LIST: Final = 120
#: Between two looks at one grid.
LOOK_MS: Final = 1_500


class Looked(msgspec.Struct, frozen=True, eq=False):
    """What came of grids, (g, k) in their order.

    Attributes:
        looked_gk: whether the viewer got so far.
        done_gkh: what she did, columns :data:`models.actions.HEADS`; nothing where not looked.
        value_gk: what a look there was worth by the truth, times the chance that it is made.
        probabilities_gkh: of each head, given a look.
    """

    looked_gk: NDArray[np.bool_]
    done_gkh: NDArray[np.bool_]
    value_gk: Floats
    probabilities_gkh: Floats


class Audience:
    """The viewers with what they were shown. One grid of a viewer at a time.

    Args:
        size: positions of a grid.
        worth_h: what heads are worth, signed.
    """

    def __init__(self, world: SimulatedWorld, size: int, worth_h: Floats = WORTH_H) -> None:
        config, library = world.config, world.library
        self._world, self._worth_h = world, worth_h
        self.seen_vm = np.zeros((config.viewers, len(library)), np.uint8)
        self._session_v = np.full(config.viewers, -1, np.int64)
        self._authors_va = np.zeros((config.viewers, len(world.accounts.topic_a)), np.uint8)
        self._topics_vt = np.zeros((config.viewers, len(TOPICS)), np.uint8)
        #: Chance that a viewer looks at each position.
        self.chance_k = config.continues ** np.arange(size)

    def look(self, viewer_g: Integers, media_gk: Integers, ts_ms: int) -> Looked:
        """Show grids; −1 fills up short ones."""
        config, k = self._world.config, media_gk.shape[1]
        shown_gk = media_gk >= 0
        chance_gkh = self.chances(viewer_g, media_gk, ts_ms)
        media_gk, viewer_g1 = np.maximum(media_gk, 0), viewer_g[:, None]
        drawn_g1 = uniform(config.seed + 1, viewer_g1, np.full((1, 1), ts_ms))
        looked_gk = shown_gk & (drawn_g1 < self.chance_k[:k])
        seen_gk = self.seen_vm[viewer_g1, self._world.library.original_m[media_gk]].astype(np.int64)
        viewer_g11, media_gk1 = viewer_g[:, None, None], media_gk[..., None]
        head_h = np.arange(len(HEADS))
        drawn_gkh = uniform(config.seed + 2, viewer_g11, media_gk1, seen_gk[..., None], head_h)
        done_gkh = drawn(drawn_gkh, chance_gkh, looked_gk)
        self._remember(viewer_g1, media_gk, looked_gk)
        worth_gk = self._worth(chance_gkh)
        return Looked(looked_gk, done_gkh, worth_gk, chance_gkh)

    def chances(self, viewer_g: Integers, media_gk: Integers, ts_ms: int) -> Floats:
        """P of each head at each position, if it is looked at, (g, k, h); 0 where nothing is."""
        self._begin(viewer_g, ts_ms)
        shown_gk, media_gk, viewer_g1 = media_gk >= 0, np.maximum(media_gk, 0), viewer_g[:, None]
        less_gk = self._weary(viewer_g1, media_gk) + self._within(media_gk)
        ts = np.full((1, 1), ts_ms)
        chance_gkh = self._world.truth.probabilities(viewer_g1, media_gk, ts, less_gk)
        return chance_gkh * shown_gk[..., None]

    def worth(self, viewer_g: Integers, media_gk: Integers, ts_ms: int) -> Floats:
        """What grids would be worth now, (g,); nobody looks at them."""
        worth_g: Floats = self._worth(self.chances(viewer_g, media_gk, ts_ms)).sum(axis=1)
        return worth_g

    def _worth(self, chance_gkh: Floats) -> Floats:
        """Of each position, (g, k), of chances that are 0 where nothing is shown."""
        return value(chance_gkh, self._worth_h) * self.chance_k[: chance_gkh.shape[1]]

    def best(self, viewer_g: Integers, ts_ms: int, size: int) -> tuple[Integers, Floats]:
        """The grids of an oracle, and what they are worth: (g, k) of media and (g,) of values.

        It knows the truth and everything that each viewer was shown, and takes the best media one
        after the other. Near copies of what it took are left out by what was seen.
        """
        self._begin(viewer_g, ts_ms)
        world = self._world
        there = np.flatnonzero(world.library.available(ts_ms))
        size = min(size, len(there))
        viewer_g1, ts = viewer_g[:, None], np.full((1, 1), ts_ms)
        utility_gm = world.truth.utility(viewer_g1, there[None, :], ts)
        utility_gm -= self._weary(viewer_g1, there[None, :])
        chance_gmh = world.truth.of_utility(viewer_g1, there[None, :], utility_gm)
        worth_gm = value(chance_gmh, self._worth_h)
        count = min(_SHORT_LIST, len(there))
        at_gn = np.argpartition(-worth_gm, count - 1, axis=1)[:, :count]
        media_gn = there[at_gn]
        utility_gn = np.take_along_axis(utility_gm, at_gn, 1)
        author_gn, topic_gn = world.library.author_m[media_gn], world.library.topic_m[media_gn]
        original_gn = world.library.original_m[media_gn]
        picked_gk = np.zeros((len(viewer_g), size), np.int64)
        total_g, rows = np.zeros(len(viewer_g)), np.arange(len(viewer_g))
        taken_gn = np.zeros(media_gn.shape, np.bool_)
        for k in range(size):
            chance_gnh = world.truth.of_utility(viewer_g1, media_gn, utility_gn)
            worth_gn = np.where(taken_gn, -np.inf, value(chance_gnh, self._worth_h))
            at_g = worth_gn.argmax(axis=1)
            picked_gk[:, k] = media_gn[rows, at_g]
            total_g += self.chance_k[k] * np.maximum(worth_gn[rows, at_g], -1e9)
            taken_gn[rows, at_g] = True
            utility_gn -= _AUTHOR * (author_gn == author_gn[rows, at_g][:, None])
            utility_gn -= _TOPIC * (topic_gn == topic_gn[rows, at_g][:, None])
            utility_gn -= _AGAIN * (original_gn == original_gn[rows, at_g][:, None])
        return picked_gk, total_g

    def _begin(self, viewer_g: Integers, ts_ms: int) -> None:
        """Forget the authors and topics of a session that is over."""
        session_g = self._world.schedule.at(viewer_g, np.full(len(viewer_g), ts_ms))
        fresh = viewer_g[session_g != self._session_v[viewer_g]]
        self._authors_va[fresh] = 0
        self._topics_vt[fresh] = 0
        self._session_v[viewer_g] = session_g

    def _weary(self, viewer_n: Integers, media_n: Integers) -> Floats:
        """What is taken off for what was looked at before."""
        library = self._world.library
        less_n = _AUTHOR * self._authors_va[viewer_n, library.author_m[media_n]].astype(np.float64)
        less_n = less_n + _TOPIC * self._topics_vt[viewer_n, library.topic_m[media_n]]
        return less_n + _AGAIN * self.seen_vm[viewer_n, library.original_m[media_n]]

    def _within(self, media_gk: Integers) -> Floats:
        """What is taken off for what stands before in the same grid."""
        library, k = self._world.library, media_gk.shape[1]
        before_kk = np.tri(k, k, -1)
        less_gk = np.zeros(media_gk.shape)
        for of_m, cost in ((library.author_m, _AUTHOR), (library.topic_m, _TOPIC),
                           (library.original_m, _AGAIN)):  # fmt: skip
            of_gk = of_m[media_gk]
            less_gk += cost * ((of_gk[:, :, None] == of_gk[:, None, :]) * before_kk).sum(axis=2)
        return less_gk

    def _remember(
        self, viewer_g1: Integers, media_gk: Integers, looked_gk: NDArray[np.bool_]
    ) -> None:
        library = self._world.library
        viewer_n = np.broadcast_to(viewer_g1, media_gk.shape)[looked_gk]
        media_n = media_gk[looked_gk]
        for counts, of_n in (
            (self.seen_vm, library.original_m[media_n]),
            (self._authors_va, library.author_m[media_n]),
            (self._topics_vt, library.topic_m[media_n]),
        ):
            at = viewer_n * counts.shape[1] + of_n
            cells, times = np.unique(at, return_counts=True)
            flat = counts.reshape(-1)
            flat[cells] = np.minimum(flat[cells].astype(np.int64) + times, 250).astype(np.uint8)


def drawn(drawn_gkh: Floats, chance_gkh: Floats, looked_gk: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What viewers do, from numbers in [0, 1): nobody likes what she asks to see fewer of."""
    done_gkh = (drawn_gkh < chance_gkh) & looked_gk[..., None]
    see_fewer = HEADS.index(Action.SEE_FEWER)
    others_h = np.arange(len(HEADS)) != see_fewer
    done_gkh &= ~(done_gkh[..., [see_fewer]] & others_h)
    return done_gkh
