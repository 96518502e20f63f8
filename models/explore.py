"""The whole pipeline: candidates → first pass → second pass → final pass → value → diversity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.columns import Rows
from models.diversity import DiversityConfig, diversify
from models.features import FEATURE_VERSION, Assembly
from models.grid import Grid
from models.igql.executor import Executed
from models.queries import CandidateQuery
from models.trace import Trace
from models.value import value
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
) -> Grid:
    """Compute a grid. Fewer items than asked when there is little to show, never an error.

    Args:
        exclude_media_rows: media already served, e.g. on earlier pages; unknown rows are ignored.
        query: what finds the candidates; by default the one that comes with the package.
    """
    found = find([viewer], world, now_ms, [exclude_media_rows], query)
    return funnel(found, world, config)[0].grid()


@dataclass(frozen=True, slots=True)
class Found:
    """Candidates of a batch of viewers, one viewer's after the other's."""

    viewers: Sequence[ViewerContext]
    query: CandidateQuery
    executed: Executed
    now_ms: int


def find(
    viewers: Sequence[ViewerContext],
    world: World,
    now_ms: int,
    served: Sequence[Rows] | None = None,
    query: CandidateQuery | None = None,
) -> Found:
    """Find the candidates of viewers; see :func:`explore`."""
    query = query or CandidateQuery()
    if served is not None:
        served = [rows[rows >= 0] for rows in served]
    return Found(viewers, query, query.find(viewers, world, now_ms, served), now_ms)


def funnel(found: Found, world: World, config: ExploreConfig) -> list[Trace]:
    """Rank the candidates of each viewer; every pass scores the rows of all of them at once."""
    rankers, weights, share = world.rankers, world.weights, config.personal_share
    candidates, bounds = found.executed.all_candidates()
    assembly = Assembly.of(found.viewers, candidates, np.diff(bounds), world, found.now_ms)
    author_n, likeness_n = assembly.rows.author_n, assembly.column("see_fewer_similarity")
    behind_n = likeness_n >= config.demote_from
    personal_n = (candidates.seed_n >= 0) & (likeness_n < config.demote_from / 2)
    spans = list(pairwise(bounds.tolist()))

    first_n = finite(rankers.first.score(assembly.matrix(rankers.first.columns, sparse=False)))
    order = [top(*_of(s, first_n, candidates.media_n, behind_n)) for s in spans]
    most = max(config.first, config.second, config.size)
    first = [cut(o, most, personal_n[slice(*s)], share) for o, s in zip(order, spans, strict=True)]
    kept, kept_spans = _joined(first, spans)
    assembly = assembly.take(kept)

    second_k = finite(rankers.second.score(assembly.matrix(rankers.second.columns, sparse=False)))
    keys = second_k, candidates.media_n[kept], behind_n[kept]
    order2 = [top(*_of(s, *keys)) for s in kept_spans]
    most = max(config.second, config.size)
    second = [
        cut(o, most, personal_n[kept[slice(*s)]], share)
        for o, s in zip(order2, kept_spans, strict=True)
    ]
    best, best_spans = _joined(second, kept_spans)
    kept = kept[best]

    features = assembly.take(best).matrix()
    predicted_m3 = rankers.final.score(features)
    probabilities_m3 = np.clip(np.nan_to_num(predicted_m3, nan=0.0), 0.0, 1.0)
    plain_m = value(probabilities_m3, weights)
    disliked_m = config.see_fewer_strength * likeness_n[kept]
    value_m = value(expect_see_fewer(probabilities_m3, disliked_m), weights)
    seed_m, topic_m = candidates.seed_n[kept], world.catalog.topic_n[candidates.media_n[kept]]
    # Without a seed the topic stands in for it, so a cold start is spread over topics.
    group_m = np.where(seed_m >= 0, seed_m, np.where(topic_m > 0, topic_m + _TOPIC_GROUP, -1))
    author_m, personal_m = author_n[kept], personal_n[kept]

    dropped = found.executed.report.dropped()
    versions = {
        **world.versions(),
        "index": world.index_version(),
        "features": FEATURE_VERSION,
        "query": found.query.plan.version,
        "arm": found.query.name,
    }
    traces = []
    for at, viewer in enumerate(found.viewers):
        n, k, m = slice(*spans[at]), slice(*kept_spans[at]), slice(*best_spans[at])
        ranked = diversify(value_m[m], author_m[m], group_m[m], m.stop - m.start, config.diversity)
        traces.append(
            Trace(
                viewer_id=viewer.viewer_id,
                candidates=candidates.take(n),
                author_n=author_n[n],
                likeness_n=likeness_n[n],
                behind_n=behind_n[n],
                first_n=first_n[n],
                first_order_n=order[at],
                first_k=first[at],
                second_k=second_k[k],
                second_order_k=order2[at],
                second_m=second[at],
                features=features.take(m),
                probabilities_m3=probabilities_m3[m],
                plain_m=plain_m[m],
                value_m=value_m[m],
                order_m=ranked,
                shown=cut(ranked, config.size, personal_m[m], share),
                generated_at_ms=found.now_ms,
                reflects_ts=viewer.reflects_ts,
                dropped=dropped,
                versions=versions,
            )
        )
    return traces


def _of(span: tuple[int, int], *columns: NDArray[Any]) -> Iterator[NDArray[Any]]:
    return (column[slice(*span)] for column in columns)


def _joined(
    kept: Sequence[NDArray[np.int64]], spans: Sequence[tuple[int, int]]
) -> tuple[NDArray[np.int64], list[tuple[int, int]]]:
    """Positions within each viewer's rows → positions among all, and each viewer's span there."""
    rows = [positions + start for positions, (start, _) in zip(kept, spans, strict=True)]
    ends = np.cumsum([0, *map(len, kept)]).tolist()
    return np.concatenate([np.empty(0, np.int64), *rows]), list(pairwise(ends))


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


def expect_see_fewer(
    probabilities_n3: NDArray[np.floating], likelihood_n: NDArray[np.floating]
) -> NDArray[np.float64]:
    """The probabilities, with an independent `likelihood_n` of a see-fewer added to the model's."""
    adjusted_n3 = np.array(probabilities_n3, np.float64)
    adjusted_n3[:, 2] = 1.0 - (1.0 - adjusted_n3[:, 2]) * (1.0 - np.clip(likelihood_n, 0.0, 1.0))
    return adjusted_n3
