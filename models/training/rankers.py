"""The whole training run: final pass → second pass → first pass, measured on later data.

The examples are split by time. The network learns from the first part, the middle calibrates it,
and what is reported comes from rows it has not learnt from: order metrics (AUC, NDCG) from the
middle and the end, probability metrics from the end alone. The candidate sets are split by
viewer: the survival of the final pass's best is reported on sets that neither pass was distilled
from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.actions import HEAD_NAMES, HEADS, STRONG_HEADS
from models.arrays.types import Float
from models.evaluation.metrics import (
    auc,
    calibration_error,
    calibration_ratio,
    logloss,
    ndcg,
    normalised_entropy,
    rank_in_group,
    survivors,
)
from models.examples.choices import Choices
from models.examples.examples import CandidateSets, Examples
from models.feature_schema import DENSE_INDEX, DENSE_NAMES
from models.rankers.bundle import RankerBundle
from models.rankers.early_passes import FirstPass, SecondPass
from models.rankers.final_pass import FinalPass
from models.rankers.interest import Interest
from models.rankers.networks import DensePass, Standardizer
from models.rankers.value import Weights, value
from models.training.calibration import logistic
from models.training.distillation import FIRST, SECOND, DistillationConfig, distil
from models.training.final import FinalConfig, train_final
from models.training.interest import (
    MIN_SETS,
    InterestConfig,
    prior_interest,
    scaled,
    train_interest,
)
from models.training.loop import TrainingDataError, reproducible

#: Dense columns of the two baselines every ranker has to beat.
POPULARITY: Final = tuple(name for name in DENSE_NAMES if name.startswith(("media_", "author_")))
COUNTERS: Final = tuple(name for name in DENSE_NAMES if name.startswith("viewer_author_"))


class TrainingConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One training run.

    Attributes:
        seed: of initial weights, shuffles and splits.
        device: of torch, where the final pass trains.
        threads: of torch; the weights are reproducible for a given number.
        calibration_share: part of the examples, before the newest, that calibrates.
        test_share: newest part of the examples, only measured on.
        test_sets_share: part of the candidate sets only measured on.
        value: weights of the value that the earlier passes learn to order by.
        cuts: candidates left after the first, the second and the final pass.
    """

    seed: int = 7
    device: str = "cpu"
    threads: int = 1
    calibration_share: float = 0.15
    test_share: float = 0.15
    test_sets_share: float = 0.25
    value: Weights = Weights()
    cuts: tuple[int, int, int] = (150, 50, 25)
    final: FinalConfig = FinalConfig()
    interest: InterestConfig = InterestConfig()
    second: DistillationConfig = SECOND
    first: DistillationConfig = FIRST


def train_rankers(
    examples: Examples,
    candidate_sets: CandidateSets,
    config: TrainingConfig | None = None,
    choices: Choices | None = None,
) -> RankerBundle:
    """Train all three passes, and the interest that orders candidates.

    Args:
        examples: labelled exposures, in any order.
        candidate_sets: whole candidate sets of sampled viewers, as the query found them.
        config: one training run.
        choices: what viewers chose among candidates. With them and without any exposure that led
            to something, the final pass is left at everybody's rates.

    Returns:
        The passes with their metrics (see :func:`final_metrics` and :func:`funnel_metrics`).

    Raises:
        TrainingDataError: too few examples to split, no positives, or no candidate sets.
        TrainingDeviceError: there is no device of that name.
        TrainingDivergedError: a loss is not finite.
    """
    config = config or TrainingConfig()
    interest, told = interest_of(choices, config)
    try:
        final, metrics = _final(examples, config)
    except TrainingDataError:
        if interest is None:
            raise
        final, metrics = FinalPass.untrained(), {}
    newest = [part.ts_n.max() for part in (examples, choices) if part is not None and len(part)]
    return bundled(final, candidate_sets, config, {**metrics, **told}, int(max(newest)), interest)


