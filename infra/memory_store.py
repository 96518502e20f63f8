"""Every store in this process: for replays without servers, and for tests."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec

from infra.access.keys import ApiKey
from infra.config import Settings
from infra.followed import Followed
from infra.stores import (
    MAX_HISTORY,
    Change,
    Leased,
    ParkedRecord,
    Parking,
    Ready,
    Replaced,
    Slice,
    Stores,
    StreamClock,
    Versioned,
    readable,
    versioned,
)
from models.explore.experiment import Experiment
from models.viewers.state import ViewerState, encode


def memory_stores(settings: Settings) -> Stores:
    """Every store of an installation, all in this process."""
    news, sessions = MemoryGridNews(), MemorySchedule()
    viewers = MemoryStore(settings, news)
    rights = MemoryRights(viewers, sessions)
    return Stores(
        viewers, sessions, MemoryExperiments(), news, MemoryAccess(), rights, MemoryWork()
    )


class MemoryStore:
    """The same contract as :class:`infra.redis_store.RedisStore`, in dictionaries."""

    def __init__(self, settings: Settings, news: MemoryGridNews | None = None) -> None:
        self._settings = settings
        self._news = news
        self.fold = settings.fold_config()
        self._states: dict[str, bytes] = {}
        self._revisions: dict[str, int] = {}
        self._damaged: dict[str, bytes] = {}
        self._authors: dict[str, str] = {}
        self._parked: defaultdict[str, list[ParkedRecord]] = defaultdict(list)
        self._catalog_read: dict[int, int] = {}
        self._letters_sent: dict[tuple[str, str], int] = {}
        self._grids: dict[str, bytes] = {}
        self._pages: defaultdict[tuple[str, str], list[bytes]] = defaultdict(list)

    async def start(self) -> None:
        """There is no server to prepare."""

    async def load(self, viewer_ids: Sequence[str]) -> list[Versioned]:
        """States of these viewers, an empty state for a viewer never seen."""
        return [self._versioned(viewer_id) for viewer_id in viewer_ids]

    def _versioned(self, viewer_id: str) -> Versioned:
        value = self._states.get(viewer_id)
        if value is None:
            return Versioned(b"", ViewerState())
        return versioned(self._revisions[viewer_id].to_bytes(4, "big"), value)

    async def append(self, log: bytes, slices: Sequence[Slice]) -> list[Versioned | None]:
        """Declines: in memory folding is all there is, so this store shows what is right."""
        return [self._versioned(item.viewer_id) for item in slices]

    async def commit(
        self, viewer_ids: Sequence[str], changed: Sequence[Versioned]
    ) -> list[Versioned | None]:
        """Write states, each only if its revision is still the stored one."""
        answers: list[Versioned | None] = []
        for viewer_id, (revision, state, _) in zip(viewer_ids, changed, strict=True):
            current = self._revisions.get(viewer_id, 0)
            if int.from_bytes(revision, "big") != current:
                answers.append(self._versioned(viewer_id))
                continue
            self._states[viewer_id] = encode(state)
            self._revisions[viewer_id] = current + 1
            answers.append(None)
        return answers

    async def set_aside(self, viewer_ids: Sequence[str], values: Sequence[bytes]) -> None:
        """Move damaged values out of the way."""
        for viewer_id, value in zip(viewer_ids, values, strict=True):
            damaged = self._versioned(viewer_id).damaged
            if damaged is not None and damaged.value == value:
                self._damaged[viewer_id] = value
                del self._states[viewer_id], self._revisions[viewer_id]

    async def scan(self) -> AsyncIterator[tuple[str, ViewerState]]:
        """Every viewer with state, in no particular order; damaged values are left out."""
        for viewer_id in list(self._states):
            found = self._versioned(viewer_id)
            if found.damaged is None:
                yield viewer_id, found.state

    async def is_empty(self) -> bool:
        """Whether no viewer has state."""
        return not self._states

    async def forget(self) -> None:
        """Delete all states and parked records; authors, grids and pages stay."""
        self._states.clear()
        self._revisions.clear()
        self._parked.clear()

    def draft(self) -> MemoryStore:
        """A store beside this one, which :meth:`adopt` may put in its place."""
        draft = MemoryStore(self._settings)
        draft._authors, draft._damaged = self._authors, self._damaged
        return draft

    async def adopt(self, draft: MemoryStore) -> None:
        """Put a draft's states and parked records in the place of those that are here."""
        self._states, self._revisions, self._parked = draft._states, draft._revisions, draft._parked
        draft._states, draft._revisions, draft._parked = {}, {}, defaultdict(list)

    async def authors_of(self, media_ids: Sequence[str]) -> list[str | None]:
        """Author of each media, None where the catalogue does not know it."""
        return [self._authors.get(media_id) for media_id in media_ids]

    async def learn_authors(
        self, media_ids: Sequence[str], author_ids: Sequence[str]
    ) -> list[list[ParkedRecord]]:
        """Remember authors; returns, per media, the records that wait for it."""
        self._authors.update(zip(media_ids, author_ids, strict=True))
        return [list(self._parked.get(media_id, ())) for media_id in media_ids]

    async def park(self, records: Sequence[ParkedRecord]) -> list[Parking]:
        """Let records wait for their media, unless the media arrived meanwhile."""
        answers = []
        room = len(self._parked) < self._settings.parking_max_media
        for record in records:
            author_id = self._authors.get(record.media_id)
            if author_id is not None:
                answers.append(Parking(author_id, False))
                continue
            waiting = self._parked.get(record.media_id, [])
            # A record that is read again waits already.
            parked = record[:3] in (other[:3] for other in waiting)
            if not parked and room and len(waiting) < self._settings.parking_max_events_per_media:
                self._parked[record.media_id].append(record)
                parked = True
            answers.append(Parking(None, parked))
        return answers

    async def unpark(self, records: Sequence[ParkedRecord]) -> None:
        """Forget these records; what was parked for their media meanwhile goes on waiting."""
        for record in records:
            waiting = self._parked.get(record.media_id, [])
            if record in waiting:
                waiting.remove(record)
            if not waiting:
                self._parked.pop(record.media_id, None)

    async def parked_since(self, before_ms: int, limit: int) -> list[list[ParkedRecord]]:
        """Records of media that have been waited for since before `before_ms`, per media."""
        groups = [list(r) for r in self._parked.values() if r[0].first_seen_ms <= before_ms]
        return groups[:limit]

    async def note_catalog_read(self, until_ms: Mapping[int, int], partitions: int) -> int:
        """Note how far the media catalogue is read; returns how far all of it is."""
        self._catalog_read.update(until_ms)
        return min(self._catalog_read.get(partition, 0) for partition in range(partitions))

    async def letters_sent(self, log_id: str, places: Sequence[str]) -> list[int]:
        """Up to which offset dead letters were sent."""
        return [self._letters_sent.get((log_id, place), 0) for place in places]

    async def note_letters_sent(self, log_id: str, ends: Mapping[str, int]) -> None:
        """Note up to which offset dead letters were sent; an offset never goes back."""
        for place, end in ends.items():
            at = (log_id, place)
            self._letters_sent[at] = max(end, self._letters_sent.get(at, 0))

    async def parked_media(self) -> int:
        """How many media are being waited for."""
        return len(self._parked)

    async def save_grids(self, viewer_ids: Sequence[str], grids: Sequence[bytes]) -> None:
        """Store ready grids as JSON."""
        self._grids.update(zip(viewer_ids, grids, strict=True))
        if self._news is not None:
            self._news.tell(viewer_ids)

    async def grid(self, viewer_id: str) -> bytes | None:
        """The ready grid of a viewer as JSON."""
        return self._grids.get(viewer_id)

    async def ready(self, viewer_id: str, *, wait: bool = True) -> Ready:
        """The ready grid of a viewer with the revision that her state has now."""
        return self._ready(viewer_id)

    def ready_soon(self, viewer_id: str, told: Callable[[Ready | None], None]) -> bool:
        """Tell the ready grid in the next turn of the loop."""
        asyncio.get_running_loop().call_soon(lambda: told(self._ready(viewer_id)))
        return True

    def _ready(self, viewer_id: str) -> Ready:
        revision = self._revisions.get(viewer_id)
        return Ready(
            self._grids.get(viewer_id), b"" if revision is None else revision.to_bytes(4, "big")
        )

    async def grids(self) -> AsyncIterator[list[tuple[str, bytes]]]:
        """Every ready grid by viewer."""
        yield list(self._grids.items())

    async def grids_of(self, viewer_ids: Sequence[str]) -> list[bytes | None]:
        """The ready grids of viewers as JSON."""
        return [self._grids.get(viewer_id) for viewer_id in viewer_ids]

    async def replace_grids(self, replaced: Sequence[Replaced]) -> list[bool]:
        """Put other grids in the place of ready ones that nobody has replaced."""
        done = []
        for one in replaced:
            done.append(self._grids.get(one.viewer_id) == one.old)
            if done[-1]:
                self._grids[one.viewer_id] = one.new
                if self._news is not None:
                    self._news.tell([one.viewer_id])
        return done

    async def pages(self, viewer_id: str, series: str) -> list[bytes]:
        """The pages of a series already served to a viewer, in order."""
        return list(self._pages[viewer_id, series])

    async def add_page(self, viewer_id: str, series: str, number: int, page: bytes) -> bytes:
        """Add page `number` (from 0) unless it stands already; returns the one that stands."""
        pages = self._pages[viewer_id, series]
        if len(pages) == number:
            pages.append(page)
        return pages[number]


