"""Every ranking pass passes the same checks; the bundle keeps the three together."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.actions import HEADS
from models.arrays.types import Float
from models.feature_schema import (
    DENSE_NAMES,
    FEATURE_VERSION,
    SPARSE_BUCKETS,
    FeatureMatrix,
)
from models.rankers.bundle import RankerBundle
from models.rankers.early_passes import FirstPass, SecondPass
from models.rankers.final_pass import FinalPass
from models.rankers.networks import (
    CLIP,
    DensePass,
    EmbeddingTable,
    FeatureVersionError,
    Mlp,
    ModelError,
    Standardizer,
    sigmoid,
)

META = {"feature_version": FEATURE_VERSION}


def normal(rng: np.random.Generator, *shape: int) -> Float:
    return rng.normal(size=shape).astype(np.float32)


def mlp(rng: np.random.Generator, *widths: int) -> Mlp:
    return Mlp(
        [(normal(rng, a, b) / np.float32(a**0.5), normal(rng, b)) for a, b in pairwise(widths)]
    )


def standardizer(rng: np.random.Generator, width: int) -> Standardizer:
    return Standardizer(normal(rng, width), np.abs(normal(rng, width)))


def dense_pass(kind: type[DensePass], seed: int) -> DensePass:
    rng = np.random.default_rng(seed)
    width = len(kind.columns)
    return kind(standardizer(rng, width), mlp(rng, width, 8, 1))


def final_pass(seed: int) -> FinalPass:
    rng = np.random.default_rng(seed)
    return FinalPass.random(rng, embedding_dim=4, embedding_rows=50, members=3, hidden=(16, 8))


def matrix(n: int, seed: int = 0) -> FeatureMatrix:
    rng = np.random.default_rng(seed)
    sparse_ns = np.stack([rng.integers(0, size, n) for size in SPARSE_BUCKETS], axis=1)
    return FeatureMatrix(normal(rng, n, len(DENSE_NAMES)), sparse_ns.astype(np.int32))


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


def test_standardizer_ignores_missing_values_and_switches_constants_off() -> None:
    dense_nf = np.array([[1, 5, np.nan], [3, 5, 4], [np.inf, 5, 8]], np.float32)
    fitted = Standardizer.fit(dense_nf)
    np.testing.assert_allclose(fitted.mean_f, [2, 5, 6])
    np.testing.assert_allclose(fitted.scale_f, [1, 0, 0.5])
    np.testing.assert_allclose(fitted(dense_nf), [[-1, 0, 0], [1, 0, -1], [CLIP, 0, 1]])


def test_sigmoid_neither_overflows_nor_leaves_its_range() -> None:
    x_n = np.array([-1e30, -100, 0, 1, 100, 1e30], np.float32)
    y_n = sigmoid(x_n)
    assert (y_n > 0).all() and (y_n <= 1).all()
    np.testing.assert_allclose(y_n[2:4], [0.5, 1 / (1 + np.exp(-1))], rtol=1e-6)


def bundle(seed: int = 1, **metrics: float) -> RankerBundle:
    return RankerBundle(
        first=FirstPass.from_arrays(dense_pass(FirstPass, seed).to_arrays(), META),
        second=SecondPass.from_arrays(dense_pass(SecondPass, seed).to_arrays(), META),
        final=final_pass(seed),
        metrics=metrics,
        trained_ts=42,
    )


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


def test_embedding_rows_wrap_within_their_column() -> None:
    table_rd: NDArray[np.float32] = np.arange(5, dtype=np.float32)[:, None]
    vectors = EmbeddingTable(table_rd, np.array([2, 3]), parts=(0, 1, 1))
    ids_ns = np.array([[0, 0, 1], [1, 2, 0], [2, 3, 5], [-1, -1, 4]], np.int32)
    expected = [[0, 2, 3], [1, 4, 2], [0, 2, 4], [1, 4, 3]]
    np.testing.assert_array_equal(vectors(ids_ns)[:, :, 0], expected)