def interest_of(
    choices: Choices | None, config: TrainingConfig
) -> tuple[Interest | None, dict[str, float]]:
    """What choices tell of the order of candidates, with its figures; None for too few of them."""
    if choices is None or len(choices) < MIN_SETS:
        return None, {}
    with reproducible(config.seed, config.threads):
        return train_interest(choices, config.interest)


def _final(examples: Examples, config: TrainingConfig) -> tuple[FinalPass, dict[str, float]]:
    train, calibrate, test = split_by_time(examples, config)
    strong = [HEADS.index(head) for head in STRONG_HEADS]
    if not train.labels_nh[:, strong].any():
        raise TrainingDataError(
            f"none of {len(train)} training examples has a "
            f"{' or '.join(head.word for head in STRONG_HEADS)}; wait for more labels"
        )
    with reproducible(config.seed, config.threads):
        final = train_final(train, calibrate, config.final, config.device)
    metrics = final_metrics(final, train, calibrate, test)
    return final, {**metrics, "train_examples": float(len(train))}


def bundled(
    final: FinalPass,
    candidate_sets: CandidateSets,
    config: TrainingConfig,
    metrics: Mapping[str, float],
    trained_ts: int,
    interest: Interest | None = None,
) -> RankerBundle:
    """A final pass with the two passes before it, distilled from it.

    Args:
        metrics: what is known of the final pass; what the two keep of its best is added.
        trained_ts: event time in ms of the newest example that it has learned from.
        interest: that orders candidates; without it the prior does. The final pass never does
            alone: its order of what nobody was shown is not tried by anything.

    Raises:
        TrainingDataError: no candidate sets.
        TrainingDivergedError: a loss is not finite.
    """
    with reproducible(config.seed, config.threads):
        if len(candidate_sets):
            interest = interest or prior_interest(candidate_sets)
            probabilities_nh = final.score(candidate_sets.features)
            interest = scaled(interest, candidate_sets.features, probabilities_nh)
        else:
            interest = interest or Interest.none()
        teacher_n = value_of(final, candidate_sets, config, interest)
        learn_n, held_n = split_sets(candidate_sets, config)
        learn_sets, learn_teacher_n = candidate_sets.take(learn_n), teacher_n[learn_n]
        second = distil(SecondPass, learn_sets, learn_teacher_n, config.second)
        first = distil(FirstPass, learn_sets, learn_teacher_n, config.first)
    return RankerBundle(
        first=first,
        second=second,
        final=final,
        interest=interest,
        metrics={
            **metrics,
            **funnel_metrics(first, second, candidate_sets.take(held_n), teacher_n[held_n], config),
            "candidate_sets": float(len(np.unique(candidate_sets.groups_n))),
            "logged_sets": float(len(np.unique(candidate_sets.groups_n[candidate_sets.logged_n]))),
        },
        trained_ts=trained_ts,
    )


def split_by_time(
    examples: Examples, config: TrainingConfig
) -> tuple[Examples, Examples, Examples]:
    """Training, calibration and test rows: each part later than the one before.

    Raises:
        TrainingDataError: a part would be empty.
    """
    n = len(examples)
    test = round(n * config.test_share)
    calibration = round(n * config.calibration_share)
    train = n - test - calibration
    if min(train, calibration, test) < 1:
        raise TrainingDataError(
            f"{n} examples are too few to split into training, calibration and test; "
            "observe more events first"
        )
    order_n = np.argsort(examples.ts_n, kind="stable")
    return (
        examples.take(order_n[:train]),
        examples.take(order_n[train : train + calibration]),
        examples.take(order_n[train + calibration :]),
    )


