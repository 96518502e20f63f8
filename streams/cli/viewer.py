"""``freshgrid viewer``: everything that is stored about one viewer, and forgetting it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.common import Json, load_settings, show

if TYPE_CHECKING:
    from infra.batch_sender import Outbox
    from infra.config import Settings

viewer = typer.Typer(
    no_args_is_help=True, help="A viewer's rights: export what is stored, forget, allow again."
)

ViewerId = Annotated[str, typer.Argument(help="The viewer's id.")]


@viewer.command("export")
def export_viewer(viewer_id: ViewerId) -> None:
    """Everything stored about a viewer, one JSON object a line: Redis, then every topic."""
    import asyncio

    asyncio.run(_export(load_settings(), viewer_id))


@viewer.command("forget")
def forget_viewer(viewer_id: ViewerId, json: Json = False) -> None:
    """Delete what is stored of a viewer, and refuse its events from now on.

    Records in Kafka go by retention; it says when the last one is gone.
    """
    import asyncio

    import msgspec

    report = asyncio.run(_forget(load_settings(), viewer_id))
    if json:
        show(msgspec.to_builtins(report), as_json=True)
        return
    from streams.log.dead_letters import time_text

    print(f"viewer {viewer_id}: {report.deleted} keys and entries deleted, events refused")
    for topic, until_ms in report.kept_until_ms.items():
        when = "does not say when, or keeps for ever: set retention.ms"
        print(f"{topic}: {'gone by ' + time_text(until_ms) if until_ms else when}")


@viewer.command("allow")
def allow_viewer(viewer_id: ViewerId, json: Json = False) -> None:
    """Take events of a forgotten viewer again, from now on; what was before stays forgotten."""
    import asyncio

    import msgspec

    show(msgspec.to_builtins(asyncio.run(_allow(load_settings(), viewer_id))), as_json=json)


async def _export(settings: Settings, viewer_id: str) -> None:
    import msgspec

    from streams.cli.inspect import inspect_viewer
    from streams.rights.export import export

    async for one in export(settings, viewer_id, inspect_viewer):
        print(msgspec.json.encode(one).decode())


async def _forget(settings: Settings, viewer_id: str) -> Any:
    from infra.open_stores import open_stores
    from streams.rights.forget import forget

    async with _sending(settings) as outbox, open_stores(settings) as stores:
        return await forget(settings, stores, outbox.send, viewer_id)


async def _allow(settings: Settings, viewer_id: str) -> Any:
    from streams.rights.forget import allow

    async with _sending(settings) as outbox:
        return await allow(outbox.send, viewer_id)


@asynccontextmanager
async def _sending(settings: Settings) -> AsyncIterator[Outbox]:
    from infra.batch_sender import Outbox
    from infra.kafka import prepare_cluster

    # The topic may be new, and a broker that is away is said at once.
    await prepare_cluster(settings)
    outbox = Outbox(settings)
    await outbox.start()
    try:
        yield outbox
    finally:
        await outbox.stop()
