"""Off-policy estimates beside the truth: logs of random orders in a simulated world.

A pool of candidates is put into a random order, so each item is at each position with the same,
known chance. From such logs other weights of the value are judged, which order the same pools by
predictions, and the truth says what they would have been worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.off_policy.estimators import ESTIMATORS, Estimate
from models.off_policy.logged import Floats, Logged
from models.off_policy.outcome import cross_fitted
from models.off_policy.support import ThinSupportError, check_support, randomised_grids
from models.rankers.value import Weights, value
from models.simulation.audience import Audience, drawn
from models.simulation.config import SimulationConfig
from models.simulation.population import Integers
from models.simulation.truth import WORTH_H
from models.simulation.world import SimulatedWorld
from streams.simulated.policy import ONE_HEAD

#: Weightings that nothing was logged by.
WEIGHTINGS: Final = {
    "live": Weights(),
    "likes": ONE_HEAD,
    "saves": Weights(like=0.2, save=8.0),
    "harmless": Weights(see_fewer=40.0),
    "log_linear": Weights(form="log_linear"),
}
#: Candidates of a pool: what the second pass leaves.
POOL: Final = 50
SIZE: Final = 25
#: Standard deviation of the log-odds by which predictions are off.
_OFF: Final = 1.0
#: Grids whose truth is asked at once.
_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Pools:
    """Pools of candidates, what is predicted of them, and what is true.

    Attributes:
        viewer_g, ts_g: for whom, and when.
        media_gc: candidates.
        predicted_gch: probabilities that a ranker gives.
    """

    viewer_g: Integers
    ts_g: Integers
    media_gc: Integers
    predicted_gch: Floats


def make_pools(world: SimulatedWorld, grids: int, seed: int) -> Pools:
    """Pools at random times of viewers, with predictions that are off by noise."""
    rng, config = np.random.default_rng(seed), world.config
    # Few times, so that many grids can be asked at once.
    times = config.at(config.days * 0.5) + rng.integers(0, 3_600_000, size=-(-grids // _BATCH))
    ts_g = np.repeat(times, _BATCH)[:grids]
    viewer_g = rng.integers(config.viewers, size=grids)
    there = np.flatnonzero(world.library.available(int(times.min())))
    media_gc = there[rng.random((grids, len(there))).argpartition(POOL, axis=1)[:, :POOL]]
    true_gch = np.concatenate(
        [
            world.truth.probabilities(viewer_g[g, None], media_gc[g], ts_g[g, None])
            for g in np.split(np.arange(grids), range(_BATCH, grids, _BATCH))
        ]
    )
    odds_gch = np.log(true_gch / (1.0 - true_gch))
    odds_gch += _OFF * rng.normal(size=(*media_gc.shape, 1))
    return Pools(viewer_g, ts_g, media_gc, 1.0 / (1.0 + np.exp(-odds_gch)))


def orders(pools: Pools, weights: Weights) -> Integers:
    """Positions in the pools of what weights would show, (g, k), best first."""
    grids = len(pools.viewer_g)
    value_gc = value(pools.predicted_gch.reshape(grids * POOL, -1), weights).reshape(grids, POOL)
    return np.argsort(-value_gc, axis=1, kind="stable")[:, :SIZE]


class Trial:
    """Estimates of weightings from random orders, again and again.

    Args:
        world: its audience has seen nothing yet.
        grids: how many are logged in each run.
    """

    def __init__(self, world: SimulatedWorld, grids: int) -> None:
        self._audience = Audience(world, SIZE)
        self.pools = make_pools(world, grids, world.config.seed)
        self._wanted = {name: orders(self.pools, of) for name, of in WEIGHTINGS.items()}
        self.truth = {name: self._true(order_gk) for name, order_gk in self._wanted.items()}

    def run(self, seed: int) -> dict[str, dict[str, Estimate]]:
        """Log random orders once, and estimate: weighting → estimator → estimate.

        Raises:
            ThinSupportError: the log is too short.
        """
        rng, grids = np.random.default_rng(seed), len(self.pools.viewer_g)
        order_gk = rng.random((grids, POOL)).argsort(axis=1)[:, :SIZE]
        reward_gk = self._rewards(order_gk, rng)
        return {
            name: {kind: of(logged) for kind, of in ESTIMATORS.items()}
            for name, logged in self._logs(order_gk, reward_gk)
        }

    def _logs(self, order_gk: Integers, reward_gk: Floats) -> list[tuple[str, Logged]]:
        grids = len(order_gk)
        grid_n = np.repeat(np.arange(grids), SIZE)
        features_gkf = self._features(order_gk)
        folds = cross_fitted(features_gkf.reshape(grids * SIZE, -1), reward_gk.ravel(), grid_n)
        predicted_n = _of_folds(folds, features_gkf)
        found = []
        for name, wanted_gk in self._wanted.items():
            logged = Logged.of(
                grid_n,
                reward_gk.ravel(),
                np.full(grids * SIZE, 1.0 / POOL),
                (wanted_gk == order_gk).ravel().astype(np.float64),
                predicted_n,
                _of_folds(folds, self._features(wanted_gk)),
            )
            check_support(logged)
            found.append((name, logged))
        return found

    def _features(self, order_gk: Integers) -> Floats:
        """What a reward is explained by: the chance of a look, and it times each prediction."""
        at_gk1 = order_gk[..., None]
        of_gkh = np.take_along_axis(self.pools.predicted_gch, at_gk1, 1)
        chance_k1 = self._audience.chance_k[:, None]
        ones_gk1 = np.ones((*order_gk.shape, 1))
        return np.concatenate([ones_gk1, ones_gk1 * chance_k1, of_gkh * chance_k1], axis=2)

    def _chances(self, order_gk: Integers) -> Floats:
        """P of each head where media stand in these orders, (g, k, h)."""
        pools = self.pools
        media_gk = np.take_along_axis(pools.media_gc, order_gk, 1)
        parts = [
            self._audience.chances(pools.viewer_g[g], media_gk[g], int(pools.ts_g[g[0]]))
            for g in np.split(np.arange(len(media_gk)), range(_BATCH, len(media_gk), _BATCH))
        ]
        return np.concatenate(parts)

    def _rewards(self, order_gk: Integers, rng: np.random.Generator) -> Floats:
        looked_gk = rng.random((len(order_gk), 1)) < self._audience.chance_k
        chance_gkh = self._chances(order_gk)
        done_gkh = drawn(rng.random(chance_gkh.shape), chance_gkh, looked_gk)
        reward_gk: Floats = done_gkh @ WORTH_H
        return reward_gk

    def _true(self, order_gk: Integers) -> float:
        worth_gk = (self._chances(order_gk) @ WORTH_H) * self._audience.chance_k
        return float(worth_gk.mean())


def _of_folds(folds: list[tuple[NDArray[np.bool_], Floats]], features_gkf: Floats) -> Floats:
    features_nf = features_gkf.reshape(-1, features_gkf.shape[2])
    predicted_n = np.zeros(len(features_nf))
    for of_n, weights_f in folds:
        predicted_n[of_n] = features_nf[of_n] @ weights_f
    return predicted_n


def coverage(world: SimulatedWorld, grids: int, runs: int) -> dict[str, Any]:
    """How often intervals hold the truth, over runs and :data:`WEIGHTINGS`, by estimator."""
    trial = Trial(world, grids)
    held: dict[str, list[bool]] = {kind: [] for kind in ESTIMATORS}
    error: dict[str, list[float]] = {kind: [] for kind in ESTIMATORS}
    width: dict[str, list[float]] = {kind: [] for kind in ESTIMATORS}
    effective: list[float] = []
    for run in range(runs):
        for name, estimates in trial.run(run + 1).items():
            for kind, estimate in estimates.items():
                held[kind].append(estimate.holds(trial.truth[name]))
                error[kind].append(estimate.value - trial.truth[name])
                width[kind].append(estimate.high - estimate.low)
            effective.append(estimates["ips"].effective)
    return {
        "truth": {name: round(of, 6) for name, of in trial.truth.items()},
        "effective_rows": round(float(np.mean(effective)), 1),
        "coverage": {kind: round(float(np.mean(of)), 3) for kind, of in held.items()},
        "bias": {kind: float(np.mean(of)) for kind, of in error.items()},
        "rmse": {kind: float(np.sqrt(np.mean(np.square(of)))) for kind, of in error.items()},
        "interval_width": {kind: float(np.mean(of)) for kind, of in width.items()},
        "refuses_below_grids": _refusal(world),
    }


def _refusal(world: SimulatedWorld) -> dict[str, Any]:
    """What a log that is too short is answered."""
    one_of_each = np.eye(1, POOL)
    needed = randomised_grids(one_of_each, POOL)
    try:
        Trial(world, 40).run(1)
    except ThinSupportError as error:
        return {"grids": 40, "answer": str(error), "rows_needed": needed}
    return {"grids": 40, "answer": "", "rows_needed": needed}


def small_world(seed: int) -> SimulatedWorld:
    """A world of which only the truth is asked."""
    return SimulatedWorld.of(SimulationConfig(seed=seed, viewers=200, days=2, spam=None))
