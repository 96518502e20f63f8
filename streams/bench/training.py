"""How well the final pass learns from a stream, and how fast it trains.

Prequential: the recording is taken chunk by chunk in order of time; every model scores a chunk
before the online one learns it. Everything before the first reported chunk trains the model that
stays frozen and that the online one begins as. Baselines are logistic regressions, fitted again
each day on everything before it, which the frozen model is not. Intervals are the 2.5 and 97.5 %
points of a bootstrap over viewers. Account vectors are those of the start throughout.

The settings of the online model were chosen on the days before (``docs/ranking.md``).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from infra.config import Settings
from infra.errors import SettingsError
from models.arrays.types import Float
from models.evaluation.metrics import auc, calibration_error, ndcg, normalised_entropy
from models.events import DAY_MS
from models.examples.examples import Examples
from models.feature_schema import DENSE_INDEX, DENSE_NAMES
from models.rankers.networks import Standardizer, sigmoid
from models.training.calibration import logistic
from models.training.final import FinalConfig, train_final
from models.training.loop import TrainingDeviceError, reproducible, usable_device
from models.training.online import OnlineConfig, OnlineFinal
from models.training.rankers import COUNTERS, POPULARITY, TrainingConfig, split_by_time
from streams.bench.progress import say
from streams.local.scenario import FIXTURE
from streams.recorded.examples import recorded_examples, stream_start

#: Real days that come before the reported ones.
FIRST_DAYS: Final = 5
#: Event time between two updates of the online model.
CHUNK_MS: Final = 30 * 60 * 1000
RESAMPLES: Final = 200
SEED: Final = 7


def run(
    settings: Settings,
    *,
    data: Annotated[
        Path, Meta(description="Recorded events: a fixture, or a folder of KuaiRand-Pure.")
    ] = FIXTURE,
    first_days: Annotated[
        int, Meta(ge=1, description="Real days before the reported ones.")
    ] = FIRST_DAYS,
    device: Annotated[
        str, Meta(description="Device of torch to time the training on, such as cuda.")
    ] = "cpu",
    threads: Annotated[int, Meta(ge=1, description="Threads of torch.")] = 1,
) -> dict[str, Any]:
    """Learn a recording chunk by chunk, and time the default training.

    Raises:
        SettingsError: there is no such device.
    """
    try:
        usable_device(device)
    except TrainingDeviceError as error:
        raise SettingsError(f"--device: {error}") from error
    start_ms = stream_start(data, first_days)
    say(f"examples of {data}, built if they are not in the temporary folder yet …")
    examples = recorded_examples(data, start_ms)
    before = examples.take(np.flatnonzero(examples.ts_n < start_ms))
    after = examples.take(np.flatnonzero(examples.ts_n >= start_ms))
    say(f"{len(before)} examples before, {len(after)} to report on; training …")
    scores, taken = prequential(before, after, OnlineConfig(), threads)
    labels_n, weights_n = after.label("like"), after.weights_n
    spread = _Bootstrap(after)
    figures: dict[str, Any] = {"examples_per_s": round(_speed(before, device, threads))}
    for name, scores_n in scores.items():
        figures |= spread.of(f"auc_{name}", auc, scores_n)
    figures |= spread.difference("gain_over_frozen", auc, scores["online"], scores["frozen"])
    figures |= spread.difference("gain_over_logistic", auc, scores["online"], scores["logistic"])
    for suffix, name in (("", "online"), ("_frozen", "frozen")):
        figures |= spread.of(f"calibration_error{suffix}", calibration_error, scores[name])
        figures[f"normalised_entropy{suffix}"] = normalised_entropy(
            labels_n, scores[name], weights_n
        )
        figures[f"ndcg_25{suffix}"] = ndcg(labels_n, scores[name], after.groups_n, 25)
    return figures | {
        "online_examples_per_s": round(len(after) / taken),
        "updates": len(list(_chunks(after))),
        "examples_before": len(before),
        "examples": len(after),
        "exposures": round(float(weights_n.sum())),
        "likes": int(labels_n.sum()),
        "viewers": len(np.unique(after.groups_n)),
        "days": round((int(after.ts_n.max()) - start_ms) / DAY_MS, 1),
        "device": device,
    }


def prequential(
    before: Examples, after: Examples, config: OnlineConfig, threads: int = 1
) -> tuple[dict[str, Float], float]:
    """Probability of a like of each row of `after`, by model, given before the row is learned.

    Returns:
        The probabilities, and the CPU seconds in which the online model learned.
    """
    training = TrainingConfig(seed=SEED, threads=threads)
    train, calibrate, test = split_by_time(before, training)
    # Nothing is measured on these rows, so the newest of them need not be kept from learning.
    train = Examples.concatenate([train, calibrate])
    with reproducible(SEED, threads):
        frozen = train_final(train, test, FinalConfig())
        online = OnlineFinal(frozen, config, now_ts=int(before.ts_n.max()))
        online.learn(test)
        started = time.process_time()
        parts = []
        for chunk in _chunks(after):
            parts.append(online.learn(chunk)[:, 0])
            online.expire(int(chunk.ts_n[-1]))
        taken = time.process_time() - started
    scores = {
        "online": np.concatenate(parts),
        "frozen": frozen.score(after.features)[:, 0],
    }
    for name, columns in (
        ("popularity", POPULARITY),
        ("counters", COUNTERS),
        ("logistic", DENSE_NAMES),
    ):
        scores[name] = _daily_logistic(columns, before, after)
    return scores, taken


def _chunks(examples: Examples) -> Iterator[Examples]:
    number_n = examples.ts_n // CHUNK_MS
    for rows in np.split(np.arange(len(examples)), np.flatnonzero(np.diff(number_n)) + 1):
        yield examples.take(rows)


def _daily_logistic(columns: Sequence[str], before: Examples, after: Examples) -> Float:
    at = [DENSE_INDEX[name] for name in columns]
    whole = Examples.concatenate([before, after])
    dense_nf, day_n = whole.features.dense_nf[:, at], whole.ts_n // DAY_MS
    scores_n = np.zeros(len(whole), np.float32)
    for day in np.unique(after.ts_n // DAY_MS):
        # The first reported day may begin within a calendar day.
        known = np.flatnonzero(day_n < day) if (day_n < day).any() else np.arange(len(before))
        standardizer = Standardizer.fit(dense_nf[known])
        weights_f = logistic(
            standardizer(dense_nf[known]), whole.label("like")[known], whole.weights_n[known]
        )
        today = np.flatnonzero(day_n == day)
        logits_n = standardizer(dense_nf[today]) @ weights_f[:-1] + weights_f[-1]
        scores_n[today] = sigmoid(logits_n.astype(np.float32))
    return scores_n[len(before) :]


def _speed(examples: Examples, device: str, threads: int) -> float:
    """Rows a second of the default training, wall-clock; each epoch counts its rows."""
    config = FinalConfig()
    rows = examples.take(np.arange(len(examples))[-50_000:])
    best = 0.0
    with reproducible(SEED, threads):
        for _ in range(3):
            started = time.perf_counter()
            train_final(rows, Examples.empty(), config, device)
            best = max(best, len(rows) * config.epochs / (time.perf_counter() - started))
    return best


class _Bootstrap:
    """Figures of like probabilities with 95 % intervals, viewers drawn with replacement."""

    def __init__(self, examples: Examples) -> None:
        self._labels_n = examples.label("like")
        self._weights_n = examples.weights_n
        group_n = np.unique(examples.groups_n, return_inverse=True)[1]
        rng = np.random.default_rng(SEED)
        groups = int(group_n.max()) + 1
        self._drawn: list[NDArray[np.float32]] = [
            (
                self._weights_n
                * np.bincount(rng.integers(0, groups, groups), minlength=groups)[group_n]
            ).astype(np.float32)
            for _ in range(RESAMPLES)
        ]

    def of(self, name: str, metric: Any, scores_n: Float) -> dict[str, float]:
        """The figure and its interval."""
        drawn = [metric(self._labels_n, scores_n, weights_n) for weights_n in self._drawn]
        return _figure(name, metric(self._labels_n, scores_n, self._weights_n), drawn)

    def difference(
        self, name: str, metric: Any, first_n: Float, second_n: Float
    ) -> dict[str, float]:
        """The first's figure less the second's, on the same draws."""
        drawn = [
            metric(self._labels_n, first_n, weights_n) - metric(self._labels_n, second_n, weights_n)
            for weights_n in self._drawn
        ]
        whole = metric(self._labels_n, first_n, self._weights_n) - metric(
            self._labels_n, second_n, self._weights_n
        )
        return _figure(name, whole, drawn)


def _figure(name: str, value: float, drawn: list[float]) -> dict[str, float]:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {name: float(value), f"{name}_low": float(low), f"{name}_high": float(high)}
