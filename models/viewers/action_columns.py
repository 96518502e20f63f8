"""The action logs of many viewers, read at once into columns.

:meth:`models.viewers.action_log.ActionLog.entries` makes an object of each record. Who only wants
columns reads the heads of all records with one gather, here, and makes nothing but the ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.actions import undo_kind
from models.arrays.viewer_pairs import spans_of
from models.viewers.action_log import HEAD, UNDO, standing_places, starts
from models.viewers.state import ViewerState

_HEAD_BYTES: Final = np.arange(HEAD.size)
#: Where in a head the time and the flags end, and where the lengths of both ids are.
_FLAGS_END: Final = 7
_MEDIA_BYTES: Final = 15
_AUTHOR_BYTES: Final = 16

Places = NDArray[np.int64]


class Actions(NamedTuple):
    """What viewers did and did not take back: one viewer's after the other's, newest first.

    Attributes:
        spans: where each viewer's are.
        undid: whether each viewer took anything back.
        media_ids, author_ids, action_e, ts_e: of each action.
    """

    spans: list[slice]
    undid: list[bool]
    media_ids: list[str]
    author_ids: list[str]
    action_e: NDArray[np.int8]
    ts_e: NDArray[np.int64]


def read_actions(states: Sequence[ViewerState]) -> Actions:
    """The actions in the action logs of `states` that no undo took back."""
    # Times and flags together are equal only within one log, where a stable sort leaves the order.
    data = b"".join([actions.data for state in states for actions in (state.views, state.strong)])
    at_e = np.fromiter(starts(data), np.int64)
    head_eb = np.frombuffer(data, np.uint8)[at_e[:, np.newaxis] + _HEAD_BYTES]
    order_eb = np.zeros((len(at_e), 8), np.uint8)
    order_eb[:, 1:] = head_eb[:, :_FLAGS_END]
    order_e = order_eb.view(">i8")[:, 0].astype(np.int64)
    media_e = at_e + HEAD.size
    author_e = media_e + head_eb[:, _MEDIA_BYTES]
    end_e = author_e + head_eb[:, _AUTHOR_BYTES]
    # Slices of decoded text are cheaper than decoded slices.
    text = data.decode("latin-1")

    newest, undid = [], []
    for span in spans_of(state.views.size + state.strong.size for state in states):
        order = order_e[span]
        place = (-order).argsort(kind="stable") + span.start
        undone = bool((order & UNDO).any())
        if undone:
            place = _standing(place, order_e[place], _ids(text, media_e[place], author_e[place]))
        newest.append(place)
        undid.append(undone)
    place_e = np.concatenate(newest) if newest else np.empty(0, np.int64)
    order_e, media_e, author_e = order_e[place_e], media_e[place_e], author_e[place_e]
    return Actions(
        spans=spans_of(map(len, newest)),
        undid=undid,
        media_ids=_ids(text, media_e, author_e),
        author_ids=_ids(text, author_e, end_e[place_e]),
        action_e=(order_e & ~np.int64(UNDO)).astype(np.int8),
        ts_e=order_e >> 8,
    )


def _standing(place_e: Places, order_e: Places, media_ids: list[str]) -> Places:
    """The places of those that no undo took back, of one viewer's."""
    flags = (order_e & 0xFF).tolist()
    oldest_first = [
        (media_id, undo_kind(flag & ~UNDO), flag >= UNDO)
        for media_id, flag in zip(reversed(media_ids), reversed(flags), strict=True)
    ]
    return place_e[::-1][standing_places(oldest_first)][::-1]


def _ids(text: str, start_e: Places, end_e: Places) -> list[str]:
    ids = [text[at:end] for at, end in zip(start_e.tolist(), end_e.tolist(), strict=True)]
    if all(map(str.isascii, ids)):
        return ids
    return [name.encode("latin-1").decode("utf-8", "ignore") for name in ids]
