"""Final pass: the probability of each head from dense and sparse features.

A multi-task multi-label network: a body (:data:`BODY`), whose hidden layers the heads share, and
what it reads. That is, beside the standardised dense features, learnt vectors from one table: of
the hashed ids; of the viewer, as the mean of those of the authors she liked, in the long run and of
late (Covington et al., Deep Neural Networks for YouTube Recommendations, 2016); and the products of
the viewer's with the author's.

The calibration of each head is folded into the weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from models.actions import HEADS
from models.arrays.types import Float
from models.feature_schema import (
    ALL_COLUMNS,
    DENSE_NAMES,
    ID_BUCKETS,
    ID_NAMES,
    SHORT_TERM,
    FeatureMatrix,
)
from models.rankers.body import Body
from models.rankers.ensemble import Ensemble
from models.rankers.networks import (
    Arrays,
    EmbeddingTable,
    Meta,
    ModelError,
    Standardizer,
    check_feature_version,
    sigmoid,
    take_array,
)

#: The network that turns inputs into log-odds; its twin in :mod:`models.training.bodies` learns it.
BODY: Final[type[Body]] = Ensemble

#: Columns of `sparse_ns` before the authors a viewer liked, and the one of the media's author.
IDS: Final = len(ID_NAMES)
AUTHOR: Final = ID_NAMES.index("author_id")

_WHAT: Final = "final pass"


def inputs(dimension: int) -> int:
    """Inputs of the network, where learnt vectors have this dimension."""
    return len(DENSE_NAMES) + (IDS + 4) * dimension


def table_sizes(most: int) -> NDArray[np.int64]:
    """Rows of the table of learnt vectors that each id gets, `most` of them at most, (s,)."""
    return np.minimum(np.array(ID_BUCKETS, np.int64), most)


class FinalPass:
    """Calibrated probabilities of each head.

    Args:
        standardizer: of all dense features.
        embeddings: of all sparse columns.
        body: (dense ‖ vectors) → one logit a head.

    Raises:
        ModelError: the parts do not fit each other.
    """

    #: Dense columns this pass reads.
    columns: ClassVar[tuple[int, ...]] = ALL_COLUMNS

    def __init__(self, standardizer: Standardizer, embeddings: EmbeddingTable, body: Body) -> None:
        dense, ids = len(DENSE_NAMES), len(ID_NAMES)
        if standardizer.mean_f.shape != (dense,) or standardizer.scale_f.shape != (dense,):
            raise ModelError(
                f"{_WHAT}: statistics of {standardizer.mean_f.size} features; expected {dense}"
            )
        if embeddings.sizes_s.shape != (ids,):
            raise ModelError(f"{_WHAT}: vectors of {embeddings.sizes_s.size} ids; expected {ids}")
        width = inputs(embeddings.table_rd.shape[1])
        if body.inputs != width or body.outputs != len(HEADS):
            raise ModelError(
                f"{_WHAT}: network {body.inputs} → {body.outputs}; expected {width} → {len(HEADS)}"
            )
        self.standardizer = standardizer
        self.embeddings = embeddings
        self.body = body

    @classmethod
    def random(
        cls,
        rng: np.random.Generator,
        *,
        embedding_dim: int,
        embedding_rows: int,
        members: int,
        hidden: Sequence[int],
    ) -> Self:
        """Random weights in the shapes that training gives, to measure and to test with.

        Args:
            embedding_dim: width of a learnt vector.
            embedding_rows: rows of the table that an id gets at most.
            members: networks of an ensemble.
            hidden: widths of the hidden layers.
        """

        def normal(*shape: int) -> Float:
            return rng.normal(size=shape).astype(np.float32)

        sizes_s, dense = table_sizes(embedding_rows), len(DENSE_NAMES)
        widths = (inputs(embedding_dim), *hidden, len(HEADS))
        return cls(
            Standardizer(normal(dense), np.abs(normal(dense))),
            EmbeddingTable(normal(int(sizes_s.sum()), embedding_dim), sizes_s),
            BODY.random(rng, widths, members),
        )

    def logits(self, features: FeatureMatrix) -> Float:
        """Calibrated log-odds_nh of all rows, columns :data:`models.actions.HEADS`."""
        dense_nf = self.standardizer(features.dense_nf)
        vectors_nsd = self.embeddings(features.sparse_ns)
        ids_nid, liked_nld = vectors_nsd[:, :IDS], vectors_nsd[:, IDS:]
        known_nl = (features.sparse_ns[:, IDS:] > 0).astype(np.float32)
        short_nd = _mean(liked_nld[:, :SHORT_TERM], known_nl[:, :SHORT_TERM])
        long_nd = _mean(liked_nld, known_nl)
        author_nd = ids_nid[:, AUTHOR]
        parts = (
            dense_nf, ids_nid.reshape(len(features), IDS * author_nd.shape[1]),
            short_nd, long_nd, author_nd * short_nd, author_nd * long_nd,
        )  # fmt: skip
        return self.body(np.concatenate(parts, axis=1))

    def score(self, features: FeatureMatrix) -> Float:
        """Calibrated probabilities_nh in [0, 1], columns :data:`models.actions.HEADS`."""
        return sigmoid(self.logits(features))

    def calibrated(self, calibrations_h: Iterable[tuple[float, float, Float]]) -> Self:
        """The same with other log-odds z of its heads, folded into its weights.

        Args:
            calibrations_h: of each head slope, shift and weights; it says slope · z + weights · x
                + shift, where x are the standardised dense features.
        """
        body = self.body
        for head, (slope, shift, weights_f) in enumerate(calibrations_h):
            body = body.calibrated(head, slope, shift, weights_f)
        return type(self)(self.standardizer, self.embeddings, body)

    def constant(self, heads: Iterable[int], probability: float) -> Self:
        """The same with one probability for everything, of these heads.

        What was never seen to happen cannot be told apart; what a network makes of it is noise,
        and noise must not order a grid.
        """
        body, log_odds = self.body, math.log(probability / (1.0 - probability))
        for head in heads:
            body = body.calibrated(head, 0.0, log_odds, np.empty(0, np.float32))
        return type(self)(self.standardizer, self.embeddings, body)

    @classmethod
    def untrained(cls) -> Self:
        """One that gives everything everybody's rates, for where nothing tells what is shown."""
        found = cls.random(
            np.random.default_rng(0), embedding_dim=1, embedding_rows=1, members=1, hidden=(1,)
        )
        for h, head in enumerate(HEADS):
            found = found.constant([h], head.row.rate)
        return found

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The weights by name; :meth:`from_arrays` reads them."""
        return {
            "mean": self.standardizer.mean_f,
            "scale": self.standardizer.scale_f,
            "table": self.embeddings.table_rd,
            "table_sizes": self.embeddings.sizes_s,
            **self.body.to_arrays(),
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
            EmbeddingTable(
                take_array(arrays, "table", 2, _WHAT), np.asarray(sizes_s, dtype=np.int64)
            ),
            BODY.from_arrays(arrays, _WHAT),
        )


def _mean(vectors_nld: Float, known_nl: Float) -> Float:
    """Mean of the known vectors of each row, zeros where there is none."""
    share_nl = known_nl / np.maximum(known_nl.sum(axis=1, keepdims=True), 1.0)
    mean_nd: Float = (share_nl[:, np.newaxis] @ vectors_nld)[:, 0]
    return mean_nd
