"""What a search finds beside a dense grid of settings, in pools of a world whose truth is known."""

from __future__ import annotations

import itertools
import time
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from infra.config import Settings
from models.evaluation.trade_offs import Goals, Tried, best, front, search
from models.explore.diversity import DiversityConfig
from models.rankers.value import Weights
from streams.bench.progress import say
from streams.simulated.estimates import small_world
from streams.simulated.trade_offs import AUTHOR_PENALTY, PoolFigures, start_of, weight_knobs

#: What is searched, and at how many points of the dense grid each.
LEVELS = {"save": 7, "see_fewer": 7, "long_view": 7, AUTHOR_PENALTY: 4}


def run(
    settings: Settings,
    *,
    grids: Annotated[int, Meta(ge=50, description="Pools that are put in order.")] = 200,
    searches: Annotated[int, Meta(ge=1, description="Searches, each of its own seed.")] = 5,
) -> dict[str, Any]:
    """The share of the dense grid's best that searches find in a tenth of its evaluations."""
    figures = PoolFigures(small_world(7), grids)
    knobs = {name: knob for name, knob in weight_knobs().items() if name in LEVELS}
    start = start_of(Weights(), DiversityConfig(), settings.exploration_share)
    start = {name: start[name] for name in knobs}
    live = figures(start)
    goals = Goals(
        more=("worth", "variety", "new_media"),
        at_most={"see_fewer": live["see_fewer"]},
        at_least={"variety": 0.95 * live["variety"]},
    )
    points = [
        dict(zip(knobs, point, strict=True))
        for point in itertools.product(
            *(
                (np.geomspace if knob.log else np.linspace)(
                    knob.low, knob.high, LEVELS[name]
                ).tolist()
                for name, knob in knobs.items()
            )
        )
    ]
    say(f"dense grid of {len(points)} …")
    began = time.perf_counter()
    dense = [_tried(point, figures(point), goals) for point in points]
    dense_s = time.perf_counter() - began
    top = best(dense, goals)
    assert top is not None  # The live setting keeps its own limits, and the grid is all around it.
    trials = len(points) // 10
    say(f"{searches} searches of {trials} …")
    found: list[float] = []
    gained: list[float] = []
    fronts: list[int] = []
    for seed in range(searches):
        tried = search(knobs, start, figures, goals, trials, seed, lambda done, of: None)
        chosen = best(tried, goals)
        worth = chosen.figures["worth"] if chosen else 0.0
        found.append(worth / top.figures["worth"])
        gained.append((worth - live["worth"]) / (top.figures["worth"] - live["worth"]))
        fronts.append(len(front(tried, goals)))
    return {
        "tune_share": round(float(np.mean(found)), 4),
        "tune_share_lowest": round(min(found), 4),
        # Of what the dense grid's best is ahead of the live setting.
        "gain_share": round(float(np.mean(gained)), 4),
        "evaluations": trials,
        "dense_evaluations": len(points),
        "dense_best": top.figures,
        "dense_worst_worth": min(of.figures["worth"] for of in dense if of.kept),
        "live": live,
        "live_share": round(live["worth"] / top.figures["worth"], 4),
        "front": fronts,
        "dense_s": round(dense_s, 1),
    }


def _tried(point: dict[str, float], figures: dict[str, float], goals: Goals) -> Tried:
    kept = all(of <= 0.0 for of in goals.excess(figures))
    return Tried(knobs=point, figures=figures, kept=kept)
