"""When to look at viewers with open sessions, in Redis: shared by leases."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from infra.redis_server import RedisServer
from infra.stores import Leased, StreamClock

#: Viewers by the wall-clock time at which to look at them next.
SCHEDULE: Final = "sessions:due"
#: Newest event time of the stream, and the wall-clock time at which it was seen.
STREAM_CLOCK: Final = "sessions:clock"
TTL_S: Final = 7 * 24 * 3600


class RedisSchedule:
    """The schedule that all workers share."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server

    async def touch(
        self, viewer_ids: Collection[str], due_ms: int, newest_ts: int, now_ms: int
    ) -> None:
        """Look at these viewers at `due_ms`, whatever was planned, and note event time."""
        schedule: list[str | int] = ["ZADD", SCHEDULE]
        for viewer_id in viewer_ids:
            schedule += (due_ms, viewer_id)
        clock = ("FCALL", "freshgrid_2_clock", 1, STREAM_CLOCK, newest_ts, now_ms, TTL_S)
        await self._server.exchange([tuple(schedule), ("EXPIRE", SCHEDULE, TTL_S), clock])

    async def lease(self, now_ms: int, until_ms: int, limit: int) -> Leased:
        """Take viewers that are due; nobody else gets them before `until_ms`."""
        clock, due = await self._server.exchange(
            [
                ("GET", STREAM_CLOCK),
                ("FCALL", "freshgrid_2_lease", 1, SCHEDULE, now_ms, until_ms, limit),
            ]
        )
        return Leased(_clock(clock), [member.decode() for member in due])

    async def release(self, until_ms: int, due_ms: Mapping[str, int | None]) -> None:
        """Give leased viewers back: look at each at its time, or not again."""
        release: list[str | int] = ["FCALL", "freshgrid_2_release", 1, SCHEDULE, until_ms]
        for viewer_id, due in due_ms.items():
            release += (viewer_id, "" if due is None else due)
        await self._server.exchange([tuple(release)])

    async def forget(self) -> None:
        """Forget all viewers and the stream's time."""
        await self._server.exchange([("UNLINK", SCHEDULE, STREAM_CLOCK)])


def _clock(value: bytes | None) -> StreamClock | None:
    if value is None:
        return None
    newest_ts, seen_ms = value.decode().split(":")
    return StreamClock(int(newest_ts), int(seen_ms))
