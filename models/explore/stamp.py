"""What a stored grid was made of, in its last bytes: who reads it need not decode the grid."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

#: Hexadecimal digits of the parts.
_REVISION: Final = 8
_LIVE: Final = 16
_MADE: Final = 12
STAMP_LENGTH: Final = _REVISION + _LIVE + _MADE
#: The bytes that these stand for.
_REVISION_ENDS: Final = _REVISION // 2
_LIVE_ENDS: Final = (_REVISION + _LIVE) // 2
#: A stored grid ends with this, the digits and the two characters that close text and document.
_BEFORE: Final = b',"stamp":"'
_END: Final = -2
_FIRST: Final = _END - STAMP_LENGTH
#: What only rankers read stands last, and who asks for a page does not get it: first the page as
#: ids alone, as JSON, then the rest.
_COMPACT: Final = b',"compact":'
_FEATURES: Final = b',"features":"'

#: Of a viewer of whom nothing is stored.
NO_REVISION: Final = bytes(_REVISION // 2)

_sorted = msgspec.json.Encoder(order="sorted")


def digest_of(versions: Mapping[str, str]) -> str:
    """Sixteen digits that say which versions; the same in every process."""
    return blake2b(_sorted.encode(versions), digest_size=_LIVE // 2).hexdigest()


class Stamp(NamedTuple):
    """What a grid was made of.

    Attributes:
        revision: 4 bytes, of the viewer's stored state; zeros where there was none.
        live: :func:`digest_of` the versions that were live.
        made_ms: when, epoch ms.
    """

    revision: bytes
    live: str
    made_ms: int

    def text(self) -> str:
        """The stamp as it is stored."""
        return f"{self.revision.hex()}{self.live}{self.made_ms:0{_MADE}x}"

    @classmethod
    def of(cls, json: bytes) -> Stamp | None:
        """The stamp of a stored grid; None for one of another release, or of none."""
        if json[_FIRST - len(_BEFORE) : _FIRST] != _BEFORE:
            return None
        try:
            digits = json[_FIRST:_END].decode("ascii")
            parts = bytes.fromhex(digits)
        except ValueError:
            return None
        made_ms = int.from_bytes(parts[_LIVE_ENDS:], "big")
        return cls(parts[:_REVISION_ENDS], digits[_REVISION:-_MADE], made_ms)


def stamp_digits(json: bytes) -> bytes:
    """The digits of a stored grid's stamp, as they are: two grids of a viewer differ in them."""
    return json[_FIRST:_END]


def at_revision(json: bytes, revision: bytes) -> bytes:
    """A stored grid as made of this revision of its viewer's state (4 bytes, or none)."""
    if Stamp.of(json) is None:
        return json
    digits = (revision or NO_REVISION).hex().encode()
    return b"".join((json[:_FIRST], digits, json[_FIRST + _REVISION :]))


def page_of(json: bytes) -> bytes:
    """A stored grid as readers get it: without what only rankers read."""
    return json[: _hidden(json)[0]] + b"}"


def compact_part(json: bytes) -> bytes:
    """A stored grid as ids alone, as it is stored; empty for one of a release that stored none."""
    begins, ends = _hidden(json)
    return json[begins + len(_COMPACT) : ends]


def impressed_part(json: bytes) -> bytes:
    """A stored grid without its form of ids alone."""
    begins, ends = _hidden(json)
    return json[:begins] + json[ends:]


def _hidden(json: bytes) -> tuple[int, int]:
    """Where the page as ids alone begins, or would, and where the rest begins that is hidden."""
    # The text of `features` ends just before the stamp and holds no quotation mark; one byte is
    # found much faster than several, and these are thousands.
    ends = json.rfind(b'"', 0, _FIRST - len(_BEFORE) - 1) + 1 - len(_FEATURES)
    if ends < 0 or json[ends : ends + len(_FEATURES)] != _FEATURES:
        ends = json.rindex(_FEATURES)
    # Quotation marks within ids are escaped: these bytes are the last field of that name.
    begins = json.rfind(_COMPACT, 0, ends)
    return (ends if begins < 0 else begins), ends
