"""Everybody counts once: what of a batch of actions changes what is counted of all together.

Popularity, trends and likeness are sums over everybody. One viewer who likes a media 3,000 times
must not put it before all others, and an event that comes again, by a retry, by a letter that was
redriven or because it waited for its media, must change nothing. So of each viewer, media and
action a register is kept: the newest thing known of it, by event time, an undo after what it takes
back. A viewer counts where that is no undo, once, at its time:

* Who does something again moves to the newer time and does not weigh more. That holds for views,
  too. A view that is shown beside likes as a rate must be counted as they are, by viewers; and
  who comes back to a media says that it is still looked at, not that two look at it.
* An undo takes back all that was done before it, and nothing that comes after.

The register is a maximum, so the order in which events come, and how often, decide nothing.

Memory is bounded (:mod:`models.arrays.recent_values`), views apart, so that they never push likes
out. An action beyond it is taken for new: its viewer counts once more when it comes again, and its
undo takes back nothing. Keys have 64 bits: the upper half is that of the viewer's key, so that
what belongs to a viewer is found, the lower one says what was done to which media. In a million
registers of viewers with a hundred each, that any two meet has a chance of one in a hundred; the
one that came later is not counted then.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.actions import VIEWS, Action, undo_kind
from models.arrays.mixing import mix
from models.arrays.recent_values import ABSENT, RecentValues
from models.arrays.stored import ANY, Arrays, part_of, prefixed, taken
from models.arrays.types import Mask, Positions, Rows
from models.inventory.viewer_marks import ForgottenMarks, ViewerKeys

#: 2^64 divided by the golden ratio.
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_LOWER: Final = np.uint64(0xFFFFFFFF)
#: Bits of an action's code.
_CODE_BITS: Final = 4
_VIEW_X: Final = np.array([action in VIEWS for action in Action])
#: By code, the other actions that an undo takes back as well.
_ALIKE: Final = [
    (action, other)
    for action in Action
    for other in Action
    if other is not action and undo_kind(other) == undo_kind(action)
]


class Changes(NamedTuple):
    """What changes of what is counted, in the order of the events that do it.

    Attributes:
        at_c: position in the batch of the event behind it.
        action_c: what is counted, a code of :class:`models.actions.Action`.
        ts_c: at which time, epoch ms.
        sign_c: 1 is added, −1 is taken away.
        moved_c: the viewer counted before and does so after: this is half of a move in time.
        first_c: nothing was known of this viewer, media and action before.
    """

    at_c: Positions
    action_c: NDArray[np.int8]
    ts_c: NDArray[np.int64]
    sign_c: NDArray[np.int8]
    moved_c: Mask
    first_c: Mask


class CountedOnce:
    """The registers of viewers, media and actions that were heard of last.

    Args:
        remembered: registers kept of views, and of all other actions, at least.
    """

    def __init__(self, remembered: int = 1 << 20) -> None:
        self._views = RecentValues(remembered)
        self._others = RecentValues(remembered)

    @property
    def bytes(self) -> int:
        """Memory of the registers of both kinds."""
        return self._views.bytes + self._others.bytes

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The registers of both kinds, in no order."""
        return prefixed("views", self._views.to_arrays()) | prefixed(
            "others", self._others.to_arrays()
        )

    def load(self, arrays: Arrays) -> None:
        """Go on from what :meth:`to_arrays` gave.

        Raises:
            StoredArraysError: these are not such arrays.
        """
        self._views.load(part_of(arrays, "views"))
        self._others.load(part_of(arrays, "others"))

    @staticmethod
    def without(arrays: Arrays, forgotten: ForgottenMarks) -> dict[str, NDArray[Any]]:
        """The arrays of :meth:`to_arrays` without what these viewers did, and in order.

        Raises:
            StoredArraysError: these are not such arrays.
        """
        found: dict[str, NDArray[Any]] = {}
        for kind in ("views", "others"):
            for table in ("old", "young"):
                names = f"{kind}.{table}_key", f"{kind}.{table}_value"
                key_k = taken(arrays, names[0], np.uint64, ANY)
                value_k = taken(arrays, names[1], np.int64, len(key_k))
                kept = key_k.argsort()
                if forgotten:
                    half_k = key_k[kept].view(np.int64) >> 32
                    kept = kept[~forgotten.cover_halves(half_k, value_k[kept] >> 1)]
                found |= dict(zip(names, (key_k[kept], value_k[kept]), strict=True))
        return found

    def take(
        self,
        viewer_n: ViewerKeys,
        media_rows: Rows,
        action_n: NDArray[np.int8],
        ts_n: NDArray[np.int64],
        undo_n: Mask,
    ) -> Changes:
        """Take in events, one at least, in any order; all arguments are of one length.

        Args:
            viewer_n: keys of viewers, which nobody can choose.
            ts_n: event times, epoch ms.
        """
        at_n = np.arange(len(ts_n))
        for action, other in _ALIKE:
            alike = np.flatnonzero(undo_n & (action_n[: len(ts_n)] == action))
            if len(alike):
                at_n = np.append(at_n, alike)
                action_n = np.append(action_n, np.full(len(alike), other, np.int8))
        key_n = _keys(viewer_n[at_n], media_rows[at_n], action_n)
        register_n = ts_n[at_n] << 1 | undo_n[at_n]
        kept = _highest(key_n, register_n)
        kept = kept[at_n[kept].argsort(kind="stable")]
        register_k = register_n[kept]
        before_k = np.empty(len(kept), np.int64)
        view_k = _VIEW_X[action_n[kept]]
        for registers, of in ((self._views, view_k), (self._others, ~view_k)):
            if of.any():
                before_k[of] = registers.raise_to(key_n[kept[of]], register_k[of])
        return _changes(at_n[kept], action_n[kept], before_k, register_k)


