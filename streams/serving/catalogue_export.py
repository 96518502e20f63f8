"""The catalogue as a file: lines that an import takes, read off the world in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import msgspec
import numpy as np

from infra.http.writing import Kind
from models.arrays.types import Rows
from models.events import ACCOUNTS_TOPIC, MEDIA_TOPIC, Account, Media
from models.world import World
from streams.serving.directory import Directory

#: Rows that are exported before others have a turn of the event loop.
EXPORTED: Final = 500


class CatalogueExport:
    """Writes what a world knows of the catalogue, without the vectors of pictures."""

    def __init__(self, world: World, directory: Directory) -> None:
        self._world, self._directory = world, directory

    async def export(self, kind: Kind) -> AsyncIterator[bytes]:
        """All media or accounts that are not deleted, as lines of their topic, some at once."""
        catalog, at = self._world.catalog, 0
        while True:
            size = catalog.media_count if kind == "media" else catalog.account_count
            if at >= size:
                return
            rows = np.arange(at, min(at + EXPORTED, size), dtype=np.int32)
            at += EXPORTED
            yield self._media_lines(rows) if kind == "media" else self._account_lines(rows)
            await asyncio.sleep(0)

    def _media_lines(self, rows: Rows) -> bytes:
        rows = rows[~self._world.catalog.deleted_n[rows]]
        return b"".join(
            _line(
                MEDIA_TOPIC,
                Media(
                    media_id=one.media_id,
                    author_id=one.author_id or "",
                    created_ts=one.created_ts,
                    integrity=one.integrity,
                    topics=tuple(one.topics),
                    language=one.language,
                    image_url=one.image_url,
                ),
            )
            for one in self._directory.media_records(rows)
        )

    def _account_lines(self, rows: Rows) -> bytes:
        return b"".join(
            _line(
                ACCOUNTS_TOPIC,
                Account(
                    account_id=one.account_id,
                    topics=tuple(one.topics),
                    private=one.private,
                    disabled=one.disabled,
                    language=one.language,
                ),
            )
            for one in self._directory.account_records(rows)
            if one.listed
        )


def _line(topic: str, record: msgspec.Struct) -> bytes:
    return b'{"topic":"%s",%s\n' % (topic.encode(), msgspec.json.encode(record)[1:])
