"""What one batch says of one viewer, packed for the store; and what is told of it."""

from __future__ import annotations

from infra.stores import Slice
from models.actions import action_in
from models.events import FollowEvent, MediaEvent
from models.viewers.action_log import KEY, pack
from streams.records import Touched

#: An event ready to be folded: its place and offset, a packed action
#: (:mod:`models.viewers.action_log`) or a follow, and whether it belongs to the action log of
#: views. A plain tuple: there is one for each event.
Item = tuple[bytes, int, bytes | FollowEvent, bool]


def packed_event(topic: str, event: MediaEvent, author_id: str) -> bytes:
    """An event as a record of its action log."""
    action = action_in(topic, event.long)
    return pack(event.ts, action, event.event_id, event.media_id, author_id, event.undo)


def pack_slice(viewer_id: str, items: list[Item]) -> tuple[Slice | None, Touched]:
    """One viewer's items as a slice, None if they have to be folded, and what to tell of them."""
    places: dict[bytes, tuple[int, int]] = {}
    strong: list[bytes] = []
    views: list[bytes] = []
    newest_ts = 0
    followed = repeated = False
    for at, offset, event, is_view in items:
        known = places.get(at)
        places[at] = (offset if known is None else known[0], offset + 1)
        if isinstance(event, FollowEvent):
            followed = True
            newest_ts = max(newest_ts, event.ts)
        elif is_view:
            views.append(event)
        else:
            strong.append(event)
    for records in (strong, views):
        if len(records) > 1:
            records.sort(reverse=True)
            # A producer's retry within one batch.
            repeated |= len({packed[KEY] for packed in records}) < len(records)
        if records:
            newest_ts = max(newest_ts, int.from_bytes(records[0][:6], "big"))
    touched = Touched(viewer_id, newest_ts, viewed=not strong and not followed)
    if followed or repeated:
        return None, touched
    return Slice(
        viewer_id,
        b"".join(
            [
                at + first.to_bytes(6, "big") + following.to_bytes(6, "big")
                for at, (first, following) in places.items()
            ]
        ),
        b"".join(strong),
        b"".join(views),
    ), touched
