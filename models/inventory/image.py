"""Image embeddings behind one small port, and what is accepted as one.

Whatever makes them, vectors of one deployment come from one model: only then can they be compared.

Errors::

    ValueError
    └── ImageError   a picture that cannot be embedded, or a vector that is none
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from models.defaults import IMAGE_DIMENSION

#: Of the vectors of the implementation that comes with Freshgrid.
DIMENSION: Final = IMAGE_DIMENSION
_TINY: Final = 1e-12


class ImageError(ValueError):
    """A picture that cannot be embedded, or a vector that is none."""


class ImageEmbedder(Protocol):
    """Makes vectors of pictures, all with the same model."""

    @property
    def dimension(self) -> int:
        """Length of every vector that :meth:`embed` gives."""
        ...

    def embed(self, images: Sequence[bytes]) -> NDArray[np.float32]:
        """Unit vectors (n, dimension) of encoded pictures.

        Raises:
            ImageError: a picture cannot be decoded.
        """
        ...


def image_vector(embedding: Sequence[float], dimension: int) -> NDArray[np.float32]:
    """The unit vector of an embedding that came with a media.

    Raises:
        ImageError: it has another dimension, is not finite or has no direction.

    >>> image_vector([0.0, 2.0], 2).tolist()
    [0.0, 1.0]
    """
    if len(embedding) != dimension:
        raise ImageError(
            f"image_embedding has {len(embedding)} numbers where {dimension} are expected "
            "(IMAGE_DIMENSION)"
        )
    vector_d = np.array(embedding, dtype=np.float64)
    largest = float(np.abs(vector_d).max(initial=0.0))
    if not np.isfinite(largest):
        raise ImageError("image_embedding is not finite: leave it out or send it again")
    if largest <= _TINY:
        raise ImageError("image_embedding has length zero: leave it out or send it again")
    vector_d /= largest  # else the squares of large numbers overflow
    return (vector_d / np.linalg.norm(vector_d)).astype(np.float32)


def unit_images(raw_nd: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows scaled to length 1."""
    norms_n1 = np.linalg.norm(raw_nd, axis=1, keepdims=True)
    unit_nd: NDArray[np.float32] = (raw_nd / np.maximum(norms_n1, _TINY)).astype(np.float32)
    return unit_nd
