"""Regret and ablations: the same worlds for all, a run a policy and seed, intervals over seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import numpy as np
from scipy.stats import t as student_t

from infra.config import Settings
from infra.errors import SettingsError
from models.events import HOUR_MS, MINUTE_MS
from models.simulation.config import SimulationConfig
from models.simulation.world import SimulatedWorld
from streams.simulated.figures import figures_of
from streams.simulated.loop import Outcome, simulate
from streams.simulated.policy import ONE_HEAD, Policy, RandomPolicy
from streams.simulated.product import ProductPolicy, Variant
from streams.simulated.rivals import RIVALS, RivalPolicy

#: Told (what runs, done, of how many).
Progress = Callable[[str, int, int], None]
PRODUCT: Final = "freshgrid"
#: Freshgrid without one thing at a time.
ABLATIONS: Final[Mapping[str, Variant]] = {
    PRODUCT: Variant(),
    "no_incremental_vectors": Variant(vectors="nightly"),
    "no_index_refresh": Variant(index_frozen=True),
    "hourly": Variant(delay_ms=HOUR_MS),
    "daily": Variant(delay_ms=24 * HOUR_MS),
    "no_distilled_first_pass": Variant(first_pass="prior"),
    "no_exploration": Variant(exploration=False),
    "no_diversity": Variant(diversity=False),
    "one_head_only": Variant(weights=ONE_HEAD),
    "exposures_only": Variant(choices=False),
    "no_see_fewer_rule": Variant(see_fewer_rule=False),
    "no_holding_back": Variant(holding=False),
    "untrained": Variant(trained=False),
}
#: How late everything is known.
DELAYS: Final[Mapping[str, Variant]] = {
    "live": Variant(),
    "1 min": Variant(delay_ms=MINUTE_MS),
    "5 min": Variant(delay_ms=5 * MINUTE_MS),
    "1 h": Variant(delay_ms=HOUR_MS),
    "24 h": Variant(delay_ms=24 * HOUR_MS),
}
#: Figures that a table of variants has.
COMPARED: Final = ("value_per_grid", "oracle_share", "see_fewer_rate", "gini_accounts",
                   "topic_entropy_bits", "new_media_share", "spam_share")  # fmt: skip


def policy_of(name: str, world: SimulatedWorld, settings: Settings) -> Policy:
    """Freshgrid, ``random``, or one of :data:`RIVALS`."""
    if name == PRODUCT:
        return ProductPolicy(world, settings)
    if name == "random":
        return RandomPolicy(world, settings.grid_size)
    return RivalPolicy(world, settings.grid_size, RIVALS[name])


def selected(
    variants: Mapping[str, Variant], only: Sequence[str], *, trained: bool
) -> dict[str, Variant]:
    """Those of the variants that are named, or all; the first one, which others are compared with,
    is always there.

    Raises:
        SettingsError: there is none of such a name.
    """
    if unknown := [name for name in only if name not in variants]:
        raise SettingsError(f"there is no variant {unknown[0]!r}; there are {', '.join(variants)}")
    first = next(iter(variants))
    kept = {name: of for name, of in variants.items() if not only or name in (first, *only)}
    if trained:
        return kept
    return {name: msgspec.structs.replace(of, trained=False) for name, of in kept.items()}


def regret(
    config: SimulationConfig,
    settings: Settings,
    seeds: Sequence[int],
    warm_days: float,
    progress: Progress,
) -> dict[str, Any]:
    """Freshgrid, its rivals and random in the same worlds: figures of each, means over seeds."""
    makers = {name: partial(_policy, name, settings) for name in (PRODUCT, *RIVALS, "random")}
    found = _runs(config, settings, seeds, warm_days, makers, progress)
    ours = found[PRODUCT]
    against = [
        a["value_per_grid"] / b["value_per_grid"]
        for a, b in zip(ours, found["ease"], strict=True)
        if b["value_per_grid"] > 0
    ]
    return {
        "oracle_share": spread([of["oracle_share"] for of in ours]),
        "vs_ease": spread(against),
        "actions_to_recover": _known(ours, "actions_to_recover"),
        "spam_minutes": _known(ours, "spam_minutes"),
        "first_like_gain": spread([of["first_like_gain"] for of in ours]),
        "policies": {
            name: {figure: spread([of[figure] for of in runs]) for figure in COMPARED}
            for name, runs in found.items()
        },
        "runs": found,
    }


def compare(
    variants: Mapping[str, Variant],
    config: SimulationConfig,
    settings: Settings,
    seeds: Sequence[int],
    warm_days: float,
    progress: Progress,
) -> dict[str, Any]:
    """Variants in the same worlds; what each loses beside the first, paired by seed."""
    makers = {name: partial(_variant, of, settings) for name, of in variants.items()}
    delays = {name: of.delay_ms for name, of in variants.items()}
    found = _runs(config, settings, seeds, warm_days, makers, progress, delays)
    first = found[next(iter(variants))]
    return {
        name: {
            **{figure: spread([of[figure] for of in runs]) for figure in COMPARED},
            "spam_minutes": _known(runs, "spam_minutes"),
            # A difference, not a ratio: a wave of spam makes values that are below 0.
            "value_beyond_first": spread(
                [
                    a["value_per_grid"] - b["value_per_grid"]
                    for a, b in zip(runs, first, strict=True)
                ]
            ),
        }
        for name, runs in found.items()
    }


def spread(values: Sequence[float | None]) -> dict[str, float | None]:
    """Mean over seeds with a 95 % interval (Student's t); null where nobody knows."""
    known = np.array([value for value in values if value is not None], np.float64)
    if not len(known):
        return {"mean": None, "low": None, "high": None}
    mean = float(known.mean())
    if len(known) < 2:
        return {"mean": round(mean, 5), "low": None, "high": None}
    error = float(known.std(ddof=1) / np.sqrt(len(known)))
    reach = error * float(student_t.ppf(0.975, len(known) - 1))
    return {
        "mean": round(mean, 5), "low": round(mean - reach, 5), "high": round(mean + reach, 5),
    }  # fmt: skip


def _runs(
    config: SimulationConfig,
    settings: Settings,
    seeds: Sequence[int],
    warm_days: float,
    makers: Mapping[str, Callable[[SimulatedWorld], Policy]],
    progress: Progress,
    delays: Mapping[str, int] | None = None,
) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in makers}
    for number, seed in enumerate(seeds):
        world = SimulatedWorld.of(_with_seed(config, seed))
        for name, make in makers.items():
            progress(name, number, len(seeds))
            outcome: Outcome = simulate(
                world,
                make(world),
                size=settings.grid_size,
                warm_days=warm_days,
                delay_ms=(delays or {}).get(name, 0),
            )
            figures = figures_of(world, outcome.grids, warm_days)
            found[name].append({"seed": seed, **figures, "seconds": outcome.seconds})
    return found


def _with_seed(config: SimulationConfig, seed: int) -> SimulationConfig:
    return msgspec.structs.replace(config, seed=seed)


def _policy(name: str, settings: Settings, world: SimulatedWorld) -> Policy:
    return policy_of(name, world, settings)


def _variant(variant: Variant, settings: Settings, world: SimulatedWorld) -> Policy:
    return ProductPolicy(world, settings, variant)


def _known(runs: Sequence[dict[str, Any]], figure: str) -> list[float | None]:
    """A figure of each seed: null where it never happened."""
    return [run[figure] for run in runs]
