"""Who is shown, and how much of the same: fairness of exposure, and health of what viewers get."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.evaluation.grid_metrics import Lists
from models.events import DAY_MS
from models.simulation.marginals import entropy, gini

WEEK_MS: Final = 7 * DAY_MS
Exposure = dict[str, float | list[float] | None]


def exposure(
    lists_gk: Lists,
    viewer_g: NDArray[np.integer],
    ts_g: NDArray[np.int64],
    *,
    author_m: NDArray[np.integer],
    created_m: NDArray[np.int64],
    known_author_m: NDArray[np.bool_],
    topic_m: NDArray[np.integer],
) -> Exposure:
    """Figures of what grids show; a place of a grid counts as one, whether it is looked at or not.

    Args:
        lists_gk: media, −1 for nothing.
        known_author_m: whether the author of each media had any engagement before.
        topic_m: numbers from 0, −1 for none.

    Returns:
        ``gini_accounts`` over the accounts with media in the inventory, ``new_accounts_share`` of
        the places that go to accounts nobody had engaged with, ``repeat_rate`` of the places whose
        media an earlier grid of the viewer had shown, and ``topic_entropy_bits`` per viewer, all in
        all and by week since the first grid; null where nothing has a topic.
    """
    g_n, k_n = np.nonzero(lists_gk >= 0)
    if not len(g_n):
        return {}
    media_n, viewer_n, ts_n = lists_gk[g_n, k_n], viewer_g[g_n], ts_g[g_n]
    there_a = np.unique(author_m[created_m < ts_n.max()])
    shown = np.bincount(author_m[media_n], minlength=int(author_m.max()) + 1)
    once = np.unique(np.stack([viewer_n, media_n]).astype(np.int64), axis=1).shape[1]
    topic_n = topic_m[media_n]
    has = topic_n >= 0
    week_n = (ts_n - ts_n.min()) // WEEK_MS
    return {
        "gini_accounts": gini(shown[there_a]),
        "new_accounts_share": float((~known_author_m[media_n]).mean()),
        "repeat_rate": 1.0 - once / len(media_n),
        "topic_entropy_bits": topic_entropy(viewer_n[has], topic_n[has]),
        "topic_entropy_by_week": [
            topic_entropy(viewer_n[of], topic_n[of]) or 0.0
            for week in np.unique(week_n)
            for of in [has & (week_n == week)]
        ],
    }


def topic_entropy(viewer_n: NDArray[np.integer], topic_n: NDArray[np.integer]) -> float | None:
    """Bits of the topics that a viewer is shown, mean over viewers; None where nobody is."""
    if not len(viewer_n):
        return None
    row_n = np.unique(viewer_n, return_inverse=True)[1].astype(np.int64)
    rows, topics = int(row_n.max()) + 1, int(topic_n.max()) + 1
    count_vt = np.bincount(row_n * topics + topic_n, minlength=rows * topics)
    return float(entropy(count_vt.reshape(rows, topics)).mean())
