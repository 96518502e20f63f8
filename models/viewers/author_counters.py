"""What viewers did with each author: decayed counts and newest times, of many viewers at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays.growing import UNKNOWN, Rows
from models.arrays.viewer_pairs import pairs, rows_in, spans_in
from models.events import Action
from models.inventory.catalog import Catalog
from models.viewers.action_columns import Actions
from models.viewers.state import ViewerState

#: What counts as a positive for vectors and similarities.
POSITIVE = (Action.LIKE, Action.SAVE, Action.LONG_VIEW)


class AuthorCounters(NamedTuple):
    """One viewer's.

    Attributes:
        counter_authors: author rows, ascending.
        counters_cx: decayed count per action for each of them.
        last_positive_c, last_see_fewer_c: their newest event times in ms, 0 for never.
        totals_x: decayed count per action over all authors, unknown ones included.
    """

    counter_authors: Rows
    counters_cx: NDArray[np.float64]
    last_positive_c: NDArray[np.int64]
    last_see_fewer_c: NDArray[np.int64]
    totals_x: NDArray[np.float64]


def author_counters(
    states: Sequence[ViewerState],
    done: Actions,
    author_e: Rows,
    catalog: Catalog,
    now_ms: int,
    half_life_ms: int,
) -> list[AuthorCounters]:
    """The counters of each state: those of its residue and the actions of its action logs.

    Args:
        done: the actions in the action logs of `states`.
        author_e: of each action.
    """
    viewers = len(states)
    sizes = [span.stop - span.start for span in done.spans]
    viewer_c, row_c = np.repeat(np.arange(viewers), sizes), author_e
    action_c, ts_c = done.action_e.astype(np.int64), done.ts_e
    weight_c = np.exp2((ts_c - now_ms) / half_life_ms)
    residue = [
        (viewer, author_id, action, counter.decayed(now_ms, half_life_ms), counter.last_ts)
        for viewer, state in enumerate(states)
        for author_id, counters in state.authors.items()
        for action, counter in counters.items()
        if counter.count > 0  # Not if every action was undone.
    ]
    if residue:
        fallen, author_ids, actions, weights, newest = zip(*residue, strict=True)
        viewer_c = np.append(viewer_c, fallen)
        row_c = np.append(row_c, catalog.author_rows(author_ids))
        action_c = np.append(action_c, actions)
        weight_c = np.append(weight_c, weights)
        ts_c = np.append(ts_c, newest)
    actions_of_all = len(Action)
    total_vx = np.bincount(
        viewer_c * actions_of_all + action_c, weight_c, viewers * actions_of_all
    ).reshape(viewers, actions_of_all)

    known = row_c != UNKNOWN
    pair_c, at_c = np.unique(pairs(viewer_c[known], row_c[known]), return_inverse=True)
    cell_c = at_c * actions_of_all + action_c[known]
    last_cx = np.zeros((len(pair_c), actions_of_all), np.int64)
    np.maximum.at(last_cx.reshape(-1), cell_c, ts_c[known])
    # float64 as the weights are; the stubs of bincount know of counts only.
    count_c = np.bincount(cell_c, weight_c[known], last_cx.size).astype(np.float64, copy=False)
    count_cx = count_c.reshape(last_cx.shape)
    positive_c = last_cx[:, POSITIVE].max(axis=1, initial=0)
    see_fewer_c = last_cx[:, Action.SEE_FEWER]
    row_c = rows_in(pair_c)
    return [
        AuthorCounters(row_c[of], count_cx[of], positive_c[of], see_fewer_c[of], total_vx[viewer])
        for viewer, of in enumerate(spans_in(pair_c, viewers))
    ]