def split_sets(
    sets: CandidateSets, config: TrainingConfig
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of the candidate sets to learn from and of those to measure on, by whole sets."""
    groups_g = np.unique(sets.groups_n)
    held = round(len(groups_g) * config.test_sets_share)
    chosen_g = np.random.default_rng(config.seed).permutation(groups_g)[:held]
    held_n = np.isin(sets.groups_n, chosen_g)
    return np.flatnonzero(~held_n), np.flatnonzero(held_n)


def value_of(
    final: FinalPass,
    sets: CandidateSets,
    config: TrainingConfig,
    interest: Interest | None = None,
) -> Float:
    """The value of each candidate according to the final pass and the interest, (n,)."""
    expected_nh = final.score(sets.features)
    if interest is not None:
        expected_nh = interest.expected(sets.features, expected_nh)
    return value(expected_nh, config.value).astype(np.float32)


def final_metrics(
    final: FinalPass, train: Examples, calibrate: Examples, test: Examples
) -> dict[str, float]:
    """Metrics of each head, and AUCs of the like head's baselines fitted on the same rows.

    Per head: ``auc_*``, ``logloss_*``, ``ne_*`` (normalised entropy), ``calibration_error_*``,
    ``calibration_ratio_*`` and ``positives_*`` (in the rows the AUC is measured on). ``ndcg_25``
    orders each viewer's kept exposures by the like head; dropped negatives flatter it, so compare
    it at equal keep rates only. Baselines: ``auc_popularity``, ``auc_counters``,
    ``auc_logistic``. NaN where a label did not occur.
    """
    unseen = Examples.concatenate([calibrate, test])
    unseen_nh, test_nh = final.score(unseen.features), final.score(test.features)
    metrics: dict[str, float] = {}
    for h, head in enumerate(HEAD_NAMES):
        metrics[f"auc_{head}"] = auc(unseen.label(head), unseen_nh[:, h], unseen.weights_n)
        metrics[f"positives_{head}"] = float(unseen.label(head).sum())
        outcome = test.label(head), test_nh[:, h], test.weights_n
        metrics[f"logloss_{head}"] = logloss(*outcome)
        metrics[f"ne_{head}"] = normalised_entropy(*outcome)
        metrics[f"calibration_error_{head}"] = calibration_error(*outcome)
        metrics[f"calibration_ratio_{head}"] = calibration_ratio(*outcome)
    metrics["ndcg_25"] = ndcg(
        unseen.label("like"), unseen_nh[:, HEAD_NAMES.index("like")], unseen.groups_n, 25
    )
    for name, columns in (
        ("popularity", POPULARITY),
        ("counters", COUNTERS),
        ("logistic", DENSE_NAMES),
    ):
        metrics[f"auc_{name}"] = baseline_auc(columns, train, unseen)
    return metrics


def baseline_auc(columns: Sequence[str], train: Examples, unseen: Examples) -> float:
    """AUC of likes on `unseen` by a logistic regression on these columns of `train`."""
    at = [DENSE_INDEX[name] for name in columns]
    standardizer = Standardizer.fit(train.features.dense_nf[:, at])
    weights_f = logistic(
        standardizer(train.features.dense_nf[:, at]), train.label("like"), train.weights_n
    )
    scores_n = standardizer(unseen.features.dense_nf[:, at]) @ weights_f[:-1]
    return auc(unseen.label("like"), scores_n, unseen.weights_n)


def funnel_metrics(
    first: DensePass,
    second: DensePass,
    sets: CandidateSets,
    teacher_n: Float,
    config: TrainingConfig,
) -> dict[str, float]:
    """What the earlier passes keep of the final pass's best over all candidates.

    ``survive_pass1``: share of the final pass's top 25 among the first pass's 150.
    ``survive_pass2``: share of it among the second pass's 50 of all candidates.
    ``survive_funnel``: share of it left after both, one after the other.
    """
    if not len(sets):
        return {}
    keep1, keep2, top = config.cuts
    groups_n = sets.groups_n
    first_n, second_n = first.score(sets.features), second.score(sets.features)
    passed_n = rank_in_group(first_n, groups_n) < keep1
    return {
        "survive_pass1": survivors(teacher_n, first_n, groups_n, top=top, keep=keep1),
        "survive_pass2": survivors(teacher_n, second_n, groups_n, top=top, keep=keep2),
        "survive_funnel": survivors(
            teacher_n, np.where(passed_n, second_n, -np.inf), groups_n, top=top, keep=keep2
        ),
    }
