"""Training of the interest network on choices among candidates.

For each head the loss is listwise: cross entropy between what was chosen and a softmax over the
candidate set, in which a sampled candidate counts as often as it stands for others. What differs
between viewers alone cancels out, so that is not learned. Training begins at the order of the
prior, and weight decay draws it back there: few choices must not make grids worse than none. The
newest choices are held out: they say how much of what was learned to believe (:func:`confirmed`),
calibrate each head, so that it is P(next) of a candidate, and say whether the order is any good.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.actions import HEAD_NAMES, HEADS
from models.arrays.types import Float
from models.evaluation.choice_grids import grid_ndcg
from models.evaluation.metrics import ndcg
from models.examples.choices import HELD, Choices
from models.feature_schema import FeatureMatrix
from models.rankers.interest import Interest
from models.rankers.networks import Standardizer
from models.rankers.prior_order import prior_order
from models.training.bodies.ensemble import EnsembleNetwork
from models.training.calibration import calibrate
from models.training.distillation import padded
from models.training.loop import TrainingDataError, fit

#: Choices that a training needs at least.
MIN_SETS: Final = 20
#: Chosen candidates of a head from which on it has an order of its own.
MIN_CHOSEN: Final = 20
#: Share of what was learned that is believed at most. Choices tell of the next minutes; what a
#: viewer wants in days is nearer to the prior (``docs/decisions/0026-value-of-choices.md``).
MOST_CONFIRMED: Final = 0.75
_TINY: Final = 1e-9


class InterestConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes and schedule.

    Attributes:
        members: networks of the ensemble.
        hidden: widths of a member's hidden layers.
        dropout: share of the inputs that each member does without in a step.
        batch: candidate sets a step.
        held: newest share of the choices that is not learned: it calibrates, and judges.
    """

    members: int = 2
    hidden: tuple[int, ...] = (32,)
    dropout: float = 0.1
    epochs: int = 8
    batch: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    held: float = HELD


def train_interest(
    choices: Choices, config: InterestConfig | None = None
) -> tuple[Interest, dict[str, float]]:
    """Train; call inside :func:`models.training.loop.reproducible`.

    Returns:
        The network with scales of 1 where a head was chosen often enough, and its figures on the
        choices held out: ``interest_confirmed``, the share of what was learned that it keeps, and
        ``interest_ndcg_<head>`` at 25 over the sampled sets.

    Raises:
        TrainingDataError: there are too few choices.
        TrainingDivergedError: the loss is not finite.
    """
    config = config or InterestConfig()
    groups_g = np.unique(choices.groups_n)
    if len(groups_g) < MIN_SETS:
        raise TrainingDataError(
            f"{len(groups_g)} choices are too few, {MIN_SETS} are needed; wait for more events"
        )
    learned, held = choices.split(config.held)
    x_nf = learned.dense_nf.astype(np.float32)
    standardizer = Standardizer.fit(x_nf)
    chosen_h = learned.labels_nh.sum(axis=0)
    told_h = chosen_h >= MIN_CHOSEN
    network = EnsembleNetwork(
        config.members, (x_nf.shape[1], *config.hidden, len(HEADS)), config.dropout
    )
    rows_gk = torch.from_numpy(padded(learned.groups_n))
    present_gk = rows_gk >= 0
    dense_nf = torch.from_numpy(standardizer(x_nf))
    labels_nh = torch.from_numpy(learned.labels_nh.astype(np.float32))
    prior_nh = torch.from_numpy(prior_order(learned.features()))
    log_weight_n = torch.from_numpy(np.log(learned.weights_n))
    told = torch.from_numpy(told_h)

    def loss_of(batch: Tensor) -> Tensor:
        rows_bk, present_bk1 = rows_gk[batch].clamp_min(0), present_gk[batch].unsqueeze(2)
        size = rows_bk.shape
        logits_mbkh = network(dense_nf[rows_bk.flatten()]).unflatten(1, size)
        logits_mbkh = logits_mbkh + prior_nh[rows_bk] + log_weight_n[rows_bk].unsqueeze(2)
        log_share_mbkh = logits_mbkh.masked_fill(~present_bk1, -1e9).log_softmax(dim=2)
        label_bkh = labels_nh[rows_bk] * present_bk1 * told
        count_b1h = label_bkh.sum(dim=1, keepdim=True)
        share_bkh = label_bkh / count_b1h.clamp_min(1.0)
        loss: Tensor = -(share_bkh * log_share_mbkh).sum(dim=(2, 3)).mean()
        return loss

    fit(
        network,
        loss_of,
        len(rows_gk),
        what="interest",
        epochs=config.epochs,
        batch=config.batch,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
    )
    ensemble = network.freeze()
    held_nf = standardizer(held.dense_nf.astype(np.float32))
    learned_nh, order_nh = ensemble(held_nf), prior_order(held.features())
    share = confirmed(held, order_nh, order_nh + learned_nh, told_h)
    for h in range(len(HEADS)):
        ensemble = ensemble.calibrated(h, share, 0.0, held_nf[0, :0])
    logits_nh = share * learned_nh + order_nh
    prior_h = np.ones(len(HEADS), np.float32)
    figures = {"choices": float(len(groups_g)), "interest_confirmed": share}
    for h, head in enumerate(HEAD_NAMES):
        if not told_h[h] or not held.labels_nh[:, h].any():
            continue
        label_n = held.labels_nh[:, h].astype(np.float32)
        level = _level(logits_nh[:, h], label_n, held.weights_n)
        found = calibrate(
            logits_nh[:, h] + np.float32(level), held_nf[:, :0], label_n, held.weights_n
        )
        prior_h[h] = found.slope
        shift = found.shift + found.slope * level
        ensemble = ensemble.calibrated(h, found.slope, shift, found.weights_f)
        figures[f"interest_ndcg_{head}"] = ndcg(label_n, logits_nh[:, h], held.groups_n, 25)
    return Interest(standardizer, ensemble, prior_h, told_h.astype(np.float32)), figures


