"""What a search of settings found: a table, a plot, and the arm that serves what was chosen."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import msgspec

from infra.artifacts import ArtifactStore
from infra.config import Settings
from infra.errors import FreshgridError
from infra.stores import ExperimentStore
from models.actions import HEAD_NAMES
from models.evaluation.trade_offs import Goals, Numbers, Tried, best, front
from models.explore.experiment import Arm, Experiment, InvalidExperimentError
from models.rankers.value import Weights
from streams.clock import now_ms
from streams.serving.live_experiment import stored_rankers
from streams.serving.live_queries import LiveQueries
from streams.serving.own_operators import load_operators
from streams.serving.weights import MAX_WHO


class TradeOffError(FreshgridError):
    """Nothing can be chosen or applied; the message says why and what to do."""


def report_of(live: Numbers, tried: Sequence[Tried], goals: Goals) -> dict[str, Any]:
    """The front, the point that is chosen (null where none keeps the limits), and today's."""
    chosen = best(tried, goals)
    return {
        "goals": msgspec.to_builtins(goals),
        "live": dict(live),
        "chosen": msgspec.to_builtins(chosen),
        "front": msgspec.to_builtins(front(tried, goals)),
        "tried": len(tried),
        "kept": sum(one.kept for one in tried),
    }


def arm_of(setting: Numbers, share: float, query: str = "") -> Arm:
    """The arm that serves a setting.

    Args:
        query: name of a stored query with the branches of the setting.
    """
    worth = {name: setting[name] for name in HEAD_NAMES if name in setting}
    return Arm(
        share=share,
        weights=Weights().changed(worth),
        query=query,
        author_penalty=setting.get("author_penalty"),
        exploration_share=setting.get("exploration_share"),
    )


def with_arm(old: Experiment, name: str, arm: Arm) -> Experiment:
    """The experiment with an arm more, or another in its place, that has its share of all viewers.

    Raises:
        InvalidExperimentError: it is the first arm, which others are compared with, or cannot be.
    """
    if name == old.first:
        raise InvalidExperimentError(
            f"{name} is the first arm, which others are compared with; give another --arm"
        )
    if not 0.0 < arm.share < 1.0:
        raise InvalidExperimentError(
            f"a share of {arm.share} cannot be given to {name}; give one between 0 and 1"
        )
    # The last in order, so that viewers of the other arms stay in theirs.
    rest = {of: one for of, one in old.arms.items() if of != name}
    others = sum(one.share for one in rest.values())
    share = others * arm.share / (1.0 - arm.share)
    arms = {**rest, name: msgspec.structs.replace(arm, share=share)}
    return msgspec.structs.replace(old, arms=arms)


async def apply(
    store: ExperimentStore, settings: Settings, who: str, name: str, arm: Arm
) -> dict[str, Any]:
    """Give the arm its share; ``freshgrid experiments history`` has what was before.

    Raises:
        TradeOffError: the arm cannot be added to what is stored, or served from here.
    """
    queries = LiveQueries(settings, load_operators(settings))
    artifacts = ArtifactStore(settings.artifacts_url)

    def edit(old: Experiment | None) -> Experiment:
        try:
            new = with_arm(old or Experiment(), name, arm)
            stored_rankers(new, queries, artifacts)
            return new
        except InvalidExperimentError as error:
            raise TradeOffError(str(error)) from error

    change = await store.change(who[:MAX_WHO], now_ms(), edit)
    document: dict[str, Any] = msgspec.to_builtins(change.new)
    return document


def plot(live: Numbers, tried: Sequence[Tried], goals: Goals) -> str:
    """All points by the first two goals, as SVG: those beaten pale, today's setting crossed.

    Raises:
        TradeOffError: matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise TradeOffError("plots need matplotlib: pip install 'freshgrid[tune]'") from error
    across, up = goals.more[:2]
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    for label, colour, points in (
        ("breaks a limit", "#fca5a5", [one.figures for one in tried if not one.kept]),
        ("beaten", "#cbd5e1", [one.figures for one in tried if one.kept]),
        ("front", "#2563eb", [one.figures for one in front(tried, goals)]),
    ):
        axes.scatter([of[across] for of in points], [of[up] for of in points], s=18, c=colour,
                     label=label)  # fmt: skip
    axes.scatter([live[across]], [live[up]], marker="x", c="#0f172a", label="live")
    axes.set_xlabel(across.replace("_", " "))
    axes.set_ylabel(up.replace("_", " "))
    axes.legend(frameon=False)
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()
