"""What viewers chose beside media drawn from all: what appeal is fitted on
(:mod:`models.item_to_item.appeal_fit`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from models.actions import POSITIVE, Action
from models.arrays.id_table import hash_id
from models.arrays.types import UNKNOWN
from models.arrays.viewer_pairs import spans_of
from models.item_to_item.appeal_fit import Draws
from models.item_to_item.sums import Histories
from models.viewers.context import ViewerContext
from models.world import World

#: Media drawn beside each chosen one.
OTHERS: Final = 50
#: Of one viewer at a time so many chosen media count at most.
_MOST: Final = 5


def draws(
    viewers: Sequence[ViewerContext],
    done: Sequence[Mapping[str, set[Action]]],
    world: World,
    now_ms: int,
) -> Draws | None:
    """Draw for what each viewer did next; None where nothing can be asked.

    Args:
        done: of each viewer media id → actions.
        world: as it is at `now_ms`, before that was done.
    """
    weights = world.item_weights
    if weights is None or not len(weights):
        return None
    histories, slots, sizes = [], [], []
    for viewer, actions in zip(viewers, done, strict=True):
        history = np.unique(viewer.media_e[viewer.positives(len(viewer.ts_e))])
        own = weights.slots_of(history)
        wanted = [media for media, of in actions.items() if not of.isdisjoint(POSITIVE)]
        chosen = np.setdiff1d(weights.slots_of(world.catalog.media_rows(wanted)), own)
        chosen = chosen[chosen != UNKNOWN][:_MOST]
        rng = np.random.default_rng(hash_id(f"{viewer.viewer_id} {now_ms}") & 0xFFFFFFFF)
        others = rng.integers(len(weights), size=2 * OTHERS).astype(np.int32)
        others = others[~np.isin(others, np.concatenate([own, chosen]))][:OTHERS]
        if len(chosen) and len(others) == OTHERS:
            histories.append(history)
            slots.append(np.concatenate([chosen, others]))
            sizes.append(len(chosen))
    if not slots:
        return None
    slot_n = np.concatenate(slots)
    spans = spans_of(map(len, slots))
    sum_n = weights.likeness(Histories.of(histories), slot_n, spans).sum_n
    worth_np = world.worth(weights.media_s[slot_n], now_ms)
    # A row for each chosen media: it, and then the others of its viewer.
    rows_dk = np.array(
        [
            [span.start + at, *range(span.start + size, span.stop)]
            for span, size in zip(spans, sizes, strict=True)
            for at in range(size)
        ]
    )
    return Draws(sum_n[rows_dk].astype(np.float32), worth_np[rows_dk].astype(np.float32))
