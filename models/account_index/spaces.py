"""The embedding spaces that were told of, and which of them serves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.account_index.index import AccountIndexError
from models.account_index.space import AccountSpace
from models.arrays.stored import Arrays, StoredArraysError, part_of, prefixed
from models.arrays.types import Mask, Rows


class AccountSpaces:
    """Spaces by name and dimension.

    Vectors of different spaces cannot be compared, and one vector of a wrong length must not keep
    the others of its space out.

    Attributes:
        live: the one that serves, None where there are no vectors.
    """

    def __init__(self) -> None:
        self._spaces: dict[tuple[str, int], AccountSpace] = {}
        self.live: AccountSpace | None = None
        self._named = ""
        self._complete_at = 0

    def all(self) -> list[AccountSpace]:
        """The live space and those that wait or were left."""
        return list(self._spaces.values())

    def upsert(
        self,
        space: str,
        ids: Sequence[str],
        rows: Rows,
        vectors_nd: NDArray[np.float32],
        gone_n: Mask,
    ) -> None:
        """Add or change vectors of one space, as :meth:`AccountSpace.upsert` does."""
        key = space, vectors_nd.shape[1]
        of = self._spaces.get(key)
        if of is None:
            of = self._spaces[key] = AccountSpace(*key)
        try:
            of.upsert(ids, rows, vectors_nd, gone_n)
        finally:
            self._choose()

    def remove(self, space: str, ids: Sequence[str], rows: Rows) -> None:
        """Forget the vectors of accounts in one space; what is not there is ignored."""
        for key, of in list(self._spaces.items()):
            if of.name == space:
                of.remove(ids, rows)
                if not of.told:
                    del self._spaces[key]
        self._choose()

    def name(self, name: str, complete_at: int) -> None:
        """Say which space is live, once it has `complete_at` accounts."""
        self._named, self._complete_at = name, complete_at
        self._choose()

    def settle(self) -> None:
        """All that was told so far has been applied: the named space is live as it is."""
        if self._complete_at:
            self._complete_at = 0
            self._choose()

    def to_arrays(
        self, account_rows: Callable[[Sequence[str]], Rows]
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """The vectors of all spaces by the catalogue's rows, and which serves, as JSON."""
        arrays: dict[str, NDArray[Any]] = {}
        for at, of in enumerate(self._spaces.values()):
            arrays |= prefixed(str(at), of.to_arrays(account_rows))
        live = [at for at, of in enumerate(self._spaces.values()) if of is self.live]
        return arrays, {
            "spaces": [[of.name, of.dimension] for of in self._spaces.values()],
            "live": live[0] if live else None,
            "named": self._named,
            "complete_at": self._complete_at,
        }

    def load(
        self,
        arrays: Arrays,
        meta: Mapping[str, Any],
        account_ids: Callable[[Rows], list[str]],
        accounts: int,
    ) -> None:
        """Hold what :meth:`to_arrays` gave; where there are no spaces yet.

        Args:
            account_ids: ids of the catalogue's rows, of which there are `accounts`.

        Raises:
            StoredArraysError: these are not such arrays, or `meta` does not describe them.
        """
        try:
            for at, (name, dimension) in enumerate(meta["spaces"]):
                of = self._spaces[name, dimension] = AccountSpace(name, dimension)
                of.load(part_of(arrays, str(at)), account_ids, accounts)
            live = meta["live"]
            self.live = None if live is None else self.all()[live]
            self._named, self._complete_at = str(meta["named"]), int(meta["complete_at"])
        except (KeyError, IndexError, TypeError, AccountIndexError) as error:
            raise StoredArraysError(f"spaces are not described: {error!r}") from error

    def _choose(self) -> None:
        serving = None
        if self.live is not None:
            serving = self._spaces.get((self.live.name, self.live.dimension))
        named = max(
            (of for of in self._spaces.values() if of.name == self._named),
            key=lambda of: of.told,
            default=None,
        )
        if named is None and (not self._complete_at or serving is None):
            # None is named, or none of its vectors came: whichever says most, whatever came first.
            self.live = max(self._spaces.values(), key=lambda s: (s.told, s.name), default=None)
        elif named is not None and (named.told >= self._complete_at or serving is None):
            self.live = named
        else:
            self.live = serving
