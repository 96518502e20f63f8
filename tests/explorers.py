"""Explorers without servers: everybody in one arm."""

from __future__ import annotations

from infra.config import Settings
from infra.memory_store import MemoryStore
from models.explore.treatment import Treatment
from models.world import World
from streams.serving.explorer import Explorer
from streams.serving.live_queries import LiveQueries
from streams.serving.own_operators import load_operators


def explorer_of(world: World, settings: Settings, queries: LiveQueries | None = None) -> Explorer:
    """What serves this world by the prior rankers and the queries of the settings."""
    live = queries or LiveQueries(settings, load_operators(settings))
    return Explorer(
        settings, world, MemoryStore(settings), live, lambda _: Treatment(query=live.of())
    )
