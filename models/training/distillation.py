"""Distillation of the earlier passes from the final pass, over whole candidate sets.

For each candidate set the final pass scores everything; its value gives every candidate a rank,
and an earlier pass learns to put the same candidates in front. The loss is listwise: cross entropy
between softmax(scores) and the gains ``2^(−rank / top)``, normalised. Softmax cross entropy with
gains as targets bounds NDCG from below (Bruch et al. 2019), and the gain fades at the width of the
grid: the order deep in the tail does not matter. Predicting "among the best" instead (PSelect) kept
fewer of them: ``docs/decisions/0021-ensemble-listwise-loss.md``.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.arrays.types import Float
from models.evaluation.metrics import rank_in_group
from models.examples.examples import CandidateSets
from models.rankers.networks import DensePass, Standardizer
from models.training.loop import TrainingDataError, export, fit, stack

PassT = TypeVar("PassT", bound=DensePass)


class DistillationConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes and schedule of a distilled pass.

    Attributes:
        hidden: widths of the hidden layers.
        top: how many of the final pass's best matter.
        batch: candidate sets a step.
    """

    hidden: tuple[int, ...]
    top: int = 25
    epochs: int = 20
    batch: int = 4
    learning_rate: float = 1e-2
    weight_decay: float = 1e-4


FIRST: Final = DistillationConfig(hidden=(96, 48))
SECOND: Final = DistillationConfig(hidden=(48, 24))


def distil(
    kind: type[PassT], sets: CandidateSets, teacher_n: Float, config: DistillationConfig
) -> PassT:
    """Train a pass of `kind` to order candidates as `teacher_n` does.

    Call inside :func:`models.training.loop.reproducible`.

    Args:
        kind: the class of the pass; its columns are what the student sees.
        sets: candidate sets of any sizes.
        teacher_n: the value of each candidate according to the final pass.
        config: sizes and schedule.

    Raises:
        TrainingDataError: no candidate sets.
        TrainingDivergedError: the loss is not finite.
    """
    if not len(sets):
        raise TrainingDataError(f"{kind.name}: no candidate sets; sample some viewers first")
    columns_nf = kind.select(sets.features)
    standardizer = Standardizer.fit(columns_nf)
    network = stack((columns_nf.shape[1], *config.hidden, 1))

    rows_gk = torch.from_numpy(padded(sets.groups_n))
    present_gk = rows_gk >= 0
    dense_nf = torch.from_numpy(standardizer(columns_nf))
    rank_n = torch.from_numpy(rank_in_group(teacher_n, sets.groups_n))
    rank_gk = rank_n[rows_gk.clamp_min(0)]
    gain_gk = torch.where(present_gk, torch.exp2(-rank_gk / config.top), 0.0)
    gain_gk = gain_gk / gain_gk.sum(dim=1, keepdim=True)

    def loss_of(batch: Tensor) -> Tensor:
        rows_bk, present_bk = rows_gk[batch].clamp_min(0), present_gk[batch]
        scores_bk: Tensor = network(dense_nf[rows_bk]).squeeze(2)
        log_share_bk = scores_bk.masked_fill(~present_bk, -1e9).log_softmax(dim=1)
        return -(gain_gk[batch] * log_share_bk).sum(dim=1).mean()

    fit(
        network,
        loss_of,
        len(rows_gk),
        what=kind.name,
        epochs=config.epochs,
        batch=config.batch,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
    )
    return kind(standardizer, export(network))


def padded(groups_n: NDArray[np.integer]) -> NDArray[np.int64]:
    """Row numbers of each group, (groups, largest group), filled up with −1."""
    order_n = np.argsort(groups_n, kind="stable")
    _, starts_g, sizes_g = np.unique(groups_n[order_n], return_index=True, return_counts=True)
    group_n = np.repeat(np.arange(len(sizes_g)), sizes_g)
    column_n = np.arange(len(order_n)) - np.repeat(starts_g, sizes_g)
    rows_gk = np.full((len(sizes_g), int(sizes_g.max(initial=0))), -1, dtype=np.int64)
    rows_gk[group_n, column_n] = order_n
    return rows_gk
