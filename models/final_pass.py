"""Final pass: probabilities of like, save and see fewer from dense and sparse features.

A multi-task multi-label network: learnt vectors of the hashed ids beside the standardised dense
features, a shared trunk, and one small tower a head. At inference the towers are one matrix with
a block-diagonal last layer, so the whole network is a plain chain of matrix products; the
calibration of each head is folded into that layer's weights.

Heads beyond :data:`HEADS` (long views) only help the trunk to learn and are not stored.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from models.feature_schema import ALL_COLUMNS, DENSE_NAMES, SPARSE_NAMES, FeatureMatrix
from models.networks import (
    Arrays,
    Embeddings,
    Float,
    Meta,
    Mlp,
    ModelError,
    Standardizer,
    check_feature_version,
    sigmoid,
    take_array,
)

#: Columns of the probabilities, in order.
HEADS: Final = ("like", "save", "see_fewer")

_WHAT: Final = "final pass"


class FinalPass:
    """Calibrated probabilities of each head.

    Args:
        standardizer: of all dense features.
        embeddings: of all sparse columns.
        mlp: (dense ‖ vectors) → one logit a head.

    Raises:
        ModelError: the parts do not fit each other.
    """

    #: Dense columns this pass reads.
    columns: ClassVar[tuple[int, ...]] = ALL_COLUMNS

    def __init__(self, standardizer: Standardizer, embeddings: Embeddings, mlp: Mlp) -> None:
        dense, sparse = len(DENSE_NAMES), len(SPARSE_NAMES)
        if standardizer.mean_f.shape != (dense,) or standardizer.scale_f.shape != (dense,):
            raise ModelError(
                f"{_WHAT}: statistics of {standardizer.mean_f.size} features; expected {dense}"
            )
        if embeddings.sizes_s.shape != (sparse,):
            raise ModelError(
                f"{_WHAT}: {embeddings.sizes_s.size} sparse columns; expected {sparse}"
            )
        width = dense + sparse * embeddings.table_rd.shape[1]
        if mlp.inputs != width or mlp.outputs != len(HEADS):
            raise ModelError(
                f"{_WHAT}: network {mlp.inputs} → {mlp.outputs}; expected {width} → {len(HEADS)}"
            )
        self.standardizer = standardizer
        self.embeddings = embeddings
        self.mlp = mlp

    def logits(self, features: FeatureMatrix) -> Float:
        """Calibrated log-odds (n, 3) in the order of :data:`HEADS`."""
        dense_nf = self.standardizer(features.dense_nf)
        vectors_ne = self.embeddings(features.sparse_ns)
        return self.mlp(np.concatenate((dense_nf, vectors_ne), axis=1))

    def score(self, features: FeatureMatrix) -> Float:
        """Probabilities (n, 3) in the order of :data:`HEADS`."""
        return sigmoid(self.logits(features))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The weights by name; :meth:`from_arrays` reads them."""
        return {
            "mean": self.standardizer.mean_f,
            "scale": self.standardizer.scale_f,
            "table": self.embeddings.table_rd,
            "table_sizes": self.embeddings.sizes_s,
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
        check_feature_version(meta, _WHAT)
        sizes_s = arrays.get("table_sizes")
        if sizes_s is None:
            raise ModelError(f"{_WHAT}: array 'table_sizes' is missing; got {sorted(arrays)[:8]}")
        return cls(
            Standardizer(
                take_array(arrays, "mean", 1, _WHAT), take_array(arrays, "scale", 1, _WHAT)
            ),
            Embeddings(take_array(arrays, "table", 2, _WHAT), np.asarray(sizes_s, dtype=np.int64)),
            Mlp.from_arrays(arrays, _WHAT),
        )
