"""Ids that are held many times over, each once in memory and as long as anybody holds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self


class CountedIds:
    """Ids with rows; a row is free for another id when it was released as often as taken.

    >>> ids = CountedIds()
    >>> row = ids.take("a")
    >>> ids[row], ids.take("a") == row, len(ids)
    ('a', True, 1)
    """

    def __init__(self) -> None:
        self._row: dict[str, int] = {}
        self._names: list[str] = []
        self._taken: list[int] = []
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._row)

    def __getitem__(self, row: int) -> str:
        return self._names[row]

    def names(self) -> list[str]:
        """The id of each row, an empty one where a row is free."""
        return list(self._names)

    @classmethod
    def of(cls, names: Sequence[str], taken: Sequence[int]) -> Self:
        """Ids in rows, each held so many times; a row that is held by nobody is free."""
        ids = cls()
        ids._names, ids._taken = list(names), list(taken)
        ids._row = {name: row for row, name in enumerate(names) if taken[row]}
        ids._free = [row for row in range(len(names)) if not taken[row]]
        return ids

    def take(self, name: str) -> int:
        """The row of an id, held once more."""
        row = self._row.get(name)
        if row is None:
            if self._free:
                row = self._free.pop()
                self._names[row] = name
            else:
                row = len(self._names)
                self._names.append(name)
                self._taken.append(0)
            self._row[name] = row
        self._taken[row] += 1
        return row

    def release(self, row: int) -> None:
        """Give back what :meth:`take` gave, once."""
        self._taken[row] -= 1
        if not self._taken[row]:
            del self._row[self._names[row]]
            self._names[row] = ""
            self._free.append(row)
