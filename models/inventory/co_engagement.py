"""Which media are liked, saved and viewed long by the same viewers, one after the other.

Two media belong together when a viewer acts on both within a few positives. Every such pair counts
1 / (how many positives apart), decayed with time (:mod:`models.arrays.forward_decay`).
Everything is bounded:

* Per media the heaviest neighbours, `neighbours` of them. A new one takes the place of the
  lightest and begins with its weight (space saving, Metwally et al., ICDT 2005): a pair that keeps
  coming stays, and noise passes through the last places. What is inherited so is noted, and does
  not count when neighbours are read.
* At most `media` media have neighbours at all. When they are used up, the older half by time of
  the last pair makes room.
* What a viewer last acted on stands in a table of `viewers` places, chosen by the viewer's key
  (:mod:`models.inventory.viewer_marks`). Who meets another there begins anew; no viewer is kept
  beyond that.

With the defaults that is at most 60 MB, and about 220 bytes a media that was acted on. The counts
depend a little on the order in which events come, which may differ between processes.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.arrays.forward_decay import ForwardDecay
from models.arrays.growing import GrowingColumns
from models.arrays.stored import ANY, Arrays, StoredArraysError, copied, part_of, prefixed, taken
from models.arrays.types import UNKNOWN, Rows
from models.events import DAY_MS
from models.inventory.viewer_marks import ViewerKeys

#: Half-lives that an event may lie after the landmark, so that float32 weights stay finite.
_MAX_EXPONENT: Final = 60.0
#: Heaviest new neighbours of one media that a batch may bring.
_NEW_PER_BATCH: Final = 8


class CoEngagementConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds and time.

    Attributes:
        neighbours: of one media.
        window: positives of one viewer that may lie apart, so how many of a viewer are kept.
        support: a pair that came so often, undecayed, counts half as much as one that came always.
    """

    half_life_ms: int = 7 * DAY_MS
    neighbours: int = 16
    window: int = 3
    media: int = 250_000
    viewers: int = 1 << 16
    support: float = 3.0


