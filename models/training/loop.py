"""What every training run shares: seeds, threads, minibatches and the watch for divergence.

Errors::

    ValueError
    └── TrainingDataError         the examples cannot train this model
    ArithmeticError
    └── TrainingDivergedError     the loss left the finite numbers; the run is worth nothing
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor, nn

from models.networks import Mlp


class TrainingDataError(ValueError):
    """Examples or candidate sets that cannot train a model, e.g. none at all."""


class TrainingDivergedError(ArithmeticError):
    """The loss became NaN or infinite; no model comes out of this run."""


@contextmanager
def reproducible(seed: int, threads: int) -> Iterator[None]:
    """Run the block with this seed and number of torch threads, and put both back afterwards.

    The same seed gives the same weights for the same number of threads on the same machine.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(before)


def fit(
    model: nn.Module,
    loss_of: Callable[[Tensor], Tensor],
    n: int,
    *,
    what: str,
    epochs: int,
    batch: int,
    learning_rate: float,
    weight_decay: float,
) -> None:
    """Minimise `loss_of` (rows → mean loss) over `n` rows by AdamW with a one-cycle schedule.

    Raises:
        TrainingDivergedError: the loss of a batch or a weight is not finite.
    """
    steps = max(1, epochs * math.ceil(n / batch))
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=learning_rate, total_steps=steps + 1, pct_start=0.2, cycle_momentum=False
    )
    model.train()
    for epoch in range(epochs):
        for rows in torch.split(torch.randperm(n), batch):
            loss = loss_of(rows)
            if not math.isfinite(loss.item()):
                raise TrainingDivergedError(
                    f"{what}: loss is {loss.item()} in epoch {epoch + 1} of {epochs}; "
                    f"look for broken labels or weights, or lower the learning rate {learning_rate}"
                )
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
            schedule.step()
    model.eval()
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise TrainingDivergedError(
                f"{what}: {name} holds NaN or infinity; lower the learning rate {learning_rate}"
            )


def stack(widths: tuple[int, ...]) -> nn.Sequential:
    """Linear layers of these widths with a ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def export(layers: nn.Module) -> Mlp:
    """The linear layers inside `layers`, in order, as NumPy weights."""
    return Mlp(
        [
            (
                layer.weight.detach().numpy().T.copy(),
                layer.bias.detach().numpy().copy(),
            )
            for layer in layers.modules()
            if isinstance(layer, nn.Linear)
        ]
    )
