"""Why a viewer sees a media, or does not: read off the trace of the run that made the grid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.actions import HEAD_NAMES
from models.arrays.types import NO_POSITIONS, UNKNOWN
from models.explore.grid import Probabilities
from models.explore.pipeline import Found
from models.explore.trace import Trace
from models.explore.valuation import Scored
from models.igql.library.filters import HELD_BACK
from models.igql.plan_report import describe
from models.igql.planner import Filter, Node, OperatorNode, Sieve
from models.igql.registry import Operator, SetType
from models.igql.sets import ColumnSet
from models.rankers.value import Weights, terms
from models.world import World

DropStage = Literal[
    "inventory", "deleted", "filter", "retrieval", "query_cut",
    "first_pass", "second_pass", "value", "diversity",
]  # fmt: skip


class Drop(msgspec.Struct, frozen=True, kw_only=True):
    """Where a media that is not shown was lost.

    Attributes:
        stage: ``inventory`` (nobody knows it), ``deleted``, ``filter``, ``retrieval`` (no source
            brought it), ``query_cut`` (a source brought it, the query cut it), ``first_pass``,
            ``second_pass``, ``value`` (others are worth more), ``diversity`` (its value would have
            done).
        reason: one sentence.
        rank: from 0, of those it was cut from.
        kept: how many of these passed.
        gap: score that the last one who passed is ahead; below 0 where the place went to another
            for the share of personal media, or for a see-fewer on its author.
    """

    stage: DropStage
    reason: str
    rank: int | None = None
    kept: int | None = None
    gap: float | None = None


class PassResult(msgspec.Struct, frozen=True):
    """Score and rank from 0 in one pass, and whether it went on."""

    score: float
    rank: int
    passed: bool


class _ValueTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Value = Σ terms of the heads − penalty.

    Attributes:
        (each head by its name): weight times probability (or its logarithm), signed.
        penalty: taken off for see-fewers on the same author.
        rank: by value, from 0, among those that passed the second pass.
        same_author_before, same_seed_before: media of the same that the grid shows before it, or
            shows at all where it is not shown itself.
    """

    penalty: float
    value: float
    rank: int
    same_author_before: int
    same_seed_before: int


if TYPE_CHECKING:

    class ValueTerms(_ValueTerms, frozen=True, kw_only=True):
        """See above: the heads of the table of actions are fields, too."""

        def __init__(self, **terms: float) -> None: ...

else:
    ValueTerms = msgspec.defstruct(
        "ValueTerms",
        [(name, float) for name in HEAD_NAMES],
        bases=(_ValueTerms,),
        module=__name__,
        namespace={"__doc__": _ValueTerms.__doc__},
        frozen=True,
        kw_only=True,
    )


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """One media and one viewer; what a stage did not see is null.

    Attributes:
        position: in the grid, null where it is not shown, and then `drop` says why.
        source, seed, source_rank, source_score: how the query found it.
        candidate_rank: position among all candidates.
        see_fewer_likelihood: of a further see-fewer after one on its author, in [0, 1].
        demoted: whether it goes behind all others for that.
        propensity: below 1 where it was drawn for its place as a new media, or the grid is in
            random order, whatever the passes thought of it.
    """

    viewer_id: str
    media_id: str
    author_id: str | None
    position: int | None = None
    drop: Drop | None = None
    source: str | None = None
    seed: str | None = None
    source_rank: int | None = None
    source_score: float | None = None
    candidate_rank: int | None = None
    see_fewer_likelihood: float | None = None
    demoted: bool = False
    propensity: float | None = None
    first_pass: PassResult | None = None
    second_pass: PassResult | None = None
    probabilities: Probabilities | None = None
    value: ValueTerms | None = None


def value_terms(explanation: Explanation) -> dict[str, float]:
    """What the value of an item is made of: signed terms by action, and `penalty`.

    Empty for one that was drawn for its place, of whose value nothing follows.
    """
    terms = explanation.value
    if terms is None:
        return {}
    return {name: getattr(terms, name) for name in (*HEAD_NAMES, "penalty")}


