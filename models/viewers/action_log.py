"""An action log: some of a viewer's actions, newest first, packed into bytes.

Viewers are many and their actions are read far less often than written, so an action is kept as
the bytes it is stored as. Putting a newer one in front needs no decoding, neither here nor in
Redis, where a Function does the same (``infra/redis_function.lua``).

A record, big-endian::

    ts      6 bytes   event time in ms
    flags   1 byte    128 for an undo, plus the action's code
    key     8 bytes   of the event id
    lengths 1 + 1     of the two ids in bytes
    media_id, author_id

Its first 15 bytes are its place in the order: equal times are ordered by undo (an undo comes after
what it takes back), action and key, so that every copy of the same set has the same order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import repeat
from struct import Struct
from typing import Final, NamedTuple

from models.actions import Action, undo_kind

HEAD: Final = Struct(">IHB8sBB")
ORDER_BYTES: Final = 15
KEY: Final = slice(7, 15)
UNDO: Final = 0x80

_OLDER_HEAD: Final = Struct(">IH8sB")
_OLDER_ORDER_BYTES: Final = 14
_GREATEST_CODE: Final = int(max(Action))


class Entry(NamedTuple):
    """One action of an action log; entries compare as their records do."""

    ts: int
    undo: bool
    action: int
    key: bytes
    media_id: str
    author_id: str


def event_key(event_id: str, undo: bool = False) -> bytes:
    """Eight bytes for an event id; an undo may carry the id of the action it takes back."""
    key = blake2b(event_id.encode(), digest_size=8).digest()
    return key[:7] + bytes((key[7] ^ 1,)) if undo else key


def pack(
    ts: int, action: int, event_id: str, media_id: str, author_id: str, undo: bool = False
) -> bytes:
    """The record of one action. Ids have at most 255 bytes, `ts` at most 48 bits."""
    media, author = media_id.encode(), author_id.encode()
    flags = action | UNDO if undo else action
    return (
        HEAD.pack(
            ts >> 16, ts & 0xFFFF, flags, event_key(event_id, undo), len(media), len(author)
        )
        + media
        + author
    )  # fmt: skip


def unpack(data: bytes, at: int = 0) -> Entry:
    """The record that begins at `at`."""
    high, low, flags, key, media_bytes, author_bytes = HEAD.unpack_from(data, at)
    middle = at + HEAD.size + media_bytes
    return Entry(
        high << 16 | low,
        flags >= UNDO,
        flags & ~UNDO,
        key,
        data[at + HEAD.size : middle].decode("utf-8", "ignore"),
        data[middle : middle + author_bytes].decode("utf-8", "ignore"),
    )


def check_records(data: bytes, size: int) -> None:
    """Walk through an action log that comes from elsewhere.

    Raises:
        ValueError: these are not `size` whole records of actions that there are.
    """
    # A viewer may have hundreds, and is read at each fold. Ids are not looked at: what is no UTF-8
    # in them is left out by whoever reads them.
    at = 0
    try:
        for _ in range(size):
            if data[at + 6] & 0x7F > _GREATEST_CODE:
                raise ValueError(f"no action begins at byte {at} of an action log")
            at += 17 + data[at + 15] + data[at + 16]
    except IndexError:
        raise ValueError(f"an action log is cut at byte {at}") from None
    _check_end(at, data, size)


def check_fallen(data: bytes, size: int) -> None:
    """The same for what fell out of the action logs (:class:`FallenLog`)."""
    at = 0
    try:
        for _ in range(size):
            at += 15 + data[at + 14]
    except IndexError:
        raise ValueError(f"what fell out of the action logs is cut at byte {at}") from None
    _check_end(at, data, size)


def _check_end(at: int, data: bytes, size: int) -> None:
    if at != len(data):
        raise ValueError(f"{size} records have {at} bytes, and there are {len(data)}")


def starts(data: bytes) -> Iterator[int]:
    """The byte at which each record begins, in stored order."""
    at, end, head = 0, len(data), HEAD.size
    while at < end:
        yield at
        at += head + data[at + 15] + data[at + 16]


@dataclass(slots=True)
class ActionLog:
    """Records in order, newest first.

    Attributes:
        data: the records, one after the other.
        size: how many there are.
    """

    data: bytes = b""
    size: int = 0

    def insert(self, record: bytes) -> bool:
        """Put a record in its place; returns False, changing nothing, for a known event id."""
        data = self.data
        key = record[KEY]
        # Found in the bytes may be a coincidence: then the keys themselves decide.
        if key in data and any(data[at + 7 : at + 15] == key for at in starts(data)):
            return False
        order = record[:ORDER_BYTES]
        if order > data[:ORDER_BYTES]:
            self.data = record + data
        else:
            place = len(data)
            for at in starts(data):
                if data[at : at + ORDER_BYTES] < order:
                    place = at
                    break
            self.data = data[:place] + record + data[place:]
        self.size += 1
        return True

    def drop_oldest(self, keep: int) -> int:
        """Cut to the `keep` newest records; returns how many went."""
        dropped = self.size - keep
        if dropped <= 0:
            return 0
        at = 0
        for _ in range(keep):
            at += HEAD.size + self.data[at + 15] + self.data[at + 16]
        self.data = self.data[:at]
        self.size = keep
        return dropped

    def newest_ts(self) -> int:
        """Event time of the newest record in ms, 0 without any."""
        return int.from_bytes(self.data[:6], "big")

    def entries(self) -> list[Entry]:
        """All records unpacked into objects, oldest first."""
        found = list(map(unpack, repeat(self.data), starts(self.data)))
        found.reverse()
        return found

    def entries_since(self, ts: int) -> list[Entry]:
        """The records from a time (ms) on, oldest first; those before are not unpacked."""
        data, found = self.data, list[Entry]()
        for at in starts(data):
            if int.from_bytes(data[at : at + 6], "big") < ts:
                break
            found.append(unpack(data, at))
        found.reverse()
        return found

    def older(self, ts: int) -> bytes:
        """The records from before a time (ms)."""
        data = self.data
        for at in starts(data):
            if int.from_bytes(data[at : at + 6], "big") < ts:
                return data[at:]
        return b""

    def __len__(self) -> int:
        return self.size


@dataclass(slots=True)
class FallenLog:
    """What is left of actions that fell out of their action log: time, key and media, newest first.

    The media of an undo is left out. A record is the time (6 bytes), the key (8), the length of
    the media's id (1) and the id.
    """

    data: bytes = b""
    size: int = 0

    def add(self, entry: Entry) -> None:
        """Remember an entry that left its action log."""
        media = b"" if entry.undo else entry.media_id.encode()
        record = _OLDER_HEAD.pack(entry.ts >> 16, entry.ts & 0xFFFF, entry.key, len(media)) + media
        data = self.data
        place = 0
        if record[:_OLDER_ORDER_BYTES] <= data[:_OLDER_ORDER_BYTES]:
            place = next(
                (at for at in self._starts() if data[at:at + _OLDER_ORDER_BYTES] < record),
                len(data),
            )  # fmt: skip
        self.data = data[:place] + record + data[place:]
        self.size += 1

    def has(self, record: bytes) -> bool:
        """Whether a copy of this action log record is among them."""
        key = record[KEY]
        data = self.data
        if record[:6] > data[:6] or key not in data:
            return False
        return any(data[at + 6 : at + 14] == key for at in self._starts())

    def cut(self, keep: int) -> None:
        """Forget all but the `keep` newest."""
        if self.size > keep:
            starts = list(self._starts())
            self.data = self.data[: starts[keep]]
            self.size = keep

    def media_ids(self) -> Iterator[str]:
        """The media of the actions, newest first."""
        data = self.data
        for at in self._starts():
            if data[at + 14]:
                yield data[at + 15 : at + 15 + data[at + 14]].decode("utf-8", "ignore")

    def _starts(self) -> Iterator[int]:
        at, end, head = 0, len(self.data), _OLDER_HEAD.size
        while at < end:
            yield at
            at += head + self.data[at + 14]

    def __len__(self) -> int:
        return self.size


def did(data: bytes, entry: Entry) -> bool:
    """Whether the records hold the same action on the same media, undone or not."""
    media, author = entry.media_id.encode(), entry.author_id.encode()
    ids = bytes((len(media), len(author))) + media + author
    at = data.find(ids)
    while at >= 0:
        if data[at - 9] == entry.action:
            return True
        at = data.find(ids, at + 1)
    return False


def standing(entries: Iterable[Entry]) -> list[Entry]:
    """The actions that no undo took back, oldest first.

    Args:
        entries: a whole action log, oldest first.
    """
    done = list(entries)
    if not any(entry.undo for entry in done):
        return done
    steps = [(entry.media_id, undo_kind(entry.action), entry.undo) for entry in done]
    return [done[at] for at in standing_places(steps)]


def standing_places(steps: Iterable[tuple[str, int, bool]]) -> list[int]:
    """Which actions no undo took back: their positions, ascending.

    An undo takes back the newest action before it of the same kind on the same media, unless
    another undo already has; kinds are those of :func:`models.actions.undo_kind`.

    Args:
        steps: media, kind and whether it is an undo, oldest first.
    """
    stacks: dict[tuple[str, int], list[int]] = {}
    for at, (media_id, of_kind, undo) in enumerate(steps):
        stack = stacks.setdefault((media_id, of_kind), [])
        if not undo:
            stack.append(at)
        elif stack:
            stack.pop()
    return sorted(at for stack in stacks.values() for at in stack)
