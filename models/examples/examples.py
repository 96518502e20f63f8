"""Training data of the rankers, columnar: labelled exposures and whole candidate sets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.actions import HEAD_NAMES
from models.arrays.stored import ANY, taken
from models.feature_schema import FeatureMatrix


class Examples(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Exposures with what came of them, features as they stood before the exposure.

    Attributes:
        features: n rows.
        labels_nh: float32 0 or 1, columns :data:`models.actions.HEAD_NAMES`.
        weights_n: float32, 1 / probability that the row was kept: 1 for positives, 1 / r for
            negatives sampled with keep rate r. Weighted sums estimate sums over all exposures.
        groups_n: int64, equal for exposures of one viewer.
        ts_n: int64, event time in ms.
        positions_n: int16, place on the page that was served, counted from 1; 0 where it is not
            known, as for exposures on other surfaces.
    """

    features: FeatureMatrix
    labels_nh: NDArray[np.float32]
    weights_n: NDArray[np.float32]
    groups_n: NDArray[np.int64]
    ts_n: NDArray[np.int64]
    positions_n: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.ts_n)

    def label(self, name: str) -> NDArray[np.float32]:
        """One label column by name."""
        return self.labels_nh[:, HEAD_NAMES.index(name)]

    def take(self, rows: NDArray[np.integer[Any]]) -> Self:
        """These rows, in this order."""
        return type(self)(
            features=self.features.take(rows),
            labels_nh=self.labels_nh[rows],
            weights_n=self.weights_n[rows],
            groups_n=self.groups_n[rows],
            ts_n=self.ts_n[rows],
            positions_n=self.positions_n[rows],
        )

    def without(self, groups: Collection[int]) -> Self:
        """The rows of all groups but these."""
        left_n = np.isin(self.groups_n, list(groups))
        return self.take(np.flatnonzero(~left_n)) if left_n.any() else self

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The columns by name, as a file stores them."""
        return {
            "dense": self.features.dense_nf,
            "sparse": self.features.sparse_ns,
            "labels": self.labels_nh,
            "weights": self.weights_n,
            "groups": self.groups_n,
            "ts": self.ts_n,
            "positions": self.positions_n,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Rebuild from :meth:`to_arrays`; other columns may stand beside.

        Raises:
            StoredArraysError: these are not such arrays.
        """
        rows = len(taken(arrays, "ts", np.int64, ANY))
        for name, column in cls.empty().to_arrays().items():
            taken(arrays, name, column.dtype, rows, *column.shape[1:])
        return cls(
            features=FeatureMatrix(arrays["dense"], arrays["sparse"]),
            labels_nh=arrays["labels"],
            weights_n=arrays["weights"],
            groups_n=arrays["groups"],
            ts_n=arrays["ts"],
            positions_n=arrays["positions"],
        )

    @classmethod
    def empty(cls) -> Self:
        """A set without examples, with all columns."""
        return cls(
            features=FeatureMatrix.empty(),
            labels_nh=np.zeros((0, len(HEAD_NAMES)), np.float32),
            weights_n=np.zeros(0, np.float32),
            groups_n=np.zeros(0, np.int64),
            ts_n=np.zeros(0, np.int64),
            positions_n=np.zeros(0, np.int16),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Examples]) -> Self:
        """The rows of all parts, in order."""
        if not parts:
            return cls.empty()
        return cls(
            features=FeatureMatrix.concatenate([part.features for part in parts]),
            labels_nh=np.concatenate([part.labels_nh for part in parts]),
            weights_n=np.concatenate([part.weights_n for part in parts]),
            groups_n=np.concatenate([part.groups_n for part in parts]),
            ts_n=np.concatenate([part.ts_n for part in parts]),
            positions_n=np.concatenate([part.positions_n for part in parts]),
        )


class CandidateSets(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """All candidates that the query found for some viewers: what the first pass has to sort.

    Attributes:
        features: n rows.
        groups_n: int64, equal for the candidates of one viewer.
        logged_n: bool, whether they were logged as they were ranked, or found anew.
    """

    features: FeatureMatrix
    groups_n: NDArray[np.int64]
    logged_n: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.groups_n)

    def take(self, rows: NDArray[np.integer[Any]]) -> Self:
        """These rows, in this order."""
        return type(self)(
            features=self.features.take(rows),
            groups_n=self.groups_n[rows],
            logged_n=self.logged_n[rows],
        )