class MemorySchedule:
    """The same contract as :class:`infra.redis_schedule.RedisSchedule`, in a dictionary."""

    def __init__(self) -> None:
        self._due: dict[str, int] = {}
        self._clock: StreamClock | None = None

    async def touch(
        self, viewer_ids: Collection[str], due_ms: int, newest_ts: int, now_ms: int
    ) -> None:
        """Look at these viewers at `due_ms`, whatever was planned, and note event time."""
        self._due.update(dict.fromkeys(viewer_ids, due_ms))
        if self._clock is None or newest_ts > self._clock.newest_ts:
            self._clock = StreamClock(newest_ts, now_ms)

    async def lease(self, now_ms: int, until_ms: int, limit: int) -> Leased:
        """Take viewers that are due; nobody else gets them before `until_ms`."""
        due = sorted((at, viewer_id) for viewer_id, at in self._due.items() if at <= now_ms)
        taken = [viewer_id for _, viewer_id in due[:limit]]
        self._due.update(dict.fromkeys(taken, until_ms))
        return Leased(self._clock, taken)

    async def release(self, until_ms: int, due_ms: Mapping[str, int | None]) -> None:
        """Give leased viewers back: look at each at its time, or not again."""
        for viewer_id, due in due_ms.items():
            if self._due.get(viewer_id) != until_ms:
                continue
            if due is None:
                del self._due[viewer_id]
            else:
                self._due[viewer_id] = due

    async def forget(self) -> None:
        """Forget all viewers and the stream's time."""
        self._due.clear()
        self._clock = None