def _keys(viewer_n: ViewerKeys, media_rows: Rows, action_n: NDArray[np.int8]) -> NDArray[np.uint64]:
    of_media_n = media_rows.astype(np.uint64) << np.uint64(_CODE_BITS) | action_n.astype(np.uint64)
    of_viewer_n = viewer_n.view(np.uint64)
    done_n = mix(of_viewer_n + of_media_n * _GOLDEN, _GOLDEN) & _LOWER
    keys_n: NDArray[np.uint64] = of_viewer_n & ~_LOWER | done_n
    return keys_n


def _highest(key_n: NDArray[np.uint64], register_n: NDArray[np.int64]) -> Positions:
    """Position of the highest register of each key, of equal ones the first."""
    order = key_n.argsort()
    key_n, register_n = key_n[order], register_n[order]
    begin_k = np.flatnonzero(np.append(True, key_n[1:] != key_n[:-1]))
    highest_k = np.maximum.reduceat(register_n, begin_k)
    lower_n = register_n < highest_k.repeat(np.diff(begin_k, append=len(order)))
    order[lower_n] = len(order)
    first_k: Positions = np.minimum.reduceat(order, begin_k)
    return first_k


def _changes(
    at_k: Positions,
    action_k: NDArray[np.int8],
    before_k: NDArray[np.int64],
    register_k: NDArray[np.int64],
) -> Changes:
    """What it changes that registers were raised, those that are no higher than before included."""
    raised_k = register_k > before_k
    first_k = before_k == ABSENT
    stood_k = raised_k & ~first_k & (before_k & 1 == 0)
    stands_k = raised_k & (register_k & 1 == 0)
    # Beside each other, taken away before added.
    k = np.concatenate([np.flatnonzero(stood_k), np.flatnonzero(stands_k)])
    sign_c = np.ones(len(k), np.int8)
    sign_c[: int(stood_k.sum())] = -1
    order = np.argsort(k, kind="stable")
    k, sign_c = k[order], sign_c[order]
    return Changes(
        at_c=at_k[k],
        action_c=action_k[k],
        ts_c=np.where(sign_c < 0, before_k[k], register_k[k]) >> 1,
        sign_c=sign_c,
        moved_c=(stood_k & stands_k)[k],
        first_c=first_k[k],
    )
