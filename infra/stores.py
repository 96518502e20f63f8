"""The port to viewer state: what ingest, ranking and replay need from a store.

Adapters: :class:`infra.redis_store.RedisStore` and :class:`infra.memory_store.MemoryStore`; both
pass the contract suite in ``tests/contract``. Every call takes a batch.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from models.viewers.state import FoldConfig, ViewerState


class Versioned(NamedTuple):
    """A viewer's state with the revision it was read at (empty when there is no state yet)."""

    revision: bytes
    state: ViewerState


class Slice(NamedTuple):
    """What one viewer did in one batch, packed.

    Attributes:
        places: where it stands in the log: for each topic and partition its key (3 bytes, see
            :func:`models.viewers.state.place`), the first offset and the one after the last (6
            bytes each).
        strong, views: records for the two action logs, newest first
        (:mod:`models.viewers.action_log`).
    """

    viewer_id: str
    places: bytes
    strong: bytes
    views: bytes


class ParkedRecord(NamedTuple):
    """A record that waits for its media, as it was read from Kafka."""

    topic: str
    partition: int
    offset: int
    media_id: str
    value: bytes
    first_seen_ms: int
    viewer_id: str


class Parking(NamedTuple):
    """What became of one record handed to :meth:`Store.park`.

    Either the author was known after all, or the record waits, or there was no room.
    """

    author_id: str | None
    parked: bool


class Store(Protocol):
    """Viewer state, authors of media, parked records and ready grids.

    Attributes:
        fold: the settings that states are folded with.
    """

    fold: FoldConfig

    async def load(self, viewer_ids: Sequence[str]) -> list[Versioned]:
        """States of these viewers, an empty state for a viewer never seen."""
        ...

    async def append(self, log: bytes, slices: Sequence[Slice]) -> list[Versioned | None]:
        """Put slices on top of states where nothing is to be folded: for speed, nothing else.

        That is: every offset is new to the state, every record is newer than the action log's
        newest, its event unknown, and the action log not full. A store may decline any slice.

        Args:
            log: whose offsets they are (:func:`models.viewers.state.log_key`).

        Returns:
            For each slice None when it was stored, else the state to fold it into and commit.
        """
        ...

    async def commit(
        self, viewer_ids: Sequence[str], changed: Sequence[Versioned]
    ) -> list[Versioned | None]:
        """Write states, each only if its revision is still the stored one.

        Returns:
            For each viewer None when it was written, else the state that another writer stored.
        """
        ...

    def scan(self) -> AsyncIterator[tuple[str, ViewerState]]:
        """Every viewer with state, in no particular order."""
        ...

    async def authors_of(self, media_ids: Sequence[str]) -> list[str | None]:
        """Author of each media, None where the catalogue does not know it."""
        ...

    async def learn_authors(
        self, media_ids: Sequence[str], author_ids: Sequence[str]
    ) -> list[list[ParkedRecord]]:
        """Remember authors; returns, per media, the records that wait for it."""
        ...

    async def park(self, records: Sequence[ParkedRecord]) -> list[Parking]:
        """Let records wait for their media, unless the media arrived meanwhile."""
        ...

    async def unpark(self, records: Sequence[ParkedRecord]) -> None:
        """Forget these records; what was parked for their media meanwhile goes on waiting."""
        ...

    async def parked_since(self, before_ms: int, limit: int) -> list[list[ParkedRecord]]:
        """Records of media that have been waited for since before `before_ms`, per media."""
        ...

    async def note_catalog_read(self, until_ms: Mapping[int, int], partitions: int) -> int:
        """Note how far the media catalogue is read; returns how far all of it is.

        Args:
            until_ms: partition → the time (epoch ms) up to which everything in it is learned.
            partitions: how many there are.

        Returns:
            The earliest such time of them all, 0 while nobody has noted one of them.
        """
        ...

    async def parked_media(self) -> int:
        """How many media are being waited for."""
        ...

    async def save_grids(self, viewer_ids: Sequence[str], grids: Sequence[bytes]) -> None:
        """Store ready grids as JSON."""
        ...

    async def grid(self, viewer_id: str) -> bytes | None:
        """The ready grid of a viewer as JSON."""
        ...

    async def pages(self, viewer_id: str, series: str) -> list[bytes]:
        """The pages of a series already served to a viewer, in order."""
        ...

    async def add_page(self, viewer_id: str, series: str, number: int, page: bytes) -> bytes:
        """Add page `number` (from 0) unless it stands already; returns the one that stands."""
        ...