def _level(logits_n: Float, label_n: Float, weights_n: Float) -> float:
    """What puts log-odds on the level of the labels: a listwise loss leaves the level open."""
    rate = np.average(label_n, weights=weights_n)
    return float(np.log(rate) - np.log(np.average(np.exp(logits_n), weights=weights_n)))


def confirmed(
    choices: Choices, prior_nh: Float, learned_nh: Float, told_h: NDArray[np.bool_]
) -> float:
    """How much of what was learned the choices held out allow to believe.

    Gains in NDCG over the prior's order, each head and set a measurement: :data:`MOST_CONFIRMED`
    where their mean is a standard error or more, 0, which is the prior's order, exactly, where
    there is no gain, and a part in between.

    Args:
        choices: that nobody learned from, n rows.
        prior_nh, learned_nh: the scores to compare.
        told_h: heads that were chosen often enough to be learned.
    """
    gains = [np.zeros(0)]
    for h in np.flatnonzero(told_h):
        chosen_n = choices.labels_nh[:, h] > 0
        before_g, after_g = (
            grid_ndcg(choices, score_nh[:, h], chosen_n) for score_nh in (prior_nh, learned_nh)
        )
        gains.append(after_g - before_g)
    gain_g = np.concatenate(gains)
    if not len(gain_g):
        return 0.0
    gain, error = gain_g.mean(), gain_g.std() / np.sqrt(len(gain_g))
    return MOST_CONFIRMED * float(np.clip(gain / max(error, _TINY), 0.0, 1.0))


def scaled(interest: Interest, features: FeatureMatrix, probabilities_nh: Float) -> Interest:
    """Interest whose mean over these candidates is that of the final pass.

    Args:
        features: of whole candidate sets.
        probabilities_nh: of the final pass on them.
    """
    next_h = interest.score(features).mean(axis=0)
    scale_h = probabilities_nh.mean(axis=0) / np.maximum(next_h, np.float32(1e-9))
    told_h = interest.scale_h > 0
    return interest.scaled(np.where(told_h, scale_h, 0.0).astype(np.float32))
