"""The ports to what is stored: viewers and news of them, sessions, the experiment, API keys.

Adapters: for Redis and Valkey in ``infra/redis_*.py``, for this process in
:mod:`infra.memory_store`; all pass the contract suite in ``tests/contract``.
:mod:`infra.open_stores` opens those that the settings name. What a server does not answer or
refuses is an :class:`infra.errors.UnreachableError`, whichever it is.

::

    FreshgridError
    └── ExperimentError    the stored experiment cannot be changed
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, NamedTuple, Protocol, Self

import msgspec

from infra.access.store import AccessStore
from infra.errors import FreshgridError
from models.explore.experiment import Experiment, InvalidExperimentError, parse
from models.viewers.state import FoldConfig, StateError, ViewerState, decode

#: Where what is damaged in a store stands: in no partition of Kafka.
NO_PARTITION: Final = -1
#: Changes of the experiment remembered, the newest.
MAX_HISTORY: Final = 1000


class Damaged(NamedTuple):
    """A stored value that is no viewer state, whole, and what is wrong with it."""

    value: bytes
    why: str


class Versioned(NamedTuple):
    """A viewer's state with the revision it was read at (empty when there is no state yet).

    Attributes:
        damaged: what is stored where it is no viewer state. Revision and state are empty then, so
            who only reads goes on and nobody writes over it: it is set aside first
            (:meth:`Store.set_aside`).
    """

    revision: bytes
    state: ViewerState
    damaged: Damaged | None = None


def versioned(revision: bytes, value: bytes) -> Versioned:
    """A stored state, decoded; never raises, so that one viewer's value stops nobody else."""
    try:
        return Versioned(revision, decode(value))
    except StateError as error:
        return Versioned(b"", ViewerState(), Damaged(revision + value, str(error)))


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
    """A record that waits for its media, as it was read from Kafka.

    One that was stored and cannot be read any more comes back with its bytes as `value`, of
    :data:`NO_PARTITION`.
    """

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


class Ready(NamedTuple):
    """A viewer's ready grid, and the revision that her state has now.

    Attributes:
        grid: JSON, None where there is none.
        revision: 4 bytes, empty where there is no state.
    """

    grid: bytes | None
    revision: bytes


class Replaced(NamedTuple):
    """A grid (JSON) that is to take the place of another one of a viewer, and of no later one."""

    viewer_id: str
    old: bytes
    new: bytes


class Store(Protocol):
    """Viewer state, authors of media, parked records and ready grids. Every call takes a batch.

    Attributes:
        fold: the settings that states are folded with.
    """

    fold: FoldConfig

    async def start(self) -> None:
        """Prepare the server; a process that writes calls it once, before anything else."""
        ...

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

    async def set_aside(self, viewer_ids: Sequence[str], values: Sequence[bytes]) -> None:
        """Move damaged values out of the way: these viewers begin anew, at an empty revision.

        A value stays, elsewhere, as long as a viewer's state; one that was replaced meanwhile is
        left alone.
        """
        ...

    def scan(self) -> AsyncIterator[tuple[str, ViewerState]]:
        """Every viewer with state, in no particular order; damaged values are left out."""
        ...

    async def is_empty(self) -> bool:
        """Whether no viewer has state."""
        ...

    async def forget(self) -> None:
        """Delete all states and parked records; authors, grids and pages stay."""
        ...

    def draft(self) -> Self:
        """A store beside this one for states and parked records; authors are shared.

        What an earlier draft left behind is in it: :meth:`forget` that first.
        """
        ...

    async def adopt(self, draft: Self) -> None:
        """Put a draft's states and parked records in the place of those that are here.

        Cut off, it may be called again: until it returns the draft holds everything.
        """
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

    async def letters_sent(self, log_id: str, places: Sequence[str]) -> list[int]:
        """Per place in a log, the offset up to which dead letters were sent; 0 by default."""
        ...

    async def note_letters_sent(self, log_id: str, ends: Mapping[str, int]) -> None:
        """Note up to which offset dead letters were sent, by place in a log.

        An offset that is behind the noted one changes nothing: who reads a record again may be
        the last to tell.
        """
        ...

    async def parked_media(self) -> int:
        """How many media are being waited for."""
        ...

    async def save_grids(self, viewer_ids: Sequence[str], grids: Sequence[bytes]) -> None:
        """Store ready grids as JSON.

        They can be made again: a server that does not take them at once is not waited for.

        Raises:
            UnreachableError: it does not.
        """
        ...

    async def grid(self, viewer_id: str) -> bytes | None:
        """The ready grid of a viewer as JSON."""
        ...

    async def ready(self, viewer_id: str, *, wait: bool = True) -> Ready:
        """The ready grid of a viewer with the revision that her state has now: one round trip.

        Args:
            wait: no for who has another answer: the server is not waited for.

        Raises:
            UnreachableError: it does not answer.
        """
        ...

    def ready_soon(self, viewer_id: str, told: Callable[[Ready | None], None]) -> bool:
        """Ask for the same, and return; `told` is called with it, or with None where it fails.

        Args:
            told: waits for nothing and raises nothing.

        Returns:
            False where it cannot be asked now; then `told` is not called.
        """
        ...

    def grids(self) -> AsyncIterator[list[tuple[str, bytes]]]:
        """Every ready grid by viewer, some at a time, in no particular order.

        One may come twice; those stored meanwhile may be left out.
        """
        ...

    async def grids_of(self, viewer_ids: Sequence[str]) -> list[bytes | None]:
        """The ready grids of viewers as JSON."""
        ...

    async def replace_grids(self, replaced: Sequence[Replaced]) -> list[bool]:
        """Put other grids in the place of ready ones; each lives as long as it would have.

        Returns:
            For each whether the old one was still there.
        """
        ...

    async def pages(self, viewer_id: str, series: str) -> list[bytes]:
        """The pages of a series already served to a viewer, in order."""
        ...

    async def add_page(self, viewer_id: str, series: str, number: int, page: bytes) -> bytes:
        """Add page `number` (from 0) unless it stands already; returns the one that stands.

        Args:
            series: a name without a colon, so that no two series share a key.

        Raises:
            UnreachableError: as :meth:`save_grids`, not waited for.
        """
        ...