class MemoryWork:
    """The same contract as :class:`infra.redis_work.RedisWork`, in this process."""

    def __init__(self) -> None:
        self._said: dict[str, bytes] = {}

    async def note(self, name: str, said: bytes) -> None:
        """Write down what a work says now."""
        self._said[name] = said

    async def end(self, name: str) -> None:
        """Take out a work that is over."""
        self._said.pop(name, None)

    async def all(self) -> dict[str, bytes]:
        """Name → what was said last."""
        return dict(self._said)


class MemoryExperiments:
    """The same contract as :class:`infra.redis_experiments.RedisExperiments`, in this process.

    Attributes:
        document: the experiment as it stands.
    """

    where = "the experiment in memory"

    def __init__(self) -> None:
        self.document: bytes | None = None
        self._history: list[Change] = []
        self._listening: list[Callable[[], None]] = []

    async def read(self) -> bytes | None:
        """The document as it stands, None if nobody set one."""
        return self.document

    async def change(
        self, who: str, at_ms: int, edit: Callable[[Experiment | None], Experiment]
    ) -> Change:
        """Replace the experiment by what `edit` makes of it, and remember that."""
        old = readable(self.document)
        change = Change(at_ms=at_ms, who=who, old=old, new=edit(old))
        self.document = msgspec.json.encode(change.new)
        self._history = [change, *self._history[: MAX_HISTORY - 1]]
        for told in self._listening:
            told()
        return change

    async def history(self, most: int = MAX_HISTORY) -> list[Change]:
        """The newest changes, newest first."""
        return self._history[:most]

    async def listen(self, told: Callable[[], None]) -> None:
        """Call `told` at each change, until cancelled."""
        self._listening.append(told)
        try:
            await asyncio.Event().wait()
        finally:
            self._listening.remove(told)


