"""Commit rule: nothing is committed before everything at or below it was processed."""

from __future__ import annotations

from types import SimpleNamespace

from faust.types import TP
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streams.transport import Chunk, CommitLedger

PARTITIONS = [TP("events.like", 0), TP("events.like", 1), TP("events.view", 0)]
partitions = st.sampled_from(PARTITIONS)
several = st.sets(partitions, min_size=1)


def chunk_of(tp: TP, offsets: list[int]) -> Chunk:
    return Chunk(tp, [SimpleNamespace(offset=offset) for offset in offsets])


class Ledger(RuleBasedStateMachine):
    """Logs with gaps, read in chunks that finish, fail or are revoked in any order.

    The model knows what the broker knows (the logs, the committed offsets), where the reader is
    and which records have been processed; the ledger only hears of chunks.
    """

    @initialize()
    def start(self) -> None:
        self.ledger = CommitLedger()
        self.log: dict[TP, list[int]] = {tp: [] for tp in PARTITIONS}
        self.end = dict.fromkeys(PARTITIONS, 0)
        self.position = dict.fromkeys(PARTITIONS, 0)
        self.committed = dict.fromkeys(PARTITIONS, 0)
        self.processed: set[tuple[TP, int]] = set()
        # Chunks that an agent works on, whoever owns their partition by now.
        self.under_way: list[Chunk] = []

    @rule(tp=partitions, gaps=st.lists(st.integers(0, 3), min_size=1, max_size=6))
    def append(self, tp: TP, gaps: list[int]) -> None:
        for gap in gaps:
            self.log[tp].append(self.end[tp] + gap)
            self.end[tp] += gap + 1

    @rule(tp=partitions, data=st.data())
    def compact(self, tp: TP, data: st.DataObject) -> None:
        # The newest record stays, as in a compacted topic.
        kept = self.log[tp][-1:]
        gone = data.draw(st.sets(st.sampled_from(self.log[tp]))) if kept else set()
        self.log[tp] = [offset for offset in self.log[tp] if offset in kept or offset not in gone]

    @rule(tp=partitions, most=st.integers(1, 5))
    def fetch(self, tp: TP, most: int) -> None:
        offsets = [offset for offset in self.log[tp] if offset >= self.position[tp]][:most]
        if offsets:
            chunk = chunk_of(tp, offsets)
            self.position[tp] = offsets[-1] + 1
            self.ledger.delivered(chunk)
            self.under_way.append(chunk)

    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        if self.under_way:
            chunk = self._take(data)
            self.processed.update((chunk.tp, record.offset) for record in chunk.records)
            chunk.finish()

    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        if self.under_way:
            self._take(data)

    @rule(tp=partitions)
    def commit(self, tp: TP) -> None:
        offset = self.ledger.committable(tp)
        if offset is not None:
            assert offset > self.committed[tp], "a commit goes forward"
            self.committed[tp] = offset

    @rule(moved=several)
    def revoke_and_return(self, moved: set[TP]) -> None:
        self.ledger.forget(moved)
        self._seek_back(moved)

    @rule(tp=partitions)
    def seek_back_without_telling(self, tp: TP) -> None:
        # A delivery from further back must replace what was delivered beyond it.
        self._seek_back({tp})

    @rule(data=st.data(), most=st.integers(1, 5))
    def everything_is_committed_in_the_end(self, data: st.DataObject, most: int) -> None:
        # What failed is delivered again after a restart or a rebalance, and then nothing is left.
        self.revoke_and_return(set(PARTITIONS))
        for tp in PARTITIONS:
            while any(offset >= self.position[tp] for offset in self.log[tp]):
                self.fetch(tp, most)
        while self.under_way:
            self.finish(data)
        for tp in PARTITIONS:
            self.commit(tp)
            assert self.committed[tp] >= max(self.log[tp], default=-1) + 1
        assert self.ledger.partitions() == []

    def _take(self, data: st.DataObject) -> Chunk:
        return self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))

    def _seek_back(self, moved: set[TP]) -> None:
        for tp in moved:
            self.position[tp] = self.committed[tp]

    @invariant()
    def everything_committed_was_processed(self) -> None:
        for tp, log in getattr(self, "log", {}).items():
            below = {(tp, offset) for offset in log if offset < self.committed[tp]}
            assert below <= self.processed


Ledger.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
TestLedger = Ledger.TestCase


def test_chunks_finished_out_of_order_wait_for_the_first() -> None:
    ledger = CommitLedger()
    [tp, *_] = PARTITIONS
    chunks = [chunk_of(tp, offsets) for offsets in ([0, 1], [5, 9], [12])]
    for chunk in chunks:
        ledger.delivered(chunk)
    chunks[1].finish()
    assert ledger.committable(tp) is None
    chunks[0].finish()
    assert ledger.committable(tp) == 10
    chunks[2].finish()
    assert ledger.committable(tp) == 13
    assert ledger.committable(tp) is None
    assert ledger.partitions() == []
