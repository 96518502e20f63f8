"""Features as they were served: stored with a grid, logged with the page, read for training.

Errors::

    ValueError
    └── InvalidEventError
        └── ServedFeaturesError      bytes that are no features of this many items
            └── OtherFeaturesError   features of another version: nothing is wrong with them
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Annotated, Any, Final, NamedTuple, Self

import msgspec
import numpy as np
from isal import isal_zlib

from models.events import Id, InvalidEventError, check, check_ids, check_times, decode_value
from models.explore.compact import CompactPage
from models.explore.cursor import Cursor
from models.explore.grid import Grid, GridDocument, to_json
from models.explore.randomisation import RandomOrder
from models.explore.stamp import NO_REVISION, Stamp, at_revision, digest_of, impressed_part
from models.feature_schema import (
    DENSE_NAMES,
    FEATURE_VERSION,
    SPARSE_NAMES,
    FeatureMatrix,
)
from models.world import World

#: Of ISA-L, which writes zlib's format in a third of zlib's time: as small as zlib's fastest.
_LEVEL: Final = 1
#: Far more than a grid or a series of pages has: a broken record must not ask for more memory than
#: a whole one, nor for a place that int16 cannot hold.
MOST_ITEMS: Final = 1_000
MOST_PAGES: Final = 1_000
LAST_POSITION: Final = 32_767
FEATURES_REASON: Final = "bad_features"


class ServedFeaturesError(InvalidEventError):
    """Text that holds no features of so many items."""

    def __init__(self, message: str) -> None:
        super().__init__(FEATURES_REASON, message)


class OtherFeaturesError(ServedFeaturesError):
    """Features of another version, as stand in a log from before an upgrade."""


class Page(GridDocument, frozen=True, kw_only=True):
    """A page of a viewer's grid, as readers get it.

    Attributes:
        request_id: names the page; events that come of it may carry it. A page that is asked for
            again keeps its name, so a retry does not count as another impression.
        page: number of the page in its series, from 0.
        next: cursor of the page after it.
    """

    request_id: str = ""
    page: int = 0
    next: str | None = None


class StoredGrid(Page, frozen=True, kw_only=True):
    """A page as it is stored: with what only rankers read, at its end.

    Attributes:
        compact: the page as ids alone, as it is answered to who asks for no more.
        features: that the final pass saw of the items in order, see :func:`pack_features`;
            ``versions["features"]`` says of which columns.
        randomised: only where the page is in random order, see
            :mod:`models.explore.randomisation`.
        stamp: what it was made of, see :mod:`models.explore.stamp`.
    """

    compact: CompactPage | msgspec.UnsetType = msgspec.UNSET
    features: str = ""
    randomised: RandomOrder | msgspec.UnsetType = msgspec.UNSET
    stamp: str = ""


class Impression(GridDocument, frozen=True, kw_only=True):
    """A page that was served, as ``explore.impressions`` carries it: as stored, and when.

    Attributes:
        request_id: names the page; asked for again it keeps its name.
        page: number of the page in its series, from 0.
        features, randomised: as in :class:`StoredGrid`.
        served_ms: when it was answered.
    """

    request_id: Id
    page: Annotated[int, msgspec.Meta(ge=0, lt=MOST_PAGES)]
    features: str = ""
    randomised: RandomOrder | msgspec.UnsetType = msgspec.UNSET
    served_ms: int


class EncodedGrid(NamedTuple):
    """A stored grid and its JSON side by side: who has one of them need not make it again."""

    document: StoredGrid
    json: bytes

    @classmethod
    def of(
        cls,
        grid: Grid,
        world: World,
        live: str = "",
        at: Cursor | None = None,
        *,
        cursor_key: bytes = b"",
    ) -> Self:
        """A computed grid; `world` is the one it was computed in.

        Args:
            live: digest of the versions that it was made by, see :mod:`models.explore.stamp`.
            at: its place in a series, for a page that is not the first.
            cursor_key: that the cursor of the page after it is signed with.
        """
        document = stored_grid(grid, world, live, at, cursor_key)
        return cls(document, to_json(document))

    def at_revision(self, revision: bytes) -> Self:
        """The grid as made of this revision of its viewer's state (4 bytes, or none)."""
        return self._replace(json=at_revision(self.json, revision))

    @classmethod
    def decode(cls, json: bytes) -> Self:
        """A grid that was read from the store.

        Raises:
            msgspec.DecodeError: the bytes are no grid.
        """
        return cls(_decoder.decode(json), json)

    def document_of(self, json: bytes) -> StoredGrid:
        """The document of what stands in the store: this one, unless it is another."""
        return self.document if json == self.json else self.decode(json).document


_decoder = msgspec.json.Decoder(StoredGrid)
_impression = msgspec.json.Decoder(Impression)