class MemoryGridNews:
    """The same contract as :class:`infra.redis_grid_news.RedisGridNews`, in this process."""

    def __init__(self) -> None:
        self._followed = Followed()

    def tell(self, viewer_ids: Iterable[str]) -> None:
        """Grids of these viewers were stored."""
        for viewer_id in viewer_ids:
            self._followed.tell(viewer_id)

    @asynccontextmanager
    async def follow(self, viewer_id: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set after each grid of this viewer that is stored."""
        with self._followed.by(viewer_id) as changed:
            yield changed

    async def listen(self) -> None:
        """There is nobody to listen to: what is stored here tells itself."""
        await asyncio.Event().wait()


class MemoryAccess:
    """The same contract as :class:`infra.redis_access.RedisAccess`, in this process."""

    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}
        self._secret: bytes | None = None

    async def keys(self) -> list[ApiKey]:
        """All keys, the oldest first."""
        return sorted(self._keys.values(), key=lambda key: (key.created_ms, key.key_id))

    async def add(self, key: ApiKey) -> None:
        """Add a key, or replace the one of its id."""
        self._keys[key.key_id] = key

    async def revoke(self, key_id: str) -> bool:
        """Take a key away; returns whether there was one."""
        return self._keys.pop(key_id, None) is not None

    async def secret(self, proposed: bytes) -> bytes:
        """The signing secret: `proposed` where there is none yet."""
        if self._secret is None:
            self._secret = proposed
        return self._secret


class MemoryRights:
    """The same contract as :class:`infra.redis_rights.RedisRights`; drafts are not in it."""

    def __init__(self, viewers: MemoryStore, sessions: MemorySchedule) -> None:
        self._viewers, self._sessions = viewers, sessions

    async def held(self, viewer_id: str) -> dict[str, list[bytes]]:
        """Where it stands → what is held of the viewer."""
        of = self._viewers
        found = {
            name: [values[viewer_id]]
            for name, values in (
                ("viewer", of._states), ("damaged", of._damaged), ("grid", of._grids)
            )
            if viewer_id in values
        }  # fmt: skip
        found |= {f"pages:{s}": pages for (v, s), pages in of._pages.items() if v == viewer_id}
        for media_id, records in of._parked.items():
            if mine := [record.value for record in records if record.viewer_id == viewer_id]:
                found[f"parked:{media_id}"] = mine
        if viewer_id in self._sessions._due:
            found["sessions:due"] = [str(self._sessions._due[viewer_id]).encode()]
        return {name: values for name, values in found.items() if values}

    async def forget(self, viewer_id: str) -> int:
        """Delete it; returns how many keys and entries that were."""
        of = self._viewers
        held = await self.held(viewer_id)
        for values in (of._states, of._revisions, of._damaged, of._grids, self._sessions._due):
            values.pop(viewer_id, None)
        for viewer, series in list(of._pages):
            if viewer == viewer_id:
                del of._pages[viewer, series]
        for media_id, records in list(of._parked.items()):
            of._parked[media_id] = [one for one in records if one.viewer_id != viewer_id]
            if not of._parked[media_id]:
                del of._parked[media_id]
        return sum(len(v) if k.startswith("parked:") else 1 for k, v in held.items())
