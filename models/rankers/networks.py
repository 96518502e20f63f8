"""The building blocks of the ranking passes, in NumPy: what the ranker runs.

Training (:mod:`models.training`) uses torch; the trained weights arrive here as plain float32
arrays, so that a ranker needs neither torch nor its start-up time. Both give the same
numbers to within 1e-5.

Errors::

    ValueError
    └── ModelError                  these arrays are no usable model
        └── FeatureVersionError     the model was trained on another set of features

Missing and broken features: a NaN counts as "unknown" and becomes the mean seen in training; an
infinity or an outlier counts as ``CLIP`` standard deviations. A score is therefore always finite.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from models.arrays.types import Float
from models.feature_schema import ALL_COLUMNS, FEATURE_VERSION, VECTORS_OF, FeatureMatrix

#: Weights by name, as an artifact stores them.
Arrays = Mapping[str, NDArray[Any]]
Meta = Mapping[str, Any]

#: Standard deviations at which a feature is cut, so that no outlier dominates a score.
CLIP: Final = 6.0

#: Rows that a network is given at once: what is between the layers of more outgrows the cache.
_AT_ONCE: Final = 4096


class ModelError(ValueError):
    """Arrays that are no usable model: missing, of a wrong shape or not finite."""


class FeatureVersionError(ModelError):
    """The model was trained on another version of the feature assembly."""


def check_feature_version(meta: Meta, what: str) -> None:
    """Refuse a model that reads its inputs differently from the running feature assembly.

    Raises:
        FeatureVersionError: `meta` names no or another feature version.
    """
    version = meta.get("feature_version")
    if version != FEATURE_VERSION:
        raise FeatureVersionError(
            f"{what}: trained on feature version {version!r}, this build has {FEATURE_VERSION!r}; "
            "train it again or roll back to a build with that version"
        )


def take_array(arrays: Arrays, name: str, ndim: int, what: str) -> Float:
    """One weight as contiguous float32.

    Raises:
        ModelError: it is missing, has another number of dimensions or is not finite.
    """
    array = arrays.get(name)
    if array is None:
        raise ModelError(f"{what}: array {name!r} is missing; got {sorted(arrays)[:8]}")
    if array.ndim != ndim:
        raise ModelError(f"{what}: array {name!r} has shape {array.shape}; expected {ndim} axes")
    weights = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(weights).all():
        raise ModelError(f"{what}: array {name!r} holds NaN or infinity; training diverged")
    return weights


def layers_to_arrays(layers: Iterable[tuple[Float, Float]], prefix: str) -> dict[str, Float]:
    """Weights and biases of layers by name; :func:`layers_from_arrays` reads them."""
    arrays: dict[str, Float] = {}
    for number, (weights, bias) in enumerate(layers):
        arrays[f"{prefix}{number}.weights"] = weights
        arrays[f"{prefix}{number}.bias"] = bias
    return arrays


def layers_from_arrays(
    arrays: Arrays, prefix: str, ndim: int, what: str
) -> list[tuple[Float, Float]]:
    """Weights, with `ndim` dimensions, and biases, with one fewer, of all layers there are.

    Raises:
        ModelError: a weight is missing, misshapen or not finite.
    """
    count = sum(name.startswith(prefix) and name.endswith(".weights") for name in arrays)
    return [
        (
            take_array(arrays, f"{prefix}{number}.weights", ndim, what),
            take_array(arrays, f"{prefix}{number}.bias", ndim - 1, what),
        )
        for number in range(count)
    ]


def sigmoid(logits: Float) -> Float:
    """1 / (1 + e^−x) without overflow."""
    probabilities = np.clip(logits, -30.0, 30.0)
    np.negative(probabilities, out=probabilities)
    np.exp(probabilities, out=probabilities)
    probabilities += 1.0
    np.reciprocal(probabilities, out=probabilities)
    return probabilities


class Standardizer:
    """Shifts and scales each dense feature to the mean and deviation seen in training.

    Args:
        mean_f: mean of each feature.
        scale_f: 1 / standard deviation of each feature; 0 switches a constant feature off.
    """

    def __init__(self, mean_f: Float, scale_f: Float) -> None:
        self.mean_f = mean_f
        self.scale_f = scale_f

    @classmethod
    def fit(cls, dense_nf: Float) -> Standardizer:
        """Means and deviations of the finite values of `dense_nf`."""
        finite_nf = np.isfinite(dense_nf)
        count_f = np.maximum(finite_nf.sum(axis=0), 1)
        values_nf = np.where(finite_nf, dense_nf, 0.0).astype(np.float64)
        mean_f = values_nf.sum(axis=0) / count_f
        centred_nf = np.where(finite_nf, values_nf - mean_f, 0.0)
        deviation_f = np.sqrt((centred_nf**2).sum(axis=0) / count_f)
        useful_f = deviation_f > 1e-6 * np.maximum(np.abs(mean_f), 1.0)
        scale_f = np.where(useful_f, 1.0 / np.where(useful_f, deviation_f, 1.0), 0.0)
        return cls(mean_f.astype(np.float32), scale_f.astype(np.float32))

    def without(self, columns: Sequence[int]) -> Standardizer:
        """The same with these features switched off."""
        scale_f = self.scale_f.copy()
        scale_f[list(columns)] = 0.0
        return Standardizer(self.mean_f, scale_f)

    def __call__(self, dense_nf: Float) -> Float:
        """Standardised, always finite copy of `dense_nf`."""
        with np.errstate(over="ignore", invalid="ignore"):
            z_nf = dense_nf - self.mean_f
            z_nf *= self.scale_f
        np.clip(z_nf, -CLIP, CLIP, out=z_nf)
        unknown_nf = np.isnan(z_nf)
        if unknown_nf.any():
            z_nf[unknown_nf] = 0.0
        return z_nf


class Mlp:
    """Linear layers with a ReLU between them; the last layer is linear.

    Args:
        layers: (weights_io, bias_o) of each layer.

    Raises:
        ModelError: consecutive layers do not fit.
    """

    def __init__(self, layers: Sequence[tuple[Float, Float]]) -> None:
        if not layers:
            raise ModelError("a network needs at least one layer")
        width = layers[0][0].shape[0]
        for number, (weights_io, bias_o) in enumerate(layers):
            if weights_io.shape != (width, bias_o.size):
                raise ModelError(
                    f"layer {number} has weights {weights_io.shape} and {bias_o.size} biases; "
                    f"expected {width} inputs"
                )
            width = bias_o.size
        self.layers = tuple(layers)

    @property
    def inputs(self) -> int:
        """Number of columns that it reads."""
        return int(self.layers[0][0].shape[0])

    @property
    def outputs(self) -> int:
        """Number of columns that it gives."""
        return int(self.layers[-1][1].size)

    def __call__(self, x_ni: Float) -> Float:
        """Outputs of the last layer, (n, o)."""
        if len(x_ni) <= _AT_ONCE:
            return self._outputs(x_ni)
        starts = range(0, len(x_ni), _AT_ONCE)
        return np.concatenate([self._outputs(x_ni[at : at + _AT_ONCE]) for at in starts])

    def _outputs(self, x_ni: Float) -> Float:
        for weights_io, bias_o in self.layers[:-1]:
            x_ni = x_ni @ weights_io
            x_ni += bias_o
            np.maximum(x_ni, 0.0, out=x_ni)
        weights_io, bias_o = self.layers[-1]
        out_no: Float = x_ni @ weights_io
        out_no += bias_o
        return out_no

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The weights by name, as an artifact stores them."""
        return layers_to_arrays(self.layers, "layer")

    @classmethod
    def from_arrays(cls, arrays: Arrays, what: str) -> Mlp:
        """Rebuild from :meth:`to_arrays`.

        Raises:
            ModelError: a weight is missing, misshapen or not finite.
        """
        return cls(layers_from_arrays(arrays, "layer", 2, what))


