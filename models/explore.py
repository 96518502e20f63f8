"""The whole pipeline: candidates → first pass → second pass → final pass → value → diversity."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.candidates import Candidates
from models.columns import Rows
from models.diversity import DiversityConfig, diversify
from models.experiment import Treatment
from models.exploration import Drawn, ExplorationConfig, draw, is_new, seed_of
from models.feature_schema import FEATURE_VERSION, FeatureMatrix
from models.features import Assembly
from models.grid import Grid
from models.igql.executor import Executed
from models.judging import Judged, judge
from models.queries import CandidateQuery
from models.rankers import Pass
from models.trace import Trace
from models.viewer_context import ViewerContext
from models.world import World

_NO_ROWS: Final = np.empty(0, np.int32)
#: Larger than any score that means something, and still a float32.
_LARGE: Final = 1e30
#: Added to topic codes so that they never meet a seed's account row.
_TOPIC_GROUP: Final = np.int64(1 << 40)


class ExploreConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes of the funnel and the rules around it.

    Attributes:
        first, second: media kept by the first and the second pass; more where `size` needs it.
        size: items of a grid.
        personal_share: smallest share, in every pass and in the grid, of media found through the
            viewer's own accounts, while there are any. Rankers lean to the popular; a first like
            must show all the same.
        see_fewer_strength: likelihood of a further see-fewer, given one on the same author now;
            less for similar authors and with time.
        demote_from: from this likeness to see-fewered authors on, a media passes the first pass
            only if nothing else is left.
    """

    first: int = 150
    second: int = 50
    size: int = 25
    diversity: DiversityConfig = DiversityConfig()
    exploration: ExplorationConfig = ExplorationConfig()
    personal_share: float = 0.3
    see_fewer_strength: float = 0.8
    demote_from: float = 0.6


def explore(
    viewer: ViewerContext,
    world: World,
    config: ExploreConfig,
    now_ms: int,
    exclude_media_rows: Rows = _NO_ROWS,
    query: CandidateQuery | None = None,
    treatment: Treatment | None = None,
) -> Grid:
    """Compute a grid. Fewer items than asked when there is little to show, never an error.

    Args:
        exclude_media_rows: media already served, e.g. on earlier pages; unknown rows are ignored.
        query: what finds the candidates; by default the one that comes with the package.
        treatment: what the viewer's arm gets; by default what is live in `world`.
    """
    found = find([viewer], world, now_ms, [exclude_media_rows], query, treatment)
    return funnel(found, world, config)[0].grid


@dataclass(frozen=True, slots=True)
class Found:
    """Candidates of viewers of one arm, one viewer's after the other's."""

    viewers: Sequence[ViewerContext]
    query: CandidateQuery
    treatment: Treatment
    executed: Executed
    now_ms: int


def find(
    viewers: Sequence[ViewerContext],
    world: World,
    now_ms: int,
    served: Sequence[Rows] | None = None,
    query: CandidateQuery | None = None,
    treatment: Treatment | None = None,
) -> Found:
    """Find the candidates of viewers of one arm; see :func:`explore`."""
    query, treatment = query or CandidateQuery(), treatment or Treatment()
    if served is not None:
        served = [rows[rows >= 0] for rows in served]
    executed = query.find(viewers, world, now_ms, served)
    return Found(viewers, query, treatment, executed, now_ms)


