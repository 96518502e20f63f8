"""How good lists of media are, against the media that they should have held.

A list is a row of media numbers, best first, filled up with −1. Every figure is one number a list,
so that intervals can be drawn over viewers (:mod:`models.evaluation.bootstrap`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.evaluation.targets import Targets

Lists = NDArray[np.int32]
Figure = NDArray[np.float64]


def hits(lists_gk: Lists, targets: Targets) -> NDArray[np.bool_]:
    """Which places of the lists hold one of their targets, (g, k)."""
    if not len(lists_gk):
        return np.zeros(lists_gk.shape, np.bool_)
    width = int(max(lists_gk.max(initial=0), targets.media_p.max(initial=0))) + 1
    key_p = targets.grid_p * width + targets.media_p
    key_gk = np.arange(len(lists_gk))[:, None] * width + lists_gk
    found_gk: NDArray[np.bool_] = np.isin(key_gk, key_p) & (lists_gk >= 0)
    return found_gk


def list_figures(lists_gk: Lists, targets: Targets, k: int) -> dict[str, Figure]:
    """NDCG, recall, hit rate and MRR of each list's first `k`.

    The gain of a target is 1; the ideal list holds min(k, targets) of them first. A list without
    targets is NaN.
    """
    found_gk = hits(lists_gk[:, :k], targets)
    count_g = targets.counts().astype(np.float64)
    count_g[count_g == 0] = np.nan
    discount_k = 1.0 / np.log2(np.arange(k) + 2.0)
    ideal_k = np.concatenate([np.full(1, np.nan), np.cumsum(discount_k)])
    most_g = np.minimum(np.nan_to_num(count_g), k).astype(np.int64)
    width = found_gk.shape[1]
    dcg_g = found_gk @ discount_k[:width]
    number_g = found_gk.sum(axis=1)
    first_g = np.where(number_g > 0, found_gk.argmax(axis=1) if width else 0, 0)
    known_g = np.where(np.isnan(count_g), np.nan, 1.0)
    return {
        "ndcg": dcg_g / ideal_k[most_g],
        "recall": number_g / count_g,
        "hit_rate": (number_g > 0) * known_g,
        "mrr": np.where(number_g > 0, 1.0 / (first_g + 1), 0.0) * known_g,
    }


def recall(lists_gk: Lists, targets: Targets) -> Figure:
    """Share of each list's targets that it holds anywhere."""
    count_g = targets.counts().astype(np.float64)
    count_g[count_g == 0] = np.nan
    found_g: Figure = hits(lists_gk, targets).sum(axis=1) / count_g
    return found_g


def share_held(lists_gk: Lists, targets: Targets) -> Figure:
    """Share of each list's media that are among its targets; NaN for an empty list."""
    size_g = (lists_gk >= 0).sum(axis=1).astype(np.float64)
    size_g[size_g == 0] = np.nan
    share_g: Figure = hits(lists_gk, targets).sum(axis=1) / size_g
    return share_g


def coverage(lists_gk: Lists, inventory: int) -> float:
    """Share of the inventory that is in some list."""
    shown = np.unique(lists_gk[lists_gk >= 0])
    return len(shown) / inventory if inventory else float("nan")


def novelty(lists_gk: Lists, count_m: NDArray[np.integer]) -> Figure:
    """Mean −log2 of the share of all actions that a list's media had; unseen ones count as one."""
    bits_m = -np.log2(np.maximum(count_m, 1) / max(int(count_m.sum()), 1))
    return _mean(bits_m[lists_gk], lists_gk >= 0)


def author_share(lists_gk: Lists, author_m: NDArray[np.integer]) -> Figure:
    """Share of each list that its most frequent author has; NaN for an empty list."""
    author_gk = np.where(lists_gk >= 0, author_m[lists_gk], -1)
    sorted_gk = np.sort(author_gk, axis=1)
    most_g = np.zeros(len(lists_gk))
    run_g = np.zeros(len(lists_gk))
    for k in range(sorted_gk.shape[1]):
        again_g = (sorted_gk[:, k] == sorted_gk[:, k - 1]) if k else np.zeros(len(run_g), np.bool_)
        run_g = np.where(sorted_gk[:, k] < 0, 0.0, np.where(again_g, run_g + 1, 1.0))
        most_g = np.maximum(most_g, run_g)
    size_g = (lists_gk >= 0).sum(axis=1).astype(np.float64)
    size_g[size_g == 0] = np.nan
    share_g: Figure = most_g / size_g
    return share_g


def intra_list_diversity(lists_gk: Lists, vectors_md: NDArray[np.floating]) -> Figure:
    """1 − mean cosine of the pairs of each list; media with a zero vector are left out.

    Args:
        vectors_md: unit vectors of the media, or zeros where there is none.
    """
    vectors_gkd = np.where((lists_gk >= 0)[..., None], vectors_md[lists_gk], 0.0)
    known_g = (np.abs(vectors_gkd).sum(axis=2) > 0).sum(axis=1).astype(np.float64)
    # The sum over pairs follows from the length of the sum of the vectors.
    sum_g = (vectors_gkd.sum(axis=1) ** 2).sum(axis=1)
    pairs_g = known_g * (known_g - 1)
    pairs_g[pairs_g == 0] = np.nan
    apart_g: Figure = 1.0 - (sum_g - known_g) / pairs_g
    return apart_g


def _mean(values_gk: NDArray[np.floating], known_gk: NDArray[np.bool_]) -> Figure:
    size_g = known_gk.sum(axis=1).astype(np.float64)
    size_g[size_g == 0] = np.nan
    mean_g: Figure = np.where(known_gk, values_gk, 0.0).sum(axis=1) / size_g
    return mean_g