class EmbeddingTable:
    """One table of learnt vectors for all ids.

    A hashed id addresses row ``id mod size`` of its feature's part of the table; the places of a
    sequence share the part of the feature they are like. Vectors start at zero in training, so an
    id never seen in training adds nothing.

    Args:
        table_rd: the parts of all of `ID_NAMES`, one after the other.
        sizes_s: rows of each part.
        parts: which part each column of ids addresses.

    Raises:
        ModelError: the sizes do not add up to the table.
    """

    def __init__(
        self, table_rd: Float, sizes_s: NDArray[np.int64], parts: Sequence[int] = VECTORS_OF
    ) -> None:
        if (sizes_s < 1).any() or int(sizes_s.sum()) != table_rd.shape[0]:
            raise ModelError(
                f"embedding table has {table_rd.shape[0]} rows; its parts claim {sizes_s}"
            )
        self.table_rd = table_rd
        self.sizes_s = sizes_s
        at = list(parts)
        self._size_c, self._start_c = sizes_s[at], (np.cumsum(sizes_s) - sizes_s)[at]

    def rows(self, sparse_ns: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Table rows of the ids, (n, s)."""
        rows_ns: NDArray[np.int64] = np.remainder(sparse_ns, self._size_c)
        rows_ns += self._start_c
        return rows_ns

    def __call__(self, sparse_ns: NDArray[np.integer[Any]]) -> Float:
        """Vectors of each row's ids, (n, s, d)."""
        vectors_nsd: Float = self.table_rd.take(self.rows(sparse_ns), axis=0)
        return vectors_nsd


class DensePass:
    """A network over dense features that gives one score a candidate: first and second pass.

    Args:
        standardizer: of the columns this pass reads.
        mlp: with one output.

    Raises:
        ModelError: the parts do not fit each other or the pass.
    """

    #: For error messages.
    name: ClassVar[str] = "dense pass"
    #: Dense columns this pass reads, in order.
    columns: ClassVar[tuple[int, ...]] = ALL_COLUMNS

    def __init__(self, standardizer: Standardizer, mlp: Mlp) -> None:
        width = len(self.columns)
        if standardizer.mean_f.shape != (width,) or standardizer.scale_f.shape != (width,):
            raise ModelError(
                f"{self.name}: statistics of {standardizer.mean_f.size} features; expected {width}"
            )
        if mlp.inputs != width or mlp.outputs != 1:
            raise ModelError(
                f"{self.name}: network {mlp.inputs} → {mlp.outputs}; expected {width} → 1"
            )
        self.standardizer = standardizer
        self.mlp = mlp

    @classmethod
    def select(cls, features: FeatureMatrix) -> Float:
        """The columns this pass reads, (n, f)."""
        return features.select(cls.columns)

    def score(self, features: FeatureMatrix) -> Float:
        """Scores (n,), higher is better; each row independent of its neighbours."""
        return self.mlp(self.standardizer(self.select(features)))[:, 0]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The weights by name; :meth:`from_arrays` reads them."""
        return {
            "mean": self.standardizer.mean_f,
            "scale": self.standardizer.scale_f,
            **self.mlp.to_arrays(),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, meta: Meta) -> Self:
        """Rebuild from :meth:`to_arrays`.

        Args:
            arrays: the weights by name.
            meta: with ``feature_version``.

        Raises:
            FeatureVersionError: trained on other features.
            ModelError: a weight is missing, misshapen or not finite.
        """
        check_feature_version(meta, cls.name)
        standardizer = Standardizer(
            take_array(arrays, "mean", 1, cls.name), take_array(arrays, "scale", 1, cls.name)
        )
        return cls(standardizer, Mlp.from_arrays(arrays, cls.name))
