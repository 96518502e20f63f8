"""The whole pipeline: candidates → first pass → second pass → final pass → value → diversity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.columns import Rows
from models.diversity import DiversityConfig, diversify
from models.experiment import Treatment
from models.exploration import ExplorationConfig, draw, is_new, seed_of
from models.feature_schema import FeatureMatrix
from models.features import FEATURE_VERSION, assemble
from models.grid import Grid
from models.queries import CandidateQuery
from models.rankers import Rankers
from models.value import Weights, value
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
    query, treatment = query or CandidateQuery(), treatment or Treatment()
    served = exclude_media_rows[exclude_media_rows >= 0]
    rankers = treatment.rankers or world.rankers
    weights = treatment.weights or world.weights
    diversity = DiversityConfig(enabled=False) if treatment.feed else config.diversity
    found = query.find([viewer], world, now_ms, [served])
    candidates = found.candidates()
    features = assemble(viewer, candidates, world, now_ms)
    media_n, author_n = candidates.media_n, world.catalog.author_n[candidates.media_n]
    likeness_n = features.column("see_fewer_similarity")

    behind_n = likeness_n >= config.demote_from
    personal_n = (candidates.seed_n >= 0) & (likeness_n < config.demote_from / 2)
    share = config.personal_share

    first_n = finite(rankers.first.score(features))
    ranked = top(first_n, media_n, behind_n)
    kept = cut(ranked, max(config.first, config.second, config.size), personal_n, share)
    first_rank = np.arange(len(kept))

    second_n = finite(rankers.second.score(features.take(kept)))
    ranked = top(second_n, media_n[kept], behind_n[kept])
    best = cut(ranked, max(config.second, config.size), personal_n[kept], share)
    kept, first_rank, second_n = kept[best], first_rank[best], second_n[best]

    see_fewer_n = config.see_fewer_strength * likeness_n
    judged = judge(features.take(kept), see_fewer_n[kept], rankers, weights)
    seed_n, topic_n = candidates.seed_n[kept], world.catalog.topic_n[media_n[kept]]
    # Without a seed the topic stands in for it, so a cold start is spread over topics.
    group_n = np.where(seed_n >= 0, seed_n, np.where(topic_n > 0, topic_n + _TOPIC_GROUP, -1))
    grouped = judged.value_n, author_n[kept], group_n
    personal = personal_n[kept], int(share * config.size)
    # In feed mode value alone decides.
    slots = config.exploration.slots(config.size) if diversity.enabled else 0
    slots = 0 if len(candidates) <= config.size else slots
    shown = diversify(*grouped, config.size - slots, diversity, *personal)
    drawn = None
    if slots:
        new_n = is_new(media_n, world, now_ms, config.exploration) & ~behind_n
        drawn = draw(
            np.flatnonzero(new_n), media_n, author_n, kept[shown], slots,
            seed_of(viewer.viewer_hash, now_ms), world, config.exploration,
        )  # fmt: skip
        if drawn is None:
            shown = diversify(*grouped, config.size, diversity, *personal)
    rows, propensity_n = kept[shown], np.ones(len(shown))
    second_n, second_rank, judged = second_n[shown], shown, judged.take(shown)
    first_rank = first_rank[shown]
    if drawn is not None:
        # Whatever the passes thought of them: their places in the order are behind all others'.
        extra, order = features.take(drawn.rows), drawn.order
        rows = np.append(rows, drawn.rows)[order]
        propensity_n = np.append(propensity_n, drawn.propensity_n)[order]
        first_rank = np.append(first_rank, np.full(slots, len(candidates)))[order]
        second_n = np.append(second_n, finite(rankers.second.score(extra)))[order]
        second_rank = np.append(second_rank, np.full(slots, len(candidates)))[order]
        judged = judged.append(judge(extra, see_fewer_n[drawn.rows], rankers, weights)).take(order)

    return Grid(
        viewer_id=viewer.viewer_id,
        candidates=candidates.take(rows),
        features=features.take(rows),
        author_n=author_n[rows],
        candidate_rank_n=rows,
        first_score_n=first_n[rows],
        first_rank_n=first_rank,
        second_score_n=second_n,
        second_rank_n=second_rank,
        probabilities_n3=judged.probabilities_n3,
        value_n=judged.value_n,
        penalty_n=judged.penalty_n,
        propensity_n=propensity_n,
        candidate_count=len(candidates),
        generated_at_ms=now_ms,
        reflects_ts=viewer.reflects_ts,
        dropped=found.report.dropped(),
        versions={
            **treatment.versions(world),
            "index": world.index_version(),
            "features": FEATURE_VERSION,
            "query": query.plan.version,
        },
    )


@dataclass(frozen=True, slots=True)
class Judged:
    """What the final pass says of n media, and what that is worth.

    Attributes:
        probabilities_n3: like, save, see_fewer.
        value_n: `penalty_n` taken off.
        penalty_n: value taken off for likeness to what the viewer saw fewer of.
    """

    probabilities_n3: NDArray[np.floating]
    value_n: NDArray[np.float64]
    penalty_n: NDArray[np.float64]

    def take(self, rows: NDArray[np.int64]) -> Judged:
        """These rows."""
        return Judged(self.probabilities_n3[rows], self.value_n[rows], self.penalty_n[rows])

    def append(self, more: Judged) -> Judged:
        """These rows, then those of `more`."""
        return Judged(
            np.concatenate([self.probabilities_n3, more.probabilities_n3]),
            np.concatenate([self.value_n, more.value_n]),
            np.concatenate([self.penalty_n, more.penalty_n]),
        )


def judge(
    features: FeatureMatrix, see_fewer_n: NDArray[np.floating], rankers: Rankers, weights: Weights
) -> Judged:
    """The final pass on these media, and their values.

    Args:
        see_fewer_n: likelihood of a further see-fewer, as :func:`expect_see_fewer` takes it.
    """
    predicted_n3 = rankers.final.score(features)
    probabilities_n3 = np.clip(np.nan_to_num(predicted_n3, nan=0.0), 0.0, 1.0)
    value_n = value(expect_see_fewer(probabilities_n3, see_fewer_n), weights)
    return Judged(probabilities_n3, value_n, value(probabilities_n3, weights) - value_n)


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
    return np.lexsort((media_n, -score_n, behind_n))


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
