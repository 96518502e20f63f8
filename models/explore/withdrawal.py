"""Stored pages without media that must not be shown any more."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import msgspec

from models.explore.compact import CompactPage
from models.explore.grid import GridItem
from models.explore.impressions import StoredGrid


def _loose(of: type, name: str, **read: Any) -> Any:
    """A type that reads some fields of another and copies all others as they are."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(of):
        kind = read.get(field.name, msgspec.Raw)
        if field.required:
            fields.append((field.name, kind))
            continue
        factory = field.default_factory
        default = field.default if factory is msgspec.NODEFAULT else factory()
        if default is msgspec.UNSET:
            # Missing in most, and copied where it is there.
            fields.append((field.name, kind | msgspec.UnsetType, default))
            continue
        if kind is msgspec.Raw:
            default = msgspec.Raw(msgspec.json.encode(default))
        fields.append((field.name, kind, default))
    return msgspec.defstruct(name, fields)


_item: Final[Any] = _loose(GridItem, "_Item", position=int, media_id=str)
_page: Final[Any] = _loose(
    StoredGrid,
    "_Page",
    items=list[_item],
    versions=dict[str, str],
    features=str,
    compact=CompactPage,
)
_decoder: Final = msgspec.json.Decoder(_page)
_encoder: Final = msgspec.json.Encoder()


def media_of(json: bytes) -> list[str]:
    """The media of a stored page, in order.

    Raises:
        msgspec.DecodeError: the bytes are no page of this release.
    """
    return [item.media_id for item in _decoder.decode(json).items]


def without(json: bytes, gone: Collection[str]) -> bytes | None:
    """A stored page without some media; None where it shows none of them.

    It keeps its name, and carries no features any more: they are of the items that it had. What is
    left of a random order is at other places than it was drawn for, so it is none any more.

    Raises:
        msgspec.DecodeError: the bytes are no page of this release.
    """
    page = _decoder.decode(json)
    left = [item for item in page.items if item.media_id not in gone]
    if len(left) == len(page.items):
        return None
    for position, item in enumerate(left):
        item.position = position
    page.items, page.features, page.versions["features"] = left, "", ""
    page.randomised = msgspec.UNSET
    if page.compact is not msgspec.UNSET:
        ids = [item.media_id for item in left]
        page.compact = msgspec.structs.replace(page.compact, media_ids=ids)
    return _encoder.encode(page)
