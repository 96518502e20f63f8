"""How activity, popularity, sessions and answers are distributed in a log, real or simulated."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.actions import VIEWS, Action
from models.events import MINUTE_MS

#: A session ends where so long nothing happened.
_GAP_MS: Final = 30 * MINUTE_MS
#: Viewers with so many views tell something of rates.
_ENOUGH: Final = 20


def marginals(
    ts_n: NDArray[np.int64],
    viewer_n: NDArray[np.integer[Any]],
    media_n: NDArray[np.integer[Any]],
    action_n: NDArray[np.integer[Any]],
) -> dict[str, float]:
    """Figures of a log in any order; NaN where there is nothing to tell.

    ``views_per_viewer`` and ``views_log_spread`` (standard deviation of the logarithm),
    ``popularity_gini`` of the views of media, ``session_views`` and ``session_views_90`` (mean and
    90th percentile of views in a session), ``gap_s`` (median seconds between views of a session),
    ``likes_zero`` and ``likes_spread`` (share of the viewers with 20 views or more who like
    nothing, and how rates of likes spread between them), and a rate per view of each action.
    """
    view_n = np.isin(action_n, VIEWS)
    views = int(view_n.sum())
    if not views:
        return {}
    viewers, at_n = np.unique(viewer_n, return_inverse=True)
    count_v = np.bincount(at_n[view_n], minlength=len(viewers))
    seen_v = count_v[count_v > 0]
    order = np.lexsort((ts_n[view_n], at_n[view_n]))
    of_n, time_n = at_n[view_n][order], ts_n[view_n][order]
    within_n = (np.diff(of_n) == 0) & (np.diff(time_n) < _GAP_MS)
    sessions = np.bincount(np.cumsum(np.append(True, ~within_n)) - 1)
    liked_v = np.bincount(at_n[action_n == Action.LIKE], minlength=len(viewers))
    rate_v = liked_v[count_v >= _ENOUGH] / count_v[count_v >= _ENOUGH]
    figures = {
        "views_per_viewer": float(seen_v.mean()),
        "views_log_spread": float(np.log(seen_v).std()),
        "popularity_gini": gini(np.unique(media_n[view_n], return_counts=True)[1]),
        "session_views": float(sessions.mean()),
        "session_views_90": float(np.percentile(sessions, 90)),
        "gap_s": float(np.median(np.diff(time_n)[within_n])) / 1000 if within_n.any() else np.nan,
        "likes_zero": float((rate_v == 0).mean()) if len(rate_v) else np.nan,
        "likes_spread": float(rate_v.std()) if len(rate_v) else np.nan,
    }
    for action in Action:
        if action is not Action.VIEW:
            figures[f"rate_{action.word}"] = float((action_n == action).sum()) / views
    return figures


def gini(count_n: NDArray[np.integer[Any]] | NDArray[np.floating[Any]]) -> float:
    """How unevenly counts are spread: 0 for evenly, towards 1 for all on one (Gini, 1912)."""
    count_n = np.sort(np.asarray(count_n, np.float64))
    rows, total = len(count_n), float(count_n.sum())
    if not total:
        return 0.0
    rank_n = np.arange(1, rows + 1)
    return float(2.0 * (rank_n * count_n).sum() / (rows * total) - (rows + 1) / rows)


def entropy(count_nt: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Bits of each row of counts, (n,): 0 where all are of one kind or there are none."""
    total_n1 = np.maximum(count_nt.sum(axis=1, keepdims=True), 1)
    share_nt = count_nt / total_n1
    logs_nt = np.log2(np.where(share_nt > 0, share_nt, 1.0))
    bits_n: NDArray[np.float64] = -(share_nt * logs_nt).sum(axis=1)
    return bits_n
