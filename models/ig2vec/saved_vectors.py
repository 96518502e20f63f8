"""Account vectors as a saved ig2vec model holds them, read without the library that made them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.arrays.packed_ids import unpack_ids
from models.ig2vec.quality import AccountVectors

_TINY = 1e-12


def saved_account_vectors(arrays: Mapping[str, NDArray[Any]]) -> AccountVectors:
    """Ids and unit vectors, float32 (n, dimension), as :meth:`models.ig2vec.model.Ig2Vec.vectors`.

    Args:
        arrays: what :meth:`models.ig2vec.model.Ig2Vec.save_arrays` gave.

    Raises:
        ValueError: the arrays are not of a saved model.
    """
    try:
        ids, raw_nd = unpack_ids(arrays["ids"], arrays["ends"]), arrays["vectors"]
    except KeyError as error:
        raise ValueError(f"no saved account vectors: {error} is missing; fit a new one") from error
    if raw_nd.ndim != 2 or len(raw_nd) != len(ids):
        raise ValueError(f"{len(ids)} accounts with vectors of shape {raw_nd.shape}; fit a new one")
    norms_n1 = np.maximum(np.linalg.norm(raw_nd, axis=1, keepdims=True), _TINY)
    return AccountVectors(ids, (raw_nd / norms_n1).astype(np.float32))
