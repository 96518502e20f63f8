"""Which media may be shown to anybody at all."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from models.arrays.types import UNKNOWN, Mask, Rows
from models.inventory.catalog import Catalog


class IntegrityBounds(NamedTuple):
    """Highest integrity scores with which a media may be shown.

    Attributes:
        risk: of the highest of the three.
    """

    risk: float = 1.0
    nsfw: float = 1.0
    spam: float = 1.0
    misinformation: float = 1.0

    def within(self, others: IntegrityBounds) -> IntegrityBounds:
        """The stricter of both, score by score."""
        return IntegrityBounds(*map(min, self, others))


UNBOUNDED: Final = IntegrityBounds()
_COLUMNS: Final = ("risk_n", "nsfw_n", "spam_n", "misinformation_n")


def may_be_shown(catalog: Catalog, media_n: Rows, bounds: IntegrityBounds) -> Mask:
    """Whether media are there, of accounts neither private nor disabled, and safe.

    Args:
        media_n: rows; an unknown one may not.
    """
    known_n: Mask = media_n != UNKNOWN
    if not known_n.any():
        return known_n
    rows = np.where(known_n, media_n, 0)
    author_n = catalog.author_n.take(rows)
    # A media only referred to has no author, and is deleted too.
    keep_n: Mask = known_n & ~catalog.deleted_n.take(rows) & (author_n != UNKNOWN)
    if catalog.account_count:
        keep_n &= ~catalog.hidden_account_a.take(author_n, mode="clip")
    for bound, column in zip(bounds, _COLUMNS, strict=True):
        if bound < 1.0:
            keep_n &= getattr(catalog, column).take(rows) <= np.float32(bound)
    return keep_n
