"""Which accounts ig2vec knows: counted, admitted, decayed and expired in bounded memory.

A stream never ends, so neither may the memory of the accounts in it. An account waits until it was
seen often enough, in a Misra–Gries summary (:class:`FrequentAccounts`); then it gets a row, if one
is free; and it loses the row when nothing was heard of it for long (:meth:`Vocabulary.expire`).
Counts halve with time, so that frequencies follow the stream (as the adaptive unigram table of
Kaji & Kobayashi, EMNLP 2017). Time is an argument, in ms, and never goes back.

Errors::

    ValueError
    └── VocabularyError   arrays that are no saved vocabulary
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.arrays.packed_ids import pack_ids, unpack_ids
from models.ig2vec.config import Ig2VecConfig

#: Decay waits until it is worth a pass over all rows.
LEAST_DECAY: Final = 1e-3
#: Share of a full vocabulary that :meth:`Vocabulary.expire` frees for newcomers.
ROOM: Final = 0.05


class VocabularyError(ValueError):
    """Arrays that are no saved vocabulary."""


class FrequentAccounts:
    """Counts of a stream's most frequent accounts (Misra & Gries 1982, in batches).

    Of n counted actions, an account's count is at most n / (capacity + 1) too low and never too
    high; so each account with more actions than that is among the counted, which are never more
    than `capacity`. Batches are merged as in Agarwal et al. (*Mergeable Summaries*, PODS 2012):
    when there are too many, the largest count that has no place is taken from all. What is taken
    is more than `capacity` actions each time, so a cut costs no more than counting them did.
    """

    def __init__(self, capacity: int, counts: Mapping[str, int] | None = None) -> None:
        self.capacity = capacity
        self.counts: dict[str, int] = dict(counts or {})

    def add(self, counts: Mapping[str, int]) -> None:
        """Count a batch; above the capacity the rarest accounts fall out."""
        held = self.counts
        for account, count in counts.items():
            held[account] = held.get(account, 0) + count
        if len(held) > self.capacity:
            values_n = np.fromiter(held.values(), dtype=np.int64, count=len(held))
            place = len(held) - self.capacity - 1
            cut = int(np.partition(values_n, place)[place])
            self.counts = {account: n - cut for account, n in held.items() if n > cut}


class Vocabulary:
    """Rows of accounts, in the order of admission, with counts and times.

    Attributes:
        ids: account of each row.
        row_of: row of each account.
        counts_n: decayed counts, float64.
        seen_n: when each account was seen last, ms.
        churn: actions counted, and decayed away, since whoever uses the counts set it to 0.
    """

    def __init__(self, config: Ig2VecConfig) -> None:
        self.config = config
        self.ids: list[str] = []
        self.row_of: dict[str, int] = {}
        self.churn = 0.0
        self._waiting = FrequentAccounts(config.max_waiting)
        self._counts = np.empty(0, dtype=np.float64)
        self._seen = np.empty(0, dtype=np.int64)
        self._now_ms = 0
        self._decayed_ms = 0

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def counts_n(self) -> NDArray[np.float64]:
        """Decayed count of each row's actions, a view."""
        return self._counts[: len(self.ids)]

    @property
    def seen_n(self) -> NDArray[np.int64]:
        """When each row was counted last, epoch ms, a view."""
        return self._seen[: len(self.ids)]

    def count(self, counts: Mapping[str, int], now_ms: int) -> NDArray[np.int64]:
        """Count a batch of actions; accounts seen often enough get rows while there are any.

        Returns:
            The rows of the batch's accounts that have one, in order; new ones are the last.
        """
        self._pass_time(now_ms)
        rows, known = [], []
        new: dict[str, int] = {}
        unknown: dict[str, int] = {}
        waiting, room = self._waiting.counts, self.config.max_accounts - len(self)
        for account, count in counts.items():
            row = self.row_of.get(account)
            if row is not None:
                rows.append(row)
                known.append(count)
            elif waiting.get(account, 0) + count >= self.config.min_count and len(new) < room:
                new[account] = waiting.pop(account, 0) + count
            else:
                unknown[account] = count
        self._waiting.add(unknown)
        rows_m = np.sort(np.array(rows, dtype=np.int64))
        # Rows are all different: they come from the keys of a mapping.
        self._counts[np.array(rows, dtype=np.int64)] += known
        self._seen[rows_m] = self._now_ms
        self._admit(new)
        self.churn += sum(known) + sum(new.values())
        return np.concatenate([rows_m, np.arange(len(self) - len(new), len(self))])

    def expire(self, before_ms: int) -> NDArray[np.int64]:
        """Take the rows of accounts not seen since `before_ms`; the others close ranks.

        If the vocabulary is nearly full, those seen longest ago go, too, until there is some room.

        Returns:
            The old rows of the accounts that stay, in order.
        """
        stay_n = np.flatnonzero(self.seen_n >= before_ms)
        most = self.config.max_accounts - int(self.config.max_accounts * ROOM)
        if len(stay_n) > most:
            # Of those seen at the same time, the one that has been here longer stays.
            newest_n = np.argsort(-self.seen_n[stay_n], kind="stable")[:most]
            stay_n = np.sort(stay_n[newest_n])
        if len(stay_n) < len(self):
            self._counts = self._counts[stay_n]
            self._seen = self._seen[stay_n]
            self.ids = [self.ids[row] for row in stay_n.tolist()]
            self.row_of = {account: row for row, account in enumerate(self.ids)}
        return stay_n

    def save_arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Everything needed to go on counting, as plain arrays and JSON-able meta."""
        ids, ends_n = pack_ids(self.ids)
        waiting_ids, waiting_ends_w = pack_ids(list(self._waiting.counts))
        waiting_counts = list(self._waiting.counts.values())
        arrays: dict[str, NDArray[Any]] = {
            "ids": ids,
            "ends": ends_n,
            "counts": self.counts_n.copy(),
            "seen": self.seen_n.copy(),
            "waiting_ids": waiting_ids,
            "waiting_ends": waiting_ends_w,
            "waiting_counts": np.array(waiting_counts, dtype=np.int64),
        }
        meta = {"now_ms": self._now_ms, "decayed_ms": self._decayed_ms, "churn": self.churn}
        return arrays, meta

    @classmethod
    def load_arrays(
        cls,
        arrays: Mapping[str, NDArray[Any]],
        meta: Mapping[str, Any],
        config: Ig2VecConfig,
    ) -> Vocabulary:
        """The vocabulary that :meth:`save_arrays` wrote; it counts on as the saved one would.

        Raises:
            VocabularyError: the arrays or the meta are not of a saved vocabulary.
        """
        self = cls(config)
        try:
            self.ids = unpack_ids(arrays["ids"], arrays["ends"])
            waiting_ids = unpack_ids(arrays["waiting_ids"], arrays["waiting_ends"])
            waiting = dict(zip(waiting_ids, arrays["waiting_counts"].tolist(), strict=True))
            self._waiting = FrequentAccounts(config.max_waiting, waiting)
            self._counts = np.array(arrays["counts"], dtype=np.float64)
            self._seen = np.array(arrays["seen"], dtype=np.int64)
            self._now_ms, self._decayed_ms = int(meta["now_ms"]), int(meta["decayed_ms"])
            self.churn = float(meta["churn"])
        except (KeyError, ValueError) as error:
            raise VocabularyError(f"not a saved vocabulary: {error!r}; fit a new one") from error
        self.row_of = {account: row for row, account in enumerate(self.ids)}
        lengths = {len(self.ids), len(self.row_of), len(self._counts), len(self._seen)}
        if len(lengths) > 1:
            raise VocabularyError(
                f"{len(self.ids)} ids, {len(self.row_of)} of them different, with "
                f"{len(self._counts)} counts and {len(self._seen)} times; fit a new vocabulary"
            )
        return self

    def _pass_time(self, now_ms: int) -> None:
        if self._now_ms == 0:
            self._decayed_ms = now_ms  # the first counts have nothing before them
        self._now_ms = max(now_ms, self._now_ms)
        rest = 0.5 ** ((self._now_ms - self._decayed_ms) / self.config.count_half_life_ms)
        if rest < 1 - LEAST_DECAY:
            self.churn += float(self.counts_n.sum()) * (1 - rest)
            self.counts_n[:] *= rest
            self._decayed_ms = self._now_ms

    def _admit(self, new: Mapping[str, int]) -> None:
        start, end = len(self), len(self) + len(new)
        self._counts = with_room(self._counts, end)
        self._seen = with_room(self._seen, end)
        self._counts[start:end] = list(new.values())
        self._seen[start:end] = self._now_ms
        self.row_of.update(zip(new, range(start, end), strict=True))
        self.ids.extend(new)


def by_frequency(counts: Mapping[str, int]) -> dict[str, int]:
    """The same counts, the largest first; equal ones in the order they came."""
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def with_room(array: NDArray[Any], rows: int) -> NDArray[Any]:
    """The array itself if it has that many rows, else a larger copy; doubling keeps copies rare."""
    if rows <= len(array):
        return array
    larger = np.zeros((max(rows, 2 * len(array)), *array.shape[1:]), dtype=array.dtype)
    larger[: len(array)] = array
    return larger
