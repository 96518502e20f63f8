"""Commit rule: nothing is committed before everything at or below it was processed."""

from __future__ import annotations

from types import SimpleNamespace

from faust.types import TP
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from streams.transport import Chunk, CommitLedger

PARTITION = TP("events.like", 0)


class Ledger(RuleBasedStateMachine):
    """A log with gaps, read in chunks that finish, fail or are revoked in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = CommitLedger()
        self.log: list[int] = []
        self.position = 0  # index into the log of the next record to fetch
        self.committed = 0  # offset
        self.processed: set[int] = set()
        self.under_way: list[Chunk] = []

    @rule(gaps=st.lists(st.integers(0, 3), min_size=1, max_size=6))
    def append(self, gaps: list[int]) -> None:
        for gap in gaps:
            self.log.append((self.log[-1] if self.log else -1) + 1 + gap)

    @rule(most=st.integers(1, 5))
    def fetch(self, most: int) -> None:
        offsets = self.log[self.position : self.position + most]
        if not offsets:
            return
        self.position += len(offsets)
        records = [SimpleNamespace(offset=offset) for offset in offsets]
        chunk = Chunk(PARTITION, records)
        self.ledger.delivered(chunk)
        self.under_way.append(chunk)

    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        if self.under_way:
            chunk = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
            self.processed.update(record.offset for record in chunk.records)
            chunk.finish()

    @rule()
    def commit(self) -> None:
        offset = self.ledger.committable(PARTITION)
        if offset is not None:
            self.committed = max(self.committed, offset)

    @rule()
    def rebalance(self) -> None:
        self.ledger.forget([PARTITION])
        self._rewind()

    @rule()
    def seek_back_without_telling(self) -> None:
        # A delivery from further back must replace what was delivered beyond it.
        self._rewind()

    def _rewind(self) -> None:
        self.position = sum(offset < self.committed for offset in self.log)

    @invariant()
    def everything_committed_was_processed(self) -> None:
        assert {offset for offset in self.log if offset < self.committed} <= self.processed


Ledger.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestLedger = Ledger.TestCase


def test_a_finished_log_is_committed_to_its_end() -> None:
    ledger = CommitLedger()
    chunks = [
        Chunk(PARTITION, [SimpleNamespace(offset=o) for o in offsets])
        for offsets in ([0, 1], [5, 9], [12])
    ]
    for chunk in chunks:
        ledger.delivered(chunk)
    chunks[1].finish()
    assert ledger.committable(PARTITION) is None
    chunks[0].finish()
    assert ledger.committable(PARTITION) == 10
    chunks[2].finish()
    assert ledger.committable(PARTITION) == 13
    assert ledger.committable(PARTITION) is None
    assert ledger.partitions() == []
