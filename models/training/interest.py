"""Training of the interest on choices among candidates: a conditional logit for each head.

The loss is listwise: cross entropy between what was chosen and a softmax over the candidate set
(McFadden, Conditional logit analysis of qualitative choice behavior, 1974), in which a sampled
candidate counts as often as it stands for others. What differs between viewers alone cancels out,
so that is not learned. Weights are drawn to those that all heads have together, and these to 0,
which is the order of the prior (Evgeniou & Pontil, Regularized multi-task learning, 2004): few
choices must not make grids worse than none, and a head that is chosen seldom goes by what the
others tell. The newest choices are held out: they say how much of what was
learned to believe (:func:`confirmed`), calibrate each head, so that it is P(next) of a candidate,
and say whether the order is any good.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.actions import HEAD_NAMES, HEADS, SIGNS
from models.arrays.types import Float
from models.evaluation.choice_grids import grid_ndcg
from models.evaluation.metrics import ndcg
from models.examples.choices import HELD, Choices
from models.examples.examples import CandidateSets
from models.feature_schema import DENSE_NAMES, FeatureMatrix
from models.rankers.interest import INPUTS, Interest, with_products
from models.rankers.networks import Standardizer
from models.rankers.prior_order import prior_order
from models.training.calibration import calibrate
from models.training.distillation import padded
from models.training.loop import TrainingDataError, TrainingDivergedError

#: Choices that a training needs at least.
MIN_SETS: Final = 20
#: Chosen candidates of a head from which on it has an order of its own.
MIN_CHOSEN: Final = 20
#: Share of what was learned that is believed at most where nobody knows how long it will serve.
#: Choices tell of the next minutes; what a viewer wants in days is nearer to the prior
#: (``docs/decisions/0026-value-of-choices.md``).
BELIEVED_ONCE: Final = 0.75
#: The same of a fit that the next one soon replaces.
BELIEVED_NOW: Final = 1.0
#: Measurements of held-out choices, each a head in a set, that can confirm everything.
FEW: Final = 30
_TINY: Final = 1e-9
#: Heads of what viewers want more of: these have an order, learned or the prior's.
WANTED_H: Final = np.array(SIGNS) > 0


class InterestConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How it is fitted.

    Attributes:
        penalty: of the squared weights, beside the mean loss of a candidate set.
        iterations: of L-BFGS at most.
        held: newest share of the choices that is not learned: it calibrates, and judges.
        believed: share of what was learned that is believed at most.
    """

    penalty: float = 0.01
    iterations: int = 60
    held: float = HELD
    believed: float = BELIEVED_ONCE


