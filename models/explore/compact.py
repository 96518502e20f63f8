"""A page as ids alone: for readers that know the media themselves.

It is stored beside the page: to decode a page for its ids costs as much as all else that an answer
costs a ranker.
"""

from __future__ import annotations

from typing import Final

import msgspec

from models.events import Id
from models.explore.stamp import compact_part


class CompactPage(msgspec.Struct, frozen=True):
    """A page of a viewer's grid, ids alone; the other fields are those of the page.

    Attributes:
        media_ids: best first.
    """

    viewer_id: Id
    media_ids: list[Id]
    generated_at_ms: int
    reflects_ts: int
    request_id: str
    page: int
    next: str | None


class _Item(msgspec.Struct):
    media_id: str


class _Page(msgspec.Struct):
    viewer_id: str
    items: list[_Item]
    generated_at_ms: int
    reflects_ts: int
    request_id: str = ""
    page: int = 0
    next: str | None = None


_decoder: Final = msgspec.json.Decoder(_Page)
_encoder: Final = msgspec.json.Encoder()


def compact_page_of(json: bytes) -> bytes:
    """The compact form of a stored page, both as JSON."""
    stored = compact_part(json)
    # Releases that stored none left nothing behind it, or a null.
    if stored.startswith(b"{"):
        return stored
    page = _decoder.decode(json)
    return _encoder.encode(
        CompactPage(
            page.viewer_id,
            [item.media_id for item in page.items],
            page.generated_at_ms,
            page.reflects_ts,
            page.request_id,
            page.page,
            page.next,
        )
    )
