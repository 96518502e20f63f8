"""How long a grid takes, and how many a core makes: ``freshgrid bench grid``.

From a viewer's state as it is stored to the JSON of 25 items, on the clustered world of
``bench igql``: context, 500 candidates, three passes, value, diversity, document. Times are
processor time of one thread; garbage is collected as in a ranker. Each viewer was ranked before
and likes one more media: that is when a grid is made. The networks have the shapes that training
gives them, with random weights: what a product of matrices costs does not depend on what is in
them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Final, NamedTuple

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from infra.config import Settings
from models.explore.grid import to_json
from models.explore.impressions import stored_grid
from models.explore.pipeline import ExploreConfig, find, funnel
from models.explore.treatment import Treatment
from models.feature_schema import DENSE_NAMES, MINIMAL, FeatureMatrix
from models.rankers.bundle import RankerBundle
from models.rankers.early_passes import FirstPass, SecondPass
from models.rankers.final_pass import FinalPass
from models.rankers.interest import Interest
from models.rankers.networks import Mlp, Standardizer
from models.rankers.protocol import Pass, Spread
from models.viewers.context import ViewerContext
from models.viewers.state import ViewerState
from models.world import World
from streams.bench.igql_world import NOW_MS, ClusteredWorld
from streams.roles.runtime import tune_garbage_collection

ACCOUNTS: Final = 100_000
MEDIA: Final = 1_000_000
EVENTS: Final = 600_000
LIKES: Final = 40
VIEWERS: Final = 320
#: Viewers ranked at once. More than 64 gain nothing: the arrays outgrow the cache.
BATCHES: Final = (8, 32, 64)
BATCH: Final = 64
ROUNDS: Final = 3
#: Predictions that Instagram's Explore makes a second, in millions (Meta, 2023).
INSTAGRAM: Final = 90e6

Viewer = tuple[str, ViewerState]


def run(
    settings: Settings,
    *,
    media: Annotated[int, Meta(ge=1000, description="Media in the world.")] = MEDIA,
    viewers: Annotated[
        int, Meta(ge=1, description="Viewers asked for one by one, and again in batches.")
    ] = VIEWERS,
) -> dict[str, Any]:
    """Make grids of stored states one by one and in batches, and time each stage."""
    made = ClusteredWorld(ACCOUNTS, media, EVENTS)
    timed = TimedRankers(random_rankers())
    states = made.states(max(viewers, BATCH), LIKES)
    bench = _Grids(made.world, Treatment(rankers=timed), ExploreConfig(size=settings.grid_size))
    tune_garbage_collection()
    for name, before, _ in states:
        bench.make([(name, before)])
    after = [(name, state) for name, _, state in states]

    single_ms = [bench.timed_ms([viewer]) for viewer in after]
    warm_ms = [bench.timed_ms([viewer]) for viewer in after]
    by_batch = {size: bench.in_batches(after, size, timed) for size in BATCHES}
    best = by_batch[BATCH]
    return {
        "p50_ms": round(float(np.percentile(single_ms, 50)), 2),
        "p99_ms": round(float(np.percentile(single_ms, 99)), 2),
        "grids_per_s": round(best.grids_per_s, 1),
        "predictions_per_s": round(best.predictions_per_s),
        "overhead": round(best.overhead, 2),
        "cores_for_90m": round(INSTAGRAM / best.predictions_per_s),
        "forward_ms_per_grid": round(best.forward_ms / best.grids, 3),
        "predictions_per_grid": round(best.predictions / best.grids),
        "warm_p50_ms": round(float(np.percentile(warm_ms, 50)), 2),
        "warm_p99_ms": round(float(np.percentile(warm_ms, 99)), 2),
        "stages_ms_per_grid": bench.stages(after, BATCH),
        "batch": BATCH,
        "grids_per_s_by_batch": {size: round(of.grids_per_s, 1) for size, of in by_batch.items()},
        "overhead_by_batch": {size: round(of.overhead, 2) for size, of in by_batch.items()},
        "weights": "random, in the shapes of training",
        "blas_threads": os.environ.get("OPENBLAS_NUM_THREADS", "not set"),
        "accounts": ACCOUNTS,
        "media": media,
        "likes": LIKES,
        "viewers": len(after),
    }


class _Grids:
    def __init__(self, world: World, treatment: Treatment, config: ExploreConfig) -> None:
        self._world = world
        self._treatment = treatment
        self._config = config

    def make(self, viewers: Sequence[Viewer], clock: list[float] | None = None) -> list[bytes]:
        """The documents; `clock` takes the time at the end of each stage."""
        marks = [] if clock is None else clock
        contexts = ViewerContext.from_states(viewers, self._world, NOW_MS)
        marks.append(time.thread_time())
        found = find(contexts, self._world, self._treatment, NOW_MS, enough=self._config.size)
        marks.append(time.thread_time())
        traces = funnel(found, self._world, self._config)
        marks.append(time.thread_time())
        documents = [to_json(stored_grid(trace.grid, self._world)) for trace in traces]
        marks.append(time.thread_time())
        return documents

    def timed_ms(self, viewers: Sequence[Viewer]) -> float:
        started = time.thread_time()
        self.make(viewers)
        return (time.thread_time() - started) * 1e3

    def in_batches(self, viewers: Sequence[Viewer], size: int, timed: TimedRankers) -> Batched:
        """The fastest of some rounds."""
        batches = _batches(viewers, size)
        rounds = []
        for _ in range(ROUNDS):
            timed.seconds, timed.rows = 0.0, 0
            took_ms = sum(map(self.timed_ms, batches))
            rounds.append(Batched(took_ms, timed.seconds * 1e3, timed.rows, len(batches) * size))
        return min(rounds)

    def stages(self, viewers: Sequence[Viewer], size: int) -> dict[str, float]:
        """Milliseconds of each stage, per grid."""
        batches = _batches(viewers, size)
        total_4 = np.zeros(4)
        for batch in batches:
            marks = [time.thread_time()]
            self.make(batch, marks)
            total_4 += np.diff(marks)
        each = total_4 / sum(map(len, batches)) * 1e3
        names = ("context", "candidates", "funnel", "document")
        return {name: round(float(ms), 3) for name, ms in zip(names, each, strict=True)}


def _batches(viewers: Sequence[Viewer], size: int) -> list[Sequence[Viewer]]:
    return [viewers[at : at + size] for at in range(0, len(viewers) // size * size, size)]


class Batched(NamedTuple):
    """What some grids took in batches: all of it, the networks in it, and rows they scored."""

    took_ms: float
    forward_ms: float
    predictions: int
    grids: int

    @property
    def grids_per_s(self) -> float:
        """Grids made in a second, all stages included."""
        return self.grids / self.took_ms * 1e3

    @property
    def predictions_per_s(self) -> float:
        """Rows scored a second, by all passes."""
        return self.predictions / self.took_ms * 1e3

    @property
    def overhead(self) -> float:
        """All the time over that in the networks."""
        return self.took_ms / self.forward_ms


class TimedRankers:
    """Rankers that add up the time in their networks and the rows they score."""

    def __init__(self, rankers: RankerBundle) -> None:
        self.version = rankers.version
        self.seconds = 0.0
        self.rows = 0
        self.first: Pass = _TimedPass(self, rankers.first)
        self.second: Pass = _TimedPass(self, rankers.second)
        self.final: Pass = _TimedPass(self, rankers.final)
        self.interest: Spread = _TimedSpread(self, rankers.interest)


class _TimedPass:
    def __init__(self, total: TimedRankers, of: Pass) -> None:
        self._total = total
        self._of = of
        self.columns = of.columns

    def score(self, features: FeatureMatrix) -> NDArray[np.float32]:
        started = time.thread_time()
        scores = self._of.score(features)
        self._total.seconds += time.thread_time() - started
        self._total.rows += len(features)
        return scores


class _TimedSpread:
    def __init__(self, total: TimedRankers, of: Spread) -> None:
        self._total = total
        self._of = of

    def expected(
        self, features: FeatureMatrix, probabilities_nh: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        # The final pass has counted these rows.
        started = time.thread_time()
        expected_nh = self._of.expected(features, probabilities_nh)
        self._total.seconds += time.thread_time() - started
        return expected_nh


def random_rankers(seed: int = 1) -> RankerBundle:
    """Rankers of the shapes that training gives them."""
    # The shapes stand in modules that import torch; a ranker has none of it.
    from models.training.distillation import FIRST, SECOND
    from models.training.final import FinalConfig

    rng, of = np.random.default_rng(seed), FinalConfig()

    def weights(*shape: int) -> NDArray[np.float32]:
        fan = shape[-2:][0]
        return rng.normal(0.0, 1.0 / np.sqrt(fan), shape).astype(np.float32)

    def mlp(*widths: int) -> Mlp:
        return Mlp([(weights(i, o), weights(o)) for i, o in pairwise(widths)])

    def standardizer(width: int) -> Standardizer:
        return Standardizer(weights(width), np.ones(width, np.float32))

    dense = len(DENSE_NAMES)
    return RankerBundle(
        first=FirstPass(standardizer(len(MINIMAL)), mlp(len(MINIMAL), *FIRST.hidden, 1)),
        second=SecondPass(standardizer(dense), mlp(dense, *SECOND.hidden, 1)),
        final=FinalPass.random(
            rng,
            embedding_dim=of.embedding_dim,
            embedding_rows=of.embedding_rows,
            members=of.members,
            hidden=of.hidden,
        ),
        interest=Interest.random(rng),
    )
