"""What every pass keeps to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.actions import HEADS
from models.feature_schema import (
    DENSE_NAMES,
    FeatureMatrix,
)
from models.rankers.early_passes import FirstPass, SecondPass
from models.rankers.final_pass import FinalPass
from models.rankers.networks import (
    FeatureVersionError,
    ModelError,
)
from tests.rankers import META, dense_pass, final_pass, matrix


def make(kind: type[Any], seed: int = 1) -> Any:
    return final_pass(seed) if kind is FinalPass else dense_pass(kind, seed)


@pytest.mark.parametrize("kind", [FirstPass, SecondPass, FinalPass])
class TestEveryPass:
    def test_equal_inputs_give_equal_scores(self, kind: type[Any]) -> None:
        ranker, features = make(kind), matrix(500)
        before = features.dense_nf.copy(), features.sparse_ns.copy()
        first = ranker.score(features)
        np.testing.assert_array_equal(first, ranker.score(features))
        np.testing.assert_array_equal(before[0], features.dense_nf)
        np.testing.assert_array_equal(before[1], features.sparse_ns)
        assert first.dtype == np.float32

    def test_a_row_does_not_depend_on_its_neighbours(self, kind: type[Any]) -> None:
        ranker, features = make(kind), matrix(50)
        whole = ranker.score(features)
        for row in (0, 17, 49):
            alone = ranker.score(features.take(np.array([row])))
            np.testing.assert_allclose(alone[0], whole[row], rtol=1e-5, atol=1e-6)

    def test_survives_saving_and_loading(self, kind: type[Any]) -> None:
        ranker, features = make(kind), matrix(20)
        loaded = kind.from_arrays(ranker.to_arrays(), META)
        np.testing.assert_array_equal(ranker.score(features), loaded.score(features))

    def test_no_rows(self, kind: type[Any]) -> None:
        scores = make(kind).score(FeatureMatrix.empty())
        assert scores.shape == ((0, len(HEADS)) if kind is FinalPass else (0,))

    @pytest.mark.parametrize("value", [-1, 2**31 - 1])
    def test_ids_beyond_any_bucket(self, kind: type[Any], value: int) -> None:
        features = matrix(3)
        features.sparse_ns[:] = value
        assert np.isfinite(make(kind).score(features)).all()

    def test_an_unknown_feature_counts_as_average(self, kind: type[Any]) -> None:
        ranker = make(kind)
        unknown, average = matrix(4), matrix(4)
        column = kind.columns[2] if kind is not FinalPass else 2
        position = list(getattr(kind, "columns", range(len(DENSE_NAMES)))).index(column)
        unknown.dense_nf[:, column] = np.nan
        average.dense_nf[:, column] = ranker.standardizer.mean_f[position]
        np.testing.assert_array_equal(ranker.score(unknown), ranker.score(average))

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -3e38])
    def test_broken_features_give_finite_scores(self, kind: type[Any], value: float) -> None:
        features = matrix(5)
        features.dense_nf[1] = value
        assert np.isfinite(make(kind).score(features)).all()

    def test_a_model_of_other_features_is_refused(self, kind: type[Any]) -> None:
        arrays = make(kind).to_arrays()
        with pytest.raises(FeatureVersionError, match=r"'old'.*train it again"):
            kind.from_arrays(arrays, {"feature_version": "old"})
        with pytest.raises(FeatureVersionError):
            kind.from_arrays(arrays, {})

    def test_broken_weights_are_refused(self, kind: type[Any]) -> None:
        arrays = make(kind).to_arrays()
        for name in arrays:
            missing = {k: v for k, v in arrays.items() if k != name}
            with pytest.raises(ModelError):
                kind.from_arrays(missing, META)
            with pytest.raises(ModelError):
                kind.from_arrays({**arrays, name: arrays[name][:-1]}, META)
            if arrays[name].dtype == np.float32:
                broken = arrays[name].copy()
                broken.flat[0] = np.nan
                with pytest.raises(ModelError, match=f"{name}.*NaN"):
                    kind.from_arrays({**arrays, name: broken}, META)


def test_first_pass_reads_the_minimal_features_only() -> None:
    ranker, features = make(FirstPass), matrix(10)
    scores_n = ranker.score(features)
    others = np.setdiff1d(np.arange(len(DENSE_NAMES)), FirstPass.columns)
    features.dense_nf[:, others] = 7.0
    features.sparse_ns[:] = 3
    np.testing.assert_array_equal(scores_n, ranker.score(features))
