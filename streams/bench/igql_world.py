"""A world of clusters to measure queries on: accounts, media, events and viewers of any number.

Accounts belong to clusters of fifty, in the space of their vectors as in what viewers like. Media
are spread over accounts, and likes over media, as powers of their rank, so that some have a lot.
The same arguments give the same world.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.actions import Action
from models.arrays.id_table import hash_id
from models.events import Integrity, Media, MediaEvent
from models.item_to_item.fit import ItemToItem
from models.viewers.context import ViewerContext
from models.viewers.state import FoldConfig, ViewerState, fold_media_event
from models.world import World

NOW_MS: Final = 1_700_000_000_000
DIMENSION: Final = 32
CLUSTER: Final = 50
#: How far the accounts of a cluster lie apart, against its centre's length of 1.
NOISE: Final = 0.6
_YEAR_MS: Final = 365 * 24 * 3_600_000
_BATCH: Final = 20_000


class ClusteredWorld:
    """A world and what is needed to make viewers for it.

    Attributes:
        world: with its index built.
    """

    def __init__(self, accounts: int, media: int, events: int, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self._rng = rng
        self._accounts = accounts
        self.world = World()
        # Each account posts at least something; the rest goes to the first of each cluster.
        places_n = np.concatenate(
            [np.arange(accounts), _skewed(rng, accounts, max(media - accounts, 0))]
        )[:media]
        self._author_n = rng.permutation(places_n)
        self._add_media()
        self._add_vectors()
        by_author = np.argsort(self._author_n, kind="stable")
        self._media_by_author = by_author
        self._first_of_author = np.searchsorted(self._author_n[by_author], np.arange(accounts + 1))
        self._add_events(events)

    def _add_media(self) -> None:
        rng, n = self._rng, len(self._author_n)
        # Most scores are low; one in twelve media is above a threshold of 0.2.
        scores_n3 = rng.beta(0.4, 12.0, (n, 3)).round(3).tolist()
        created_n = (NOW_MS - (rng.random(n) ** 2 * _YEAR_MS)).astype(np.int64).tolist()
        topics = [(f"t{cluster}",) for cluster in range(self._accounts // CLUSTER + 1)]
        authors = self._author_n.tolist()
        for start in range(0, n, 250_000):
            self.world.apply_media(
                [
                    Media(
                        f"m{row}",
                        f"a{authors[row]}",
                        created_n[row],
                        Integrity(*scores_n3[row]),
                        topics=topics[authors[row] // CLUSTER],
                    )
                    for row in range(start, min(start + 250_000, n))
                ]
            )

    def _add_vectors(self) -> None:
        rng, n = self._rng, self._accounts
        centres_cd = rng.normal(size=(n // CLUSTER + 1, DIMENSION))
        centres_cd /= np.linalg.norm(centres_cd, axis=1, keepdims=True)
        noise_nd = rng.normal(size=(n, DIMENSION)) * NOISE / np.sqrt(DIMENSION)
        vectors_nd = centres_cd[np.arange(n) // CLUSTER] + noise_nd
        ids = [f"a{row}" for row in range(n)]
        self.world.apply_embeddings("bench", ids, vectors_nd.astype(np.float32))
        assert self.world.space is not None
        self.world.space.index.rebuild()

    def _add_events(self, events: int) -> None:
        viewers = max(events // 30, 1)
        items = ItemToItem()
        for viewer in range(0, viewers, _BATCH // 30):
            batch = [
                (Action.LIKE, MediaEvent(f"e{at}-{n}", f"w{at}", f"m{row}", NOW_MS - n * 60_000))
                for at in range(viewer, min(viewer + _BATCH // 30, viewers))
                for n, row in enumerate(self._likes(30).tolist())
            ]
            self.world.apply_events(batch)
            items.log.add(
                np.array([hash_id(event.viewer_id) for _, event in batch], np.int64),
                self.world.catalog.media_rows([event.media_id for _, event in batch]),
                np.ones(len(batch), np.int8),
            )
        items.refit()
        self.world.item_weights = items.weights

    def _likes(self, count: int) -> NDArray[np.int64]:
        """Media that one viewer likes: of a few clusters, popular accounts more than others."""
        rng = self._rng
        clusters = rng.choice(max(self._accounts // CLUSTER, 1), 4)
        inside_n = (rng.random(count) ** 2 * CLUSTER).astype(np.int64)
        accounts_n = np.minimum(
            rng.choice(clusters, count) * CLUSTER + inside_n, self._accounts - 1
        )
        first, after = self._first_of_author[accounts_n], self._first_of_author[accounts_n + 1]
        at_n = first + (rng.random(count) ** 2 * (after - first)).astype(np.int64)
        found: NDArray[np.int64] = self._media_by_author[
            np.minimum(at_n, len(self._media_by_author) - 1)
        ]
        return found

    def viewers(self, count: int, likes: int) -> list[tuple[ViewerContext, ViewerContext]]:
        """New viewers with `likes` likes and as many views, each before and after one more like."""

        def context(name: str, state: ViewerState) -> ViewerContext:
            return ViewerContext.from_state(name, state, self.world, NOW_MS)

        return [
            (context(name, before), context(name, after))
            for name, before, after in self.states(count, likes)
        ]

    def states(self, count: int, likes: int) -> list[tuple[str, ViewerState, ViewerState]]:
        """The same as names and states."""
        found, fold = [], FoldConfig()
        for number in range(count):
            before, after, name = ViewerState(), ViewerState(), f"v{number}"
            rows = self._likes(2 * likes + 1).tolist()
            for at, row in enumerate(rows):
                action = Action.VIEW if at % 2 else Action.LIKE
                ts = NOW_MS - (len(rows) - at) * 600_000
                event = MediaEvent(f"{name}-{at}", name, f"m{row}", ts)
                for state in (before, after) if at < 2 * likes else (after,):
                    fold_media_event(state, action, event, f"a{self._author_n[row]}", fold)
            found.append((name, before, after))
        return found


def _skewed(rng: np.random.Generator, accounts: int, count: int) -> NDArray[np.int64]:
    """Accounts to which media are given: the first of a cluster get more than the last."""
    inside_n = (rng.random(count) ** 2 * CLUSTER).astype(np.int64)
    found: NDArray[np.int64] = np.minimum(
        rng.integers(0, max(accounts // CLUSTER, 1), count) * CLUSTER + inside_n, accounts - 1
    )
    return found
