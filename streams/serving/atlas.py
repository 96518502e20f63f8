"""The map of the accounts as a ranker shows it: a stored map, with what the catalogue says now."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from infra.artifacts import ArtifactStore
from infra.errors import UnreachableError
from infra.http.account_map import SIDE, MapOfAccounts, ServedMap
from infra.looked_at import LookedAt
from models.arrays.types import UNKNOWN
from models.ig2vec.account_map import AccountMap
from models.world import World
from streams.account_maps import StoredMap, map_shown, stored_map
from streams.records import Record
from streams.versions import IG2VEC, versions

#: What is live, and what the catalogue says, is looked at anew after so long.
FRESH_S: Final = 10.0
#: Accounts that are looked up before others have a turn of the event loop.
_STEP: Final = 5_000


class Atlas:
    """Shows the map of the live account vectors, without accounts that no grid may show."""

    def __init__(self, world: World, artifacts: ArtifactStore) -> None:
        self._world, self._artifacts = world, artifacts
        self._live = ""
        self._read: StoredMap | None = None
        self._seen = LookedAt(self._look, FRESH_S)

    def told(self, newest: Sequence[Record]) -> None:
        """Take in the newest records of ``explore.versions``."""
        for version in versions(newest):
            if version.kind == IG2VEC:
                self._live = version.version
                self._seen.forget()

    async def map(self) -> ServedMap:
        """The map to show now.

        Raises:
            LookupError: there is none yet.
            UnreachableError: the store of the artifacts does not give it within seconds.
        """
        served = await self._seen.value()
        if served is None:
            raise UnreachableError("the map is still being read; try again, and see ARTIFACTS_URL")
        if not served.body:
            raise LookupError(
                "no map of the accounts was drawn yet: the learner draws one when account vectors "
                "are live (it needs `pip install 'freshgrid[map]'`, and ACCOUNT_MAP_EVERY_S over 0)"
            )
        return served

    async def _look(self) -> ServedMap:
        name = None
        if self._live:
            name = await asyncio.to_thread(map_shown, self._artifacts, self._live)
        if name is None:
            return ServedMap(b"", "")
        if self._read is None or self._read.version != name:
            self._read = await asyncio.to_thread(stored_map, self._artifacts, name)
        stored = self._read
        shown_n, topic_n, topics = await self._looked_up(stored.accounts.ids)
        return await asyncio.to_thread(_served, stored, self._live, shown_n, topic_n, topics)

    async def _looked_up(
        self, ids: Sequence[str]
    ) -> tuple[NDArray[np.bool_], NDArray[np.int32], list[str]]:
        """Who may be shown, the code of each first topic, and the topics by code."""
        catalog = self._world.catalog
        shown_n, topic_n = np.ones(len(ids), np.bool_), np.zeros(len(ids), np.int32)
        for start in range(0, len(ids), _STEP):
            rows = catalog.author_rows(ids[start : start + _STEP])
            known = np.flatnonzero(rows != UNKNOWN)
            shown_n[start + known] = ~catalog.hidden_account_a[rows[known]]
            topic_n[start + known] = catalog.account_topic_a[rows[known]]
            await asyncio.sleep(0)
        codes, at_n = np.unique(np.concatenate([[0], topic_n]), return_inverse=True)
        topics = [catalog.topic_name(code) for code in codes.tolist()]
        return shown_n, at_n[1:].astype(np.int32), topics


def _served(
    stored: StoredMap,
    live: str,
    shown_n: NDArray[np.bool_],
    topic_n: NDArray[np.int32],
    topics: list[str],
) -> ServedMap:
    kept = np.flatnonzero(shown_n)
    accounts = stored.accounts
    places_n2, moved_n2 = _whole_numbers(accounts, kept)
    document = MapOfAccounts(
        version=stored.version,
        ig2vec=stored.about.ig2vec,
        live=live,
        made_ms=stored.about.made_ms,
        before_ms=stored.about.before_ms,
        topics=topics,
        account_id=[accounts.ids[at] for at in kept.tolist()],
        x=places_n2[:, 0].tolist(),
        y=places_n2[:, 1].tolist(),
        moved_x=moved_n2[:, 0].tolist(),
        moved_y=moved_n2[:, 1].tolist(),
        topic=topic_n[kept].tolist(),
    )
    # Without a time in it: equal maps are equal bytes.
    body = gzip.compress(msgspec.json.encode(document), 6, mtime=0)
    return ServedMap(body, f'"{blake2b(body, digest_size=12).hexdigest()}"')


def _whole_numbers(
    accounts: AccountMap, kept: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places from 0 to :data:`SIDE`, and how far each moved; of those kept."""
    places_n2, before_n2 = accounts.places_n2[kept], accounts.before_n2[kept]
    if not len(kept):
        return np.empty((0, 2), np.int64), np.empty((0, 2), np.int64)
    # By all of them, so that nobody moves because another account was hidden.
    low_2, high_2 = accounts.places_n2.min(axis=0), accounts.places_n2.max(axis=0)
    span = max(float((high_2 - low_2).max()), 1e-9)
    # The shorter axis in the middle.
    low_2 = (low_2 + high_2 - span) / 2

    moved_n2 = np.where(np.isnan(before_n2), 0.0, places_n2 - before_n2)
    scale = SIDE / span
    return (
        np.rint((places_n2 - low_2) * scale).astype(np.int64),
        np.rint(moved_n2 * scale).astype(np.int64),
    )
