"""Nearest accounts of an account, kept from an earlier search for as long as they are right.

A list is given again only if nothing that happened to the index since could change it:

- the account's own vector is the same,
- so is the vector of every account in the list, and none of them was removed,
- no account that changed since is as near as the last of the list.

So with an exact main an answer equals that of a search made now. With an approximate one it equals
that of a search made when the list was, every change since taken into account: a rebuild changes
no content and makes no list wrong. Changes are looked at when a list is asked for, all lists of a
call at once, so a change costs nothing here.
"""

from __future__ import annotations

from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.account_index.index import AccountIndex
from models.account_index.view import NOT_FOUND
from models.arrays.types import Rows, Vectors

#: Lists kept; one of 40 neighbours takes about 350 bytes.
CAPACITY: Final = 32_768
#: A changed account this close below the last of a list may belong into it: the delta and the main
#: round similarities differently.
ROUNDING: Final = np.float32(1e-5)
_NO_SLOT: Final = -1


class NeighbourCache:
    """Bounded lists of neighbours over an index; any number of threads may ask.

    Args:
        index: whose accounts; lists are by its rows.
        capacity: lists kept; the oldest is given up for a new one.
        length: of the lists kept, so that asking for fewer or for up to so many searches once.
            Asking for more makes all of them anew.

    Attributes:
        hits: lists given from the cache.
        misses: lists searched for.
    """

    def __init__(self, index: AccountIndex, capacity: int = CAPACITY, length: int = 1) -> None:
        self._index = index
        self._capacity = capacity
        self._lock = Lock()
        self._slot_of = np.full(1024, _NO_SLOT, np.int32)
        self._next = 0
        self._length = length
        # Room is taken once somebody asks: spaces that nobody searches have none.
        self._clear(0)
        self.hits = 0
        self.misses = 0

    def neighbours_of(self, rows_q: Rows, k: int) -> tuple[Rows, Vectors]:
        """The `k` nearest other accounts of each account, best first.

        Args:
            rows_q: rows of the index; −1 and accounts that were removed have no neighbours.
            k: where fewer accounts exist, the rest is row −1 with cosine −inf.

        Returns:
            Rows and cosines, both (q, k).
        """
        with self._lock:
            if k > self._rows.shape[1]:
                self._clear(max(k, self._length))
            if len(rows_q) and rows_q.max() >= len(self._slot_of):
                more = max(int(rows_q.max()) + 1, 2 * len(self._slot_of)) - len(self._slot_of)
                self._slot_of = np.pad(self._slot_of, (0, more), constant_values=_NO_SLOT)
            slots_q = np.where(rows_q >= 0, self._slot_of.take(rows_q), _NO_SLOT)
            cached_q = slots_q != _NO_SLOT
            cached_q[cached_q] = self._valid(slots_q[cached_q])
            slots_q[~cached_q] = _NO_SLOT
            self.hits += int(cached_q.sum())
            # What was cached is read before new lists may take its place.
            rows_qk = self._rows.take(slots_q, axis=0)[:, :k]
            cosines_qk = self._cosines.take(slots_q, axis=0)[:, :k]
            missed = (~cached_q & (rows_q >= 0)).nonzero()[0]
            if len(missed):
                wanted, at_m = np.unique(rows_q[missed], return_inverse=True)
                self.misses += len(wanted)
                found_wk, similar_wk = self._search(wanted)
                rows_qk[missed], cosines_qk[missed] = found_wk[at_m, :k], similar_wk[at_m, :k]
            return rows_qk, cosines_qk

    def _valid(self, slots_s: Rows) -> NDArray[np.bool_]:
        """Which lists are still right; those are known to be so from now on."""
        index = self._index
        version = index.version
        checked_s = self._checked.take(slots_s)
        if checked_s.min(initial=version) == version:
            return np.ones(len(slots_s), np.bool_)
        owners_s, lists_sk = self._owners[slots_s], self._rows[slots_s]
        moved_sk = (index.changed_at(lists_sk) > checked_s[:, None]) & (lists_sk != NOT_FOUND)
        valid_s: NDArray[np.bool_] = ~moved_sk.any(axis=1) & (
            index.changed_at(owners_s) <= checked_s
        )
        if valid_s.any() and (oldest := int(checked_s[valid_s].min())) < version:
            changed_u = index.changed_since(oldest)
            if changed_u is None:
                valid_s[:] = False
            else:
                vectors_ud = index.vectors_of(changed_u)
                # Removed accounts enter no list.
                there_u = vectors_ud.any(axis=1)
                cosines_su = index.vectors_of(owners_s) @ vectors_ud[there_u].T
                # Where there are fewer neighbours than places, everybody enters: −inf.
                enters_su = cosines_su >= self._cosines[slots_s, -1:] - ROUNDING
                changed_at_u = index.changed_at(changed_u[there_u])
                valid_s &= ~(enters_su & (changed_at_u > checked_s[:, None])).any(axis=1)
        self._checked[slots_s[valid_s]] = version
        return valid_s

    def _search(self, rows_w: Rows) -> tuple[Rows, Vectors]:
        """Search for lists and keep them."""
        # Changes made during the search count as changes since.
        version = self._index.version
        vectors_wd = self._index.vectors_of(rows_w)
        width = self._rows.shape[1]
        # One more than asked: an account is its own nearest, and is put last to be cut off.
        found_wk, cosines_wk = self._index.search(vectors_wd, width + 1)
        order = np.argsort(found_wk == rows_w[:, None], axis=1, kind="stable")[:, :width]
        at_w1 = np.arange(len(rows_w))[:, None]
        found_wk, cosines_wk = found_wk[at_w1, order], cosines_wk[at_w1, order]

        kept = slice(max(0, len(rows_w) - self._capacity), None)
        owners = rows_w[kept]
        # A list that is no longer right gives its slot back, or one account would have two.
        self._owners[self._slot_of[owners]] = NOT_FOUND
        slots = (self._next + np.arange(len(owners))) % self._capacity
        given_up = self._owners[slots]
        self._slot_of[given_up[given_up != NOT_FOUND]] = _NO_SLOT
        self._slot_of[owners] = slots
        self._owners[slots], self._checked[slots] = owners, version
        self._rows[slots], self._cosines[slots] = found_wk[kept], cosines_wk[kept]
        self._next = int((self._next + len(owners)) % self._capacity)
        return found_wk, cosines_wk

    def _clear(self, width: int) -> None:
        # One slot more than is used: the last, so −1 too, is that of accounts that have none.
        slots = self._capacity + 1
        self._owners = np.full(slots, NOT_FOUND, np.int32)
        self._rows = np.full((slots, width), NOT_FOUND, np.int32)
        self._cosines = np.full((slots, width), -np.inf, np.float32)
        self._checked = np.zeros(slots, np.int64)
        self._slot_of[:] = _NO_SLOT
        self._next = 0
