"""How soon what must not be shown is gone from ready grids in Redis.

A whole stack runs, with as many ready grids as asked for, of viewers who have done nothing: most
hold the same media, so every take-down here concerns most of them, which is the worst there is.
Media are flagged and deleted, accounts go private and are disabled, one after the other; each grid
is looked at in Redis, as a reader would, from before the record is sent.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from msgspec import Meta
from redis import Redis

from infra.config import Settings
from infra.kafka import Message
from infra.redis_clients import blocking_redis
from streams.bench.progress import say
from streams.bench.ready_grids import (
    ACCOUNTS,
    account_message,
    chunks,
    make_ready,
    media_message,
    send,
)
from streams.local.stack import Stack, starting_stack

#: Grids are looked at so often.
LOOK_S: Final = 0.05
#: So many are all read at each look.
FEW: Final = 200
#: Who still shows it then is counted as such.
TIMEOUT_S: Final = 30.0
KINDS: Final = ("flagged", "private", "deleted", "disabled")


class _Item(msgspec.Struct):
    media_id: str


class _Shown(msgspec.Struct):
    items: list[_Item]


_grid: Final = msgspec.json.Decoder(_Shown)


def run(
    settings: Settings,
    *,
    grids: Annotated[int, Meta(ge=1, description="Ready grids.")] = 10_000,
    takedowns: Annotated[int, Meta(ge=1, description="Records that take something down.")] = 8,
) -> dict[str, Any]:
    """Start a stack, make grids ready, and take down what most of them show."""
    with (
        starting_stack(settings, http_port=0) as stack,
        blocking_redis(stack.settings) as redis,
    ):
        stack.wait_ready()
        viewers = make_ready(stack, grids)
        waited_s: list[float] = []
        held: list[int] = []
        held_after = 0
        for number in range(takedowns):
            kind = KINDS[number % len(KINDS)]
            took_s, left = _one(stack, redis, viewers, kind)
            say(f"{kind}: {len(took_s)} grids, the last after {max(took_s):.2f} s")
            waited_s += took_s
            held.append(len(took_s))
            held_after += left
        return {
            "p50_s": round(float(np.percentile(waited_s, 50)), 3),
            "p99_s": round(float(np.percentile(waited_s, 99)), 3),
            "max_s": round(max(waited_s), 3),
            "grids": grids,
            "takedowns": takedowns,
            "held": sum(held),
            "held_least": min(held),
            "held_after": held_after,
        }


def _one(stack: Stack, redis: Redis, viewers: list[str], kind: str) -> tuple[list[float], int]:
    """Seconds until each grid that held it does not any more, and how many hold it afterwards."""
    # Before they are read: one that is made anew meanwhile counts as changed.
    lengths = dict(zip(viewers, _lengths(redis, viewers), strict=True))
    shown = _media(redis, viewers)
    counts = Counter(media for of in shown.values() for media in of)
    number = int(counts.most_common(1)[0][0][1:])
    message, gone = _record(kind, number, counts)
    waiting = [viewer for viewer, media in shown.items() if gone & media]
    took_s: list[float] = []
    started = time.monotonic()
    send(stack, [message])
    while waiting and time.monotonic() - started < TIMEOUT_S:
        time.sleep(LOOK_S)
        # A grid without a media is shorter, or another one, which may happen to be as long: where
        # few are left all are read.
        now = _lengths(redis, waiting)
        looked_s = time.monotonic() - started
        few = len(waiting) <= FEW
        changed = [v for v, length in zip(waiting, now, strict=True) if few or length != lengths[v]]
        free = {v for v, media in _media(redis, changed).items() if not gone & media}
        took_s += [looked_s] * len(free)
        waiting = [viewer for viewer in waiting if viewer not in free]
    took_s += [TIMEOUT_S] * len(waiting)
    left = sum(bool(gone & media) for media in _media(redis, viewers).values())
    return took_s, left


def _record(kind: str, number: int, counts: Counter[str]) -> tuple[Message, set[str]]:
    """The record that takes down a media, or its author, and the media that are gone by it."""
    media_id = f"m{number}"
    if kind == "flagged":
        return media_message(number, integrity={"nsfw": 0.99}), {media_id}
    if kind == "deleted":
        return media_message(number, deleted=True), {media_id}
    account = number % ACCOUNTS
    gone = {media for media in counts if int(media[1:]) % ACCOUNTS == account}
    return account_message(account, **{kind: True}), gone


def _lengths(redis: Redis, viewers: list[str]) -> list[int]:
    with redis.pipeline(transaction=False) as pipeline:
        for viewer in viewers:
            pipeline.strlen(_key(viewer))
        found: list[int] = pipeline.execute()
    return found


def _media(redis: Redis, viewers: list[str]) -> dict[str, set[str]]:
    """The media that each ready grid shows."""
    shown: dict[str, set[str]] = {}
    for some in chunks(viewers, 500):
        grids: Any = redis.mget([_key(viewer) for viewer in some])
        for viewer, grid in zip(some, grids, strict=True):
            items = [] if grid is None else _grid.decode(grid).items
            shown[viewer] = {item.media_id for item in items}
    return shown


def _key(viewer_id: str) -> str:
    return f"grid:{{{viewer_id}}}"
