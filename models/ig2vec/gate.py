"""Whether a new version of the account vectors may replace the live one.

A version is promoted unless it loses more than a margin of the topic probe's macro-F1 to the live
one or to the best of those that were live lately, all measured on the same labelled accounts
(:func:`models.ig2vec.quality.measure`), or tells less than always guessing the commonest topic.
Why this figure and this margin: ``docs/decisions/0013-embedding-gate.md``; why the best and the
floor: ``docs/decisions/0027-gate-with-a-floor.md``.

Errors::

    ValueError
    └── GateError   the figures cannot be compared
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

from models.defaults import EMBEDDING_MARGIN

#: Macro-F1 that a new version may lose.
MARGIN: Final = EMBEDDING_MARGIN


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
    """To promote or not, why, and on what figures; recorded with the version.

    Attributes:
        best: figures of the best of the versions that were live lately; None in decisions from
            before there was one.
    """

    promote: bool
    reason: str
    margin: float
    candidate: QualityFigures | None
    live: QualityFigures | None
    best: QualityFigures | None = None


def decide(
    candidate: QualityFigures | None,
    live: QualityFigures | None,
    margin: float = MARGIN,
    best: QualityFigures | None = None,
) -> Decision:
    """Decide on a candidate.

    Args:
        candidate: its figures; ``None`` where too few accounts are labelled to measure any. It
            is promoted then: without labels nothing speaks against it.
        live: figures of the live version on the same accounts; ``None`` if there is none.
        margin: macro-F1 that may be lost, 0 to 1.
        best: figures of the best of the versions that were live lately, on the same accounts.

    Raises:
        GateError: the margin is no share, a macro-F1 is no number, or the versions were measured
            on different numbers of accounts or topics.
    """
    if not 0 <= margin <= 1:
        raise GateError(f"the margin {margin} is not between 0 and 1")
    for name, figures in (
        ("candidate", candidate), ("live version", live), ("best version", best),
    ):  # fmt: skip
        if figures is not None and not math.isfinite(figures.macro_f1):
            raise GateError(f"the {name}'s macro-F1 {figures.macro_f1} is no number; measure again")
    if candidate is None:
        promote, reason = True, "not measured: too few labelled accounts"
    else:
        faults: list[str] = []
        told: list[str] = []
        if candidate.macro_f1 < candidate.majority_f1:
            faults.append(
                f"macro-F1 {candidate.macro_f1:.4f} against {candidate.majority_f1:.4f} of always "
                "guessing the commonest topic loses "
                f"{candidate.majority_f1 - candidate.macro_f1:.4f}"
            )
        for name, figures in (("live version", live), ("best of the last versions", best)):
            if figures is not None:
                lost, verdict = _compared(candidate, figures, margin, name)
                (faults if lost else told).append(verdict)
        promote = not faults
        reason = "; ".join(faults or told[:1]) or "no live version to compare with"
    return Decision(
        promote=promote, reason=reason, margin=margin, candidate=candidate, live=live, best=best
    )


def _compared(
    candidate: QualityFigures, other: QualityFigures, margin: float, name: str
) -> tuple[bool, str]:
    """Whether a candidate loses too much to another version, and by how much in words."""
    if (candidate.accounts, candidate.topics) != (other.accounts, other.topics):
        raise GateError(
            f"the candidate was measured on {candidate.accounts} accounts of "
            f"{candidate.topics} topics, the {name} on {other.accounts} of "
            f"{other.topics}; measure both on the same"
        )
    of = "" if name == "live version" else f" of the {name}"
    gain = candidate.macro_f1 - other.macro_f1
    beside = f"macro-F1 {candidate.macro_f1:.4f} against {other.macro_f1:.4f}{of}"
    if gain >= 0:
        return False, f"{beside} ({gain:+.4f})"
    lost = gain < -margin
    verdict = "more than" if lost else "within"
    return lost, f"{beside} loses {-gain:.4f}, {verdict} the margin {margin:g}"
