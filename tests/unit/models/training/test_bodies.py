"""Every body of the final pass has a twin that learns, and the twin gives it back unchanged."""

import numpy as np
import pytest

from models.rankers.final_pass import BODY
from models.training.bodies import network_of


def test_a_frozen_twin_is_the_body_that_it_began_as() -> None:
    body = BODY.random(np.random.default_rng(1), (6, 5, 3), 2)
    again = network_of(BODY).thaw(body, dropout=0.5).freeze()
    stored = again.to_arrays()
    assert type(again) is BODY
    for name, array in body.to_arrays().items():
        np.testing.assert_array_equal(stored[name], array)


def test_a_new_twin_begins_as_the_linear_terms_that_it_is_given() -> None:
    rng = np.random.default_rng(1)
    weights_fo = rng.normal(size=(4, 3)).astype(np.float32)
    bias_o = rng.normal(size=3).astype(np.float32)
    network = network_of(BODY).new(2, (6, 5, 3), dropout=0.5)
    network.begin(weights_fo, bias_o)
    x_ni = rng.normal(size=(7, 6)).astype(np.float32)
    expected_no = x_ni[:, :4] @ weights_fo + bias_o
    np.testing.assert_allclose(network.freeze()(x_ni), expected_no, rtol=1e-5, atol=1e-5)


def test_a_body_that_nothing_trains_is_told_of() -> None:
    class Untrained(BODY):  # type: ignore[misc,valid-type]
        pass

    with pytest.raises(LookupError, match="nothing trains Untrained: add its twin"):
        network_of(Untrained)