def explain(media_id: str, trace: Trace, found: Found, world: World) -> Explanation:
    """Explain one media of any kind, known or not, by the trace of the first viewer of `found`."""
    catalog = world.catalog
    row = int(catalog.media_rows([media_id])[0])
    at = np.flatnonzero(trace.candidates.media_n == row) if row != UNKNOWN else NO_POSITIONS
    if not len(at):
        return Explanation(
            viewer_id=trace.grid.viewer_id,
            media_id=media_id,
            author_id=catalog.author_of(media_id),
            drop=_missing(row, found, world),
        )
    return _candidate(int(at[0]), trace, world, found.treatment.weights)


def explain_grid(trace: Trace, found: Found, world: World) -> list[Explanation]:
    """Explain every item of the grid, in its order."""
    weights = found.treatment.weights
    return [_candidate(row, trace, world, weights) for row in trace.shown.tolist()]


def _candidate(at: int, trace: Trace, world: World, weights: Weights) -> Explanation:
    catalog, one = world.catalog, trace.candidates
    seed = int(one.seed_n[at])
    known = Explanation(
        viewer_id=trace.grid.viewer_id,
        media_id=catalog.media_ids(one.media_n[at : at + 1])[0],
        author_id=catalog.account_id(int(trace.author_n[at])),
        source=one.sources[one.source_n[at]],
        seed=catalog.account_id(seed) if seed != UNKNOWN else None,
        source_rank=int(one.rank_n[at]),
        source_score=float(one.score_n[at]),
        candidate_rank=at,
        see_fewer_likelihood=float(trace.see_fewer_n[at]),
        demoted=bool(trace.behind_n[at]),
    )
    k, position = _place(trace.first_k, at), _place(trace.shown, at)
    m = _place(trace.second_m, k) if k >= 0 else -1
    first = PassResult(float(trace.first_n[at]), _place(trace.first_order_n, at), k >= 0)
    second = None
    if k >= 0:
        second = PassResult(float(trace.second_k[k]), _place(trace.second_order_k, k), m >= 0)
    known = msgspec.structs.replace(known, first_pass=first, second_pass=second)
    if position >= 0:
        grid = trace.grid
        scored = Scored(
            grid.features, grid.probabilities_nh, grid.expected_nh, grid.value_n, grid.penalty_n
        )
        return msgspec.structs.replace(
            known,
            position=position,
            propensity=float(grid.propensity_n[position]),
            probabilities=Probabilities(*grid.probabilities_nh[position].tolist()),
            value=_value(position, scored, trace.shown[:position], at, trace, weights),
        )
    if second is None:
        drop = _cut("first_pass", first, trace.first_n[trace.first_k])
        return msgspec.structs.replace(known, drop=drop)
    if m < 0:
        drop = _cut("second_pass", second, trace.second_k[trace.second_m])
        return msgspec.structs.replace(known, drop=drop)
    value = _value(m, trace.scored_m, trace.shown, at, trace, weights)
    return msgspec.structs.replace(
        known,
        probabilities=Probabilities(*trace.scored_m.probabilities_nh[m].tolist()),
        value=value,
        drop=_not_shown(value, trace),
    )


def _value(
    one: int,
    scored: Scored,
    before: NDArray[np.int64],
    at: int,
    trace: Trace,
    weights: Weights,
) -> ValueTerms:
    """The value of row `one` of `scored`, which is candidate `at`."""
    [signed_h] = terms(scored.expected_nh[one : one + 1], weights).tolist()
    seed_n, value = trace.candidates.seed_n, float(scored.value_n[one])
    same_seed_n = (seed_n[before] == seed_n[at]) & (seed_n[at] != UNKNOWN)
    return ValueTerms(
        **dict(zip(HEAD_NAMES, signed_h, strict=True)),
        penalty=float(scored.penalty_n[one]),
        value=value,
        rank=int(np.count_nonzero(trace.scored_m.value_n > value)),
        same_author_before=int(np.count_nonzero(trace.author_n[before] == trace.author_n[at])),
        same_seed_before=int(np.count_nonzero(same_seed_n)),
    )


