"""Centroids of many short inverted lists, learnt in seconds on one core.

Plain k-means of thousands of centroids compares every vector with all of them in every round.
Here few coarse groups are learnt first, each is cut into lists by itself (every vector meets about
the square root of the number of lists), and a few rounds of plain k-means on a sample mend what
the borders of the groups cut apart. The two levels of Nistér and Stewénius' vocabulary tree.
"""

from __future__ import annotations

from typing import Any, Final

import faiss as _faiss
import numpy as np
from numpy.typing import NDArray

from models.arrays.types import Vectors

# The stubs of FAISS know neither its overloads nor its fields.
faiss: Any = _faiss

#: Vectors for each coarse group, and rounds of k-means at each level.
GROUP_SAMPLE: Final = 256
GROUP_ROUNDS: Final = 10
LIST_SAMPLE: Final = 64
LIST_ROUNDS: Final = 8
#: Rounds over everything, and vectors for each list that they learn from: at 16,384 lists one
#: round takes eight seconds, and each is worth a tenth of the lists that a search has to read.
MENDING_SAMPLE: Final = 16
MENDING_ROUNDS: Final = 3


def learn_centroids(vectors_md: Vectors, lists: int) -> Vectors:
    """Unit centroids, about `lists` of them and never more than there are vectors.

    Deterministic: FAISS draws its samples from a fixed seed.
    """
    groups = max(1, round(lists**0.5))
    group_of_m = assign(vectors_md, _kmeans(vectors_md, groups, GROUP_ROUNDS, GROUP_SAMPLE))
    order_m = np.argsort(group_of_m, kind="stable")
    sizes_g = np.bincount(group_of_m, minlength=groups)
    shares = lists / len(vectors_md)
    parts = [
        _kmeans(vectors_md[members], max(1, round(shares * len(members))), LIST_ROUNDS, LIST_SAMPLE)
        for members in np.split(order_m, np.cumsum(sizes_g)[:-1])
        if len(members)
    ]
    centroids_ld = np.concatenate(parts)
    return _kmeans(vectors_md, len(centroids_ld), MENDING_ROUNDS, MENDING_SAMPLE, centroids_ld)


def assign(vectors_md: Vectors, centroids_ld: Vectors) -> NDArray[np.int64]:
    """The nearest centroid of each vector by inner product."""
    flat = faiss.IndexFlatIP(centroids_ld.shape[1])
    flat.add(centroids_ld)
    nearest: NDArray[np.int64] = flat.search(vectors_md, 1)[1][:, 0]
    return nearest


def _kmeans(
    vectors_md: Vectors, k: int, rounds: int, sample: int, start: Vectors | None = None
) -> Vectors:
    dimension = vectors_md.shape[1]
    clustering = faiss.Clustering(dimension, k)
    clustering.niter = rounds
    clustering.spherical = True
    clustering.max_points_per_centroid = sample
    # The default asks for 39 each and prints a warning below that.
    clustering.min_points_per_centroid = 1
    if start is not None:
        faiss.copy_array_to_vector(start.ravel(), clustering.centroids)
    clustering.train(np.ascontiguousarray(vectors_md), faiss.IndexFlatIP(dimension))
    centroids: Vectors = faiss.vector_to_array(clustering.centroids).reshape(k, dimension).copy()
    return centroids
