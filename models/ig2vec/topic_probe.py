"""Is an embedding any good? Predict an account's topic from its vector alone.

A multinomial logistic regression is fitted on some accounts and asked about the others; human
labels say how often it is right. Minutes instead of an A/B test (Instagram 2019). The majority
topic and random vectors, measured the same way, say what the figures are worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.arrays.types import Vectors

Labels = NDArray[np.int64]
_TINY: Final = 1e-9


class ProbeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How the probe is run.

    Attributes:
        folds: every account is held out in one of so many folds.
        min_accounts: topics with fewer accounts are left out.
        ridge: weight of the squared coefficients, per account.
        steps: accelerated gradient steps; the inputs are whitened, so few are needed.
        bootstrap: resamples for the confidence interval.
        seed: of folds, random vectors and resamples.
    """

    folds: int = 5
    min_accounts: int = 10
    ridge: float = 1e-3
    steps: int = 150
    bootstrap: int = 200
    seed: int = 7


class ProbeScore(msgspec.Struct, frozen=True, kw_only=True):
    """Figures over held-out accounts; `low` and `high` bound `macro_f1` at 95 %."""

    macro_f1: float
    low: float
    high: float
    accuracy: float
    majority_f1: float
    majority_accuracy: float
    random_f1: float
    random_accuracy: float
    accounts: int
    topics: int


class ProbeError(ValueError):
    """Too few labelled accounts to say anything."""


def probe(
    vectors_nd: Vectors, topics: Sequence[str | None], config: ProbeConfig | None = None
) -> ProbeScore:
    """Score vectors by how well they tell the topics of held-out accounts.

    Args:
        vectors_nd: one vector per account.
        topics: one label per account; ``None`` leaves the account out.
        config: defaults to ``ProbeConfig()``.

    Raises:
        ProbeError: fewer than two topics have `min_accounts` accounts.
    """
    config = config or ProbeConfig()
    if len(topics) != len(vectors_nd):
        raise ProbeError(f"{len(topics)} topics for {len(vectors_nd)} vectors; give one each")
    names = [topic for topic in topics if topic is not None]
    known, counts = np.unique(np.array(names, dtype=np.str_), return_counts=True)
    code = {str(t): n for n, t in enumerate(known[counts >= config.min_accounts])}
    if len(code) < 2:
        raise ProbeError(
            f"{len(code)} topics have {config.min_accounts} accounts or more; label more accounts"
        )
    chosen_m = np.array([n for n, topic in enumerate(topics) if topic in code], dtype=np.int64)
    labels_m = np.array([code[t] for t in topics if t in code], dtype=np.int64)

    rng = np.random.default_rng(config.seed)
    fold_m = _stratified_folds(labels_m, config.folds, rng)
    noise_md = rng.standard_normal((len(chosen_m), vectors_nd.shape[1])).astype(np.float32)
    found_m = _held_out(vectors_nd[chosen_m], labels_m, fold_m, len(code), config)
    random_m = _held_out(noise_md, labels_m, fold_m, len(code), config)
    majority_m = np.full_like(labels_m, np.bincount(labels_m).argmax())

    resampled = []
    for _ in range(config.bootstrap):
        pick_m = rng.integers(0, len(labels_m), len(labels_m))
        resampled.append(macro_f1(labels_m[pick_m], found_m[pick_m]))
    score = macro_f1(labels_m, found_m)
    low, high = np.quantile(resampled, [0.025, 0.975]) if resampled else (score, score)
    return ProbeScore(
        macro_f1=score,
        low=float(low),
        high=float(high),
        accuracy=float((labels_m == found_m).mean()),
        majority_f1=macro_f1(labels_m, majority_m),
        majority_accuracy=float((labels_m == majority_m).mean()),
        random_f1=macro_f1(labels_m, random_m),
        random_accuracy=float((labels_m == random_m).mean()),
        accounts=len(labels_m),
        topics=len(code),
    )


def macro_f1(labels_m: Labels, found_m: Labels) -> float:
    """Mean over the topics among `labels_m` of 2·TP / (2·TP + FP + FN)."""
    size = int(max(labels_m.max(), found_m.max())) + 1
    real_c = np.bincount(labels_m, minlength=size)
    said_c = np.bincount(found_m, minlength=size)
    right_c = np.bincount(labels_m[labels_m == found_m], minlength=size)
    f1_c = 2.0 * right_c / np.maximum(real_c + said_c, 1)
    return float(f1_c[real_c > 0].mean())


def fit_logistic(
    vectors_nd: NDArray[np.float64], labels_n: Labels, topics: int, ridge: float, steps: int
) -> NDArray[np.float64]:
    """Coefficients (d, topics) of a multinomial logistic regression (Nesterov's gradient)."""
    n, d = vectors_nd.shape
    wanted_nc = np.eye(topics)[labels_n]
    # Böhning's bound of the softmax curvature: half of the inputs' largest second moment.
    step = 1.0 / (0.5 * np.linalg.eigvalsh(vectors_nd.T @ vectors_nd / n)[-1] + ridge)
    weights_dc = np.zeros((d, topics))
    ahead_dc = weights_dc
    for n_step in range(steps):
        logits_nc = vectors_nd @ ahead_dc
        logits_nc -= logits_nc.max(axis=1, keepdims=True)
        chances_nc = np.exp(logits_nc)
        chances_nc /= chances_nc.sum(axis=1, keepdims=True)
        gradient_dc = vectors_nd.T @ (chances_nc - wanted_nc) / n + ridge * ahead_dc
        moved_dc = ahead_dc - step * gradient_dc
        ahead_dc = moved_dc + n_step / (n_step + 3) * (moved_dc - weights_dc)
        weights_dc = moved_dc
    return weights_dc


def _held_out(
    vectors_md: Vectors, labels_m: Labels, fold_m: Labels, topics: int, config: ProbeConfig
) -> Labels:
    found_m = np.empty_like(labels_m)
    for fold in range(config.folds):
        out_m = fold_m == fold
        mean_d, whiten_dd = _whitening(vectors_md[~out_m].astype(np.float64))
        white_md = (vectors_md - mean_d) @ whiten_dd
        inputs_md = np.hstack([white_md, np.ones((len(white_md), 1))])
        weights_dc = fit_logistic(
            inputs_md[~out_m], labels_m[~out_m], topics, config.ridge, config.steps
        )
        found_m[out_m] = (inputs_md[out_m] @ weights_dc).argmax(axis=1)
    return found_m


def _whitening(
    vectors_nd: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean_d = vectors_nd.mean(axis=0)
    values_d, axes_dd = np.linalg.eigh(np.cov(vectors_nd - mean_d, rowvar=False))
    kept_d = values_d > _TINY * max(values_d.max(), _TINY)
    return mean_d, axes_dd[:, kept_d] / np.sqrt(values_d[kept_d])


def _stratified_folds(labels_m: Labels, folds: int, rng: np.random.Generator) -> Labels:
    """A fold per account such that every topic is spread evenly."""
    fold_m = np.empty_like(labels_m)
    order_m = rng.permutation(len(labels_m))
    order_m = order_m[np.argsort(labels_m[order_m], kind="stable")]
    fold_m[order_m] = np.arange(len(labels_m)) % folds
    return fold_m
