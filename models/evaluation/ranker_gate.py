"""Whether newly learned rankers may replace the live ones.

All score the same newest examples, which none has learned from. The new ones are refused if a head
that has enough positives to tell loses more than a margin of AUC, says less than before (normalised
entropy), or is worse calibrated by more than chance and a margin explain; than the live version,
and than the best of those that were live lately, so that small losses cannot add up. They are
refused if such a head has an AUC below a half, or if their grids are not as good as they must be
(:mod:`models.evaluation.grid_gate`). Why these: ``docs/decisions/0020-rankers-that-learn-on.md``
and ``docs/decisions/0027-gate-with-a-floor.md``.

Errors::

    ValueError
    └── GateError   the figures cannot be compared (:mod:`models.ig2vec.gate`)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from models.actions import HEADS, STRONG_HEADS
from models.defaults import RANKER_MARGIN
from models.evaluation.grid_gate import GridFigures, grid_faults, grid_text
from models.evaluation.metrics import auc, calibration_chance, calibration_error, normalised_entropy
from models.examples.examples import Examples
from models.ig2vec.gate import GateError
from models.rankers.protocol import Pass

#: AUC that a head may lose.
MARGIN: Final = RANKER_MARGIN
#: Normalised entropy that it may gain, as a share of the live version's.
ENTROPY_MARGIN: Final = 0.01
#: Calibration error that it may gain. What is below `CALIBRATED`, or no more than right
#: probabilities would show by chance on as few rows, is good enough in any case.
CALIBRATION_MARGIN: Final = 0.005
CALIBRATED: Final = 0.02
#: Positives in the examples with which a head's figures mean something.
MIN_POSITIVES: Final = 30
#: AUC that a head has by guessing.
FLOOR: Final = 0.5


class HeadFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One head on some examples; null where it cannot be measured.

    Attributes:
        calibration_chance: what the calibration error may be by chance alone, see
            :func:`models.evaluation.metrics.calibration_chance`.
        positives: among the examples.
    """

    auc: float | None
    normalised_entropy: float | None
    calibration_error: float | None
    calibration_chance: float | None = None
    positives: int


class RankerFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One version on some examples.

    Attributes:
        heads: head → its figures.
        examples: how many there were; `newest_ts` is the event time of the newest, in ms.
    """

    heads: dict[str, HeadFigures]
    examples: int
    newest_ts: int


class RankerDecision(msgspec.Struct, frozen=True, kw_only=True):
    """To promote or not, why, and on what figures; recorded with the version.

    Attributes:
        best: figures of the best of the versions that were live lately.
        grids: of the candidate and of what it must not be worse than; None in decisions from
            before grids were judged.
    """

    promote: bool
    reason: str
    margin: float
    candidate: RankerFigures | None
    live: RankerFigures | None
    best: RankerFigures | None = None
    grids: GridFigures | None = None


def ranker_figures(final: Pass, examples: Examples) -> RankerFigures:
    """Figures of a final pass on examples."""
    scores_nh = final.score(examples.features)
    heads = {}
    for head in STRONG_HEADS:
        outcome = examples.label(head.word), scores_nh[:, HEADS.index(head)], examples.weights_n
        heads[head.word] = HeadFigures(
            auc=_finite(auc(*outcome)),
            normalised_entropy=_finite(normalised_entropy(*outcome)),
            calibration_error=_finite(calibration_error(*outcome)),
            calibration_chance=_finite(calibration_chance(*outcome)),
            positives=int(outcome[0].sum()),
        )
    newest_ts = int(examples.ts_n.max()) if len(examples) else 0
    return RankerFigures(heads=heads, examples=len(examples), newest_ts=newest_ts)


def measurable(examples: Examples) -> bool:
    """Whether some head has enough positives in these examples to judge by."""
    return any(examples.label(head.word).sum() >= MIN_POSITIVES for head in STRONG_HEADS)


def mean_auc(figures: RankerFigures) -> float:
    """Mean AUC of the heads that can be measured; −inf where none can."""
    found = [of.auc for of in figures.heads.values() if _told(of) and of.auc is not None]
    return sum(found) / len(found) if found else -math.inf


def decide_rankers(
    candidate: RankerFigures,
    live: RankerFigures | None,
    margin: float = MARGIN,
    *,
    best: RankerFigures | None = None,
    grids: GridFigures | None = None,
) -> RankerDecision:
    """Decide on a candidate.

    Args:
        candidate: its figures.
        live: those of the live version on the same examples; ``None`` if there is none, then only
            floors can refuse the candidate.
        margin: AUC that a head may lose, 0 to 1.
        best: figures of the best of the versions that were live lately, on the same examples.
        grids: the candidate's, and those of others.

    Raises:
        GateError: the margin is no share, or the figures were measured on different examples.
    """
    if not 0 <= margin <= 1:
        raise GateError(f"the margin {margin} is not between 0 and 1")
    others = [(name, of) for name, of in (("live", live), ("best", best)) if of is not None]
    for name, old in others:
        if (candidate.examples, candidate.newest_ts) != (old.examples, old.newest_ts):
            raise GateError(
                f"the candidate was measured on {candidate.examples} examples up to "
                f"{candidate.newest_ts}, the {name} version on {old.examples} up to "
                f"{old.newest_ts}; measure both on the same"
            )
    told, faults = _heads(candidate, others, margin)
    measured = bool(told or faults)
    if not measured:
        told.append(f"heads not measured: none has {MIN_POSITIVES} positives")
    if grids is not None:
        told.append(grid_text(grids))
        faults += grid_faults(grids)
        measured = measured or grids.ndcg is not None
    if live is None:
        told.insert(0, "no live version to compare with")
    elif not measured:
        faults.append(f"not measured: {'; '.join(told)}; wait for more labels")
    return RankerDecision(
        promote=not faults,
        reason="; ".join(faults or told),
        margin=margin,
        candidate=candidate,
        live=live,
        best=best,
        grids=grids,
    )


def _heads(
    candidate: RankerFigures, others: Sequence[tuple[str, RankerFigures]], margin: float
) -> tuple[list[str], list[str]]:
    """What the heads that can be measured show, and what of it speaks against the candidate."""
    told, faults = [], []
    for head, new in candidate.heads.items():
        if not _told(new):
            continue
        against = [f"{_text(old.heads[head].auc)} {name}" for name, old in others]
        told.append(f"{head} AUC {_text(new.auc)} against {', '.join(against) or FLOOR}")
        if new.auc is None or new.normalised_entropy is None or new.calibration_error is None:
            faults.append(f"{head} gives no figures")
            continue
        if new.auc < FLOOR:
            faults.append(
                f"{head} AUC {_text(new.auc)} against {FLOOR} of guessing loses "
                f"{FLOOR - new.auc:.4f}"
            )
        for name, old in others:
            faults += _faults(head, new, old.heads[head], margin, name)
    return told, faults


def _told(figures: HeadFigures) -> bool:
    return figures.positives >= MIN_POSITIVES


def _faults(head: str, new: HeadFigures, old: HeadFigures, margin: float, name: str) -> list[str]:
    """How a head with figures is worse than that of another version."""
    assert new.auc is not None
    assert new.normalised_entropy is not None
    assert new.calibration_error is not None
    faults = []
    if old.auc is not None and new.auc < old.auc - margin:
        faults.append(
            f"{head} AUC {_text(new.auc)} against {_text(old.auc)} of the {name} version loses "
            f"{old.auc - new.auc:.4f}, more than {margin:g}"
        )
    entropy = old.normalised_entropy
    if entropy is not None and new.normalised_entropy > entropy * (1 + ENTROPY_MARGIN):
        faults.append(
            f"{head} normalised entropy {_text(new.normalised_entropy)} against {_text(entropy)} "
            f"of the {name} version gains {new.normalised_entropy / entropy - 1:.1%}, more than "
            f"{ENTROPY_MARGIN:.0%}"
        )
    allowed = max(
        CALIBRATED,
        new.calibration_chance or 0.0,
        (old.calibration_error or 0.0) + CALIBRATION_MARGIN,
    )
    if new.calibration_error > allowed:
        faults.append(
            f"{head} calibration error {_text(new.calibration_error)} against "
            f"{_text(old.calibration_error)} of the {name} version, "
            f"at most {_text(allowed)} allowed"
        )
    return faults


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _text(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"
