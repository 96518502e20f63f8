"""What every training run shares: seeds, threads, minibatches and the watch for divergence.

Errors::

    ValueError
    ├── TrainingDataError         the examples cannot train this model
    └── TrainingDeviceError       torch has no such device here
    ArithmeticError
    └── TrainingDivergedError     the loss left the finite numbers; the run is worth nothing
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn

from models.rankers.networks import Mlp
from models.training.optimisers import Adam, RowAdam

_MAX_GRADIENT: Final = 5.0
_WARM_UP: Final = 0.2


class TrainingDataError(ValueError):
    """Examples or candidate sets that cannot train a model, e.g. none at all."""


class TrainingDeviceError(ValueError):
    """A device of torch that this machine or this build of torch does not have."""


class TrainingDivergedError(ArithmeticError):
    """The loss became NaN or infinite; no model comes out of this run."""


def usable_device(name: str) -> torch.device:
    """The device of that name, e.g. ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        TrainingDeviceError: torch cannot compute on it here.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:  # builds without CUDA assert that there is none
        first = str(error).partition("\n")[0]
        raise TrainingDeviceError(
            f"cannot train on device {name!r}: {first}; take cpu, or install a driver and a build "
            "of torch for it"
        ) from error
    return device


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
    vectors: RowAdam | None = None,
) -> None:
    """Minimise `loss_of` (rows → mean loss) over `n` rows: Adam, linear warm-up, cosine decay.

    Args:
        model: the network that `loss_of` reads.
        loss_of: mean loss of these rows, differentiable.
        n: number of rows.
        what: name of the model for errors.
        epochs: passes over the rows.
        batch: rows a step.
        learning_rate: at the peak.
        weight_decay: per step, times the learning rate.
        vectors: learnt vectors that `loss_of` looks up; they follow the same schedule.

    Raises:
        TrainingDivergedError: the loss of a batch or a weight is not finite.
    """
    optimiser = Adam(
        [(p, learning_rate) for p in model.parameters() if p.requires_grad], weight_decay
    )
    total = epochs * math.ceil(n / batch)
    step = 0
    model.train()
    for epoch in range(epochs):
        for rows in torch.split(torch.randperm(n), batch):
            loss = loss_of(rows)
            if not math.isfinite(loss.item()):
                raise TrainingDivergedError(
                    f"{what}: loss is {loss.item()} in epoch {epoch + 1} of {epochs}; "
                    f"look for broken labels or weights, or lower the learning rate {learning_rate}"
                )
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(model.parameters(), _MAX_GRADIENT)
            optimiser.step(_schedule(step / total))
            if vectors is not None:
                vectors.step(_schedule(step / total))
            step += 1
    model.eval()
    check_finite(model, what, learning_rate)


def check_finite(model: nn.Module, what: str, learning_rate: float) -> None:
    """Refuse a network with a weight that is no number.

    Raises:
        TrainingDivergedError: names the weight.
    """
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise TrainingDivergedError(
                f"{what}: {name} holds NaN or infinity; lower the learning rate {learning_rate}"
            )


def _schedule(progress: float) -> float:
    """Share of the peak learning rate after this share of all steps."""
    if progress < _WARM_UP:
        return 0.1 + 0.9 * progress / _WARM_UP
    return 0.5 + 0.5 * math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP))


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