class StreamClock(NamedTuple):
    """The stream's own time.

    Attributes:
        newest_ts: newest event time seen, in ms.
        seen_ms: the wall-clock time at which it was seen first.
    """

    newest_ts: int
    seen_ms: int


class Leased(NamedTuple):
    """Viewers to look at, and the stream's time, None while nothing was seen."""

    clock: StreamClock | None
    viewer_ids: list[str]


class SessionSchedule(Protocol):
    """When to look at viewers with open sessions. Times are epoch ms."""

    async def touch(
        self, viewer_ids: Collection[str], due_ms: int, newest_ts: int, now_ms: int
    ) -> None:
        """Look at these viewers at `due_ms`, whatever was planned, and note event time.

        Args:
            viewer_ids: at least one.
            newest_ts: newest event time among what they did; an older one than is known already
                changes nothing.
        """
        ...

    async def lease(self, now_ms: int, until_ms: int, limit: int) -> Leased:
        """Take at most `limit` viewers that are due, those that wait longest first.

        Nobody else gets them before `until_ms`, unless they are touched or released.
        """
        ...

    async def release(self, until_ms: int, due_ms: Mapping[str, int | None]) -> None:
        """Give back what was leased until `until_ms`; one that was touched since stays as it is.

        Args:
            due_ms: viewer → when to look at her again, None for not again.
        """
        ...

    async def forget(self) -> None:
        """Forget all viewers and the stream's time."""
        ...


class ExperimentError(FreshgridError):
    """The stored experiment cannot be changed: it or the change is wrong."""

    exit_code = 2


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One change of the experiment, as it is remembered.

    Attributes:
        at_ms: when, epoch ms.
        who: by whom, as they said.
        old, new: the whole experiment; `old` is null if there was none that could be read.
    """

    at_ms: int
    who: str
    old: Experiment | None
    new: Experiment


def readable(document: bytes | None) -> Experiment | None:
    """What a change begins with: the default experiment where there is none, None for a bad one."""
    if document is None:
        return Experiment()
    try:
        return parse(bytes(document))
    except InvalidExperimentError:
        return None


class ExperimentStore(Protocol):
    """The experiment: one document, and who changed it.

    What is changed here is valid, but others may write to a server: readers validate again.

    Attributes:
        where: where the document stands, for messages.
    """

    where: str

    async def read(self) -> bytes | None:
        """The document as it stands, None if nobody set one."""
        ...

    async def change(
        self, who: str, at_ms: int, edit: Callable[[Experiment | None], Experiment]
    ) -> Change:
        """Replace the experiment by what `edit` makes of it, and remember that.

        Args:
            edit: is given the stored experiment, the default one where there is none, or None
                where what is stored cannot be read; called again if another change came between.

        Raises:
            ExperimentError: others change it all the time.
        """
        ...

    async def history(self, most: int = MAX_HISTORY) -> list[Change]:
        """The newest changes, newest first; what cannot be read is left out."""
        ...

    async def listen(self, told: Callable[[], None]) -> None:
        """Call `told` at each change that is heard of, until cancelled; some may not be: poll, too.

        A server that is away is waited for.
        """
        ...


class GridNews(Protocol):
    """Who tells that a ready grid was stored, by whichever process."""

    def follow(self, viewer_id: str) -> AbstractAsyncContextManager[asyncio.Event]:
        """An event that is set after each :meth:`Store.save_grids` of this viewer.

        It may also be set where nothing changed, and news be lost while a server is away: look at
        the grid when it is set, and now and then.
        """
        ...

    async def listen(self) -> None:
        """Hear of changes until cancelled: without it nothing is told."""
        ...


class ViewerRights(Protocol):
    """Everything stored of one viewer, in whichever of the stores, drafts of a rebuild included."""

    async def held(self, viewer_id: str) -> dict[str, list[bytes]]:
        """Key → what it holds of the viewer; of keys that others share, her entries alone.

        It looks through all keys, so it takes time by how many there are.
        """
        ...

    async def forget(self, viewer_id: str) -> int:
        """Delete what :meth:`held` finds; returns how many keys and entries that were."""
        ...


class WorkBoard(Protocol):
    """Where long work tells whoever looks how far it is. Nothing depends on it: all is tried once.

    Every method raises UnreachableError where the store does not answer.
    """

    async def note(self, name: str, said: bytes) -> None:
        """Write down what a work says now, in the place of what it said before."""
        ...

    async def end(self, name: str) -> None:
        """Take out a work that is over."""
        ...

    async def all(self) -> dict[str, bytes]:
        """Name → what was said last; what nobody added to for a minute may be gone."""
        ...


class StoreMemory(NamedTuple):
    """Memory of the server behind the stores, in bytes; without a limit of its own: None."""

    used_bytes: int
    limit_bytes: int | None


class StoredKey(NamedTuple):
    """One key as it is, for back-ups.

    Attributes:
        ttl_ms: how long it lives on; 0 for ever.
        value: as ``DUMP`` gives it, which servers of that version or newer take back.
    """

    key: bytes
    ttl_ms: int
    value: bytes


class Stores(NamedTuple):
    """Every store of an installation."""

    viewers: Store
    sessions: SessionSchedule
    experiments: ExperimentStore
    grids: GridNews
    access: AccessStore
    rights: ViewerRights
    work: WorkBoard