def funnel(found: Found, world: World, config: ExploreConfig) -> list[Trace]:
    """Rank the candidates of each viewer; every pass scores the rows of all of them at once."""
    treatment, share = found.treatment, config.personal_share
    rankers, weights = treatment.rankers or world.rankers, treatment.weights or world.weights
    candidates, bounds = found.executed.all_candidates()
    assembly = Assembly.of(found.viewers, candidates, np.diff(bounds), world, found.now_ms)
    likeness_n = assembly.column("see_fewer_similarity")
    behind_n = likeness_n >= config.demote_from
    personal_n = (candidates.seed_n >= 0) & (likeness_n < config.demote_from / 2)
    spans = _spans(np.diff(bounds))
    most = max(config.second, config.size)

    first_n = _scores(rankers.first, assembly)
    media_n = candidates.media_n
    orders = [top(first_n[span], media_n[span], behind_n[span]) for span in spans]
    firsts = [
        cut(order, max(config.first, most), personal_n[span], share)
        for order, span in zip(orders, spans, strict=True)
    ]
    kept, spans_k = _joined(firsts, spans)
    passed = assembly.take(kept)
    second_k = _scores(rankers.second, passed)
    media_k, behind_k = media_n[kept], behind_n[kept]
    orders_k = [top(second_k[span], media_k[span], behind_k[span]) for span in spans_k]
    seconds = [
        cut(order, most, personal_n[kept[span]], share)
        for order, span in zip(orders_k, spans_k, strict=True)
    ]
    best, spans_m = _joined(seconds, spans_k)
    features = passed.take(best).matrix()
    see_fewer_n = config.see_fewer_strength * likeness_n
    judged = judge(features, see_fewer_n[kept[best]], rankers, weights)

    versions = {
        **treatment.versions(world),
        "index": world.index_version(),
        "features": FEATURE_VERSION,
        "query": found.query.plan.version,
    }
    dropped = found.executed.report.dropped()
    traces = []
    for at, viewer in enumerate(found.viewers):
        n, k, m = spans[at], spans_k[at], spans_m[at]
        whole = _Ranked(
            viewer=viewer,
            candidates=candidates.take(n),
            author_n=assembly.rows.author_n[n],
            behind_n=behind_n[n],
            personal_n=personal_n[n],
            kept_m=firsts[at][seconds[at]],
            judged_m=judged.take(m),
        )
        shown, drawn = _placed(whole, found, world, config)
        rows, propensity_n = whole.kept_m[shown], np.ones(len(shown))
        second_n, second_rank = second_k[k][seconds[at][shown]], shown
        first_rank, final = seconds[at][shown], whole.judged_m.take(shown)
        columns = features.take(m).take(shown)
        if drawn is not None:
            # Whatever the passes thought of them: their places are behind all others'.
            extra, order = assembly.take(drawn.rows + n.start).matrix(), drawn.order
            behind = np.full(len(drawn.rows), len(whole.candidates))
            rows = np.append(rows, drawn.rows)[order]
            propensity_n = np.append(propensity_n, drawn.propensity_n)[order]
            first_rank = np.append(first_rank, behind)[order]
            second_n = np.append(second_n, finite(rankers.second.score(extra)))[order]
            second_rank = np.append(second_rank, behind)[order]
            more = judge(extra, see_fewer_n[n][drawn.rows], rankers, weights)
            final = final.append(more).take(order)
            columns = FeatureMatrix.concatenate([columns, extra]).take(order)
        grid = Grid(
            viewer_id=viewer.viewer_id,
            candidates=whole.candidates.take(rows),
            features=columns,
            author_n=whole.author_n[rows],
            candidate_rank_n=rows,
            first_score_n=first_n[n][rows],
            first_rank_n=first_rank,
            second_score_n=second_n,
            second_rank_n=second_rank,
            probabilities_n3=final.probabilities_n3,
            value_n=final.value_n,
            penalty_n=final.penalty_n,
            propensity_n=propensity_n,
            candidate_count=len(whole.candidates),
            generated_at_ms=found.now_ms,
            reflects_ts=viewer.reflects_ts,
            dropped=dropped,
            versions=versions,
        )
        traces.append(
            Trace(
                grid=grid,
                candidates=whole.candidates,
                author_n=whole.author_n,
                likeness_n=likeness_n[n],
                behind_n=whole.behind_n,
                first_n=first_n[n],
                first_order_n=orders[at],
                first_k=firsts[at],
                second_k=second_k[k],
                second_order_k=orders_k[at],
                second_m=seconds[at],
                judged_m=whole.judged_m,
                shown=rows,
            )
        )
    return traces


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ranked:
    """One viewer's candidates after the passes; `kept_m` are positions of those left."""

    viewer: ViewerContext
    candidates: Candidates
    author_n: Rows
    behind_n: NDArray[np.bool_]
    personal_n: NDArray[np.bool_]
    kept_m: NDArray[np.int64]
    judged_m: Judged


