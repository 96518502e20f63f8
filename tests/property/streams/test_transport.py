"""Commit rule: nothing is committed before everything at or below it was processed."""

from __future__ import annotations

from types import SimpleNamespace

from faust.types import TP
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streams.transport import Chunk, CommitLedger

PARTITIONS = [TP("events.like", 0), TP("events.view", 1)]
partitions = st.sampled_from(PARTITIONS)
several_gaps = st.lists(st.integers(0, 3), min_size=4, max_size=12)
anything = st.integers(0, 1_000_000)


def chunk_of(tp: TP, offsets: list[int]) -> Chunk:
    return Chunk(tp, [SimpleNamespace(offset=offset) for offset in offsets])


class Ledger(RuleBasedStateMachine):
    """Logs with gaps, read in chunks that finish, fail or are revoked in any order.

    The model knows what the broker knows (the logs, the committed offsets), where the reader is
    and which records have been processed; the ledger only hears of chunks.
    """

    @initialize(gaps=st.lists(several_gaps, min_size=len(PARTITIONS), max_size=len(PARTITIONS)))
    def start(self, gaps: list[list[int]]) -> None:
        self.ledger = CommitLedger()
        self.log: dict[TP, list[int]] = {tp: [] for tp in PARTITIONS}
        self.end = dict.fromkeys(PARTITIONS, 0)
        self.position = dict.fromkeys(PARTITIONS, 0)
        self.committed = dict.fromkeys(PARTITIONS, 0)
        self.processed: set[tuple[TP, int]] = set()
        # Chunks that an agent works on, whoever owns their partition by now.
        self.under_way: list[Chunk] = []
        self.compacted: set[TP] = set()
        for tp, those in zip(PARTITIONS, gaps, strict=True):
            self.append(tp, those)

    @rule(tp=partitions, gaps=several_gaps)
    def append(self, tp: TP, gaps: list[int]) -> None:
        for gap in gaps:
            self.log[tp].append(self.end[tp] + gap)
            self.end[tp] += gap + 1

    @rule(tp=partitions, sizes=st.lists(st.integers(1, 3), min_size=2, max_size=5))
    def fetch(self, tp: TP, sizes: list[int]) -> None:
        for size in sizes:
            ahead = [offset for offset in self.log[tp] if offset >= self.position[tp]]
            if ahead:
                chunk = chunk_of(tp, ahead[:size])
                self.position[tp] = chunk.next_offset
                self.ledger.delivered(chunk)
                self.under_way.append(chunk)

    @rule(numbers=st.lists(anything, min_size=1, max_size=3))
    def finish(self, numbers: list[int]) -> None:
        for number in numbers:
            if self.under_way:
                self._process(self.under_way.pop(number % len(self.under_way)))

    @rule(number=anything)
    def fail(self, number: int) -> None:
        if self.under_way:
            self.under_way.pop(number % len(self.under_way))

    @rule(tp=partitions)
    def commit(self, tp: TP) -> None:
        offset = self.ledger.committable(tp)
        if offset is not None:
            assert offset > self.committed[tp], "a commit goes forward"
            self.committed[tp] = offset

    @rule(tp=partitions, far=st.integers(0, 6))
    def revoke_and_return(self, tp: TP, far: int) -> None:
        # Meanwhile another member of the group may have come further.
        self.ledger.forget([tp])
        ahead = [offset for offset in self.log[tp] if offset >= self.committed[tp]]
        for offset in ahead[:far]:
            self.processed.add((tp, offset))
            self.committed[tp] = offset + 1
        self.position[tp] = self.committed[tp]

    @rule(tp=partitions)
    def seek_back_without_telling(self, tp: TP) -> None:
        # A delivery from further back must replace what was delivered beyond it. One that starts
        # behind a compacted part cannot be told from a gap.
        if tp in self.compacted:
            self.ledger.forget([tp])
        self.position[tp] = self.committed[tp]

    @rule(tp=partitions, every=st.integers(2, 4))
    def compact(self, tp: TP, every: int) -> None:
        # The newest record stays, as in a compacted topic.
        self.log[tp] = self.log[tp][:-1:every] + self.log[tp][-1:]
        self.compacted.add(tp)

    def teardown(self) -> None:
        """What failed is delivered again after a rebalance; in the end nothing is left."""
        for tp in getattr(self, "log", {}):
            self.seek_back_without_telling(tp)
            self.fetch(tp, [3] * len(self.log[tp]))
            while self.under_way:
                self._process(self.under_way.pop())
            self.commit(tp)
            assert self.committed[tp] > max(self.log[tp])
            assert tp not in self.ledger.partitions()

    def _process(self, chunk: Chunk) -> None:
        self.processed.update((chunk.tp, record.offset) for record in chunk.records)
        chunk.finish()

    @invariant()
    def everything_committed_was_processed(self) -> None:
        for tp, log in getattr(self, "log", {}).items():
            below = {(tp, offset) for offset in log if offset < self.committed[tp]}
            assert below <= self.processed


Ledger.TestCase.settings = settings(max_examples=200, stateful_step_count=30)
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