class CoEngagement:
    """Heaviest neighbours of media by co-occurrence."""

    def __init__(self, config: CoEngagementConfig | None = None) -> None:
        self.config = config or CoEngagementConfig()
        c = self.config
        self._decay = ForwardDecay(c.half_life_ms, _MAX_EXPONENT)
        self._slot = GrowingColumns(slot=(np.int32, UNKNOWN))
        self._slots = GrowingColumns(
            media=(np.int32, UNKNOWN),
            last_ts=(np.int64, 0),
            total=(np.float32, 0.0),
            near=(np.int32, UNKNOWN, c.neighbours),
            weight=(np.float32, 0.0, c.neighbours),
            inherited=(np.float32, 0.0, c.neighbours),
        )
        self._free: list[int] = []
        self._viewer = np.zeros(c.viewers, np.int64)
        self._recent = np.full((c.viewers, c.window), UNKNOWN, np.int32)

    def __len__(self) -> int:
        """Media with neighbours."""
        return len(self._slots) - len(self._free)

    def forget(self, viewer_f: ViewerKeys) -> None:
        """Forget what these viewers last acted on; what came of it stays in the counts."""
        place_f = viewer_f % self.config.viewers
        place_f = place_f[self._viewer[place_f] == viewer_f]
        self._viewer[place_f] = 0
        self._recent[place_f] = UNKNOWN

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Counts as they are stored, copied, and what viewers last acted on."""
        return {
            **prefixed("slots", self._slots.to_arrays()),
            "free": np.array(self._free, np.int32),
            "viewer": copied(self._viewer),
            "recent": copied(self._recent),
            **self._decay.to_arrays(),
        }

    def load(self, arrays: Arrays, media: int) -> None:
        """Count on from what :meth:`to_arrays` gave; the arrays are kept, not copied.

        Args:
            media: known to the catalogue.

        Raises:
            StoredArraysError: these are not such arrays.
        """
        c = self.config
        self._viewer = taken(arrays, "viewer", np.int64, c.viewers)
        self._recent = taken(arrays, "recent", np.int32, c.viewers, c.window, rows=media)
        media_s = taken(arrays, "slots.media", np.int32, ANY, rows=media)
        taken(arrays, "slots.near", np.int32, len(media_s), c.neighbours, rows=media)
        self._slots.load(part_of(arrays, "slots"))
        self._free = taken(arrays, "free", np.int32, ANY, rows=len(media_s)).tolist()
        used = np.flatnonzero(media_s != UNKNOWN)
        if len(np.unique(media_s[used])) != len(used) or len(used) + len(self._free) != len(
            self._slots
        ):
            raise StoredArraysError("places of co-engaged media are neither free nor of one media")
        self._slot = GrowingColumns(slot=(np.int32, UNKNOWN))
        self._slot.grow(int(media_s.max(initial=UNKNOWN)) + 1)
        self._slot["slot"][media_s[used]] = used
        self._decay.load(arrays)

    def add(self, viewer_n: ViewerKeys, media_rows: Rows, ts: NDArray[np.int64]) -> None:
        """Count positives in the order they come.

        Args:
            viewer_n: key of each viewer.
            media_rows: what it was about.
            ts: event times, epoch ms.
        """
        if not len(ts):
            return
        if (left := self._decay.advance(int(ts.max()))) != 1.0:
            for name in ("total", "weight", "inherited"):
                self._slots[name][:] *= np.float32(left)
        left_n, right_n, weight_n, ts_n = self._pairs(viewer_n, media_rows, ts)
        if len(left_n):
            from_n = np.concatenate([left_n, right_n])
            to_n = np.concatenate([right_n, left_n])
            self._count(from_n, to_n, np.tile(weight_n, 2), np.tile(ts_n, 2))

    def neighbours(self, media_rows: Rows, now_ms: int) -> tuple[Rows, NDArray[np.float32]]:
        """Neighbours_nk of media and how much they belong together in [0, 1], in no order.

        That is own weight / (√(total of the one · total of the other) + support), as of `now_ms`.
        Missing neighbours are −1 with 0.
        """
        slots, total_s = self._slots, self._slots["total"]
        if not len(slots):
            shape = (len(media_rows), self.config.neighbours)
            return np.full(shape, UNKNOWN, np.int32), np.zeros(shape, np.float32)
        slot_n = self._slot_of(media_rows)
        near_nk = slots["near"].take(slot_n, axis=0)
        near_nk[slot_n == UNKNOWN] = UNKNOWN
        other_nk = self._slot_of(near_nk.ravel()).reshape(near_nk.shape)
        total_nk = total_s.take(other_nk)
        total_nk[other_nk == UNKNOWN] = 0.0
        factor = self._decay.left(now_ms)
        # A total is up to 2^60 times what was counted: the root of a product is a product of roots,
        # and in float64 the factor of a reader in the past leaves it finite, too.
        root_s = np.sqrt(total_s.take(slot_n), dtype=np.float64)
        both_nk = root_s[:, None] * np.sqrt(total_nk, dtype=np.float64) * factor
        own_nk = slots["weight"].take(slot_n, axis=0) - slots["inherited"].take(slot_n, axis=0)
        likeness_nk = np.maximum(own_nk, 0.0) * np.float64(factor)
        likeness_nk /= both_nk + self.config.support
        np.minimum(likeness_nk, 1.0, out=likeness_nk)
        likeness_nk[near_nk == UNKNOWN] = 0.0
        return near_nk, likeness_nk.astype(np.float32)

    # Inside.

    def _pairs(
        self, viewer_n: ViewerKeys, media_rows: Rows, ts: NDArray[np.int64]
    ) -> tuple[Rows, Rows, NDArray[np.float32], NDArray[np.int64]]:
        """Pairs (earlier, later, weight, time) of the batch and of what its viewers did before."""
        window, n = self.config.window, len(ts)
        place_n = viewer_n % self.config.viewers
        order = np.argsort(place_n, kind="stable")
        place_n, who_n = place_n[order], np.asarray(viewer_n, np.int64)[order]
        media_n, ts_n = media_rows[order], ts[order]
        # Each place's memory, oldest first, stands before what its viewer does now.
        first = np.flatnonzero(np.append(True, place_n[1:] != place_n[:-1]))
        place_f, at_f = place_n[first], np.arange(len(first))
        strange_f = self._viewer[place_f] != who_n[first]
        recent_fw = np.where(strange_f[:, None], UNKNOWN, self._recent[place_f])
        count_f = np.diff(np.append(first, n))
        begin_f = first + window * at_f
        total = n + window * len(first)
        kept = (begin_f[:, None] + np.arange(window)).ravel()
        now_n = np.arange(n) + window * (np.repeat(at_f, count_f) + 1)
        media = np.full(total, UNKNOWN, np.int32)
        who = np.empty(total, np.int64)
        media[kept], media[now_n] = recent_fw.ravel(), media_n
        who[kept], who[now_n] = np.repeat(who_n[first], window), who_n
        when = np.zeros(total, np.int64)
        when[now_n] = ts_n

        parts = []
        for apart in range(1, window + 1):
            later = now_n[now_n >= apart]
            earlier = later - apart
            fit = (
                (who[earlier] == who[later])
                & (media[earlier] != UNKNOWN)
                & (media[earlier] != media[later])
            )
            later, earlier = later[fit], earlier[fit]
            weight = (self._decay.weights(when[later]) / apart).astype(np.float32)
            parts.append((media[earlier], media[later], weight, when[later]))
        # The last ones of each place are remembered, if they are its last viewer's.
        end_f = begin_f + window + count_f
        tail_fw = end_f[:, None] - window + np.arange(window)
        last_f = who[end_f - 1]
        self._recent[place_f] = np.where(who[tail_fw] == last_f[:, None], media[tail_fw], UNKNOWN)
        self._viewer[place_f] = last_f
        left, right, weight, when = (
            np.concatenate(columns) for columns in zip(*parts, strict=True)
        )
        return left, right, weight, when

    def _count(
        self,
        from_n: Rows,
        to_n: Rows,
        weight_n: NDArray[np.float32],
        ts_n: NDArray[np.int64],
    ) -> None:
        slot_n = self._slots_for(from_n, ts_n)
        # A batch with more media than there is room for loses the rest.
        placed_n = slot_n != UNKNOWN
        slot_n, to_n, weight_n = slot_n[placed_n], to_n[placed_n], weight_n[placed_n]
        slots = self._slots
        np.add.at(slots["total"], slot_n, weight_n)
        key_n = slot_n.astype(np.int64) << 32 | to_n
        key_u, at_n = np.unique(key_n, return_inverse=True)
        weight_u = np.bincount(at_n, weight_n).astype(np.float32)
        slot_u, to_u = (key_u >> 32).astype(np.int32), (key_u & 0xFFFFFFFF).astype(np.int32)
        near, weight, inherited = slots["near"], slots["weight"], slots["inherited"]
        match_uk = near[slot_u] == to_u[:, None]
        known_u = match_uk.any(axis=1)
        weight[slot_u[known_u], match_uk[known_u].argmax(axis=1)] += weight_u[known_u]
        # New neighbours one per media at a time, the heaviest first: each takes the last place.
        slot_u, to_u, weight_u = slot_u[~known_u], to_u[~known_u], weight_u[~known_u]
        order = np.lexsort((-weight_u, slot_u))
        slot_u, to_u, weight_u = slot_u[order], to_u[order], weight_u[order]
        begin_u = np.append(True, slot_u[1:] != slot_u[:-1])[: len(slot_u)]
        at_u = np.arange(len(slot_u))
        turn_u = at_u - np.maximum.accumulate(np.where(begin_u, at_u, 0))
        for turn in range(min(int(turn_u.max(initial=-1)) + 1, _NEW_PER_BATCH)):
            now = turn_u == turn
            slot, to = slot_u[now], to_u[now]
            lightest = weight[slot].argmin(axis=1)
            near[slot, lightest] = to
            inherited[slot, lightest] = weight[slot, lightest]
            weight[slot, lightest] += weight_u[now]

    def _slots_for(self, rows: Rows, ts: NDArray[np.int64]) -> NDArray[np.int32]:
        self._slot.grow(int(rows.max()) + 1)
        slot_of = self._slot["slot"]
        new = np.unique(rows[slot_of[rows] == UNKNOWN])
        if len(new):
            if len(self) + len(new) > self.config.media:
                self._make_room(np.unique(rows))
                new = new[: self.config.media - len(self)]
            taken = [self._free.pop() for _ in range(min(len(self._free), len(new)))]
            begin = len(self._slots)
            more = len(new) - len(taken)
            self._slots.grow(begin + more)
            slot = np.array([*taken, *range(begin, begin + more)], np.int32)
            slot_of[new] = slot
            self._slots["media"][slot] = new
        slot_n: NDArray[np.int32] = slot_of[rows]
        placed_n = slot_n != UNKNOWN
        np.maximum.at(self._slots["last_ts"], slot_n[placed_n], ts[placed_n])
        return slot_n

    def _make_room(self, spare: Rows) -> None:
        """Forget the older half of the media, by their last pair, except those in `spare`."""
        slots = self._slots
        order = np.argsort(slots["last_ts"], kind="stable")
        used = order[slots["media"][order] != UNKNOWN]
        used = used[~np.isin(slots["media"][used], spare)]
        gone = used[: max(len(used) // 2, 1)]
        self._slot["slot"][slots["media"][gone]] = UNKNOWN
        slots["media"][gone] = UNKNOWN
        slots["total"][gone] = 0.0
        slots["near"][gone] = UNKNOWN
        slots["weight"][gone] = slots["inherited"][gone] = 0.0
        slots["last_ts"][gone] = 0
        self._free.extend(gone.tolist())

    def _slot_of(self, rows: Rows) -> NDArray[np.int32]:
        slot_of = self._slot["slot"]
        inside = (rows >= 0) & (rows < len(slot_of))
        if not len(slot_of):
            return np.full(len(rows), UNKNOWN, np.int32)
        slot_n = slot_of.take(rows, mode="clip")
        slot_n[~inside] = UNKNOWN
        return slot_n
