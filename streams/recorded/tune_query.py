"""``freshgrid tune query``: weights of a query's blend from what viewers engaged with next.

All of it lies in the training period: the world is as it was when the last part of that began, and
what viewers engaged with in that part is what candidates should have held. The test period is not
read. Viewers fall into two halves: weights are chosen on the one and judged on the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from infra.config import Settings
from infra.errors import FreshgridError
from models.actions import Action
from models.evaluation.bootstrap import Bootstrap, Sums
from models.evaluation.grid_metrics import Lists, list_figures, recall
from models.evaluation.targets import Targets, static_targets, validation_from
from models.examples.draws import draws
from models.igql.errors import IgqlError
from models.igql.parser import parse
from models.igql.planner import Mix, Node, Plan, inputs
from models.igql.registry import Registry
from models.igql.reweighting import outer_blend, reweighted
from models.igql.sets import ColumnSet, joined
from models.item_to_item.appeal import Appeal
from models.item_to_item.appeal_fit import DrawLog
from models.queries import CandidateQuery, planned
from streams.acted.serving import set_vectors
from streams.recorded.dataset import Dataset, DatasetError
from streams.recorded.grids.judge import told
from streams.recorded.grids.production import BATCH, CANDIDATES, Ranker, learned_at
from streams.recorded.grids.run import Progress, split_of
from streams.recorded.grids.task import task_of
from streams.serving.own_operators import load_operators

#: Places of a grid, which the second figure looks at.
GRID: Final = 25


class TuneError(FreshgridError):
    """The weights of a query cannot be tuned; the message says why."""


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """One search.

    Attributes:
        task: what counts as engaged with.
        split: where the test period begins, as text; empty for what the data set says.
        viewers: that candidates are found for, at most; half of them to choose by.
        trials: weights that are tried.
    """

    task: str = "like"
    split: str = ""
    viewers: int = 2_000
    trials: int = 200
    seed: int = 7


def tune_query(
    data: Dataset, settings: Settings, name: str, text: str, options: TuneOptions, tell: Progress
) -> tuple[dict[str, Any], str]:
    """Search; the figures, and the query with the weights found.

    Args:
        name: of the query, for messages.

    Raises:
        TuneError: the query is wrong or has no blend to weigh, or ``optuna`` is missing.
        DatasetError: viewers engaged with nothing new at the end of the training period.
        SettingsError: the split is no time, or a module of operators cannot be used.
        TaskError: there is no such task.
    """
    try:
        from models.evaluation.blend_search import BranchRows, search_weights
    except ImportError as error:
        raise TuneError("tuning needs optuna: pip install 'freshgrid[evaluate]'") from error
    operators = load_operators(settings)
    plan, mix = _planned(name, text, operators)
    task, split_ms = task_of(options.task), split_of(data, options.split)
    from_ms = validation_from(data.log, split_ms, data.real_from_ms)
    targets = static_targets(data.log, task.positives, from_ms, split_ms)
    targets = targets.take(targets.history_g > 0)
    if len(targets) < 2:
        words = " or ".join(action.word for action in task.positives)
        raise DatasetError(
            f"{data.name}: {len(targets)} viewers with positives before {from_ms} have a {words} "
            f"on a media not seen before from there to the split at {split_ms}, and tuning needs "
            "two; give another --split or --task"
        )
    order = np.random.default_rng(options.seed).permutation(len(targets))[: options.viewers]
    halves = [targets.take(np.sort(order[half::2])) for half in (0, 1)]
    tell("folding", 0, 1)
    ranker = Ranker(data, settings, task, np.sort(targets.viewer_g[order]))
    ranker.advance(from_ms)
    vectors, ranker.world.item_weights = learned_at(data, settings, options.seed, from_ms)
    set_vectors(ranker.world, vectors)
    if ranker.world.item_weights is not None:
        appeal = _appeal(data, ranker, halves[0], task.positives[0], from_ms)
        ranker.world.item_weights = ranker.world.item_weights.with_appeal(appeal)
    most = min(mix.cut or CANDIDATES, CANDIDATES)
    weighed = [branch for weight, branch in mix.branches if weight]
    found = [
        BranchRows(_branch_rows(ranker, plan, weighed, of_half, from_ms, tell), len(of_half), most)
        for of_half in halves
    ]
    brings_b = found[0].brings_b
    if brings_b.sum() < 2:
        raise TuneError(
            f"{int(brings_b.sum())} of {len(brings_b)} branches of query {name} bring media for "
            f"the viewers of {data.name}, so there is nothing to weigh; give data that tells what "
            "the others need, e.g. authors of media"
        )
    before = tuple(weight for weight, _ in mix.branches if weight)
    after = search_weights(
        before,
        brings_b,
        lambda weights: float(recall(found[0].lists(weights), halves[0]).mean()),
        options.trials,
        options.seed,
        lambda done, total: tell("trials", done, total),
    )
    written = reweighted(text, _with_zeros(mix, after))
    figures = {
        "viewers": len(halves[1]),
        "viewers_chosen_on": len(halves[0]),
        "positives": len(halves[1].media_p),
        "from_ms": from_ms,
        "until_ms": split_ms,
        "task": options.task,
        "trials": options.trials,
        "seed": options.seed,
        "branches": _branches(text, _with_zeros(mix, before), _with_zeros(mix, after)),
        **_figures(found[1].lists(before), found[1].lists(after), halves[1], options.seed),
    }
    return {"data": data.name, "query": name, "figures": figures}, written


def _appeal(data: Dataset, ranker: Ranker, targets: Targets, action: Action, now_ms: int) -> Appeal:
    """What the viewers who weights are chosen on say of popularity beside likeness."""
    done: list[dict[str, set[Action]]] = [{} for _ in range(len(targets))]
    for grid, media in zip(targets.grid_p.tolist(), targets.media_p.tolist(), strict=True):
        done[grid][data.media_ids[media]] = {action}
    drawn, log = (
        draws(ranker.contexts(targets.viewer_g, now_ms), done, ranker.world, now_ms),
        DrawLog(),
    )
    if drawn is not None:
        log.add(drawn)
    return log.fit()


def _planned(name: str, text: str, operators: Registry) -> tuple[Plan, Mix]:
    try:
        plan = planned(text, operators)
    except IgqlError as error:
        raise TuneError(f"{name}:{error.line}:{error.column}\n{error}") from error
    mix = _mix(plan.root)
    if mix is None or sum(weight > 0 for weight, _ in mix.branches) < 2:
        kind = "does not begin with a blend" if mix is None else "weighs a single branch"
        raise TuneError(
            f"query {name} {kind}, so it has no weights to tune; give one that begins "
            "blend(weight: subquery, weight: subquery)"
        )
    return plan, mix


def _mix(node: Node) -> Mix | None:
    while not isinstance(node, Mix):
        below = inputs(node)
        if not below:
            return None
        node = below[0]
    return node


def _branch_rows(
    ranker: Ranker,
    plan: Plan,
    branches: Sequence[Node],
    targets: Targets,
    now_ms: int,
    tell: Progress,
) -> list[ColumnSet]:
    """What each branch brings for the viewers, who are numbered as the grids of the targets."""
    query, viewers = CandidateQuery(plan=plan), targets.viewer_g
    found: list[list[ColumnSet]] = [[] for _ in branches]
    for start in range(0, len(viewers), BATCH):
        contexts = ranker.contexts(viewers[start : start + BATCH], now_ms)
        nodes = query.find(contexts, ranker.world, ranker.rankers, now_ms).nodes()
        for of_branch, branch in zip(found, branches, strict=True):
            rows = nodes[branch]
            of_branch.append(replace(rows, viewer_n=rows.viewer_n + np.int32(start)))
        tell("candidates", min(start + BATCH, len(viewers)), len(viewers))
    return [joined(of_branch) for of_branch in found]


def _with_zeros(mix: Mix, weights: Sequence[float]) -> list[float]:
    """A weight for every branch, given those of the branches that do not only stand in."""
    given = iter(weights)
    return [next(given) if weight else 0.0 for weight, _ in mix.branches]


def _branches(text: str, before: Sequence[float], after: Sequence[float]) -> list[dict[str, Any]]:
    blend = outer_blend(parse(text))
    assert blend is not None  # It was planned as one.
    return [
        {
            "branch": ".".join(call.operator for call in branch.query.calls) or "blend",
            "before": round(was, 4),
            "after": will_be,
        }
        for branch, was, will_be in zip(blend.branches, before, after, strict=True)
    ]


def _figures(before_gk: Lists, after_gk: Lists, targets: Targets, seed: int) -> dict[str, Any]:
    """Recall and NDCG before and after with intervals over viewers, and what was gained."""
    bootstrap = Bootstrap(len(targets), seed)
    figures: dict[str, Any] = {}
    both = before_gk, after_gk
    for name, (before_g, after_g) in (
        ("recall_500", [recall(lists_gk, targets) for lists_gk in both]),
        ("ndcg_25", [list_figures(lists_gk, targets, GRID)["ndcg"] for lists_gk in both]),
    ):
        for when, value_g in (
            ("before", before_g), ("after", after_g), ("gain", after_g - before_g),
        ):  # fmt: skip
            told(figures, f"{name}_{when}", bootstrap.mean(Sums.of(value_g, targets.viewer_g)))
    return figures
