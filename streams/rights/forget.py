"""``freshgrid viewer forget`` and ``DELETE /v1/viewers/{id}``.

First it is said to everybody (``explore.forgotten``), then what is stored is deleted, and looked
for again until nothing came back for a while: a process that had not heard yet may have written in
between. Events in Kafka go by retention, and the answer says when the last of them is gone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

import msgspec

from infra.config import Settings
from infra.errors import FreshgridError
from infra.expiry import kept_until
from infra.http.rights import ViewerForgotten
from infra.kafka import Message
from infra.stores import Stores
from infra.topics import VIEWER_TOPICS
from models.viewers.forgotten import Forgotten
from streams.clock import now_ms
from streams.rights.forgotten import forgotten_message

#: Every process reads the topic at least twice in so long, and is done with what it had begun.
HEARD_S: Final = 3.0
LOOK_EVERY_S: Final = 0.5
#: Something that writes a viewer's keys all the time does not listen.
PATIENCE_S: Final = 60.0

Send = Callable[[Iterable[Message]], Awaitable[None]]


class StillWrittenError(FreshgridError):
    """Something goes on writing what is to be forgotten."""


class ViewerExists(msgspec.Struct, frozen=True):
    """A viewer who is allowed again."""

    viewer_id: str
    allowed_ms: int


async def begin(settings: Settings, stores: Stores, send: Send, viewer_id: str) -> ViewerForgotten:
    """Say that a viewer is to be forgotten, and delete what is stored now.

    Raises:
        UnreachableError: Redis or Kafka does not answer.
    """
    await send([forgotten_message(Forgotten.of(viewer_id, now_ms()))])
    until: Mapping[str, int | None] = await kept_until(settings, VIEWER_TOPICS, now_ms())
    return ViewerForgotten(
        viewer_id=viewer_id,
        deleted=await stores.rights.forget(viewer_id),
        kept_until_ms=dict(until),
    )


async def finish(stores: Stores, viewer_id: str) -> int:
    """Delete until nothing came back for :data:`HEARD_S`; returns how much there was.

    Raises:
        StillWrittenError: something came back again and again.
    """
    began_s = clean_s = time.monotonic()
    deleted = 0
    while (now_s := time.monotonic()) - clean_s < HEARD_S:
        if found := await stores.rights.forget(viewer_id):
            deleted, clean_s = deleted + found, now_s
        if now_s - began_s > PATIENCE_S:
            raise StillWrittenError(
                f"something has written of viewer {viewer_id!r} for {PATIENCE_S:g} s: see that all "
                "processes are of this release, and run this again"
            )
        await asyncio.sleep(LOOK_EVERY_S)
    return deleted


async def forget(settings: Settings, stores: Stores, send: Send, viewer_id: str) -> ViewerForgotten:
    """Forget a viewer; returns once nothing is stored and nobody writes any more.

    Raises:
        UnreachableError: Redis or Kafka does not answer.
        StillWrittenError: something came back again and again.
    """
    report = await begin(settings, stores, send, viewer_id)
    later = await finish(stores, viewer_id)
    return msgspec.structs.replace(report, deleted=report.deleted + later)


async def allow(send: Send, viewer_id: str) -> ViewerExists:
    """Let a viewer be known again, from now on."""
    said = Forgotten.of(viewer_id, now_ms(), allowed=True)
    await send([forgotten_message(said)])
    return ViewerExists(viewer_id, said.changed_ms)
