"""Which record of a key is the newest, when its records stand in several partitions.

Kafka keeps the order of a key's records as long as they are in one partition, and compaction leaves
the last of them. Where partitions were added, a key may have moved: its old record stays in the
old partition, for ever, and nothing in Kafka says which of the two is the older one. Here it is
the time at which they were written that does, so what a reader ends with does not depend on the
partition that it happened to read first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.arrays.growing import GrowingColumns
from models.arrays.id_table import Ids
from models.arrays.stored import Arrays
from models.arrays.types import Mask, Rows

_NOWHERE: Final = -1


class NewestTold:
    """Of each row, which partition told of it last, and when: 10 bytes a row."""

    def __init__(self) -> None:
        self._told = GrowingColumns(partition=(np.int16, _NOWHERE), written_ms=(np.int64, 0))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """By row, the partition that told of it last, and when."""
        return self._told.to_arrays()

    def load(self, arrays: Arrays) -> None:
        """Go on from what :meth:`to_arrays` gave.

        Raises:
            StoredArraysError: these are not such arrays.
        """
        self._told.load(arrays)

    def take(self, rows_n: Rows, partition: int, written_ms_n: NDArray[np.int64]) -> Mask:
        """Note records of one partition; returns which of them are the newest of their rows so far.

        Within a partition a later record is the newer one, whatever its time. Between partitions
        the later time counts, of equal times the higher partition.

        Args:
            rows_n: each row once, with its last record in this batch.
            partition: where the records stand.
            written_ms_n: when they were written, as Kafka keeps it, epoch ms.
        """
        if not len(rows_n):
            return np.empty(0, np.bool_)
        self._told.grow(int(rows_n.max()) + 1)
        partition_n = self._told["partition"][rows_n]
        told_ms_n = self._told["written_ms"][rows_n]
        newest_n: Mask = (
            (partition_n == _NOWHERE)
            | (partition_n == partition)
            | (written_ms_n > told_ms_n)
            | ((written_ms_n == told_ms_n) & (partition > partition_n))
        )
        taken_n = rows_n[newest_n]
        self._told["partition"][taken_n] = partition
        self._told["written_ms"][taken_n] = written_ms_n[newest_n]
        return newest_n


class NewestById:
    """:class:`NewestTold` for those who have no rows of their own."""

    def __init__(self) -> None:
        self._ids = Ids()
        self._told = NewestTold()

    def take(self, ids: Sequence[str], partition: int, written_ms: Sequence[int]) -> Mask:
        """As :meth:`NewestTold.take`; each id once."""
        rows_n = self._ids.intern(ids)
        return self._told.take(rows_n, partition, np.array(written_ms, np.int64))
