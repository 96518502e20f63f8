"""``freshgrid inspect``: what is stored about one viewer, and the account index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.common import Json, load_settings, show

if TYPE_CHECKING:
    from infra.config import Settings
    from infra.stores import Store
    from models.viewers.action_log import Entry
    from models.viewers.decayed_counter import DecayedCounter

inspect = typer.Typer(no_args_is_help=True, help="Look at what is stored.")


@inspect.command("viewer")
def show_viewer(
    viewer_id: Annotated[str, typer.Argument(help="The viewer's id.")], json: Json = False
) -> None:
    """Sessions, viewer–author features, suppressions and the current grid of one viewer."""
    import asyncio

    show(asyncio.run(inspect_stored_viewer(load_settings(), viewer_id)), as_json=json)


@inspect.command("index")
def show_index(json: Json = False) -> None:
    """The account index as the topics give it: a ranker's /v1/index has the same hash."""
    import asyncio

    show(asyncio.run(inspect_index(load_settings())), as_json=json)


async def inspect_stored_viewer(settings: Settings, viewer_id: str) -> dict[str, Any]:
    """:func:`inspect_viewer` on the store of the settings.

    Raises:
        UnreachableError: the store does not answer.
    """
    from infra.open_stores import open_stores

    async with open_stores(settings) as stores:
        return await inspect_viewer(stores.viewers, viewer_id, settings)


async def inspect_index(settings: Settings) -> dict[str, Any]:
    """The account index that the topics give: what every ranker should hold.

    Raises:
        UnreachableError: Kafka does not answer.
        LogReadError: the topics cannot be read to their ends.
    """
    from infra.kafka import prepare_cluster
    from infra.log_reader import LogReader
    from models.world import World
    from streams.serving.world_feed import WorldFeed
    from streams.topology import flow

    cluster = await prepare_cluster(settings)
    feed = WorldFeed(World())
    async with LogReader(settings) as reader:
        for topic in flow("inspect index").reads:
            places = [(topic, number) for number in range(cluster.partitions[topic])]
            async for batch in reader.read(await reader.spans(places)):
                feed.apply(batch.topic, batch.records)
    feed.polled(lag=0)
    space = feed.world.space
    if space is None:
        return {"space": None, "accounts": 0, "hash": None}
    return {"space": space.name, "accounts": len(space), "hash": space.index.state_hash()}


async def inspect_viewer(store: Store, viewer_id: str, settings: Settings) -> dict[str, Any]:
    """What ``freshgrid inspect viewer`` prints; a viewer never seen has empty parts.

    ``decayed`` counts are as of ``as_of_ts``, the viewer's newest event.
    """
    import msgspec

    from models.events import Relation
    from models.viewers.state import counters, related_authors, sessions, suppressed_media

    [(_, state, *_)] = await store.load([viewer_id])
    grid = await store.grid(viewer_id)
    as_of = state.newest_ts()
    return {
        "viewer_id": viewer_id,
        "as_of_ts": as_of,
        "sessions": [
            [_entry(entry) for entry in session]
            for session in sessions(state, settings.session_gap_ms)
        ],
        "authors": {
            author_id: _author(of_author, as_of, settings.half_life_ms)
            for author_id, of_author in sorted(counters(state, settings.half_life_ms).items())
        },
        "suppressed": {
            "media": sorted(suppressed_media(state)),
            "authors": sorted(related_authors(state, Relation.BLOCK, Relation.MUTE)),
        },
        "followed": sorted(related_authors(state, Relation.FOLLOW)),
        "grid": None if grid is None else msgspec.json.decode(grid),
    }


def _entry(entry: Entry) -> dict[str, Any]:
    from models.actions import Action

    action = Action(entry.action)
    described: dict[str, Any] = {
        "media_id": entry.media_id,
        "author_id": entry.author_id,
        "action": action.sent_as,
        "ts": entry.ts,
    }
    if action.row.long:
        described["long"] = True
    return described


def _author(of_author: dict[int, DecayedCounter], as_of: int, half_life_ms: int) -> dict[str, Any]:
    from models.actions import ACTION_NAMES, Action
    from models.viewers.decayed_counter import DecayedCounter

    none = DecayedCounter()
    counts = {action.word: of_author.get(action, none).count for action in Action}
    # A long view is a view.
    counts["view"] += counts["long_view"]
    return {
        **counts,
        "last_ts": max((counter.last_ts for counter in of_author.values()), default=0),
        "last": {ACTION_NAMES[code]: c.last_ts for code, c in sorted(of_author.items())},
        "decayed": {
            ACTION_NAMES[code]: round(counter.decayed(as_of, half_life_ms), 6)
            for code, counter in sorted(of_author.items())
        },
    }
