"""Cursors: which page of which series comes next, and what the first page of the series showed.

A cursor is made with the first page and given with it; nothing is stored until it is used.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from hashlib import blake2b
from hmac import compare_digest
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays.id_table import hash_id

#: A viewer who scrolls further than this starts a new series.
MAX_PAGES: Final = 100
#: Bytes of a series' name, and of the hash of an id.
_SERIES: Final = 12
_HASH: Final = 4
#: Bytes of the signature at the end.
_SIGNATURE: Final = 8
_BEFORE_SHOWN: Final = _SERIES + _HASH + 1
#: Media of a first page at most; far more than any grid shows.
_MOST_SHOWN: Final = 1_000


class CursorError(ValueError):
    """A cursor that this service did not give, or whose series has expired."""


class Cursor(NamedTuple):
    """Which page of which series comes next.

    Whose series it is, the request says; the cursor of another viewer is refused. A series is named
    by a digest of what its first page was made of, features included, which nobody is shown: the
    name cannot be guessed, and means nothing to anybody else. A cursor is signed, for its viewer: a
    made-up one would have pages ranked and stored for a series that nobody began.

    Attributes:
        viewer: hash of the viewer's id (:func:`models.arrays.id_table.hash_id`).
        series: 24 hexadecimal digits.
        number: of the page, from 0.
        shown: little-endian 32-bit hashes of the media of the first page, in order.
    """

    viewer: int
    series: str
    number: int
    shown: bytes = b""

    @classmethod
    def first(cls, viewer_id: str, made_of: bytes, media_ids: Sequence[str]) -> Cursor:
        """The place of a first page; the same for the same page.

        Args:
            made_of: what the page was made of, enough to tell it from all others.
        """
        hash_n = np.fromiter(map(hash_id, media_ids), "<u4", len(media_ids))
        series = blake2b(made_of, digest_size=_SERIES).hexdigest()
        return cls(hash_id(viewer_id), series, 0, hash_n.tobytes())

    def following(self) -> Cursor | None:
        """The place of the page after it, None where the series ends."""
        return self._replace(number=self.number + 1) if self.number < MAX_PAGES else None

    def shown_hashes(self) -> NDArray[np.int32]:
        """Hashes of the media of the first page."""
        return np.frombuffer(self.shown, "<u4").astype(np.int32)

    def text(self, viewer_id: str, key: bytes) -> str:
        """The cursor as it travels.

        Args:
            key: that it is signed with, at most 64 bytes, the same in every process.
        """
        viewer = self.viewer.to_bytes(_HASH, "little")
        raw = bytes.fromhex(self.series) + viewer + bytes([self.number]) + self.shown
        return base64.urlsafe_b64encode(raw + _signature(raw, viewer_id, key)).decode().rstrip("=")

    def request_id(self, viewer_id: str) -> str:
        """Names the page of a viewer; the same page has the same name."""
        place = f"{self.series}{self.number}:{viewer_id}"
        return blake2b(place.encode(), digest_size=12).hexdigest()

    @classmethod
    def parse(cls, text: str, viewer_id: str, key: bytes) -> Cursor:
        """The cursor of a viewer's next page, as :meth:`text` wrote it and not otherwise.

        Args:
            key: that it must be signed with.

        Raises:
            CursorError: it is none, or another viewer's.
        """
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except (binascii.Error, ValueError):
            raw = b""
        signature, raw = raw[-_SIGNATURE:], raw[:-_SIGNATURE]
        shown = raw[_BEFORE_SHOWN:]
        whole = len(raw) >= _BEFORE_SHOWN and not len(shown) % _HASH
        if whole and len(shown) <= _HASH * _MOST_SHOWN:
            viewer = int.from_bytes(raw[_SERIES : _SERIES + _HASH], "little")
            cursor = cls(viewer, raw[:_SERIES].hex(), raw[_BEFORE_SHOWN - 1], shown)
            whole = not (cursor.shown_hashes() < 0).any()
            if whole and 1 <= cursor.number <= MAX_PAGES:
                if viewer != hash_id(viewer_id):
                    raise CursorError(
                        f"cursor {text[:40]!r} is not one of viewer {viewer_id!r}; start without a "
                        "cursor"
                    )
                is_ours = compare_digest(signature, _signature(raw, viewer_id, key))
                if is_ours and cursor.text(viewer_id, key) == text:
                    return cursor
        raise _foreign(text)


def _signature(raw: bytes, viewer_id: str, key: bytes) -> bytes:
    return blake2b(raw + viewer_id.encode(), key=key, digest_size=_SIGNATURE).digest()


def _foreign(text: str) -> CursorError:
    return CursorError(
        f"cursor {text[:40]!r} was not given by this service; start without a cursor"
    )
