"""The immutable part of an account index: a FAISS index chosen by size, and the exact vectors.

A scan below some tens of thousands of vectors, where it takes well under a millisecond. Above,
many short inverted lists of vectors in one byte a dimension; what they find is scored again with
the exact vectors, so similarities are never approximate, only the choice of whom to compare is.
Inverted lists rather than HNSW because masking the dead costs them nothing and they build several
times faster (docs/decisions/0014-account-index.md).
"""

from __future__ import annotations

from typing import Any, Final

import faiss as _faiss
import msgspec
import numpy as np
from numpy.typing import NDArray

from models.account_index.ann_lists import assign, learn_centroids
from models.arrays.types import Positions, Vectors

# The stubs of FAISS know neither its overloads nor its search parameters.
faiss: Any = _faiss

#: Found by codes and scored again, beyond those asked for: codes swap what is nearly equal.
SPARE_SHARE: Final = 0.25
SPARE_LEAST: Final = 32
#: Vectors whose true neighbours are looked for to learn how many lists hold them.
TRIED: Final = 128
TRIED_NEIGHBOURS: Final = 100
#: Vectors that the range of each dimension's code is learnt from.
CODE_SAMPLE: Final = 100_000


class MainConfig(msgspec.Struct, frozen=True, kw_only=True):
    """When the main is exact and how an approximate one is built and read.

    A search reads a fixed number of lists of a fixed length, so only finding the lists takes longer
    as accounts become more; unless the vectors turn out to be scattered over more lists than that.

    Attributes:
        flat_below: fewer vectors are searched exactly.
        vectors_per_list: mean length of an inverted list.
        probed: lists that a search reads at least.
        recall: share of the nearest 100 whose lists it reads, as measured while building.
    """

    flat_below: int = 50_000
    vectors_per_list: int = 61
    probed: int = 320
    recall: float = 0.955


class AnnMain:
    """Unit vectors (m, d), searched by inner product; never changes after it was made.

    Args:
        index: a FAISS index of the vectors by position: :meth:`build` makes it, or it was read
            from a file.
        vectors_md: the exact vectors; may be mapped from a file.
    """

    def __init__(self, index: Any, vectors_md: Vectors) -> None:
        self.index = index
        self.vectors_md = vectors_md
        self.size = len(vectors_md)
        self._probed = getattr(index, "nprobe", 0)

    @classmethod
    def build(cls, vectors_md: Vectors, config: MainConfig) -> AnnMain:
        """Choose an index for this many vectors and fill it; a million take about a minute."""
        # OpenMP keeps the number per thread, so every thread that calls FAISS has to say it.
        faiss.omp_set_num_threads(1)
        size, dimension = vectors_md.shape
        quantizer = faiss.IndexFlatIP(dimension)
        if size < max(config.flat_below, 1):
            quantizer.add(vectors_md)
            return cls(quantizer, vectors_md)
        centroids_ld = learn_centroids(vectors_md, max(1, round(size / config.vectors_per_list)))
        quantizer.add(centroids_ld)
        # Codes of the vectors, not of what remains after the centroid: equally good here, and
        # encoded ten times faster.
        index = faiss.IndexIVFScalarQuantizer(
            quantizer,
            dimension,
            len(centroids_ld),
            faiss.ScalarQuantizer.QT_8bit,
            faiss.METRIC_INNER_PRODUCT,
            False,
        )
        index.train(np.ascontiguousarray(vectors_md[:: max(1, size // CODE_SAMPLE)]))
        list_of_m = np.ascontiguousarray(assign(vectors_md, centroids_ld))
        index.add_core(size, faiss.swig_ptr(vectors_md), None, faiss.swig_ptr(list_of_m))
        # Kept in FAISS' file too.
        index.nprobe = max(
            min(len(centroids_ld), config.probed),
            _lists_for(config.recall, vectors_md, quantizer, list_of_m),
        )
        return cls(index, vectors_md)

    @property
    def exact(self) -> bool:
        """Whether every vector is compared."""
        return not self._probed

    def code_bytes(self) -> int:
        """Bytes of codes, positions and centroids."""
        index, lists = self.index, 0 if self.exact else self.index.nlist
        per_vector = index.sa_code_size() + (8 if lists else 0)
        return int(self.size * per_vector + lists * 4 * index.d)

    def search(
        self, unit_qd: Vectors, k: int, alive: NDArray[np.uint8] | None
    ) -> tuple[Positions, Vectors]:
        """Positions and inner products (q, min(k, m)); position −1 where too few are alive.

        Args:
            unit_qd: unit vectors.
            k: how many.
            alive: one bit per position, lowest bit first, or None when all are.
        """
        faiss.omp_set_num_threads(1)
        k = min(k, self.size)
        selector = None if alive is None else faiss.IDSelectorBitmap(alive)
        if self.exact:
            parameters = None if selector is None else faiss.SearchParameters(sel=selector)
            scores_qk, positions_qk = self.index.search(unit_qd, k, params=parameters)
            return positions_qk, scores_qk
        parameters = faiss.SearchParametersIVF(sel=selector, nprobe=self._probed)
        coded = min(self.size, k + max(SPARE_LEAST, int(SPARE_SHARE * k)))
        _, positions_qc = self.index.search(unit_qd, coded, params=parameters)
        scores_qc = np.einsum("qcd,qd->qc", self.vectors_md[positions_qc], unit_qd)
        scores_qc[positions_qc < 0] = -np.inf
        if coded == k:
            return positions_qc, scores_qc
        best_qk = np.argpartition(-scores_qc, k - 1, axis=1)[:, :k]
        at_q1 = np.arange(len(unit_qd))[:, None]
        return positions_qc[at_q1, best_qk], scores_qc[at_q1, best_qk]


def _lists_for(
    recall: float, vectors_md: Vectors, quantizer: Any, list_of_m: NDArray[np.int64]
) -> int:
    """How many lists to read so that they hold this share of the true neighbours."""
    tried_qd = np.ascontiguousarray(vectors_md[:: max(1, len(vectors_md) // TRIED)])
    neighbours = min(TRIED_NEIGHBOURS, len(vectors_md))
    _, true_qk = faiss.knn(tried_qd, vectors_md, neighbours, metric=faiss.METRIC_INNER_PRODUCT)
    _, lists_ql = quantizer.search(tried_qd, quantizer.ntotal)
    rank_ql = np.empty_like(lists_ql)
    np.put_along_axis(rank_ql, lists_ql, np.arange(quantizer.ntotal)[None, :], axis=1)
    rank_qk = np.take_along_axis(rank_ql, list_of_m[true_qk], axis=1)
    return int(np.quantile(rank_qk, recall)) + 1
