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

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from infra.kafka import Message
from infra.metrics import SESSIONS_CLOSED, SESSIONS_LOOKED_AT
from infra.stores import SessionSchedule, Store, Versioned
from infra.topics import SESSIONS_TOPIC
from models.actions import ACTION_NAMES
from models.viewers.action_log import Entry
from models.viewers.state import ViewerState, first_times, unsent_sessions
from streams.records import ClosedSession, Sender, Touched

SETTLE_MS: Final = 3000
#: A worker that leased viewers and died is replaced after this.
LEASE_MS: Final = 30_000
#: Viewers leased at once: reading their states holds up the event loop for some 20 ms.
SWEEP_LIMIT: Final = 1000
#: So many leases are looked at side by side: Redis answers one while another is worked on.
SIDE_BY_SIDE: Final = 2
#: A sweep ends after so long, though more viewers are due, so that other timers have their turn.
SWEEP_S: Final = 1.0


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
        """Send the sessions that have closed of all viewers that are due; returns how many.

        It goes on until nobody is due, or for `SWEEP_S`.
        """
        closed, deadline = 0, time.monotonic() + SWEEP_S
        while True:
            looks = await asyncio.gather(*(self._look(now_ms) for _ in range(SIDE_BY_SIDE)))
            closed += sum(sent for _, sent in looks)
            all_full = all(looked_at == SWEEP_LIMIT for looked_at, _ in looks)
            if not all_full or time.monotonic() >= deadline:
                return closed

    async def _look(self, now_ms: int) -> tuple[int, int]:
        """Look at the next viewers that are due; how many there were, and sessions of theirs."""
        lease_end = now_ms + LEASE_MS
        clock, viewer_ids = await self._schedule.lease(now_ms, lease_end, SWEEP_LIMIT)
        if clock is None or not viewer_ids:
            return 0, 0
        stream_ms = clock.newest_ts + max(now_ms - clock.seen_ms, 0)
        messages: list[Message] = []
        changed: list[tuple[str, Versioned]] = []
        again_ms: dict[str, int | None] = {}
        for viewer_id, versioned in zip(
            viewer_ids, await self._store.load(viewer_ids), strict=True
        ):
            state, sent_ts = versioned.state, versioned.state.sessions_sent
            closed, open_ends = close_sessions(viewer_id, state, self._gap_ms, stream_ms)
            messages.extend(
                Message(SESSIONS_TOPIC, viewer_id, _json.encode(session)) for session in closed
            )
            if state.sessions_sent != sent_ts:
                changed.append((viewer_id, versioned))
            again_ms[viewer_id] = (
                now_ms + self._wait_ms(open_ends, stream_ms, now_ms) if open_ends else None
            )
        await self._sender.send(messages)
        # A viewer who was written meanwhile was touched, too, and will be looked at again.
        await self._store.commit([v for v, _ in changed], [s for _, s in changed])
        await self._schedule.release(lease_end, again_ms)
        SESSIONS_CLOSED.inc(len(messages))
        SESSIONS_LOOKED_AT.inc(len(viewer_ids))
        return len(viewer_ids), len(messages)

    def _wait_ms(self, open_ends: int, stream_ms: int, now_ms: int) -> int:
        """How long until an open session may have closed, by the wall clock."""
        if stream_ms < now_ms - self._gap_ms:
            return SETTLE_MS  # a replay: event time goes on in leaps
        return max(open_ends - stream_ms, SETTLE_MS)


def close_sessions(
    viewer_id: str, state: ViewerState, gap_ms: int, stream_ms: int
) -> tuple[list[ClosedSession], int]:
    """The sessions that have closed at `stream_ms` and were not told before; the state notes it.

    Who does the same again and again teaches nothing new: a session of nothing else is not told.

    Returns:
        The sessions, and when the open one will close (epoch ms, 0 for none).
    """
    closed: list[list[Entry]] = []
    open_ends = 0
    for session in unsent_sessions(state, gap_ms):
        ends_ms = session[-1].ts + gap_ms
        if ends_ms > stream_ms:
            open_ends = ends_ms
            break
        closed.append(session)
    told = [
        ClosedSession(
            viewer_id=viewer_id,
            started_ts=session[0].ts,
            ended_ts=session[-1].ts,
            steps=[(e.author_id, ACTION_NAMES[e.action], e.ts) for e in steps],
        )
        for session in closed
        if (steps := first_times(state, session))
    ]
    if closed:
        state.sessions_sent = closed[-1][-1].ts
    return told, open_ends
