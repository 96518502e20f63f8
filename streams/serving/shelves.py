"""What everybody sees: popular and fresh media that may be recommended, all or of a topic."""

from __future__ import annotations

import asyncio
from typing import Final

import numpy as np

from infra.http.catalogue import MediaList, MediaRecord
from infra.http.shelves import TopicCount, TopicList, TopicShelf
from models.arrays.types import Rows
from models.world import World
from streams.serving.directory import Directory

#: Media among which those of a topic are looked for: as many as the world keeps in order.
LOOKED_AT: Final = 4096
#: Above it in any of the integrity scores a media is not recommended, as in the bundled query.
MOST_RISK: Final = 0.2


class Shelves:
    """Looks up media for everybody in a world."""

    def __init__(self, world: World, directory: Directory) -> None:
        self._world, self._directory = world, directory

    def popular(self, topic: str | None, limit: int) -> MediaList:
        """Media that are recommendable, the most popular first."""
        return MediaList(self._shown(self._world.popularity.most_popular(LOOKED_AT), topic, limit))

    def fresh(self, topic: str | None, limit: int) -> MediaList:
        """Media that are recommendable, the newest first."""
        return MediaList(self._shown(self._world.catalog.newest(LOOKED_AT), topic, limit))

    async def topics(self) -> TopicList:
        """All topics that anything has, those with the most media first."""
        # Over all columns: beside the event loop, on views that no update changes the length of.
        return TopicList(await asyncio.to_thread(self._count))

    async def topic(self, name: str, limit: int) -> TopicShelf:
        """One topic.

        Raises:
            LookupError: nothing has it.
        """
        for count in (await self.topics()).topics:
            if count.topic == name:
                popular, fresh = self.popular(name, limit).media, self.fresh(name, limit).media
                return TopicShelf(count, popular, fresh)
        raise LookupError(f"nothing has the topic {name!r}; GET /v1/topics tells all there are")

    def _shown(self, rows: Rows, topic: str | None, limit: int) -> list[MediaRecord]:
        catalog = self._world.catalog
        # Those that only events named are deleted; all others have an author.
        rows = rows[~catalog.deleted_n[rows]]
        shown_n = catalog.risk_n[rows] <= MOST_RISK
        shown_n &= ~catalog.hidden_account_a[catalog.author_n[rows]]
        if topic is not None:
            shown_n &= catalog.topic_n[rows] == catalog.topic_code(topic)
        return self._directory.media_records(rows[shown_n][:limit])

    def _count(self) -> list[TopicCount]:
        catalog = self._world.catalog
        media_n, deleted_n = catalog.topic_n, catalog.deleted_n
        of_media = np.bincount(media_n[~deleted_n[: len(media_n)]])
        of_accounts = np.bincount(catalog.account_topic_a)
        codes = max(len(of_media), len(of_accounts))
        of_media, of_accounts = (
            np.pad(counts, (0, codes - len(counts))) for counts in (of_media, of_accounts)
        )
        order = np.argsort(-of_media, kind="stable")
        return [
            TopicCount(catalog.topic_name(code), int(of_media[code]), int(of_accounts[code]))
            for code in order.tolist()
            if code and (of_media[code] or of_accounts[code])
        ]
