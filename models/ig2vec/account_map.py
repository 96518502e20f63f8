"""A map of the accounts: a place in the plane for each, near those that it is alike.

A map begins where accounts were on the map before, and is turned, mirrored, scaled and moved to lie
on it as well as it can, so where an account was and where it is can be compared from map to map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays.packed_ids import pack_ids, unpack_ids
from models.arrays.types import Positions

#: float32 (n, 2): a place for each account.
Places = NDArray[np.float32]
#: Neighbours on the older map whose middle a new account begins at.
_COMPANY: Final = 5
_TINY: Final = 1e-12


class AccountMap(NamedTuple):
    """Ids, where they are, and where they were.

    Attributes:
        places_n2: float32 (n, 2).
        before_n2: float32 (n, 2), in the same plane, NaN for those that were not on that map.
    """

    ids: Sequence[str]
    places_n2: Places
    before_n2: Places

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The map as it is stored; :meth:`of_arrays` reads it."""
        blob, ends_n = pack_ids(self.ids)
        return {"ids": blob, "ends": ends_n, "places": self.places_n2, "before": self.before_n2}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> AccountMap:
        """A stored map.

        Raises:
            ValueError: the arrays are not of one.
        """
        try:
            ids = unpack_ids(arrays["ids"], arrays["ends"])
            places_n2, before_n2 = arrays["places"], arrays["before"]
        except KeyError as error:
            raise ValueError(f"no map of accounts: {error} is missing; draw a new one") from error
        if not places_n2.shape == before_n2.shape == (len(ids), 2):
            raise ValueError(
                f"{len(ids)} accounts with places of shape {places_n2.shape} and "
                f"{before_n2.shape}; draw a new one"
            )
        if not np.isfinite(places_n2).all():
            raise ValueError("a place on the map is no number; draw a new one")
        return cls(ids, places_n2, before_n2)


def places_on(earlier: AccountMap | None, ids: Sequence[str]) -> Places:
    """Where accounts are on an earlier map, (n, 2), NaN for those that are not."""
    found_n2 = np.full((len(ids), 2), np.nan, np.float32)
    if earlier is not None and len(earlier.ids):
        row_of = {name: row for row, name in enumerate(earlier.ids)}
        rows = np.array([row_of.get(name, -1) for name in ids], np.int64)
        known_n = rows >= 0
        found_n2[known_n] = earlier.places_n2[rows[known_n]]
    return found_n2


def first_places(was_n2: Places, near_nk: Positions, guess_n2: Places) -> Places:
    """Where to begin to draw from: the place before, for new accounts the middle of their company.

    Args:
        was_n2: places on the map before, NaN for new accounts.
        near_nk: rows of each account's nearest ones, the nearest first.
        guess_n2: for a new account that knows nobody on the map before; in whatever plane.
    """
    known_n = ~np.isnan(was_n2[:, 0])
    if not known_n.any():
        return guess_n2
    begin_n2 = was_n2.copy()
    new = np.flatnonzero(~known_n)
    near_mk = near_nk[new]
    counts_mk = known_n[near_mk]
    # The nearest few of those that are known.
    counts_mk &= np.cumsum(counts_mk, axis=1) <= _COMPANY
    counts_m1 = counts_mk.sum(axis=1, keepdims=True)
    places_mk2 = np.where(counts_mk[:, :, None], was_n2[near_mk], 0.0)
    middle_2 = was_n2[known_n].mean(axis=0)
    begin_n2[new] = np.where(
        counts_m1 > 0, places_mk2.sum(axis=1) / np.maximum(counts_m1, 1), middle_2
    )
    return begin_n2


def laid_on(places_n2: Places, was_n2: Places) -> Places:
    """The places turned, mirrored, scaled and moved as a whole to where the same accounts were.

    Those that both know spread as far as they did: the scale of the least squares would shrink the
    map a little each time. With fewer than two in common the map is only centred.
    """
    known_n = ~np.isnan(was_n2[:, 0])
    ours_m2 = places_n2[known_n].astype(np.float64)
    theirs_m2 = was_n2[known_n].astype(np.float64)
    if len(ours_m2) < 2 or min(_spread(ours_m2), _spread(theirs_m2)) < _TINY:
        centred_n2: Places = places_n2 - places_n2.mean(axis=0)
        return centred_n2
    middle_2, target_2 = ours_m2.mean(axis=0), theirs_m2.mean(axis=0)
    left_22, _, right_22 = np.linalg.svd((ours_m2 - middle_2).T @ (theirs_m2 - target_2))
    turn_22 = left_22 @ right_22 * (_spread(theirs_m2) / _spread(ours_m2))
    laid_n2: Places = ((places_n2 - middle_2) @ turn_22 + target_2).astype(np.float32)
    return laid_n2


def _spread(places_n2: NDArray[np.float64]) -> float:
    """Root of the mean square distance from the middle."""
    if not len(places_n2):
        return 0.0
    return float(np.sqrt(((places_n2 - places_n2.mean(axis=0)) ** 2).sum(axis=1).mean()))
