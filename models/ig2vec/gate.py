"""Whether a new version of the account vectors may replace the live one.

A version is promoted unless it loses more than a margin of the topic probe's macro-F1 to the live
one, both measured on the same labelled accounts (:func:`models.ig2vec.quality.measure`). Why
this figure and this margin: ``docs/decisions/0013-embedding-gate.md``.

Errors::

    ValueError
    └── GateError   the figures cannot be compared
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

#: Macro-F1 that a new version may lose: about twice what two fits of one log differ by.
MARGIN: Final = 0.02


class GateError(ValueError):
    """The figures cannot be compared."""


class QualityFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one version's vectors on labelled accounts.

    Attributes:
        macro_f1: of the topic probe over held-out accounts; `low` and `high` bound it at 95 %.
        accuracy: share of held-out accounts whose topic the probe tells.
        majority_f1: macro-F1 of always saying the most frequent topic.
        random_f1: macro-F1 of the probe on random vectors.
        purity: mean share of an account's `neighbours` nearest labelled accounts with its topic.
        purity_chance: the same share among all other accounts.
        accounts: labelled accounts that were measured.
        covered: how many of them have a vector; the others counted as a zero vector.
        topics: among which the probe had to tell.
    """

    macro_f1: float
    low: float
    high: float
    accuracy: float
    majority_f1: float
    random_f1: float
    purity: float
    purity_chance: float
    neighbours: int
    accounts: int
    covered: int
    topics: int


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """To promote or not, why, and on what figures; recorded with the version."""

    promote: bool
    reason: str
    margin: float
    candidate: QualityFigures | None
    live: QualityFigures | None


def decide(
    candidate: QualityFigures | None, live: QualityFigures | None, margin: float = MARGIN
) -> Decision:
    """Decide on a candidate.

    Args:
        candidate: its figures; ``None`` where too few accounts are labelled to measure any. It
            is promoted then: without labels nothing speaks against it.
        live: figures of the live version on the same accounts; ``None`` if there is none.
        margin: macro-F1 that may be lost, 0 to 1.

    Raises:
        GateError: the margin is no share, a macro-F1 is no number, or the two were measured on
            different numbers of accounts or topics.
    """
    if not 0 <= margin <= 1:
        raise GateError(f"the margin {margin} is not between 0 and 1")
    for name, figures in (("candidate", candidate), ("live version", live)):
        if figures is not None and not math.isfinite(figures.macro_f1):
            raise GateError(f"the {name}'s macro-F1 {figures.macro_f1} is no number; measure again")
    if candidate is None:
        promote, reason = True, "not measured: too few labelled accounts"
    elif live is None:
        promote, reason = True, "no live version to compare with"
    else:
        if (candidate.accounts, candidate.topics) != (live.accounts, live.topics):
            raise GateError(
                f"the candidate was measured on {candidate.accounts} accounts of "
                f"{candidate.topics} topics, the live version on {live.accounts} of "
                f"{live.topics}; measure both on the same"
            )
        gain = candidate.macro_f1 - live.macro_f1
        promote = gain >= -margin
        verdict = "within" if promote else "more than"
        reason = (
            f"macro-F1 {candidate.macro_f1:.4f} against {live.macro_f1:.4f} ({gain:+.4f})"
            if gain >= 0
            else f"macro-F1 {candidate.macro_f1:.4f} against {live.macro_f1:.4f} loses "
            f"{-gain:.4f}, {verdict} the margin {margin:g}"
        )
    return Decision(promote=promote, reason=reason, margin=margin, candidate=candidate, live=live)
