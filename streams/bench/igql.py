"""How long the default query takes: ``freshgrid bench igql``.

Times are processor time of one thread, from a viewer's context to 500 candidates.

A ranker makes a grid when its viewer did something, so this is what is measured: each viewer was
ranked before and likes one more media. The lists of neighbours of her other seeds are in the cache
then; that of the new one is where another viewer has it among hers, and is searched for where not.
Beside that stand viewers who were never ranked (`cold`), all of whose seeds are searched for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

import numpy as np
from msgspec import Meta

from infra.config import Settings
from models.igql.checker import load
from models.queries import CandidateQuery, environment, explore_text
from models.rankers.prior import PriorRankers
from models.viewers.context import ViewerContext
from streams.bench.igql_reference import ReferenceWorld
from streams.bench.igql_reference import run as run_reference
from streams.bench.igql_world import NOW_MS, ClusteredWorld

ACCOUNTS = 100_000
#: Of the larger world; the smaller one has a tenth.
MEDIA = 1_000_000
EVENTS = 600_000
LIKES: Final = 40
VIEWERS: Final = 320
BATCH: Final = 32
#: Viewers that the plain Python is timed for.
PLAIN = 20
ROUNDS: Final = 3


def run(
    settings: Settings,
    *,
    viewers: Annotated[
        int, Meta(ge=1, description="Viewers asked for, at least a batch of 32.")
    ] = VIEWERS,
) -> dict[str, Any]:
    """Time the bundled query in two worlds, in batches, and against the reference in Python."""
    small = _Measured(ClusteredWorld(ACCOUNTS, MEDIA // 10, EVENTS), viewers)
    small.singles(small.viewers)
    small_ms = small.singles(small.viewers)
    del small
    large = _Measured(ClusteredWorld(ACCOUNTS, MEDIA, EVENTS), viewers)
    cold_ms = large.singles(large.viewers)
    liked_ms = large.singles(large.viewers_with_one_more_like)
    warm_ms = large.singles(large.viewers)
    # In turn, so that a busy moment of the machine meets both.
    single_ms, batch_ms = large.in_turn(large.one_by_one, large.in_batches)
    plain_ms, candidates = large.plain()
    return {
        "p50_ms": _percentile(liked_ms, 50),
        "p99_ms": _percentile(liked_ms, 99),
        "cold_p50_ms": _percentile(cold_ms, 50),
        "cold_p99_ms": _percentile(cold_ms, 99),
        "warm_p50_ms": _percentile(warm_ms, 50),
        "warm_p99_ms": _percentile(warm_ms, 99),
        "batch32_speedup": round(single_ms / batch_ms, 2),
        "growth_100k_1m": round(float(np.median(warm_ms) / np.median(small_ms)), 2),
        "speedup_over_python": round(plain_ms / float(np.median(warm_ms)), 1),
        "python_ms": round(plain_ms, 2),
        "candidates": candidates,
        "accounts": ACCOUNTS,
        "media": MEDIA,
        "likes": LIKES,
        "viewers": viewers,
    }


class _Measured:
    def __init__(self, made: ClusteredWorld, viewers: int) -> None:
        self.world = made.world
        pairs = made.viewers(max(viewers, BATCH), LIKES)
        self.viewers = [before for before, _ in pairs]
        self.viewers_with_one_more_like = [after for _, after in pairs]
        self.query = CandidateQuery()
        self.rankers = PriorRankers()
        # What is prepared once per process and world is not what is measured.
        self._find([made.viewers(1, LIKES)[0][0]])

    def _find(self, viewers: Sequence[ViewerContext]) -> int:
        return len(self.query.find(viewers, self.world, self.rankers, NOW_MS).rows)

    def singles(self, viewers: Sequence[ViewerContext]) -> list[float]:
        """Milliseconds of each viewer."""
        found: list[float] = []
        for viewer in viewers:
            started = time.thread_time()
            self._find([viewer])
            found.append((time.thread_time() - started) * 1e3)
        return found

    def one_by_one(self) -> None:
        """As many viewers as :meth:`in_batches`."""
        for viewer in self.viewers[: len(self.viewers) // BATCH * BATCH]:
            self._find([viewer])

    def in_batches(self) -> None:
        """All whole batches."""
        for start in range(0, len(self.viewers) // BATCH * BATCH, BATCH):
            self._find(self.viewers[start : start + BATCH])

    def in_turn(self, *works: Callable[[], None]) -> list[float]:
        """The least of some rounds of each, in ms."""
        best = [float("inf")] * len(works)
        for _ in range(ROUNDS):
            for number, work in enumerate(works):
                started = time.thread_time()
                work()
                best[number] = min(best[number], (time.thread_time() - started) * 1e3)
        return best

    def plain(self) -> tuple[float, int]:
        """Median ms of the same query per candidate in Python, and how many candidates it gives.

        Raises:
            AssertionError: it does not give the candidates that the kernels give.
        """
        reference = ReferenceWorld(self.world, NOW_MS)
        query = load(explore_text(), environment())
        times, sizes = [], []
        for viewer in [self.viewers[0], *self.viewers[:PLAIN]]:
            started = time.thread_time()
            found = run_reference(query, viewer, reference)
            times.append((time.thread_time() - started) * 1e3)
            sizes.append(len(found))
            same = self.query.find([viewer], self.world, self.rankers, NOW_MS).candidates()
            assert same.media_n.tolist() == [one.row for one in found], viewer.viewer_id
        # The first run makes the lists that are made once.
        return float(np.median(times[1:])), int(np.median(sizes))


def _percentile(values_ms: Sequence[float], q: float) -> float:
    return round(float(np.percentile(values_ms, q)), 2)
