"""Viewer touched → sessions that closed.

A session closes when `gap_ms` pass in event time without an event of its viewer. The stream's own
time is the newest event time seen, and it goes on with the wall clock while nothing arrives: a
replay of old events closes sessions as it goes, and an idle stream closes its last ones too.

The end of each open session stands in Redis, so another worker goes on where one stopped. A crash
between sending and forgetting sends a session twice; its id (viewer and first event) tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from redis.asyncio import Redis

from infra.kafka import SESSIONS_TOPIC, Message
from infra.stores import Store
from models.events import ACTION_NAMES
from models.viewer_state import Entry, sessions
from streams.ingest import Sender

OPEN_SESSIONS = "sessions:open"
#: Sessions closed per sweep; more than a busy worker closes between two sweeps.
SWEEP_LIMIT = 2000


class Touched(msgspec.Struct):
    """A viewer's state changed, as ``explore.touched`` carries it."""

    viewer_id: str
    ts: int


class ClosedSession(msgspec.Struct):
    """A closed session, as ``explore.sessions`` carries it.

    Attributes:
        steps: (author_id, action, ts) in event time order.
    """

    viewer_id: str
    started_ts: int
    ended_ts: int
    steps: list[tuple[str, str, int]]


_json = msgspec.json.Encoder()


class Sessions:
    """Follows open sessions and sends the ones that closed."""

    def __init__(self, redis: Redis, store: Store, sender: Sender, gap_ms: int) -> None:
        self._redis = redis
        self._store = store
        self._sender = sender
        self._gap_ms = gap_ms
        self._newest_ts = 0
        self._newest_at_ms = 0

    async def touched(self, touches: Sequence[Touched], now_ms: int) -> None:
        """Note that viewers did something; closes the sessions that a later event ended."""
        newest: dict[str, int] = {}
        for touch in touches:
            newest[touch.viewer_id] = max(touch.ts, newest.get(touch.viewer_id, 0))
        if not newest:
            return
        if max(newest.values()) > self._newest_ts:
            self._newest_ts, self._newest_at_ms = max(newest.values()), now_ms
        viewer_ids = list(newest)
        previous = await self._redis.zmscore(OPEN_SESSIONS, viewer_ids)
        ended = {
            viewer_id: int(last)
            for viewer_id, last in zip(viewer_ids, previous, strict=True)
            if last is not None and newest[viewer_id] - int(last) >= self._gap_ms
        }
        await self._send(ended)
        # GT: a late event does not move the end of a session back.
        await self._redis.zadd(OPEN_SESSIONS, newest, gt=True)

    async def sweep(self, now_ms: int) -> int:
        """Close the sessions that time has ended; returns how many."""
        if not self._newest_ts:
            return 0
        stream_ms = self._newest_ts + max(now_ms - self._newest_at_ms, 0)
        due: list[Any] = await self._redis.zrange(
            OPEN_SESSIONS, 0, stream_ms - self._gap_ms,
            byscore=True, offset=0, num=SWEEP_LIMIT, withscores=True,
        )  # fmt: skip
        ended = {member.decode(): int(score) for member, score in due}
        if ended:
            await self._send(ended)
            # A viewer who came back meanwhile has a newer end: only what was sent is removed.
            pipe = self._redis.pipeline(transaction=False)
            for viewer_id, ts in ended.items():
                pipe.eval(_REMOVE_IF_UNCHANGED, 1, OPEN_SESSIONS, viewer_id, ts)
            await pipe.execute()
        return len(ended)

    async def _send(self, ended: dict[str, int]) -> None:
        if not ended:
            return
        viewer_ids = list(ended)
        states = await self._store.load(viewer_ids)
        await self._sender.send(
            Message(SESSIONS_TOPIC, viewer_id, _json.encode(_closed(viewer_id, entries)))
            for viewer_id, versioned in zip(viewer_ids, states, strict=True)
            if (
                entries := _ending_at(
                    sessions(versioned.state, self._gap_ms), ended[viewer_id], self._gap_ms
                )
            )
        )


_REMOVE_IF_UNCHANGED = """
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '-1') == tonumber(ARGV[2]) then
  redis.call('ZREM', KEYS[1], ARGV[1])
end
"""


def _ending_at(cut: Iterable[list[Entry]], ts: int, gap_ms: int) -> list[Entry]:
    """The session that was open at `ts`: a late event may have moved its end a little."""
    for session in cut:
        if session[0].ts <= ts < session[-1].ts + gap_ms:
            return session
    return []


def _closed(viewer_id: str, entries: list[Entry]) -> ClosedSession:
    return ClosedSession(
        viewer_id=viewer_id,
        started_ts=entries[0].ts,
        ended_ts=entries[-1].ts,
        steps=[(e.author_id, ACTION_NAMES[e.action], e.ts) for e in entries],
    )