def _placed(
    whole: _Ranked, found: Found, world: World, config: ExploreConfig
) -> tuple[NDArray[np.int64], Drawn | None]:
    """Positions within those left that the grid shows, in order, and what is drawn beside them."""
    diversity = DiversityConfig(enabled=False) if found.treatment.feed else config.diversity
    media_n, kept = whole.candidates.media_n, whole.kept_m
    seed_m, topic_m = whole.candidates.seed_n[kept], world.catalog.topic_n[media_n[kept]]
    # Without a seed the topic stands in for it, so a cold start is spread over topics.
    group_m = np.where(seed_m >= 0, seed_m, np.where(topic_m > 0, topic_m + _TOPIC_GROUP, -1))
    grouped = whole.judged_m.value_n, whole.author_n[kept], group_m
    personal = whole.personal_n[kept], int(config.personal_share * config.size)
    # In feed mode value alone decides.
    slots = config.exploration.slots(config.size) if diversity.enabled else 0
    slots = 0 if len(media_n) <= config.size else slots
    shown = diversify(*grouped, config.size - slots, diversity, *personal)
    if not slots:
        return shown, None
    new_n = is_new(media_n, world, found.now_ms, config.exploration) & ~whole.behind_n
    drawn = draw(
        np.flatnonzero(new_n), media_n, whole.author_n, kept[shown], slots,
        seed_of(whole.viewer.viewer_hash, found.now_ms), world, config.exploration,
    )  # fmt: skip
    if drawn is None:
        shown = diversify(*grouped, config.size, diversity, *personal)
    return shown, drawn


def _scores(one: Pass, rows: Assembly) -> NDArray[np.floating]:
    return finite(one.score(rows.matrix(one.columns, sparse=False)))


def _spans(sizes: Iterable[int]) -> list[slice]:
    """Where each viewer's rows are, if they stand one after the other's."""
    ends = list(accumulate(map(int, sizes), initial=0))
    return [slice(start, end) for start, end in pairwise(ends)]


def _joined(
    kept: Sequence[NDArray[np.int64]], spans: Sequence[slice]
) -> tuple[NDArray[np.int64], list[slice]]:
    """Positions within each viewer's rows → positions among all, and each viewer's span there."""
    rows = [positions + span.start for positions, span in zip(kept, spans, strict=True)]
    return np.concatenate([np.empty(0, np.int64), *rows]), _spans(map(len, kept))


def finite(score_n: NDArray[np.floating]) -> NDArray[np.floating]:
    """The scores with NaN and infinities replaced: a pass that diverged must not take the grid."""
    found_n: NDArray[np.floating] = np.nan_to_num(
        score_n, nan=-_LARGE, posinf=_LARGE, neginf=-_LARGE
    )
    return found_n


def top(
    score_n: NDArray[np.floating], media_n: Rows, behind_n: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Positions from the highest score to the lowest; the order of the input decides nothing.

    Args:
        score_n: without NaN.
        media_n: breaks ties.
        behind_n: rows that come after all others, whatever their score.
    """
    # One sort of whole numbers: behind, then the score from its highest, then the media. The bits
    # of a float32 ascend with it if those of negative ones are turned round; adding 0 makes −0
    # and 0 one number.
    bits_n = (score_n.astype(np.float32) + np.float32(0)).view(np.uint32)
    descending_n = np.where(bits_n >> 31, bits_n, ~bits_n & np.uint32(0x7FFFFFFF))
    key_n = behind_n.astype(np.uint64) << np.uint64(63)
    key_n |= descending_n.astype(np.uint64) << np.uint64(31)
    key_n |= media_n.astype(np.uint64)
    return np.argsort(key_n)


def cut(
    ranked: NDArray[np.int64], k: int, personal_n: NDArray[np.bool_], share: float
) -> NDArray[np.int64]:
    """The first k of `ranked`, except that at least `share` of k are personal where there are any.

    The best personal ones take the places of the last others; the order stays.
    """
    if len(ranked) <= k:
        return ranked
    kept_n = np.zeros(len(ranked), np.bool_)
    kept_n[ranked[personal_n[ranked]][: int(share * k)]] = True
    others = ranked[~kept_n[ranked]]
    kept_n[others[: k - int(kept_n.sum())]] = True
    return ranked[kept_n[ranked]]
