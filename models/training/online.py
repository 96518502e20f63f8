"""The final pass, learning on from new examples as they come.

Warm start: the network begins as the live version and keeps its optimiser's state between
batches. Of the table of learnt vectors only the rows of a batch are touched, so a batch costs the
same whatever the table's size; rows that no example addressed for a long time are emptied, which
makes room for new ids that share them (Liu et al., Monolith, 2022).

Every row is scored before it is learned (progressive validation, Blum et al. 1999): the newest of
those scores calibrate the heads, so calibration needs no rows of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from models.actions import HEADS
from models.arrays.types import Float
from models.events import DAY_MS
from models.examples.examples import Examples
from models.rankers.final_pass import FinalPass
from models.training.calibration import Calibration
from models.training.final import (
    FinalConfig,
    calibrations,
    freeze,
    known,
    thaw,
    weighted_loss,
)
from models.training.loop import TrainingDivergedError, check_finite
from models.training.optimisers import Adam, RowAdam

_WHAT: Final = "final pass, online"
_MAX_GRADIENT: Final = 5.0
#: Times that the heads are calibrated anew while the rows that calibrate them are exchanged.
_CALIBRATIONS: Final = 20
#: Rows scored at once, before any of them is learned: few, so that the scores are of a network that
#: knows what came before them.
_BLOCK: Final = 1024


class OnlineConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How the final pass learns on.

    Attributes:
        learning_rate: constant.
        batch: rows a step.
        expire_ms: a row of the table that no example addressed for so long is emptied.
        calibration_rows: newest rows that calibrate the heads.
        final: weights of the heads' losses and dropout; its sizes are not used. Each row is
            learned once, which leaves less to learn by heart: fewer inputs are left out.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    batch: int = 256
    expire_ms: int = 30 * DAY_MS
    calibration_rows: int = 20_000
    final: FinalConfig = FinalConfig(dropout=0.1)


class OnlineFinal:
    """Learns on from a trained final pass.

    Call its methods inside :func:`models.training.loop.reproducible`.

    Args:
        final: where to begin.
        config: how to learn on.
        now_ts: event time in ms from which the vectors there are count as fresh.
    """

    def __init__(
        self, final: FinalPass, config: OnlineConfig | None = None, *, now_ts: int
    ) -> None:
        self.config = config or OnlineConfig()
        self._standardizer = final.standardizer
        self._embeddings = final.embeddings
        self._network = thaw(final, self.config.final)
        table = self._network.table.weight.requires_grad_(False)
        self._vectors = RowAdam(table.detach(), self.config.learning_rate)
        self._used_r = np.full(len(table), now_ts, np.int64)
        self._optimiser = Adam(
            [
                (parameter, self.config.learning_rate)
                for parameter in self._network.parameters()
                if parameter.requires_grad
            ],
            self.config.weight_decay,
        )
        self._weight_sum, self._rows = 0.0, 0
        self._scored: list[tuple[Float, Examples]] = []
        self._calibrations_h: Sequence[Calibration] = ()
        self._uncalibrated = 0
        self.learned = 0

    def learn(self, examples: Examples) -> Float:
        """Score these examples, then learn each once, in their order.

        Returns:
            The calibrated probabilities (n, heads) from before each was learned.

        Raises:
            TrainingDivergedError: a loss or a weight is not finite; begin again from the live
                version.
        """
        parts = [
            self._learn_block(examples.take(rows))
            for rows in np.split(np.arange(len(examples)), np.arange(_BLOCK, len(examples), _BLOCK))
            if len(rows)
        ]
        return np.concatenate([np.zeros((0, len(HEADS)), np.float32), *parts])

    def _learn_block(self, examples: Examples) -> Float:
        raw = freeze(self._network, self._standardizer)
        raw_nh = raw.logits(examples.features)
        scores_nh = raw.calibrated(self._calibrations_h).score(examples.features)
        self._weight_sum += float(examples.weights_n.sum())
        self._rows += len(examples)
        loss_weights_h = np.array(self.config.final.loss_weights, np.float32)
        weights_n = examples.weights_n * (self._rows / self._weight_sum)
        rows_ns = self._embeddings.rows(examples.features.sparse_ns)
        np.maximum.at(self._used_r, rows_ns.ravel(), np.repeat(examples.ts_n, rows_ns.shape[1]))
        dense_nf = torch.from_numpy(self._standardizer(examples.features.dense_nf))
        positions_n = torch.from_numpy(examples.positions_n.astype(np.int64))
        labels_nh = torch.from_numpy(examples.labels_nh)
        weights_nh = torch.from_numpy(weights_n[:, None] * loss_weights_h)
        rows = torch.from_numpy(rows_ns)
        known_nl = torch.from_numpy(known(examples.features.sparse_ns))
        self._network.train()
        for at in torch.split(torch.arange(len(examples)), self.config.batch):
            self._step(
                dense_nf[at], rows[at], known_nl[at], positions_n[at], labels_nh[at], weights_nh[at]
            )
        self._network.eval()
        check_finite(self._network, _WHAT, self.config.learning_rate)
        # Only now: rows that cannot be learned cannot calibrate either.
        self._remember(raw_nh, examples)
        self.learned += len(examples)
        return scores_nh

    def expire(self, now_ts: int) -> int:
        """Empty the rows that were not addressed for long; returns how many had a vector."""
        old = np.flatnonzero(self._used_r < now_ts - self.config.expire_ms)
        if not len(old):
            return 0
        return self._vectors.forget(torch.from_numpy(old))

    def candidate(self) -> FinalPass:
        """What has been learned so far, calibrated on the newest rows."""
        self._calibrate()
        return freeze(self._network, self._standardizer).calibrated(self._calibrations_h)

    def _step(
        self, dense_nf: Tensor, rows_ns: Tensor, known_nl: Tensor, positions_n: Tensor,
        labels_nh: Tensor, weights_nh: Tensor,
    ) -> None:  # fmt: skip
        vectors_nsd = self._vectors.look_up(rows_ns)
        logits_knh = self._network.logits(dense_nf, vectors_nsd, known_nl, positions_n)
        loss = weighted_loss(logits_knh, labels_nh, weights_nh)
        if not math.isfinite(loss.item()):
            raise TrainingDivergedError(
                f"{_WHAT}: loss is {loss.item()} after {self.learned} rows; look for broken labels "
                f"or weights, or lower the learning rate {self.config.learning_rate}"
            )
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(
            [p for p in self._network.parameters() if p.grad is not None], _MAX_GRADIENT
        )
        self._optimiser.step(1.0)
        self._vectors.step(1.0)

    def _remember(self, raw_nh: Float, examples: Examples) -> None:
        self._scored.append((raw_nh, examples))
        kept = sum(len(part) for _, part in self._scored)
        while kept - len(self._scored[0][1]) >= self.config.calibration_rows:
            kept -= len(self._scored.pop(0)[1])
        self._uncalibrated += len(examples)
        if self._uncalibrated * _CALIBRATIONS >= kept:
            self._calibrate()

    def _calibrate(self) -> None:
        self._uncalibrated = 0
        if not self._scored:
            return
        rows = Examples.concatenate([part for _, part in self._scored])
        self._calibrations_h = calibrations(
            np.concatenate([logits_nh for logits_nh, _ in self._scored]),
            self._standardizer(rows.features.dense_nf),
            rows,
        )
