"""Account vectors → places in the plane, by t-SNE (openTSNE), from where they were before.

Imports openTSNE: only the process that draws does (``docs/decisions/0050-account-map.md``).
"""

from __future__ import annotations

from typing import Any, Final

import faiss as _faiss
import numpy as np
from openTSNE import TSNE
from openTSNE.affinity import PerplexityBasedNN
from openTSNE.nearest_neighbors import PrecomputedNeighbors

from models.arrays.types import Positions, Vectors
from models.ig2vec.account_map import AccountMap, Places, first_places, laid_on, places_on
from models.ig2vec.quality import AccountVectors

# The stubs of FAISS do not know its overloads.
faiss: Any = _faiss

#: Nearest accounts that pull on each. A third of them is the perplexity.
NEIGHBOURS: Final = 30
#: With fewer accounts there is nothing to arrange: they lie by their two widest directions.
LEAST: Final = 20
#: Fewer vectors are compared with all others; more by inverted lists, of which some are read.
_EXACT_BELOW: Final = 20_000
_PROBED: Final = 8
_SEED: Final = 0
#: Drawn from the beginning, all begin close together, as the library's manual has it.
_BEGIN_SPREAD: Final = 1e-4
#: Steps where a map goes on from the one before.
_ITERATIONS_ON: Final = 150
#: Accounts whose neighbours are looked for on the map before, and how much nearer than strangers
#: they have to be.
_TRIED: Final = 2_000
_NEARER: Final = 0.4


def drawn(
    vectors: AccountVectors, earlier: AccountMap | None, day: AccountMap | None
) -> AccountMap:
    """A map of the accounts; 100,000 take some minutes of a core.

    Args:
        vectors: of unit length.
        earlier: the map before, on which this one is laid.
        day: the map that movement is told from, in the plane of `earlier`.
    """
    ids, vectors_nd = vectors
    was_n2 = places_on(earlier, ids)
    places_n2 = laid_on(_projected(np.ascontiguousarray(vectors_nd, np.float32), was_n2), was_n2)
    return AccountMap(ids, places_n2, places_on(day, ids))


def _projected(vectors_nd: Vectors, was_n2: Places) -> Places:
    count = len(vectors_nd)
    guess_n2 = _widest(vectors_nd)
    if count < LEAST:
        return guess_n2
    near_nk, distance_nk = _nearest(vectors_nd, min(NEIGHBOURS, count - 1))
    affinities = PerplexityBasedNN(
        knn_index=PrecomputedNeighbors(near_nk, distance_nk),
        perplexity=near_nk.shape[1] / 3,
        n_jobs=1,
        random_state=_SEED,
    )
    begin_n2 = first_places(was_n2, near_nk, guess_n2).astype(np.float64)
    # Accounts that begin at one and the same place would never part.
    jitter_n2 = np.random.default_rng(_SEED).normal(0, 1e-6, begin_n2.shape)
    if _tells(was_n2, near_nk):
        tsne = TSNE(early_exaggeration_iter=0, n_iter=_ITERATIONS_ON, n_jobs=1, random_state=_SEED)
    else:
        begin_n2 *= _BEGIN_SPREAD / max(float(begin_n2.std()), _BEGIN_SPREAD)
        tsne = TSNE(n_jobs=1, random_state=_SEED)
    return np.asarray(
        tsne.fit(affinities=affinities, initialization=begin_n2 + jitter_n2), np.float32
    )


def _tells(was_n2: Places, near_nk: Positions) -> bool:
    """Whether those that are near now were near on the map before, too.

    Then the map goes on from it and moves where they moved. Drawn from the beginning, it would move
    everywhere, and after another fit of the vectors it has to.
    """
    known = np.flatnonzero(~np.isnan(was_n2[:, 0]))
    if 2 * len(known) < len(was_n2):
        return False
    random = np.random.default_rng(_SEED)
    some = random.choice(known, min(len(known), _TRIED), replace=False)
    near_m2 = was_n2[near_nk[some, : near_nk.shape[1] // 3]]
    apart = np.nanmedian(np.linalg.norm(near_m2 - was_n2[some][:, None], axis=2))
    others_m2 = was_n2[random.permutation(some)]
    return bool(apart < _NEARER * np.median(np.linalg.norm(was_n2[some] - others_m2, axis=1)))


def _widest(vectors_nd: Vectors) -> Places:
    """The two directions in which the vectors differ most."""
    centred_nd = vectors_nd - vectors_nd.mean(axis=0)
    _, axes_dd = np.linalg.eigh(centred_nd.T @ centred_nd)
    flat_n2 = np.zeros((len(vectors_nd), 2), np.float32)
    widest_d2 = axes_dd[:, ::-1][:, :2]
    flat_n2[:, : widest_d2.shape[1]] = centred_nd @ widest_d2
    return flat_n2


def _nearest(vectors_nd: Vectors, k: int) -> tuple[Positions, Vectors]:
    """Rows of the k nearest others of each, and their distances."""
    faiss.omp_set_num_threads(1)
    count, dimension = vectors_nd.shape
    flat = faiss.IndexFlatL2(dimension)
    index = flat
    if count >= _EXACT_BELOW:
        index = faiss.IndexIVFFlat(flat, dimension, int(count**0.5))
        index.train(vectors_nd)
        index.nprobe = _PROBED
    index.add(vectors_nd)
    squares_nk, near_nk = index.search(vectors_nd, k + 1)
    # Each is its own nearest one, unless others are equal: then one of them stands for it.
    rows_n1 = np.arange(count)[:, None]
    own_nk = near_nk == rows_n1
    own_nk[~own_nk.any(axis=1), k] = True
    near_nk, squares_nk = near_nk[~own_nk].reshape(count, k), squares_nk[~own_nk].reshape(count, k)
    # Lists that hold too few tell of nobody.
    missing_nk = near_nk < 0
    near_nk = np.where(missing_nk, (rows_n1 + 1) % count, near_nk)
    squares_nk = np.where(missing_nk, 4.0, squares_nk)
    return near_nk, np.sqrt(np.maximum(squares_nk, 0.0)).astype(np.float32)
