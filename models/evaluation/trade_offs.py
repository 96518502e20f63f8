"""Search for settings that trade several goals against each other, and what no other beats.

A tree-structured Parzen estimator for several goals under constraints (Ozaki et al., GECCO 2020;
Watanabe and Hutter, IJCAI 2023), by ``optuna``. Every setting tried is kept: the front is of those.

Needs the extra ``tune``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence

import msgspec
import optuna

#: By name of a knob or of a figure.
Numbers = Mapping[str, float]


class Knob(msgspec.Struct, frozen=True, kw_only=True):
    """A number that is searched.

    Attributes:
        low, high: between which.
        log: on a logarithmic scale.
    """

    low: float
    high: float
    log: bool = False


class Goals(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted.

    Attributes:
        more: figures of which more is better; of those that keep the limits, the most of the first
            is what is chosen.
        at_most, at_least: limits of figures.
    """

    more: Sequence[str]
    at_most: Numbers = {}
    at_least: Numbers = {}

    def excess(self, figures: Numbers) -> list[float]:
        """By how much each limit is broken; none above 0 where all are kept."""
        return [
            *(figures[name] - most for name, most in self.at_most.items()),
            *(least - figures[name] for name, least in self.at_least.items()),
        ]


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """A setting that was tried.

    Attributes:
        knobs: what was set.
        figures: what it came to.
        kept: whether it keeps the limits.
    """

    knobs: dict[str, float]
    figures: dict[str, float]
    kept: bool


def search(
    knobs: Mapping[str, Knob],
    start: Numbers,
    evaluate: Callable[[dict[str, float]], dict[str, float]],
    goals: Goals,
    trials: int,
    seed: int,
    tell: Callable[[int, int], None],
) -> list[Tried]:
    """Try settings; the first is `start`, as far as the knobs reach.

    Args:
        evaluate: figures of a setting.
        tell: called with the number of trials done, and of how many.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found: list[Tried] = []

    def objective(trial: optuna.Trial) -> tuple[float, ...]:
        setting = {
            name: trial.suggest_float(name, knob.low, knob.high, log=knob.log)
            for name, knob in knobs.items()
        }
        figures = evaluate(setting)
        excess = goals.excess(figures)
        trial.set_user_attr("excess", excess)
        kept = all(of <= 0.0 for of in excess)
        found.append(Tried(knobs=setting, figures=figures, kept=kept))
        tell(len(found), trials)
        return tuple(figures[name] for name in goals.more)

    with warnings.catch_warnings():
        # What it calls experimental: several goals, limits, knobs seen together.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            seed=seed,
            n_startup_trials=max(10, trials // 5),
            multivariate=True,
            constraints_func=lambda trial: trial.user_attrs["excess"],
        )
        study = optuna.create_study(directions=["maximize"] * len(goals.more), sampler=sampler)
        study.enqueue_trial(
            {name: min(max(start[name], of.low), of.high) for name, of in knobs.items()}
        )
        study.optimize(objective, n_trials=trials)
    return found


def front(tried: Sequence[Tried], goals: Goals) -> list[Tried]:
    """Those that keep the limits and that no other such beats in every goal, best first."""
    kept = [one for one in tried if one.kept]
    return sorted(
        (one for one in kept if not any(_beats(other, one, goals) for other in kept)),
        key=lambda one: [-one.figures[name] for name in goals.more],
    )


def best(tried: Sequence[Tried], goals: Goals) -> Tried | None:
    """Of those that keep the limits, the most of the first goal; None where none keeps them."""
    kept = [one for one in tried if one.kept]
    return max(kept, key=lambda one: one.figures[goals.more[0]], default=None)


def _beats(one: Tried, other: Tried, goals: Goals) -> bool:
    pairs = [(one.figures[name], other.figures[name]) for name in goals.more]
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)
