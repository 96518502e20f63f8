"""Viewer state in Redis or Valkey, alone or as a cluster.

The fold of a viewer's state exists once, in :mod:`models.viewers.state`. Redis contributes what
only it can, atomically: a Function puts new records on top of a viewer's action logs where no more
than that is to be done, and another stores what the caller folded if nobody wrote in between.
Offsets travel inside the state, so a state and the offsets it reflects can never disagree. Keys are
documented in ``docs/contracts.md``.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from hiredis import ReplyError

from infra.config import Settings
from infra.errors import UnreachableError
from infra.redis_bulk import Command
from infra.redis_grid_news import grid_channel
from infra.redis_reads import SharedReads
from infra.redis_server import OtherTypeError, RedisServer
from infra.stores import (
    NO_PARTITION,
    ParkedRecord,
    Parking,
    Ready,
    Replaced,
    Slice,
    Versioned,
    versioned,
)
from models.viewers.state import SLACK, ViewerState, encode

SCAN_PAGE: Final = 1000
#: Of about 20 kB each.
GRIDS_AT_ONCE: Final = 64
#: So many last bytes tell a grid from the ones before and after it.
TAIL: Final = 64
#: Media waited for, by when the first event for each was read.
PARKED: Final = "parked"
#: Partition of ``catalog.media`` → up to when (epoch ms) everything in it is learned.
CATALOG_READ: Final = "catalog:read"
#: Workers note it every second.
CATALOG_READ_TTL_S: Final = 7 * 86_400

#: As long as a log keeps its records by default.
LETTERS_SENT_TTL_S: Final = 7 * 86_400

#: Before the keys of states and parked records that a rebuild makes, until they count.
DRAFT: Final = "draft:"

_parked_encoder = msgspec.msgpack.Encoder()
_parked_decoder = msgspec.msgpack.Decoder(ParkedRecord)


def viewer_key(viewer_id: str) -> str:
    """Key of a viewer's state. The braces are the hash tag that all keys of a viewer share."""
    return f"viewer:{{{viewer_id}}}"


def grid_key(viewer_id: str) -> str:
    """Key of a viewer's ready grid."""
    return f"grid:{{{viewer_id}}}"


def _damaged_key(viewer_id: str) -> str:
    return f"damaged:{{{viewer_id}}}"


def _pages_key(viewer_id: str, series: str) -> str:
    return f"pages:{{{viewer_id}}}:{series}"


def _author_key(media_id: str) -> str:
    return f"author:{{{media_id}}}"


def _letters_sent_key(log_id: str) -> str:
    """Key of places in a log → the offset up to which dead letters were sent."""
    return f"letters:sent:{{{log_id}}}"


def _parked_key(media_id: str) -> str:
    return f"parked:{{{media_id}}}"


