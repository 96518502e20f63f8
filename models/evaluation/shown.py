"""How right probabilities are on media that viewers were shown, overall and within each viewer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.actions import HEADS, VIEWS, Action
from models.evaluation.event_log import EventLog, Indices
from models.evaluation.metrics import (
    auc,
    calibration_error,
    calibration_ratio,
    normalised_entropy,
)

#: Views at which the like rate of a media is believed half.
_PRIOR_VIEWS = 20.0


@dataclass(frozen=True, slots=True)
class Shown:
    """Media that viewers were shown in the test period, each once, viewers together.

    Attributes:
        viewer_n, media_n: ascending by viewer.
        done_n: for each action the viewers' media with that action in the test period.
    """

    viewer_n: Indices
    media_n: Indices
    done_n: dict[Action, NDArray[np.bool_]]


def shown_in(log: EventLog, viewers: Indices, since_ms: int) -> Shown:
    """What these viewers were shown from a time on, and had not seen before."""
    begin = log.before(since_ms)
    key_n = log.viewer_n.astype(np.int64) * log.media + log.media_n
    late = np.arange(len(log)) >= begin
    viewed_n = late & np.isin(log.action_n, VIEWS)
    viewed_n &= np.isin(log.viewer_n, viewers)
    pairs = np.setdiff1d(key_n[viewed_n], key_n[:begin])
    done = {action: np.isin(pairs, key_n[late & log.of((action,))]) for action in HEADS}
    return Shown((pairs // log.media).astype(np.int32), (pairs % log.media).astype(np.int32), done)


def head_figures(
    label_n: NDArray[np.bool_],
    probability_n: NDArray[np.floating],
    viewer_n: NDArray[np.integer],
    weight_n: NDArray[np.floating] | None = None,
) -> dict[str, float | None]:
    """AUC, AUC within viewers, normalised entropy and calibration of one head.

    Args:
        label_n: whether it was done.
        viewer_n: whose rows they are; those of one viewer stand together.
        weight_n: 1 over the probability that a row was kept; of AUC within viewers rows count one.
    """
    p_n, y_n = np.asarray(probability_n, np.float64), label_n.astype(np.float64)
    weight_n = None if weight_n is None else np.asarray(weight_n, np.float64)
    figures = {
        "auc": auc(y_n, p_n, weight_n),
        "auc_within": auc_within(label_n, p_n, viewer_n),
        "normalised_entropy": normalised_entropy(y_n, p_n, weight_n),
        "calibration_error": calibration_error(y_n, p_n, weight_n),
        "calibration_ratio": calibration_ratio(y_n, p_n, weight_n),
        "positives": float(y_n.sum()),
        "shown": float(len(y_n) if weight_n is None else weight_n.sum()),
    }
    return {name: v if np.isfinite(v) else None for name, v in figures.items()}


def auc_within(
    label_n: NDArray[np.bool_], score_n: NDArray[np.floating], viewer_n: NDArray[np.integer]
) -> float:
    """Probability that a positive scores above a negative of the same viewer; NaN without pairs."""
    if not len(label_n):
        return float("nan")
    won, pairs = 0.0, 0.0
    begin = np.flatnonzero(np.append(True, viewer_n[1:] != viewer_n[:-1]))
    for start, stop in zip(begin, [*begin[1:], len(viewer_n)], strict=True):
        label, score = label_n[start:stop], score_n[start:stop]
        both = float(label.sum()) * float((~label).sum())
        if both:
            won += auc(label, score) * both
            pairs += both
    return won / pairs if pairs else float("nan")


def media_rate(log: EventLog, action: Action, until_ms: int) -> NDArray[np.float64]:
    """Share of each media's views before a time that came to the action, drawn to the mean."""
    end = log.before(until_ms)
    viewed_n = np.isin(log.action_n[:end], VIEWS)
    done_n = log.of((action,))[:end]
    views_m = np.bincount(log.media_n[:end][viewed_n], minlength=log.media).astype(np.float64)
    done_m = np.bincount(log.media_n[:end][done_n], minlength=log.media).astype(np.float64)
    mean = done_m.sum() / max(views_m.sum(), 1.0)
    rate_m: NDArray[np.float64] = (done_m + _PRIOR_VIEWS * mean) / (views_m + _PRIOR_VIEWS)
    return rate_m
