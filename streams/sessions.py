"""Viewer touched → sessions that closed.

A session closes when `gap_ms` pass in event time without an event of its viewer. The stream's own
time is the newest event time seen, and it goes on with the wall clock while nothing arrives: a
replay of old events closes sessions as it goes, and an idle stream closes its last ones too.

Topics and partitions are read unevenly, so a viewer's older events may still be on their way when
the stream's time is far ahead. A viewer is therefore looked at only after nothing of hers arrived
for `SETTLE_MS`. An event that comes later still is folded, but its session is not sent again.

The schedule is stored and viewers are leased from it, so any number of workers share it and one
goes on where another stopped. The end of the last session sent stands in the viewer's state. A
crash between sending and storing that sends a session twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from infra.kafka import Message
from infra.metrics import SESSIONS_CLOSED
from infra.stores import SessionSchedule, Store, Versioned
from infra.topics import SESSIONS_TOPIC
from models.actions import ACTION_NAMES
from models.viewers.action_log import Entry
from models.viewers.state import sessions
from streams.records import ClosedSession, Sender, Touched

SETTLE_MS: Final = 3000
#: A worker that leased viewers and died is replaced after this.
LEASE_MS: Final = 30_000
#: Viewers looked at per sweep; more than a busy worker closes sessions of between two sweeps.
SWEEP_LIMIT: Final = 1000


_json = msgspec.json.Encoder()


class Sessions:
    """Follows open sessions and sends the ones that closed."""

    def __init__(
        self, store: Store, schedule: SessionSchedule, sender: Sender, gap_ms: int
    ) -> None:
        self._store = store
        self._schedule = schedule
        self._sender = sender
        self._gap_ms = gap_ms

    async def touched(self, touches: Sequence[Touched], now_ms: int) -> None:
        """Note that viewers did something."""
        if not touches:
            return
        # Events a little ahead of time are valid, but must not hurry everybody else's sessions.
        newest_ts = min(max(touch.ts for touch in touches), now_ms)
        viewer_ids = {touch.viewer_id for touch in touches}
        await self._schedule.touch(viewer_ids, now_ms + SETTLE_MS, newest_ts, now_ms)

    async def sweep(self, now_ms: int) -> int:
        """Send the sessions that have closed; returns how many."""
        lease_end = now_ms + LEASE_MS
        clock, viewer_ids = await self._schedule.lease(now_ms, lease_end, SWEEP_LIMIT)
        if clock is None or not viewer_ids:
            return 0
        stream_ms = clock.newest_ts + max(now_ms - clock.seen_ms, 0)
        messages: list[Message] = []
        changed: list[tuple[str, Versioned]] = []
        again_ms: dict[str, int | None] = {}
        for viewer_id, versioned in zip(
            viewer_ids, await self._store.load(viewer_ids), strict=True
        ):
            closed, open_ends = self._cut(versioned, stream_ms)
            messages.extend(_message(viewer_id, session) for session in closed)
            if closed:
                versioned.state.sessions_sent = closed[-1][-1].ts
                changed.append((viewer_id, versioned))
            again_ms[viewer_id] = (
                now_ms + self._wait_ms(open_ends, stream_ms, now_ms) if open_ends else None
            )
        await self._sender.send(messages)
        # A viewer who was written meanwhile was touched, too, and will be looked at again.
        await self._store.commit([v for v, _ in changed], [s for _, s in changed])
        await self._schedule.release(lease_end, again_ms)
        SESSIONS_CLOSED.inc(len(messages))
        return len(messages)

    def _wait_ms(self, open_ends: int, stream_ms: int, now_ms: int) -> int:
        """How long until an open session may have closed, by the wall clock."""
        if stream_ms < now_ms - self._gap_ms:
            return SETTLE_MS  # a replay: event time goes on in leaps
        return max(open_ends - stream_ms, SETTLE_MS)

    def _cut(self, versioned: Versioned, stream_ms: int) -> tuple[list[list[Entry]], int]:
        """Sessions that closed and were not sent, and when the open one will close (0 for none)."""
        closed: list[list[Entry]] = []
        for session in sessions(versioned.state, self._gap_ms):
            ends_ms = session[-1].ts + self._gap_ms
            if ends_ms > stream_ms:
                return closed, ends_ms
            if session[-1].ts > versioned.state.sessions_sent:
                closed.append(session)
        return closed, 0


def _message(viewer_id: str, entries: list[Entry]) -> Message:
    session = ClosedSession(
        viewer_id=viewer_id,
        started_ts=entries[0].ts,
        ended_ts=entries[-1].ts,
        steps=[(e.author_id, ACTION_NAMES[e.action], e.ts) for e in entries],
    )
    return Message(SESSIONS_TOPIC, viewer_id, _json.encode(session))
