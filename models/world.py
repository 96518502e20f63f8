"""Everything a ranking process holds in memory, and how updates reach it.

One event-loop thread owns a world: an update is complete before the next grid is computed, so
there are no locks and no half-applied batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.account_space import AccountSpace
from models.catalog import Catalog
from models.co_engagement import CoEngagement, CoEngagementConfig
from models.columns import UNKNOWN, Rows, hash_id
from models.events import Account, Action, Media, MediaEvent
from models.popularity import Popularity, PopularityConfig
from models.rankers import PriorRankers, Rankers
from models.value import Weights

#: By action, whether it says that the viewer liked what was there.
_POSITIVE: Final = np.zeros(len(Action), np.bool_)
_POSITIVE[[Action.LIKE, Action.SAVE, Action.LONG_VIEW]] = True


class WorldConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the world.

    Attributes:
        popularity: half-life and weights of popularity.
        co_engagement: bounds and half-life of the counts of media acted on together.
        switch_share: a new embedding space takes over when it holds at least this share of the
            accounts of the live one.
    """

    popularity: PopularityConfig = PopularityConfig()
    co_engagement: CoEngagementConfig = CoEngagementConfig()
    switch_share: float = 0.8


class World:
    """Catalogue, popularity, account vectors, live rankers and value weights.

    Attributes:
        rankers: the live passes; assign to swap.
        weights: the live value weights; assign to change.
        space: the live embedding space, None before the first vector.
    """

    def __init__(self, config: WorldConfig | None = None, rankers: Rankers | None = None) -> None:
        self.config = config or WorldConfig()
        self.catalog = Catalog()
        self.popularity = Popularity(self.config.popularity)
        self.co_engagement = CoEngagement(self.config.co_engagement)
        self.rankers: Rankers = rankers or PriorRankers()
        self.weights = Weights()
        self.space: AccountSpace | None = None
        self._next: AccountSpace | None = None

    # Updates.

    def apply_media(self, media: Sequence[Media]) -> None:
        """Insert, replace or (``deleted``) remove media."""
        self.catalog.upsert_media(media)

    def apply_accounts(self, accounts: Sequence[Account]) -> None:
        """Insert or replace accounts."""
        self.catalog.upsert_accounts(accounts)

    def apply_events(self, events: Sequence[tuple[Action, MediaEvent]]) -> None:
        """Count a batch of actions: popularity of media and authors, media acted on together.

        The catalogue's author of a media is believed over the event's; an event whose author
        nobody knows counts for its media alone.
        """
        if not events:
            return
        catalog = self.catalog
        media_rows = catalog.intern_media([event.media_id for _, event in events])
        author_rows: Rows = catalog.author_n[media_rows]
        if (author_rows == UNKNOWN).any():
            for at in np.flatnonzero(author_rows == UNKNOWN).tolist():
                author_id = events[at][1].author_id
                if author_id is not None:
                    author_rows[at] = catalog.intern_accounts([author_id])[0]
        n = len(events)
        action_n = np.fromiter((action for action, _ in events), np.int8, n)
        ts_n = np.fromiter((event.ts for _, event in events), np.int64, n)
        sign_n = np.fromiter((-1 if event.undo else 1 for _, event in events), np.int8, n)
        self.popularity.add(media_rows, author_rows, action_n, ts_n, sign_n)
        positive = np.flatnonzero(_POSITIVE[action_n] & (sign_n > 0))
        self.co_engagement.add(
            np.array([hash_id(events[at][1].viewer_id) for at in positive.tolist()], np.int64),
            media_rows[positive],
            ts_n[positive],
        )

    def apply_embeddings(
        self, space: str, ids: Sequence[str], vectors_nd: NDArray[np.float32]
    ) -> None:
        """Add or change account vectors.

        Vectors of another space cannot be compared with the live ones, so they gather beside
        them and take over once they cover enough accounts (``switch_share``).
        """
        if not ids:
            return
        rows = self.catalog.intern_accounts(ids)
        dimension = vectors_nd.shape[1]
        if self.space is None:
            self.space = AccountSpace(space, dimension)
        if space == self.space.name:
            self.space.upsert(ids, rows, vectors_nd)
            return
        if self._next is None or space != self._next.name:
            self._next = AccountSpace(space, dimension)
        self._next.upsert(ids, rows, vectors_nd)
        if len(self._next) >= self.config.switch_share * len(self.space):
            self.space, self._next = self._next, None

    def remove_embeddings(self, ids: Sequence[str]) -> None:
        """Forget the vectors of accounts; ids without one are ignored."""
        rows = self.catalog.author_rows(ids)
        for space in (self.space, self._next):
            if space is not None and ids:
                space.remove(ids, rows)

    # Reads.

    def vectors_of(self, account_rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Unit vectors_nd of accounts (zeros where there is none) and whether each has one."""
        if self.space is None:
            return np.zeros((len(account_rows), 1), np.float32), np.zeros(
                len(account_rows), np.bool_
            )
        return self.space.vectors_of(account_rows)

    def versions(self) -> dict[str, str]:
        """Names of everything live that a grid is outdated without."""
        return {
            "ig2vec": self.space.name if self.space is not None else "",
            "rankers": self.rankers.version,
        }

    def index_version(self) -> str:
        """Number of the account index within its space; every change of a vector counts it up."""
        return str(self.space.index.version) if self.space is not None else ""