def parse_impression(value: bytes | None, now_ms: int) -> Impression:
    """Read one record of ``explore.impressions``; features of another version are left as they are.

    Raises:
        InvalidEventError: it can never be labelled.
    """
    page = decode_value(_impression, value)
    check_ids(page, "viewer_id", "request_id")
    check_times(page, now_ms, "served_ms", "generated_at_ms", "reflects_ts")
    n = len(page.items)
    check(n <= MOST_ITEMS, "items", f"are {n}; a page has at most {MOST_ITEMS}")
    for item in page.items:
        check_ids(item, "media_id", "author_id")
    if page.randomised is not msgspec.UNSET:
        pool = page.randomised.pool
        check(
            n <= len(pool) <= MOST_ITEMS,
            "randomised",
            f"has a pool of {len(pool)}; {n} items are drawn from at least as many, and at most "
            f"{MOST_ITEMS}",
        )
        for pooled in pool:
            check_ids(pooled, "media_id", "author_id")
        pooled_ids = {pooled.media_id for pooled in pool}
        for item in page.items:
            check(item.media_id in pooled_ids, "randomised", f"lacks {item.media_id} of the items")
    version = page.versions.get("features", "")
    if version == FEATURE_VERSION:
        unpack_features(page.features, n, version)
    return page


def stored_grid(
    grid: Grid,
    world: World,
    live: str = "",
    at: Cursor | None = None,
    cursor_key: bytes = b"",
) -> StoredGrid:
    """The document of a grid as it is stored; the arguments are those of :meth:`EncodedGrid.of`."""
    document = grid.document(world)
    fields: dict[str, Any] = msgspec.structs.asdict(document)
    stamp = Stamp(NO_REVISION, live or digest_of(document.versions), grid.generated_at_ms)
    stored = StoredGrid(
        **fields,
        features=pack_features(grid.features),
        randomised=msgspec.UNSET if grid.pool is None else grid.pool.document(world.catalog),
        stamp=stamp.text(),
    )
    return _placed(stored, at, cursor_key)


def of_viewer(document: StoredGrid, viewer_id: str, cursor_key: bytes) -> StoredGrid:
    """A first page as another viewer gets it of whom as little is known."""
    return _placed(msgspec.structs.replace(document, viewer_id=viewer_id), None, cursor_key)


def _placed(document: StoredGrid, at: Cursor | None, cursor_key: bytes) -> StoredGrid:
    """A page with its name and the cursor of the one after it."""
    viewer_id = document.viewer_id
    if at is None:
        made_of = f"{document.features}{document.generated_at_ms}:{viewer_id}".encode()
        at = Cursor.first(viewer_id, made_of, [item.media_id for item in document.items])
    following = at.following() if document.items else None
    placed = msgspec.structs.replace(
        document,
        request_id=at.request_id(viewer_id),
        page=at.number,
        next=None if following is None else following.text(viewer_id, cursor_key),
    )
    compact = CompactPage(
        viewer_id,
        [item.media_id for item in placed.items],
        placed.generated_at_ms,
        placed.reflects_ts,
        placed.request_id,
        placed.page,
        placed.next,
    )
    return msgspec.structs.replace(placed, compact=compact)


def impression_of(stored: bytes, served_ms: int) -> bytes:
    """The impression of a stored page, as JSON; nothing is decoded."""
    return b'%b,"served_ms":%d}' % (impressed_part(stored)[:-1], served_ms)


def pack_features(features: FeatureMatrix) -> str:
    """Features as text: base64 of zlib of the columns one after the other, little-endian.

    Dense columns come first, float32, then sparse ones, int32. Column by column, because those of
    the viewer repeat and most others are close; nothing is rounded.
    """
    dense = np.ascontiguousarray(features.dense_nf.T, "<f4").tobytes()
    sparse = np.ascontiguousarray(features.sparse_ns.T, "<i4").tobytes()
    return base64.b64encode(isal_zlib.compress(dense + sparse, _LEVEL)).decode()


def unpack_features(text: str, items: int, feature_version: str) -> FeatureMatrix:
    """The features that :func:`pack_features` wrote, bit for bit.

    Raises:
        OtherFeaturesError: they are of another feature version.
        ServedFeaturesError: they are not of `items` items.
    """
    if feature_version != FEATURE_VERSION:
        raise OtherFeaturesError(
            f"features of version {feature_version!r}; this build has {FEATURE_VERSION!r}: they "
            "are left out, new ones come with what this build serves"
        )
    dense, sparse = len(DENSE_NAMES), len(SPARSE_NAMES)
    size = 4 * items * (dense + sparse)
    try:
        # One byte more than it may be, so that what is too long does not fill the memory.
        data = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), size + 1)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise ServedFeaturesError(f"served features cannot be read: {error}") from error
    if len(data) != size:
        raise ServedFeaturesError(
            f"served features have {len(data)} bytes; {items} items of {dense} dense and {sparse} "
            f"sparse columns have {size}"
        )
    cut = 4 * items * dense
    dense_fn = np.frombuffer(data[:cut], "<f4").reshape(dense, items)
    sparse_sn = np.frombuffer(data[cut:], "<i4").reshape(sparse, items)
    if not np.isfinite(dense_fn).all():
        raise ServedFeaturesError("served features hold NaN or infinity; they are left out")
    return FeatureMatrix(
        np.ascontiguousarray(dense_fn.T, np.float32), np.ascontiguousarray(sparse_sn.T, np.int32)
    )
