"""The ensemble is the mean of its members beside the linear terms, in NumPy and in torch."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.arrays.types import Float
from models.rankers.ensemble import Ensemble
from models.rankers.networks import Mlp, ModelError
from models.training.bodies.ensemble import EnsembleNetwork
from models.training.final import weighted_loss
from models.training.loop import reproducible


def normal(rng: np.random.Generator, *shape: int) -> Float:
    return rng.normal(size=shape).astype(np.float32)


def ensemble(seed: int, members: int, *widths: int) -> Ensemble:
    rng = np.random.default_rng(seed)
    return Ensemble(
        (normal(rng, widths[0], widths[-1]), normal(rng, widths[-1])),
        [(normal(rng, members, a, b), normal(rng, members, b)) for a, b in pairwise(widths)],
    )


@given(
    seed=st.integers(0, 2**16),
    n=st.integers(0, 9),
    members=st.integers(1, 5),
    widths=st.lists(st.integers(1, 7), min_size=3, max_size=5),
)
def test_it_is_the_mean_of_its_members_beside_the_linear_terms(
    seed: int, n: int, members: int, widths: list[int]
) -> None:
    whole = ensemble(seed, members, *widths)
    x_ni = normal(np.random.default_rng(seed + 1), n, widths[0])
    alone = [
        Mlp([(weights_kio[k], bias_ko[k]) for weights_kio, bias_ko in whole.layers])(x_ni)
        for k in range(members)
    ]
    expected_no = np.mean(alone, axis=0) + x_ni @ whole.linear[0] + whole.linear[1]
    np.testing.assert_allclose(whole(x_ni), expected_no, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("linear", "widths", "message"),
    [
        ((5, 2), ((5, 2),), "members have 1 layers"),
        ((5, 2), ((5, 4), (3, 2)), "layer 1 has weights .* expected 2 members of 4 inputs"),
        ((4, 2), ((5, 4), (4, 2)), "linear terms have weights .* expected 5 inputs and 2 outputs"),
        ((5, 3), ((5, 4), (4, 2)), "linear terms have weights .* expected 5 inputs and 2 outputs"),
    ],
)
def test_layers_that_do_not_fit_are_refused(linear, widths, message) -> None:
    rng = np.random.default_rng(0)
    layers = [(normal(rng, 2, *shape), normal(rng, 2, shape[1])) for shape in widths]
    with pytest.raises(ModelError, match=message):
        Ensemble((normal(rng, *linear), normal(rng, linear[1])), layers)


def test_torch_begins_where_numpy_is_and_gives_the_same() -> None:
    stored = ensemble(3, 3, 12, 8, 6, 4)
    x_ni = normal(np.random.default_rng(1), 50, 12)
    with reproducible(1, 1), torch.no_grad():
        network = EnsembleNetwork.thaw(stored, dropout=0.5).eval()
        mean_no = network(torch.from_numpy(x_ni)).mean(dim=0).numpy()
        again = network.freeze()
    np.testing.assert_allclose(stored(x_ni), mean_no, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(again(x_ni), stored(x_ni))


def test_members_leave_different_inputs_out_in_training_only() -> None:
    rng = np.random.default_rng(0)
    same_kio, zeros_kw = np.tile(normal(rng, 1, 12, 8), (3, 1, 1)), np.zeros((3, 8), np.float32)
    last_kio = np.tile(normal(rng, 1, 8, 2), (3, 1, 1))
    twins = Ensemble(
        (np.zeros((12, 2), np.float32), np.zeros(2, np.float32)),
        [(same_kio, zeros_kw), (last_kio, zeros_kw[:, :2])],
    )
    x_ni = torch.from_numpy(normal(rng, 20, 12))
    with reproducible(1, 1), torch.no_grad():
        network = EnsembleNetwork.thaw(twins, dropout=0.5)
        learning_kno, serving_kno = network.train()(x_ni), network.eval()(x_ni)
    assert not torch.allclose(learning_kno[0], learning_kno[1])
    torch.testing.assert_close(serving_kno[0], serving_kno[1])


def test_each_member_learns_as_if_it_were_alone() -> None:
    stored = ensemble(3, 3, 6, 5, 2)
    rng = np.random.default_rng(1)
    x_ni = torch.from_numpy(normal(rng, 30, 6))
    labels_nh = torch.from_numpy((rng.random((30, 2)) < 0.5).astype(np.float32))
    weights_nh = torch.ones(30, 2)

    def gradient(of: Ensemble) -> torch.Tensor:
        network = EnsembleNetwork.thaw(of, dropout=0.0)
        torch.autograd.backward(weighted_loss(network(x_ni), labels_nh, weights_nh))
        found = network.weights[0].grad
        assert found is not None
        return found

    second = Ensemble(stored.linear, [(weights[1:2], bias[1:2]) for weights, bias in stored.layers])
    torch.testing.assert_close(gradient(stored)[1] * 3, gradient(second)[0])
