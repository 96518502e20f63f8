"""What settings of the value and of the grid come to, by the truth: of pools, and of whole runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from infra.config import Settings
from models.actions import HEAD_NAMES, HEADS
from models.evaluation.trade_offs import Knob
from models.events import DAY_MS
from models.explore.diversity import DiversityConfig, diversify
from models.igql.parser import parse
from models.igql.reweighting import outer_blend, reweighted
from models.queries import explore_text
from models.rankers.value import Weights, value
from models.simulation.audience import Audience
from models.simulation.truth import WORTH_H
from models.simulation.world import SimulatedWorld
from streams.simulated.estimates import POOL, SIZE, make_pools
from streams.simulated.figures import figures_of
from streams.simulated.loop import simulate
from streams.simulated.product import ProductPolicy, Variant

#: What a like is worth is the measure of all others.
FIXED: Final = "like"
AUTHOR_PENALTY: Final = "author_penalty"
EXPLORATION: Final = "exploration_share"
#: Begins the names of the knobs of a query's branches.
BRANCH: Final = "branch_"
#: Weights around those of today: a twentieth of the highest that is tried, at the least.
_WEIGHT: Final = Knob(low=0.05, high=20.0, log=True)
_SHARE: Final = Knob(low=0.02, high=1.0, log=True)


def weight_knobs() -> dict[str, Knob]:
    """A knob for each action's weight but :data:`FIXED`, and one for repeats of an author."""
    return {
        **{name: _WEIGHT for name in HEAD_NAMES if name != FIXED},
        AUTHOR_PENALTY: Knob(low=0.0, high=0.9),
    }


def branch_knobs() -> dict[str, Knob]:
    """A knob for each branch of the bundled query's blend that has a weight."""
    return {f"{BRANCH}{at}": _SHARE for at, part in enumerate(_blend()) if part > 0}


def start_of(weights: Weights, config: DiversityConfig, exploration: float) -> dict[str, float]:
    """The knobs as they are without tuning."""
    return {
        **{name: getattr(weights, name) for name in HEAD_NAMES},
        AUTHOR_PENALTY: config.author_penalty,
        EXPLORATION: exploration,
        **{f"{BRANCH}{at}": part for at, part in enumerate(_blend())},
    }


def weights_of(setting: Mapping[str, float]) -> Weights:
    """The weights of a setting: what it leaves out is as it is by default."""
    return Weights().changed({name: setting[name] for name in HEAD_NAMES if name in setting})


def query_of_setting(setting: Mapping[str, float]) -> str | None:
    """The bundled query with the weights of a setting; None where it has none."""
    if not any(name.startswith(BRANCH) for name in setting):
        return None
    parts = [setting.get(f"{BRANCH}{at}", part) for at, part in enumerate(_blend())]
    return reweighted(explore_text(), [part / sum(parts) for part in parts])


class PoolFigures:
    """Orders of pools, judged by the truth: fast enough to look at every point of a grid.

    Args:
        grids: how many pools.
    """

    def __init__(self, world: SimulatedWorld, grids: int) -> None:
        self._audience = Audience(world, SIZE)
        self._pools = make_pools(world, grids, world.config.seed)
        self._author_gc = world.library.author_m[self._pools.media_gc]
        age_gc = self._pools.ts_g[:, None] - world.library.created_ms_m[self._pools.media_gc]
        self._new_gc = age_gc < DAY_MS

    def __call__(self, setting: Mapping[str, float]) -> dict[str, float]:
        """By position: true worth and rates; variety is authors over items of a grid."""
        pools, grids = self._pools, len(self._pools.viewer_g)
        value_gc = value(
            pools.predicted_gch.reshape(grids * POOL, -1), weights_of(setting)
        ).reshape(grids, POOL)
        config = DiversityConfig(author_penalty=setting.get(AUTHOR_PENALTY, 0.3))
        none_c = np.full(POOL, -1)
        order_gk = np.stack(
            [
                diversify(value_c, author_c, none_c, SIZE, config)
                for value_c, author_c in zip(value_gc, self._author_gc, strict=True)
            ]
        )
        media_gk = np.take_along_axis(pools.media_gc, order_gk, 1)
        author_gk = np.sort(np.take_along_axis(self._author_gc, order_gk, 1), axis=1)
        chance_gkh = np.concatenate(
            [
                self._audience.chances(pools.viewer_g[g], media_gk[g], int(ts))
                for ts in np.unique(pools.ts_g)
                for g in [np.flatnonzero(pools.ts_g == ts)]
            ]
        )
        rate_h = (chance_gkh * self._audience.chance_k[:, None]).mean(axis=(0, 1))
        return {
            "worth": float(rate_h @ WORTH_H),
            **dict(zip(HEAD_NAMES, rate_h.tolist(), strict=True)),
            "variety": float((1 + (np.diff(author_gk) > 0).sum(axis=1)).mean() / SIZE),
            "new_media": float(np.take_along_axis(self._new_gc, order_gk, 1).mean()),
        }


class WorldFigures:
    """Whole runs: what is served is what gets learned from.

    Args:
        warm_days: until then everybody is shown media at random.
        trained: False leaves the untrained prior in place, which takes far less time.
    """

    def __init__(
        self, world: SimulatedWorld, settings: Settings, warm_days: float, *, trained: bool
    ) -> None:
        self._world, self._settings, self._warm_days = world, settings, warm_days
        self._trained = trained

    def __call__(self, setting: Mapping[str, float]) -> dict[str, float]:
        """Of a grid: true worth, rates a look, bits of topics a viewer, share of new media."""
        variant = Variant(
            weights=weights_of(setting),
            trained=self._trained,
            author_penalty=setting.get(AUTHOR_PENALTY),
            exploration_share=setting.get(EXPLORATION),
        )
        text = query_of_setting(setting)
        with TemporaryDirectory() as folder:
            settings = self._settings
            if text is not None:
                path = Path(folder) / "explore.igql"
                path.write_text(text, encoding="utf-8")
                settings = settings.model_copy(update={"explore_query": str(path)})
            policy = ProductPolicy(self._world, settings, variant)
            outcome = simulate(
                self._world, policy, size=settings.grid_size, warm_days=self._warm_days,
                oracle_every=0,
            )  # fmt: skip
        found = figures_of(self._world, outcome.grids, self._warm_days)
        since_ms = self._world.config.at(self._warm_days)
        looks = int(outcome.grids.looked_gk[outcome.grids.ts_g >= since_ms].sum())
        done_n = outcome.events.action_n[outcome.events.ts_n >= since_ms]
        return {
            "worth": found["value_per_grid"],
            **{head.word: float((done_n == head).sum() / max(looks, 1)) for head in HEADS},
            "variety": found["topic_entropy_bits"],
            "new_media": found["new_media_share"],
        }


def _blend() -> list[float]:
    blend = outer_blend(parse(explore_text()))
    return [] if blend is None else [branch.weight.value for branch in blend.branches]
