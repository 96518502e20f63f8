"""Whether newly learned rankers may replace the live ones.

Both score the same newest examples, which neither has learned from. The new ones are refused if a
head that has enough positives to tell loses more than a margin of AUC, says less than before
(normalised entropy), or is worse calibrated by more than chance and a margin explain. Why these:
``docs/decisions/0020-rankers-that-learn-on.md``.

Errors::

    ValueError
    └── GateError   the figures cannot be compared (:mod:`models.ig2vec.gate`)
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

from models.actions import HEADS, STRONG_HEADS
from models.evaluation.metrics import auc, calibration_chance, calibration_error, normalised_entropy
from models.examples.examples import Examples
from models.ig2vec.gate import GateError
from models.rankers.protocol import Pass

#: AUC that a head may lose.
MARGIN: Final = 0.005
#: Normalised entropy that it may gain, as a share of the live version's.
ENTROPY_MARGIN: Final = 0.01
#: Calibration error that it may gain. What is below `CALIBRATED`, or no more than right
#: probabilities would show by chance on as few rows, is good enough in any case.
CALIBRATION_MARGIN: Final = 0.005
CALIBRATED: Final = 0.02
#: Positives in the examples with which a head's figures mean something.
MIN_POSITIVES: Final = 30


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
    """To promote or not, why, and on what figures; recorded with the version."""

    promote: bool
    reason: str
    margin: float
    candidate: RankerFigures | None
    live: RankerFigures | None


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


def decide_rankers(
    candidate: RankerFigures, live: RankerFigures | None, margin: float = MARGIN
) -> RankerDecision:
    """Decide on a candidate.

    Args:
        candidate: its figures.
        live: those of the live version on the same examples; ``None`` if there is none, then the
            candidate is promoted.
        margin: AUC that a head may lose, 0 to 1.

    Raises:
        GateError: the margin is no share, or the two were measured on different examples.
    """
    if not 0 <= margin <= 1:
        raise GateError(f"the margin {margin} is not between 0 and 1")
    if live is None:
        return _decision(True, "no live version to compare with", margin, candidate, live)
    if (candidate.examples, candidate.newest_ts) != (live.examples, live.newest_ts):
        raise GateError(
            f"the candidate was measured on {candidate.examples} examples up to "
            f"{candidate.newest_ts}, the live version on {live.examples} up to {live.newest_ts}; "
            "measure both on the same"
        )
    told, faults = [], []
    for head, new in candidate.heads.items():
        old = live.heads[head]
        if new.positives < MIN_POSITIVES:
            continue
        told.append(f"{head} AUC {_text(new.auc)} against {_text(old.auc)}")
        faults += _faults(head, new, old, margin)
    if not told:
        reason = f"not measured: no head has {MIN_POSITIVES} positives; wait for more labels"
        return _decision(False, reason, margin, candidate, live)
    return _decision(not faults, "; ".join(faults or told), margin, candidate, live)


def _faults(head: str, new: HeadFigures, old: HeadFigures, margin: float) -> list[str]:
    faults = []
    if new.auc is None or new.normalised_entropy is None or new.calibration_error is None:
        return [f"{head} gives no figures"]
    if old.auc is not None and new.auc < old.auc - margin:
        faults.append(
            f"{head} AUC {_text(new.auc)} against {_text(old.auc)} loses more than {margin:g}"
        )
    entropy = old.normalised_entropy
    if entropy is not None and new.normalised_entropy > entropy * (1 + ENTROPY_MARGIN):
        faults.append(
            f"{head} normalised entropy {_text(new.normalised_entropy)} against {_text(entropy)}"
        )
    allowed = max(
        CALIBRATED,
        new.calibration_chance or 0.0,
        (old.calibration_error or 0.0) + CALIBRATION_MARGIN,
    )
    if new.calibration_error > allowed:
        faults.append(
            f"{head} calibration error {_text(new.calibration_error)}, "
            f"at most {_text(allowed)} allowed"
        )
    return faults


def _decision(
    promote: bool,
    reason: str,
    margin: float,
    candidate: RankerFigures | None,
    live: RankerFigures | None,
) -> RankerDecision:
    return RankerDecision(
        promote=promote, reason=reason, margin=margin, candidate=candidate, live=live
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _text(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"
