"""Rows of a table move as whole parameters do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.training.optimisers import Adam, RowAdam


def test_rows_looked_up_in_every_step_move_as_a_whole_parameter_does() -> None:
    generator = torch.Generator().manual_seed(1)
    start_rd = torch.randn(6, 4, generator=generator)
    whole, table_rd = nn.Parameter(start_rd.clone()), start_rd.clone()
    adam, row_adam = Adam([(whole, 0.05)], weight_decay=0.0), RowAdam(table_rd, 0.05)
    for step in range(20):
        towards_rd = torch.randn(6, 4, generator=generator)
        for vectors_rd in (whole, row_adam.look_up(torch.arange(6).unsqueeze(1)).squeeze(1)):
            torch.autograd.backward(((vectors_rd - towards_rd) ** 2).sum())
        for optimiser in (adam, row_adam):
            optimiser.step(1.0 / (1 + step))
    torch.testing.assert_close(table_rd, whole.detach(), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(table_rd, start_rd, atol=0.1)


def test_a_row_counts_its_own_steps() -> None:
    table_rd = torch.zeros(2, 1)
    optimiser = RowAdam(table_rd, 0.1)
    for rows in (torch.tensor([[0]]), torch.tensor([[0]]), torch.tensor([[1]])):
        torch.autograd.backward(optimiser.look_up(rows).sum())
        optimiser.step(1.0)
    # The first step of a row is a whole learning rate long, however late it comes.
    assert table_rd[1].item() == pytest.approx(-0.1, rel=1e-4)
    assert table_rd[0].item() == pytest.approx(-0.2, rel=1e-4)


def test_weight_decay_shrinks_what_has_no_slope() -> None:
    parameter = nn.Parameter(torch.ones(3))
    optimiser = Adam([(parameter, 0.1)], weight_decay=0.5)
    parameter.grad = torch.zeros(3)
    optimiser.step(1.0)
    assert parameter.tolist() == pytest.approx([0.95] * 3)
    assert parameter.grad is None
