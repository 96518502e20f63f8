"""Steps per second of the closed loop in one process, and where the time goes.

A step is a viewer who looks at one media of a grid and decides what to do with it: served by the
production query and passes, answered by the truth, and folded by the production fold. The world is
dense (all sessions of a quarter of an hour begin together), so that grids are made in batches as a
busy ranker makes them. Nothing is trained: that is measured by other benchmarks.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from infra.config import Settings
from models.events import HOUR_MS
from models.simulation.config import SimulationConfig
from models.simulation.world import SimulatedWorld
from streams.bench.progress import say
from streams.simulated.loop import simulate
from streams.simulated.policy import RandomPolicy
from streams.simulated.product import ProductPolicy, Variant


def run(
    settings: Settings,
    *,
    viewers: Annotated[int, Meta(ge=100, description="How many there are.")] = 2000,
) -> dict[str, Any]:
    """One simulated day of Freshgrid, untrained, and of media at random for the loop alone."""
    config = SimulationConfig(
        viewers=viewers, days=1, sessions_per_day=2.0, slot_ms=HOUR_MS, spam=None
    )
    world = SimulatedWorld.of(config)
    say("media at random …")
    bare = simulate(world, RandomPolicy(world, settings.grid_size), size=settings.grid_size,
                    oracle_every=0)  # fmt: skip
    say("freshgrid …")
    policy = ProductPolicy(world, settings, Variant(trained=False))
    outcome = simulate(world, policy, size=settings.grid_size, oracle_every=0)
    seconds = outcome.seconds
    parts = {name: round(of, 2) for name, of in seconds.items()}
    return {
        "viewer_steps_per_s": round(outcome.steps / seconds["all"]),
        "positions_per_s": round(outcome.grids.media_gk.size / seconds["all"]),
        "grids_per_s": round(len(outcome.grids) / seconds["all"], 1),
        "events_per_s": round(len(outcome.events) / seconds["all"]),
        "loop_alone_steps_per_s": round(bare.steps / bare.seconds["all"]),
        "steps": outcome.steps,
        "grids": len(outcome.grids),
        "events": len(outcome.events),
        "seconds": parts,
        "viewers": viewers,
        "media": len(world.library),
    }