def _cut(
    stage: Literal["first_pass", "second_pass"], result: PassResult, kept: NDArray[np.floating]
) -> Drop:
    gap = float(kept.min()) - result.score
    why = (
        "its place went to a personal media, or it was put behind for a see-fewer on its author"
        if result.rank < len(kept) or gap < 0
        else f"its score is {gap:.4g} below that of the last one kept"
    )
    return Drop(
        stage=stage,
        reason=f"rank {result.rank} where {len(kept)} are kept: {why}",
        rank=result.rank,
        kept=len(kept),
        gap=gap,
    )


def _not_shown(value: ValueTerms, trace: Trace) -> Drop:
    size = len(trace.shown)
    stage: DropStage = "value" if value.rank >= size else "diversity"
    why = (
        "others are worth more"
        if stage == "value"
        else "by its value it would be shown; the spread of authors and seeds, the share of "
        "personal media or a new media that was drawn took its place"
    )
    return Drop(
        stage=stage,
        reason=f"rank {value.rank} by value where {size} are shown, with "
        f"{value.same_author_before} of its author and {value.same_seed_before} of its seed: {why}",
        rank=value.rank,
        kept=size,
        gap=float(trace.grid.value_n.min()) - value.value,
    )


def _missing(row: int, found: Found, world: World) -> Drop:
    """Why a media is no candidate of the first viewer."""
    catalog = world.catalog
    if row == UNKNOWN or catalog.author_n[row] == UNKNOWN:
        return Drop(stage="inventory", reason="the catalogue has never told of it")
    if catalog.deleted_n[row]:
        return Drop(stage="deleted", reason="the catalogue says that it is deleted")
    against = [one.operator for one in _filters(found) if not _passes(row, one, found)]
    if against:
        rules = "; ".join(_rule(one, row, found, world) for one in against)
        return Drop(stage="filter", reason=rules)
    last = None
    for node, rows in found.executed.nodes().items():
        if rows.type is not SetType.MEDIA:
            continue
        own = rows.row_n[: int(rows.bounds(len(found.viewers))[1])]
        place = _place(own, row)
        if place >= 0:
            last = node, place, len(own)
    if last is None:
        return Drop(stage="retrieval", reason="no source of the query brings it for this viewer")
    node, place, size = last
    kept = int(found.executed.rows.bounds(len(found.viewers))[1])
    return Drop(
        stage="query_cut",
        reason=f"{describe(node)} had it at {place} of {size}; it is not among the query's {kept}",
        rank=place,
        kept=kept,
    )


def _rule(one: Operator, row: int, found: Found, world: World) -> str:
    """What a filter says of a media that it keeps out."""
    if one is HELD_BACK:
        why = world.why_held(int(world.catalog.author_n[row]), found.now_ms)
        if why is not None:
            return (
                f"held back: {why.asked:.3g} of its author's {why.viewers:.4g} viewers asked for "
                f"fewer lately; {why.usual * why.viewers:.2g} would be usual"
            )
    return f"{one.name} lets through: {one.summary}"


def _filters(found: Found) -> Iterator[Filter]:
    """Every filter of the plan once, in the order in which rows meet them."""
    seen = set()
    for node in found.executed.nodes():
        for one in _of_node(node):
            if one.key not in seen:
                seen.add(one.key)
                yield one


def _of_node(node: Node) -> tuple[Filter, ...]:
    return node.filters if isinstance(node, OperatorNode | Sieve) else ()


def _passes(row: int, one: Filter, found: Found) -> bool:
    """Whether a filter lets a media through for the first viewer, without any provenance."""
    single = ColumnSet.viewers(1).derive(
        np.zeros(1, np.int64), SetType.MEDIA, np.array([row], np.int32)
    )
    try:
        return bool(one.operator.kernel(found.executed.execution, single, one.arguments)[0])
    except Exception:  # It looks at a column that only a source or `let` gives.
        return True


def _place(values: NDArray[np.integer], value: int) -> int:
    """Where a value stands first, −1 if nowhere."""
    at = np.flatnonzero(values == value)
    return int(at[0]) if len(at) else -1
