"""Item weights from histories: how many of the viewers who liked one media liked another.

What a liked media says of another is the share of its viewers who liked that one too, divided by a
power of how many did at all (Deshpande and Karypis, TOIS 2004), and shrunk where few viewers liked
both (Bell and Koren, KDD 2007): common / (one · other ** power + shrink). So a media that everybody
liked says little; how much what everybody likes is worth is another question, which
:mod:`models.item_to_item.appeal` answers. Of each media the heaviest neighbours are kept, as many
as the memory for all of them allows: with a small inventory nearly all of them matter, because a
history is long and what is weakly alike adds up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from models.arrays.stored import ANY, Arrays, number_of, part_of, prefixed, taken
from models.item_to_item.appeal import Appeal
from models.item_to_item.appeal_fit import DrawLog
from models.item_to_item.histories import PositiveLog, PositivePairs
from models.item_to_item.weights import ItemWeights

#: Media whose neighbours are found at once.
_BLOCK: Final = 1_024
#: Weights add up to what shrunk cosines of the same counts do, on whatever log: features and the
#: order before any training are made for that scale.
_COSINE_SHRINK: Final = np.float32(50)


class ItemToItemConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How weights are fitted, and when.

    Attributes:
        power: of how many liked the other media.
        shrink: what is added to the product; where it is large beside that, numbers decide.
        history: newest positives of a viewer that count.
        viewers: who liked a media at least, or it has no weights.
        media: that have weights at most, those that most viewers liked.
        entries: neighbours of all media together at most; 6 bytes each when stored.
        neighbours: of one media at most.
        first: positives that the first fit waits for.
        growth: share of the positives kept that must be new for the next.
    """

    power: float = 0.7
    shrink: float = 300.0
    history: int = 200
    viewers: int = 2
    media: int = 250_000
    entries: int = 12_000_000
    neighbours: int = 2_000
    first: int = 200
    growth: float = 0.2


def fit_item_weights(
    pairs: PositivePairs, config: ItemToItemConfig, appeal: Appeal | None = None
) -> ItemWeights:
    """Fit; takes seconds for a million pairs. The appeal is handed through."""
    rows, at_n, count_r = np.unique(pairs.media_n, return_inverse=True, return_counts=True)
    kept = np.flatnonzero(count_r >= config.viewers)
    if len(kept) > config.media:
        kept = np.sort(kept[np.argsort(-count_r[kept], kind="stable")[: config.media]])
    slot_r = np.full(len(rows), -1, np.int64)
    slot_r[kept] = np.arange(len(kept))
    slot_n = slot_r[at_n]
    there = np.flatnonzero(slot_n >= 0)
    viewers = int(pairs.viewer_n.max(initial=-1)) + 1
    ones_vs = csr_matrix(
        (np.ones(len(there), np.float32), (pairs.viewer_n[there], slot_n[there])),
        (viewers, len(kept)),
    )
    neighbours = min(config.neighbours, max(config.entries // max(len(kept), 1), 1))
    ends_s, near_e, weight_e = _neighbours(ones_vs, count_r[kept], config, neighbours)
    return ItemWeights(rows[kept].astype(np.int32), ends_s, near_e, weight_e, appeal)


def _neighbours(
    ones_vs: csr_matrix, count_s: NDArray[np.int64], config: ItemToItemConfig, most: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    by_slot_sv = ones_vs.T.tocsr()
    count_s = count_s.astype(np.float32)
    root_s, power_s = np.sqrt(count_s), count_s ** np.float32(config.power)
    total = total_of_cosines = 0.0
    sizes: list[int] = []
    near: list[NDArray[np.int32]] = []
    weights: list[NDArray[np.float32]] = []
    for start in range(0, len(count_s), _BLOCK):
        both_bs = (by_slot_sv[start : start + _BLOCK] @ ones_vs).tocsr()
        for at in range(both_bs.shape[0]):
            span = slice(both_bs.indptr[at], both_bs.indptr[at + 1])
            near_k, common_k = both_bs.indices[span], both_bs.data[span]
            common_k = np.where(near_k == start + at, np.float32(0), common_k)
            weight_k = common_k / (
                count_s[start + at] * power_s[near_k] + np.float32(config.shrink)
            )
            total += float(weight_k.sum())
            cosine_k = common_k / (root_s[start + at] * root_s[near_k] + _COSINE_SHRINK)
            total_of_cosines += float(cosine_k.sum())
            if len(weight_k) > most:
                best = np.argpartition(-weight_k, most - 1)[:most]
                near_k, weight_k = near_k[best], weight_k[best]
            else:
                others = weight_k > 0
                near_k, weight_k = near_k[others], weight_k[others]
            sizes.append(len(near_k))
            near.append(near_k.astype(np.int32))
            weights.append(weight_k.astype(np.float32))
    if not near:
        return np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32)
    weight_e = np.concatenate(weights) * np.float32(total_of_cosines / (total or 1.0))
    return np.cumsum(sizes, dtype=np.int64), np.concatenate(near), weight_e


class ItemToItem:
    """Keeps histories and fits weights whenever enough of them is new.

    When that is depends on the positives alone, so a log read again gives the same weights at the
    same places of it.

    Attributes:
        log: of positives.
        draws: of what viewers chose, which the appeal is fitted on.
        weights: of the last fit, None before the first.
        fits: how many there were.
    """

    def __init__(self, config: ItemToItemConfig | None = None) -> None:
        self.config = config or ItemToItemConfig()
        self.log = PositiveLog()
        self.draws = DrawLog()
        self.weights: ItemWeights | None = None
        self.fits = 0
        self._fitted_at = 0

    def refit_if_due(self) -> bool:
        """Fit if enough is new; returns whether there are new weights."""
        new = self.log.added - self._fitted_at
        if new < self.config.first or new < self.config.growth * len(self.log):
            return False
        return self.refit()

    def refit(self) -> bool:
        """Fit on everything so far; returns whether anything was new."""
        if self.log.added == self._fitted_at:
            return False
        self._fitted_at = self.log.added
        pairs = self.log.pairs(self.config.history)
        self.weights = fit_item_weights(pairs, self.config, self.draws.fit())
        self.fits += 1
        return True

    def to_arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Histories, draws and weights, by rows of the catalogue, and JSON beside them."""
        weights = {} if self.weights is None else self.weights.to_columns()
        arrays = {
            **prefixed("log", self.log.to_arrays()),
            **prefixed("draws", self.draws.to_arrays()),
            **prefixed("weights", weights),
        }
        return arrays, {"added": self.log.added, "fits": self.fits, "fitted_at": self._fitted_at}

    def load(self, arrays: Arrays, meta: Mapping[str, Any], media: int) -> None:
        """Go on from what :meth:`to_arrays` gave, of a catalogue with so many media.

        Raises:
            StoredArraysError: these are not such arrays.
        """
        log = part_of(arrays, "log")
        taken(log, "media", np.int32, ANY, rows=media)
        self.log.load(log, number_of(meta, "added"))
        self.draws.load(part_of(arrays, "draws"))
        weights = part_of(arrays, "weights")
        self.weights = ItemWeights.from_columns(weights, media) if weights else None
        self.fits, self._fitted_at = number_of(meta, "fits"), number_of(meta, "fitted_at")
