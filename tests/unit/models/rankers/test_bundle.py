"""The bundle keeps the three passes together, and refuses what does not belong."""

from __future__ import annotations

import numpy as np
import pytest

from models.rankers.bundle import RankerBundle
from models.rankers.networks import ModelError
from tests.rankers import bundle, matrix


def test_bundle_survives_saving_and_loading() -> None:
    saved, features = bundle(auc_like=0.75, auc_save=float("nan")), matrix(20)
    arrays, meta = saved.to_arrays()
    loaded = RankerBundle.from_arrays(arrays, meta)
    assert loaded.version == saved.version == meta["version"]
    assert loaded.metrics == {"auc_like": 0.75}
    assert loaded.trained_ts == 42
    for part in ("first", "second", "final"):
        np.testing.assert_array_equal(
            getattr(saved, part).score(features), getattr(loaded, part).score(features)
        )


def test_bundle_version_names_the_weights() -> None:
    assert bundle(1).version == bundle(1).version
    assert bundle(1).version != bundle(2).version


def test_bundle_with_weights_of_another_version_is_refused() -> None:
    arrays, _ = bundle(1).to_arrays()
    _, meta = bundle(2).to_arrays()
    with pytest.raises(ModelError, match=r"fetch the artifact again"):
        RankerBundle.from_arrays(arrays, meta)


def test_bundle_with_networks_of_another_form_is_refused() -> None:
    arrays, meta = bundle().to_arrays()
    old = {name: value for name, value in meta.items() if name != "networks"}
    for networks in (old, {**meta, "networks": 1}):
        with pytest.raises(ModelError, match=r"networks of form (None|1), .* train them again"):
            RankerBundle.from_arrays(arrays, networks)


def test_bundle_with_other_heads_is_refused() -> None:
    arrays, meta = bundle().to_arrays()
    with pytest.raises(ModelError, match="heads"):
        RankerBundle.from_arrays(arrays, {**meta, "heads": ["like", "share", "see_fewer"]})
