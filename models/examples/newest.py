"""The newest examples, kept without looking at all of them whenever some come in."""

from __future__ import annotations

from collections.abc import Collection
from threading import Lock

import numpy as np

from models.examples.examples import Examples

#: How many more than are to be kept may wait, as a share of them, until the oldest go: putting
#: 300,000 examples in order takes a fifth of a second, so it is done once for many that come in.
SLACK = 0.25


class NewestExamples:
    """The newest examples by time; of equals those that came last.

    Threads may share it.

    Args:
        keep: examples at most.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._parts: list[Examples] = []
        self._rows = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return min(self._rows, self._keep)

    def add(self, examples: Examples) -> None:
        """Take in examples of any time; costs what they are many, spread over many calls."""
        if not len(examples):
            return
        with self._lock:
            self._parts.append(examples)
            self._rows += len(examples)
            if self._rows > (1.0 + SLACK) * self._keep:
                self._put_together()

    def forget(self, groups: Collection[int]) -> None:
        """Forget the examples of viewers, by their groups."""
        with self._lock:
            kept = [part.without(groups) for part in self._parts]
            self._parts = [part for part in kept if len(part)]
            self._rows = sum(map(len, self._parts))

    def all(self) -> Examples:
        """What is kept, in order of time; takes time by how much that is."""
        with self._lock:
            self._put_together()
            return self._parts[0] if self._parts else Examples.empty()

    def take(self) -> Examples:
        """What is kept, and forget it."""
        with self._lock:
            self._put_together()
            parts, self._parts, self._rows = self._parts, [], 0
        return parts[0] if parts else Examples.empty()

    def _put_together(self) -> None:
        if not self._parts:
            return
        merged = Examples.concatenate(self._parts)
        newest = np.argsort(merged.ts_n, kind="stable")[-self._keep :]
        self._parts = [merged.take(newest)]
        self._rows = len(newest)
