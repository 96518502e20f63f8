"""Events that wait until what came of them is known, in slices of time.

Most of what the builder of examples holds are these: at a thousand events a second and a window of
ten minutes, 600,000 of them. As objects each would take 600 bytes and more; packed it takes 200.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from numpy.typing import NDArray

from models.actions import STRONG_HEADS, Action
from models.arrays.stored import Arrays, StoredArraysError, bytes_of, packed_bytes
from models.events import FollowEvent, MediaEvent
from models.viewers.forgotten import IsForgotten

#: An action on a media, or a follow (then None).
Observed = tuple[Action | None, MediaEvent | FollowEvent]

#: In place of an action's code.
_FOLLOW: Final = 0xFF
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(tuple[Any, ...]).decode


class WaitingEvents:
    """Events by the slice of their time.

    Args:
        slice_ms: length of a slice.
    """

    def __init__(self, slice_ms: int) -> None:
        self._slice_ms = slice_ms
        self._slices: dict[int, list[bytes]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, action: Action | None, event: MediaEvent | FollowEvent) -> None:
        """Let one more wait; a follow comes without an action."""
        packed = _packed(action, event)
        self._slices.setdefault(event.ts // self._slice_ms, []).append(packed)
        self._size += 1

    def forget(self, is_forgotten: IsForgotten) -> None:
        """Let nothing wait of viewers who are to be forgotten, by id."""
        for number, packed in list(self._slices.items()):
            kept = [one for one in packed if not is_forgotten(_unpacked(one)[1].viewer_id)]
            self._size -= len(packed) - len(kept)
            if kept:
                self._slices[number] = kept
            else:
                del self._slices[number]

    def each(self) -> Iterator[Observed]:
        """All that wait, by slice, in the order in which they came."""
        for packed in self._slices.values():
            yield from map(_unpacked, packed)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """What waits, in the order of :meth:`each`."""
        return packed_bytes("events", [one for packed in self._slices.values() for one in packed])

    def load(self, arrays: Arrays) -> None:
        """Let wait what :meth:`to_arrays` gave, beside what waits.

        Raises:
            StoredArraysError: these are not such arrays.
        """
        for action, event in unpacked_events(arrays):
            self.add(action, event)

    def oldest(self) -> int | None:
        """Number of the oldest slice in which something waits, None where nothing does."""
        return min(self._slices, default=None)

    def take(self, number: int) -> list[Observed]:
        """Those of a slice in the order of time, views before what is meant, then as they came."""
        packed = self._slices.pop(number, [])
        self._size -= len(packed)
        events = [_unpacked(one) for one in packed]
        events.sort(key=lambda one: (one[1].ts, one[0] in STRONG_HEADS))
        return events


def packed_events(events: Iterable[Observed]) -> dict[str, NDArray[Any]]:
    """Events as arrays, in this order."""
    return packed_bytes("events", [_packed(action, event) for action, event in events])


def unpacked_events(arrays: Arrays) -> list[Observed]:
    """What :func:`packed_events` packed.

    Raises:
        StoredArraysError: these are not such arrays.
    """
    packed = bytes_of(arrays, "events")
    try:
        return list(map(_unpacked, packed))
    except (msgspec.DecodeError, msgspec.ValidationError, TypeError, ValueError) as error:
        raise StoredArraysError(f"an event cannot be read: {error}") from error


def _packed(action: Action | None, event: MediaEvent | FollowEvent) -> bytes:
    code = _FOLLOW if action is None else int(action)
    return _encode((code, *msgspec.structs.astuple(event)))


def _unpacked(packed: bytes) -> Observed:
    code, *fields = _decode(packed)
    if code == _FOLLOW:
        return None, msgspec.convert(dict(zip(_FOLLOW_FIELDS, fields, strict=True)), FollowEvent)
    return Action(code), MediaEvent(*fields)


_FOLLOW_FIELDS: Final = FollowEvent.__struct_fields__
