"""Adam (Kingma & Ba 2015), for networks and for tables of which a batch touches few rows.

torch's own optimisers import its compiler on first use: seconds of start-up for nothing here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

_BETAS: Final = (0.9, 0.999)
_EPSILON: Final = 1e-8


class Adam:
    """Moves whole parameters, with decoupled weight decay (Loshchilov & Hutter 2019).

    Args:
        rates: parameters and the learning rate of each, at scale 1.
        weight_decay: per step, times the learning rate.
    """

    def __init__(self, rates: Sequence[tuple[nn.Parameter, float]], weight_decay: float) -> None:
        self._rates = rates
        self._weight_decay = weight_decay
        self._moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p, _ in rates]
        self._steps = 0

    @torch.no_grad()
    def step(self, scale: float) -> None:
        """Apply the gradients at `scale` times each parameter's rate and clear them."""
        self._steps += 1
        for (parameter, rate), (mean, square) in zip(self._rates, self._moments, strict=True):
            gradient = parameter.grad
            if gradient is None:
                continue
            deviation = _deviation(mean, square, gradient, self._steps)
            parameter.mul_(1 - scale * rate * self._weight_decay)
            first = 1 - _BETAS[0] ** self._steps
            parameter.addcdiv_(mean, deviation, value=-scale * rate / first)
            parameter.grad = None


class RowAdam:
    """Moves the rows of a table that a batch looked up.

    Adam moves every weight in every step, touched or not: with a table of some ten thousand rows
    that is most of the time of a training. Here only the rows of a batch move, and each row counts
    its own steps, so that a rare one begins as carefully as a common one did.

    Args:
        table_rd: changed in place.
        learning_rate: at scale 1.
    """

    def __init__(self, table_rd: Tensor, learning_rate: float) -> None:
        self._table_rd = table_rd
        self._learning_rate = learning_rate
        self._mean_rd, self._square_rd = torch.zeros_like(table_rd), torch.zeros_like(table_rd)
        self._steps_r = torch.zeros(len(table_rd), dtype=torch.int64, device=table_rd.device)
        self._touched_u: Tensor | None = None
        self._vectors_ud: Tensor | None = None

    def look_up(self, rows_ns: Tensor) -> Tensor:
        """The vectors of these rows, (n, s, d); they learn in the :meth:`step` that follows."""
        self._touched_u, at_ns = torch.unique(rows_ns, return_inverse=True)
        self._vectors_ud = self._table_rd[self._touched_u].requires_grad_()
        return nn.functional.embedding(at_ns, self._vectors_ud)

    @torch.no_grad()
    def step(self, scale: float) -> None:
        """Apply the gradients of the rows looked up last, at `scale` times the learning rate."""
        if self._touched_u is None or self._vectors_ud is None or self._vectors_ud.grad is None:
            return
        touched_u, gradient_ud = self._touched_u, self._vectors_ud.grad
        self._touched_u = self._vectors_ud = None
        self._steps_r[touched_u] += 1
        steps_u1 = self._steps_r[touched_u].unsqueeze(1)
        mean_ud, square_ud = self._mean_rd[touched_u], self._square_rd[touched_u]
        deviation_ud = _deviation(mean_ud, square_ud, gradient_ud, steps_u1)
        self._mean_rd[touched_u], self._square_rd[touched_u] = mean_ud, square_ud
        rate = scale * self._learning_rate
        self._table_rd[touched_u] -= rate * mean_ud / (1 - _BETAS[0] ** steps_u1) / deviation_ud

    def forget(self, rows_r: Tensor) -> int:
        """Empty these rows, as if they had never been; returns how many had a vector."""
        had = int((self._table_rd[rows_r] != 0).any(dim=1).sum())
        for array in (self._table_rd, self._mean_rd, self._square_rd):
            array[rows_r] = 0.0
        self._steps_r[rows_r] = 0
        return had


def _deviation(mean: Tensor, square: Tensor, gradient: Tensor, steps: int | Tensor) -> Tensor:
    """Take `gradient` into both moments, in place; the root of the unbiased second one."""
    mean.lerp_(gradient, 1 - _BETAS[0])
    square.mul_(_BETAS[1]).addcmul_(gradient, gradient, value=1 - _BETAS[1])
    return (square / (1 - _BETAS[1] ** steps)).sqrt_().add_(_EPSILON)