def train_interest(
    choices: Choices, config: InterestConfig | None = None
) -> tuple[Interest, dict[str, float]]:
    """Train; call inside :func:`models.training.loop.reproducible`.

    Returns:
        The interest with scales of 1 for what viewers want more of, and its figures on the choices
        held out: ``interest_confirmed``, the share of what was learned that it keeps, and
        ``interest_ndcg_<head>`` at 25 over the sampled sets. A head that was chosen too seldom has
        the order that all heads have together.

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
    chosen_h = learned.labels_nh.sum(axis=0)
    told_h = WANTED_H & (chosen_h >= MIN_CHOSEN)
    standardizer = Standardizer.fit(learned.dense_nf.astype(np.float32))
    weights_ih = _fitted(learned, standardizer, told_h, config)
    learned_nh = with_products(standardizer(held.dense_nf.astype(np.float32))) @ weights_ih
    order_nh = prior_order(held.features())
    share = config.believed * confirmed(held, order_nh, order_nh + learned_nh, told_h)
    weights_ih *= np.float32(share)
    logits_nh = order_nh + np.float32(share) * learned_nh
    prior_h = WANTED_H.astype(np.float32)
    bias_h = _bias_of_one_a_set(logits_nh, held.groups_n, held.weights_n)
    figures = {"choices": float(len(groups_g)), "interest_confirmed": share}
    for h, head in enumerate(HEAD_NAMES):
        if not told_h[h] or not held.labels_nh[:, h].any():
            continue
        label_n = held.labels_nh[:, h].astype(np.float32)
        rate = float(np.average(label_n, weights=held.weights_n))
        level = _level(logits_nh[:, h], rate, held.weights_n)
        found = calibrate(
            logits_nh[:, h] + np.float32(level),
            np.empty((len(label_n), 0), np.float32),
            label_n,
            held.weights_n,
        )
        prior_h[h], bias_h[h] = found.slope, found.shift + found.slope * level
        weights_ih[:, h] *= np.float32(found.slope)
        figures[f"interest_ndcg_{head}"] = ndcg(label_n, logits_nh[:, h], held.groups_n, 25)
    return Interest(standardizer, weights_ih, bias_h, prior_h, WANTED_H.astype(np.float32)), figures


def prior_interest(sets: CandidateSets) -> Interest:
    """The order of the prior: all that is known of whole candidate sets before there are choices.

    Args:
        sets: candidate sets as the funnel meets them, at least one.
    """
    order_nh = prior_order(sets.features)
    everything = Standardizer(*np.array([[0.0], [1.0]], np.float32).repeat(len(DENSE_NAMES), 1))
    weights_ih = np.zeros((INPUTS, len(HEADS)), np.float32)
    wanted_h = WANTED_H.astype(np.float32)
    bias_h = _bias_of_one_a_set(order_nh, sets.groups_n, np.ones(len(sets), np.float32))
    return Interest(everything, weights_ih, bias_h, wanted_h, wanted_h)


def _fitted(
    choices: Choices, standardizer: Standardizer, told_h: NDArray[np.bool_], config: InterestConfig
) -> Float:
    """The weights_ih beside the order of the prior.

    A head's are what all have together and what it has beside, each drawn to 0 by twice the
    penalty, which for one head alone is the penalty. One that choices do not tell of has what all
    have together; one that viewers want less of, nothing.

    Raises:
        TrainingDivergedError: the loss is not finite.
    """
    told = torch.from_numpy(np.flatnonzero(told_h))
    x_ni = torch.from_numpy(with_products(standardizer(choices.dense_nf.astype(np.float32))))
    rows_gk = torch.from_numpy(padded(choices.groups_n))
    absent_gk1 = (rows_gk < 0).unsqueeze(2)
    rows_gk = rows_gk.clamp_min(0)
    offset_nh = torch.from_numpy(prior_order(choices.features()))[:, told]
    offset_nh = offset_nh + torch.from_numpy(np.log(choices.weights_n))[:, None]
    label_gkh = torch.from_numpy(choices.labels_nh.astype(np.float32))[:, told][rows_gk]
    label_gkh = label_gkh.masked_fill(absent_gk1, 0.0)
    share_gkh = label_gkh / label_gkh.sum(dim=1, keepdim=True).clamp_min(1.0)
    # The last column is what all heads have together.
    parts_it = torch.zeros(x_ni.shape[1], len(told) + 1, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [parts_it], max_iter=config.iterations, line_search_fn="strong_wolfe"
    )

    def loss_of() -> Tensor:
        optimiser.zero_grad()
        weights_it = parts_it[:, :-1] + parts_it[:, -1:]
        logits_gkh = (x_ni @ weights_it + offset_nh)[rows_gk].masked_fill(absent_gk1, -1e9)
        loss = -(share_gkh * logits_gkh.log_softmax(dim=1)).sum(dim=(1, 2)).mean()
        loss = loss + 2.0 * config.penalty * (parts_it**2).sum()
        torch.autograd.backward(loss)
        return loss

    loss = math.nan
    with suppress(RuntimeError):  # As the line search ends on what is no number.
        loss = float(optimiser.step(loss_of).detach())  # type: ignore[no-untyped-call]
    parts = parts_it.detach().numpy()
    weights_ih = parts[:, -1:] * WANTED_H.astype(np.float32)
    weights_ih[:, told_h] += parts[:, :-1]
    if not (math.isfinite(loss) and np.isfinite(weights_ih).all()):
        raise TrainingDivergedError(
            f"interest: loss is {loss}; look for weights or features of choices that are no numbers"
        )
    return weights_ih


def _level(logits_n: Float, rate: float, weights_n: NDArray[np.floating]) -> float:
    """What puts log-odds on the level of a rate: a listwise loss leaves the level open."""
    most = logits_n.max()
    mean = np.average(np.exp(logits_n - most), weights=weights_n)
    return float(np.log(rate) - np.log(mean) - most)


def _bias_of_one_a_set(
    logits_nh: Float, groups_n: NDArray[np.int64], weights_n: NDArray[np.floating]
) -> NDArray[np.float32]:
    """The level of each head where nothing more is known: one candidate of a set is chosen."""
    rate = len(np.unique(groups_n)) / float(weights_n.sum())
    return np.array([_level(of_n, rate, weights_n) for of_n in logits_nh.T], np.float32)


def confirmed(
    choices: Choices, prior_nh: Float, learned_nh: Float, told_h: NDArray[np.bool_]
) -> float:
    """How far the choices held out confirm what was learned, from 0 to 1.

    Gains in NDCG over the prior's order, each head and set a measurement: 1 where their mean is a
    standard error or more, 0, which is the prior's order, exactly, where there is no gain, and a
    part in between. Of less than :data:`FEW` measurements no more than their share of so many: a
    standard error of a handful says nothing.

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
    return float(np.clip(gain / max(error, _TINY), 0.0, 1.0)) * min(len(gain_g) / FEW, 1.0)


def scaled(interest: Interest, features: FeatureMatrix, probabilities_nh: Float) -> Interest:
    """Interest whose mean over these candidates is that of the final pass.

    Args:
        features: of whole candidate sets.
        probabilities_nh: of the final pass on them.
    """
    next_h = interest.score(features).mean(axis=0)
    scale_h = probabilities_nh.mean(axis=0) / np.maximum(next_h, np.float32(1e-9))
    ordered_h = interest.scale_h > 0
    return interest.scaled(np.where(ordered_h, scale_h, 0.0).astype(np.float32))
