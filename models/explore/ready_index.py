"""Which ready grids show a media: the grids that a process knows of, by rows of the catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from models.arrays.types import UNKNOWN, Rows
from models.inventory.availability import IntegrityBounds, may_be_shown
from models.inventory.catalog import Catalog

#: Grids looked at in one go: what waits meanwhile waits for about a millisecond.
SLICE = 4096


class ReadyIndex:
    """Viewers and the media of their ready grids.

    About 200 bytes a grid of 25 items. Grids that have ended give their places to new ones.

    Args:
        ttl_ms: how long a grid is ready.
    """

    def __init__(self, ttl_ms: int) -> None:
        self._ttl_ms = ttl_ms
        self._place: dict[str, int] = {}
        self._viewers: list[str] = []
        self._bounds: list[IntegrityBounds] = []
        self._code: dict[IntegrityBounds, int] = {}
        self._media_vi: Rows = np.full((16, 1), UNKNOWN, np.int32)
        self._code_v: NDArray[np.int16] = np.zeros(16, np.int16)
        self._made_ms_v: NDArray[np.int64] = np.zeros(16, np.int64)

    def __len__(self) -> int:
        return len(self._place)

    def note(self, viewer_id: str, media_n: Rows, bounds: IntegrityBounds, made_ms: int) -> None:
        """A grid is ready; it takes the place of the viewer's last one."""
        place = self._place.get(viewer_id)
        if place is None:
            if len(self._viewers) == len(self._made_ms_v):
                self._make_room(made_ms)
            place = self._place[viewer_id] = len(self._viewers)
            self._viewers.append(viewer_id)
        if len(media_n) > self._media_vi.shape[1]:
            wider = np.full((len(self._made_ms_v), len(media_n)), UNKNOWN, np.int32)
            wider[:, : self._media_vi.shape[1]] = self._media_vi
            self._media_vi = wider
        self._media_vi[place] = UNKNOWN
        self._media_vi[place, : len(media_n)] = media_n
        code = self._code.get(bounds)
        if code is None:
            code = self._code[bounds] = len(self._bounds)
            self._bounds.append(bounds)
        self._code_v[place], self._made_ms_v[place] = code, made_ms

    def forbidden(
        self, catalog: Catalog, held_since: Mapping[int, int] = MappingProxyType({})
    ) -> Iterator[list[tuple[str, Rows]]]:
        """Viewers whose grid shows what must not be shown, with its rows; a slice at a time.

        The index may change between two slices.

        Args:
            held_since: accounts that are held back, by row, and since when, epoch ms. Grids made
                from then on show of theirs what their viewers chose, and may.
        """
        held_h = np.array(sorted(held_since), np.int32)
        since_ms_h = np.array([held_since[row] for row in held_h.tolist()], np.int64)
        for first in range(0, len(self._viewers), SLICE):
            end = min(first + SLICE, len(self._viewers))
            media_vi = self._media_vi[first:end]
            gone_vi = media_vi != UNKNOWN
            for code in np.unique(self._code_v[first:end]).tolist():
                of_code = self._code_v[first:end] == code
                shown_n = media_vi[of_code].ravel()
                keep_n = may_be_shown(catalog, shown_n, self._bounds[code])
                gone_vi[of_code] &= ~keep_n.reshape(-1, media_vi.shape[1])
            if len(held_h):
                author_vi = catalog.author_n[np.maximum(media_vi, 0)]
                at_vi = np.minimum(held_h.searchsorted(author_vi), len(held_h) - 1)
                earlier_vi = self._made_ms_v[first:end, None] < since_ms_h[at_vi]
                gone_vi |= (held_h[at_vi] == author_vi) & earlier_vi & (media_vi != UNKNOWN)
            yield [
                (self._viewers[first + at], media_vi[at][gone_vi[at]])
                for at in gone_vi.any(axis=1).nonzero()[0].tolist()
            ]

    def made_ms(self, viewer_id: str) -> int | None:
        """When the viewer's grid was made, epoch ms; None for one that is not known."""
        place = self._place.get(viewer_id)
        return None if place is None else int(self._made_ms_v[place])

    def take_out(self, viewer_id: str, media_n: Rows) -> None:
        """The viewer's grid does not show these media (any more)."""
        place = self._place.get(viewer_id)
        if place is not None:
            media_i = self._media_vi[place]
            media_i[np.isin(media_i, media_n)] = UNKNOWN

    def _make_room(self, now_ms: int) -> None:
        """Forget grids that have ended; where they are few, take twice the room."""
        n = len(self._viewers)
        stay = (self._made_ms_v[:n] > now_ms - self._ttl_ms).nonzero()[0]
        room = len(self._made_ms_v) * (2 if 2 * len(stay) > n else 1)
        for name in ("_media_vi", "_code_v", "_made_ms_v"):
            old = getattr(self, name)
            new = np.zeros((room, *old.shape[1:]), old.dtype)
            new[: len(stay)] = old[stay]
            setattr(self, name, new)
        self._viewers = [self._viewers[at] for at in stay.tolist()]
        self._place = {name: place for place, name in enumerate(self._viewers)}