class RedisStore:
    """The store that every Freshgrid process shares.

    Args:
        prefix: of the keys of states and parked records; only a draft has one.
    """

    def __init__(self, server: RedisServer, settings: Settings, prefix: str = "") -> None:
        self._server = server
        self._prefix = prefix
        self._parked = f"{prefix}{PARKED}"
        self._exchange = server.exchange
        self._reads = SharedReads(server.client)
        self._settings = settings
        self.fold = settings.fold_config()
        # The same for every slice of every viewer.
        self._append = ("FCALL", "freshgrid_2_append", 1)
        self._most = (self.fold.max_strong + SLACK, self.fold.max_views + SLACK)

    async def start(self) -> None:
        """Load the functions; another process loading the same ones at once is fine."""
        await self._server.start()

    async def load(self, viewer_ids: Sequence[str]) -> list[Versioned]:
        """States of these viewers, an empty state for a viewer never seen."""
        values = await self._values([self._viewer_key(viewer_id) for viewer_id in viewer_ids])
        # Of another type it is no state, and is damaged as what cannot be decoded.
        return [_versioned(value[0] if isinstance(value, list) else value) for value in values]

    async def _values(self, keys: Sequence[str]) -> list[Any]:
        """What string keys hold: bytes, None where there is nothing, and a list with its dump where
        somebody wrote another type. One of those is no error for the others."""
        try:
            return await self._exchange([("GET", key) for key in keys])
        except OtherTypeError:
            return await self._exchange([("FCALL", "freshgrid_2_held", 1, key) for key in keys])

    async def append(self, log: bytes, slices: Sequence[Slice]) -> list[Versioned | None]:
        """Put slices on top of states where nothing is to be folded."""
        ttl, most = self._settings.viewer_ttl_s, self._most
        answers = await self._exchange(
            [
                (*self._append, self._viewer_key(viewer_id), ttl, log, places, strong, views, *most)
                for viewer_id, places, strong, views in slices
            ]
        )
        return [None if value is None else _versioned(value) for value in answers]

    async def commit(
        self, viewer_ids: Sequence[str], changed: Sequence[Versioned]
    ) -> list[Versioned | None]:
        """Write states, each only if its revision is still the stored one."""
        commands: list[Command] = []
        ttl = self._settings.viewer_ttl_s
        for viewer_id, (revision, state, _) in zip(viewer_ids, changed, strict=True):
            following = (int.from_bytes(revision, "big") + 1) % (1 << 32)
            value = following.to_bytes(4, "big") + encode(state)
            commands.append(
                (
                    "FCALL",
                    "freshgrid_2_commit",
                    1,
                    self._viewer_key(viewer_id),
                    revision,
                    value,
                    ttl,
                )
            )
        answers = await self._exchange(commands)
        return [None if value is None else _versioned(value) for value in answers]

    async def set_aside(self, viewer_ids: Sequence[str], values: Sequence[bytes]) -> None:
        """Move damaged values to keys of their own, unless they were replaced meanwhile.

        Those of a draft go where all go: they are kept whatever becomes of it.
        """
        ttl = self._settings.viewer_ttl_s
        await self._exchange(
            [
                ("FCALL", "freshgrid_2_set_aside", 2, self._viewer_key(name), _damaged_key(name),
                 value, ttl)
                for name, value in zip(viewer_ids, values, strict=True)
            ]
        )  # fmt: skip

    async def scan(self) -> AsyncIterator[tuple[str, ViewerState]]:
        """Every viewer with state, in no particular order; damaged values are left out."""
        seen: set[bytes] = set()
        async for keys in self._keys(self._viewer_key("*")):
            # SCAN may return a key twice while the table is being resized.
            new = dict.fromkeys(key for key in keys if key not in seen)
            seen.update(new)
            for item in await self._page(list(new)):
                yield item

    async def is_empty(self) -> bool:
        """Whether no viewer has state."""
        async for _ in self._keys(self._viewer_key("*")):
            return False
        return True

    async def forget(self) -> None:
        """Delete all states and parked records; authors, grids and pages stay."""
        for pattern in (self._viewer_key("*"), self._parked_key("*")):
            async for keys in self._keys(pattern):
                await self._exchange([("UNLINK", *keys)])
        await self._exchange([("UNLINK", self._parked)])

    def draft(self) -> RedisStore:
        """A store beside this one, which :meth:`adopt` may put in its place."""
        return RedisStore(self._server, self._settings, DRAFT)

    async def adopt(self, draft: RedisStore) -> None:
        """Put a draft's states and parked records in the place of those that are here."""
        # Every step may be done again: an answer that got lost, or a run that was cut off.
        prefix = draft._prefix.encode()
        for of in (viewer_key("*"), _parked_key("*"), PARKED):
            async for keys in draft._keys(draft._prefix + of):
                names = [key.removeprefix(prefix) for key in keys]
                await self._exchange([("COPY", prefix + name, name, "REPLACE") for name in names])
            async for keys in self._keys(of):
                kept = await self._exchange([("EXISTS", prefix + key) for key in keys])
                gone = [key for key, stays in zip(keys, kept, strict=True) if not stays]
                if gone:
                    await self._exchange([("UNLINK", *gone)])
        await draft.forget()

    def _viewer_key(self, viewer_id: str) -> str:
        return self._prefix + viewer_key(viewer_id)

    def _parked_key(self, media_id: str) -> str:
        return self._prefix + _parked_key(media_id)

    async def _keys(self, pattern: str) -> AsyncIterator[list[bytes]]:
        """Keys that match, some at a time, never none."""
        cursor: bytes | str = "0"
        while True:
            scan = ("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_PAGE)
            [[cursor, page]] = await self._exchange([scan])
            if page:
                yield page
            if cursor == b"0":
                return

    async def _page(self, keys: list[bytes]) -> list[tuple[str, ViewerState]]:
        viewer_ids = [key[len(self._viewer_key("")) - 1 : -1].decode() for key in keys]
        states = await self.load(viewer_ids) if viewer_ids else []
        return [
            (viewer_id, item.state)
            for viewer_id, item in zip(viewer_ids, states, strict=True)
            if item.revision
        ]

    async def authors_of(self, media_ids: Sequence[str]) -> list[str | None]:
        """Author of each media, None where the catalogue does not know it.

        Who is asked for lives on: past the half of its time, a key gets all of it again.
        """
        keys = {media_id: _author_key(media_id) for media_id in media_ids}
        asked: list[Command] = [(name, key) for key in keys.values() for name in ("GET", "TTL")]
        try:
            answers = await self._exchange(asked)
        except OtherTypeError:
            # The catalogue's next record of the media writes over it.
            asked = [
                command
                for key in keys.values()
                for command in (("FCALL", "freshgrid_2_held", 1, key), ("TTL", key))
            ]
            answers = await self._exchange(asked)
        authors = dict(zip(keys, map(_string, answers[::2]), strict=True))
        ttl = self._settings.catalog_ttl_s
        await self._exchange(
            [
                ("EXPIRE", key, ttl)
                for key, left in zip(keys.values(), answers[1::2], strict=True)
                if 0 <= left <= ttl // 2
            ]
        )
        return [None if (a := authors[m]) is None else a.decode() for m in media_ids]

    async def learn_authors(
        self, media_ids: Sequence[str], author_ids: Sequence[str]
    ) -> list[list[ParkedRecord]]:
        """Remember authors; returns, per media, the records that wait for it."""
        ttl = self._settings.catalog_ttl_s
        answers = await self._exchange(
            [
                ("FCALL", "freshgrid_2_learn", 2, _author_key(media_id), self._parked_key(media_id),
                 author_id, ttl)
                for media_id, author_id in zip(media_ids, author_ids, strict=True)
            ]
        )  # fmt: skip
        return [
            [_decode_parked(media_id, record) for record in records]
            for media_id, records in zip(media_ids, answers, strict=True)
        ]

    async def park(self, records: Sequence[ParkedRecord]) -> list[Parking]:
        """Let records wait for their media, unless the media arrived meanwhile."""
        settings = self._settings
        room = await self.parked_media() < settings.parking_max_media
        per_media = settings.parking_max_events_per_media if room else 0
        answers = [
            Parking(None, bool(a)) if isinstance(a, int) else Parking(a.decode(), False)
            for a in await self._exchange(
                [
                    ("FCALL", "freshgrid_2_park", 2, _author_key(record.media_id),
                     self._parked_key(record.media_id), _encode_parked(record), per_media,
                     _parked_place(record))
                    for record in records
                ]
            )
        ]  # fmt: skip
        waiting = {
            r.media_id: r.first_seen_ms
            for r, answer in zip(records, answers, strict=True)
            if answer.parked
        }
        if waiting:
            entries = [field for name, since in waiting.items() for field in (since, name)]
            await self._exchange(
                [("ZADD", self._parked, "NX", *entries), ("PERSIST", self._parked)]
            )
        return answers

    async def unpark(self, records: Sequence[ParkedRecord]) -> None:
        """Forget these records; what was parked for their media meanwhile goes on waiting."""
        # By content: another worker may have taken the same records out already.
        await self._exchange(
            [("LREM", self._parked_key(r.media_id), 1, _encode_parked(r)) for r in records]
        )
        media_ids = list({record.media_id for record in records})
        left = await self._exchange(
            [("EXISTS", self._parked_key(media_id)) for media_id in media_ids]
        )
        for media_id, exists in zip(media_ids, left, strict=True):
            if not exists:
                await self._forget_parked(media_id)

    async def _forget_parked(self, media_id: str) -> None:
        """Take a media that nothing waits for out of the index."""
        score, _, exists = await self._exchange(
            [
                ("ZSCORE", self._parked, media_id),
                ("ZREM", self._parked, media_id),
                ("EXISTS", self._parked_key(media_id)),
            ]
        )
        # Parking writes the record first: whatever came in between is put back here, or by itself.
        if score is not None and exists:
            await self._exchange([("ZADD", self._parked, "NX", score, media_id)])

    async def parked_since(self, before_ms: int, limit: int) -> list[list[ParkedRecord]]:
        """Records of media that have been waited for since before `before_ms`, per media."""
        [found] = await self._exchange(
            [("ZRANGEBYSCORE", self._parked, 0, before_ms, "LIMIT", 0, limit)]
        )
        media_ids = [media_id.decode() for media_id in found]
        waiting = await self._exchange([("LRANGE", self._parked_key(m), 0, -1) for m in media_ids])
        groups = []
        for media_id, records in zip(media_ids, waiting, strict=True):
            if records:
                groups.append([_decode_parked(media_id, record) for record in records])
            else:
                await self._forget_parked(media_id)
        return groups

    async def note_catalog_read(self, until_ms: Mapping[int, int], partitions: int) -> int:
        """Note how far the media catalogue is read; returns how far all of it is."""
        commands: list[Command] = [("HGETALL", CATALOG_READ)]
        if until_ms:
            fields = [value for place in until_ms.items() for value in place]
            commands = [
                ("HSET", CATALOG_READ, *fields),
                ("EXPIRE", CATALOG_READ, CATALOG_READ_TTL_S),
                *commands,
            ]
        noted = (await self._exchange(commands))[-1]
        found = dict(zip(map(int, noted[::2]), map(int, noted[1::2]), strict=True))
        return min(found.get(partition, 0) for partition in range(partitions))

    async def letters_sent(self, log_id: str, places: Sequence[str]) -> list[int]:
        """Up to which offset dead letters were sent."""
        [found] = await self._exchange([("ZMSCORE", _letters_sent_key(log_id), *places)])
        return [int(end or 0) for end in found]

    async def note_letters_sent(self, log_id: str, ends: Mapping[str, int]) -> None:
        """Note up to which offset dead letters were sent; an offset never goes back."""
        key = _letters_sent_key(log_id)
        # Offsets are scores, because a score can be told to grow only.
        scores = [value for place, end in ends.items() for value in (end, place)]
        await self._exchange([("ZADD", key, "GT", *scores), ("EXPIRE", key, LETTERS_SENT_TTL_S)])

    async def parked_media(self) -> int:
        """How many media are being waited for."""
        [count] = await self._exchange([("ZCARD", self._parked)])
        return int(count)

    async def save_grids(self, viewer_ids: Sequence[str], grids: Sequence[bytes]) -> None:
        """Store ready grids as JSON and tell who follows them, if the server takes them now."""
        ttl = self._settings.grid_ttl_s
        commands: list[Command] = []
        for viewer_id, grid in zip(viewer_ids, grids, strict=True):
            commands += [
                ("SET", grid_key(viewer_id), grid, "EX", ttl),
                ("PUBLISH", grid_channel(viewer_id), b""),
            ]
        await self._exchange(commands, wait=False)

    async def grid(self, viewer_id: str) -> bytes | None:
        """The ready grid of a viewer as JSON."""
        [value] = await self.grids_of([viewer_id])
        return value

    async def ready(self, viewer_id: str, *, wait: bool = True) -> Ready:
        """The ready grid of a viewer with the revision that her state has now."""
        asked = ("GET", grid_key(viewer_id)), ("GETRANGE", self._viewer_key(viewer_id), 0, 3)
        try:
            grid, revision = await self._reads.ask(*asked)
        except UnreachableError:
            # Said, counted and waited for as everywhere else.
            try:
                grid, revision = await self._exchange(asked, wait=wait)
            except OtherTypeError:
                return Ready(None, b"")
        return Ready(grid, revision)

    def ready_soon(self, viewer_id: str, told: Callable[[Ready | None], None]) -> bool:
        """Ask for the ready grid, and call `told` with it, or with None where none can be told."""

        def replied(found: list[Any] | Exception) -> None:
            if isinstance(found, Exception):
                told(None)
                return
            grid, revision = found
            if isinstance(grid, ReplyError) or isinstance(revision, ReplyError):
                told(None)
            else:
                told(Ready(grid, revision))

        asked = ("GET", grid_key(viewer_id)), ("GETRANGE", self._viewer_key(viewer_id), 0, 3)
        return self._reads.tell(replied, *asked)

    async def grids(self) -> AsyncIterator[list[tuple[str, bytes]]]:
        """Every ready grid, some at a time, in no particular order; one may come twice."""
        prefix = len(grid_key("")) - 1
        async for keys in self._keys(grid_key("*")):
            for first in range(0, len(keys), GRIDS_AT_ONCE):
                some = [key[prefix:-1].decode() for key in keys[first : first + GRIDS_AT_ONCE]]
                found = zip(some, await self.grids_of(some), strict=True)
                yield [(viewer_id, grid) for viewer_id, grid in found if grid is not None]

    async def grids_of(self, viewer_ids: Sequence[str]) -> list[bytes | None]:
        """The ready grids of viewers as JSON."""
        values = await self._values([grid_key(viewer_id) for viewer_id in viewer_ids])
        # What is of another type is no grid, and is written over when the next one is made.
        return [_string(value) for value in values]

    async def replace_grids(self, replaced: Sequence[Replaced]) -> list[bool]:
        """Put other grids in the place of ready ones that nobody has replaced."""
        answers = await self._exchange(
            [
                ("FCALL", "freshgrid_2_replace_grid", 1, grid_key(one.viewer_id),
                 len(one.old), one.old[-TAIL:], one.new)
                for one in replaced
            ]
        )  # fmt: skip
        done = [bool(answer) for answer in answers]
        told = [
            ("PUBLISH", grid_channel(one.viewer_id), b"")
            for one, is_done in zip(replaced, done, strict=True)
            if is_done
        ]
        if told:
            await self._exchange(told)
        return done

    async def pages(self, viewer_id: str, series: str) -> list[bytes]:
        """The pages of a series already served to a viewer, in order."""
        [pages] = await self._exchange([("LRANGE", _pages_key(viewer_id, series), 0, -1)])
        return [bytes(page) for page in pages]

    async def add_page(self, viewer_id: str, series: str, number: int, page: bytes) -> bytes:
        """Add page `number` (from 0) unless it stands already; returns the one that stands.

        Like :meth:`save_grids` not waited for.
        """
        key, ttl = _pages_key(viewer_id, series), self._settings.pages_ttl_s
        [standing] = await self._exchange(
            [("FCALL", "freshgrid_2_add_page", 1, key, number, page, ttl)], wait=False
        )
        return bytes(standing)


def _string(value: Any) -> bytes | None:
    """What :meth:`RedisStore._values` gave, None for what is no string."""
    return None if isinstance(value, list) else value


def _encode_parked(record: ParkedRecord) -> bytes:
    damaged = record.partition == NO_PARTITION
    return record.value if damaged else _parked_encoder.encode(record)


def _parked_place(record: ParkedRecord) -> bytes:
    """The first bytes of a record that waits: where in the log it stands, as nothing else does."""
    header = _parked_encoder.encode(record)[:1]
    return header + b"".join(map(_parked_encoder.encode, record[:3]))


def _decode_parked(media_id: str, value: bytes) -> ParkedRecord:
    """A record that waits; one that cannot be read as one of no topic, with its bytes."""
    try:
        return _parked_decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        key, checksum = _parked_key(media_id), zlib.crc32(value)
        return ParkedRecord(key, NO_PARTITION, checksum, media_id, value, 0, "")


def parked_viewer(value: bytes) -> str | None:
    """Whose event waits here; None where that cannot be read."""
    try:
        return _parked_decoder.decode(value).viewer_id
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _versioned(value: bytes | None) -> Versioned:
    if not value:
        return Versioned(b"", ViewerState())
    return versioned(value[:4], value[4:])
