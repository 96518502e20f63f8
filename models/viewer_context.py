"""One viewer's state as columns of rows: what candidates and features read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.columns import UNKNOWN, Rows, hash_id
from models.events import Action, Relation
from models.viewer_state import (
    FoldConfig,
    ViewerState,
    history,
    related_authors,
)
from models.world import World

#: What counts as a positive for vectors and similarities.
POSITIVE = (Action.LIKE, Action.SAVE, Action.LONG_VIEW)


@dataclass(frozen=True)
class ViewerContext:
    """A viewer at a moment, in rows of one world's catalogue.

    Attributes:
        reflects_ts: event time in ms of the newest thing known, 0 for a new viewer.
        media_e, author_e, action_e, ts_e: the actions not undone, newest first (rows −1 unknown).
        suppressed: media rows the viewer wants fewer of.
        seen: media rows viewed or acted on.
        followed, blocked: author rows; blocked includes muted ones.
        own_author: author row of the viewer, −1 if the viewer posts nothing.
        counter_authors: author rows with counters, ascending.
        counters_c5: decayed count per action for each of `counter_authors`.
        last_positive_c, last_see_fewer_c: their newest event times in ms, 0 for never.
        totals_5: decayed count per action over all authors.
    """

    viewer_id: str
    viewer_hash: int
    reflects_ts: int
    media_e: Rows
    author_e: Rows
    action_e: NDArray[np.int8]
    ts_e: NDArray[np.int64]
    suppressed: Rows
    seen: Rows
    followed: Rows
    blocked: Rows
    own_author: int
    counter_authors: Rows
    counters_c5: NDArray[np.float64]
    last_positive_c: NDArray[np.int64]
    last_see_fewer_c: NDArray[np.int64]
    totals_5: NDArray[np.float64]

    @classmethod
    def from_state(
        cls,
        viewer_id: str,
        state: ViewerState,
        world: World,
        now_ms: int,
        fold: FoldConfig | None = None,
    ) -> ViewerContext:
        """The view of `state` at `now_ms`; an empty state is a viewer without history.

        Args:
            fold: the settings the state was folded with (its half-life is needed for reading).
        """
        catalog = world.catalog
        known = history(state)
        done = known.done[::-1]
        n = len(done)
        media_e = catalog.media_rows([e.media_id for e in done])
        author_e = catalog.author_rows([e.author_id for e in done])
        action_e = np.fromiter((e.action for e in done), np.int8, n)
        ts_e = np.fromiter((e.ts for e in done), np.int64, n)
        half_life_ms = (fold or FoldConfig()).half_life_ms
        return cls(
            viewer_id=viewer_id,
            viewer_hash=hash_id(viewer_id),
            reflects_ts=state.reflects_ts(),
            media_e=media_e,
            author_e=author_e,
            action_e=action_e,
            ts_e=ts_e,
            suppressed=_known(catalog.media_rows(list(known.suppressed))),
            seen=_known(np.append(media_e, catalog.media_rows(known.older))),
            followed=_authors(world, related_authors(state, Relation.FOLLOW)),
            blocked=_authors(world, related_authors(state, Relation.BLOCK, Relation.MUTE)),
            own_author=int(catalog.author_rows([viewer_id])[0]),
            **_counters(state, world, (author_e, action_e, ts_e), now_ms, half_life_ms),
        )

    def events_of(self, actions: Iterable[Action], most: int) -> NDArray[np.int64]:
        """Positions of the newest `most` events with one of `actions` and a known author."""
        of = [self._by_action[action] for action in actions]
        return of[0][:most] if len(of) == 1 else np.sort(np.concatenate(of))[:most]

    @cached_property
    def _by_action(self) -> list[NDArray[np.int64]]:
        """Positions of the events of each action with a known author."""
        action_e = np.where(self.author_e == UNKNOWN, UNKNOWN, self.action_e)
        return [(action_e == action).nonzero()[0] for action in Action]

    def positives(self, most: int) -> NDArray[np.int64]:
        """Positions of the newest likes, saves and long views."""
        return self._positives[:most]

    @cached_property
    def _positives(self) -> NDArray[np.int64]:
        return self.events_of(POSITIVE, len(self.ts_e))

    def see_fewers(self, most: int) -> NDArray[np.int64]:
        """Positions of the newest see-fewers."""
        return self.events_of((Action.SEE_FEWER,), most)


def _known(rows: Rows) -> Rows:
    """The known ones, each once, ascending."""
    rows = np.sort(rows[rows != UNKNOWN])
    first_n = np.ones(len(rows), np.bool_)
    np.not_equal(rows[1:], rows[:-1], out=first_n[1:])
    return rows[first_n]


def _authors(world: World, ids: set[str]) -> Rows:
    return _known(world.catalog.author_rows(list(ids)))


def _counters(
    state: ViewerState,
    world: World,
    done: tuple[Rows, NDArray[np.int8], NDArray[np.int64]],
    now_ms: int,
    half_life_ms: int,
) -> dict[str, Any]:
    """Decayed counts and newest times per author: the lanes' actions and the residue's counters."""
    author_e, action_e, ts_e = done
    residue_rows: list[int] = []
    actions: list[int] = []
    weights: list[float] = []
    newest: list[int] = []
    if state.authors:
        rows = world.catalog.author_rows(list(state.authors)).tolist()
        for row, counters in zip(rows, state.authors.values(), strict=True):
            for action, counter in counters.items():
                if counter.count > 0:  # Not if every action was undone.
                    residue_rows.append(row)
                    actions.append(action)
                    weights.append(counter.decayed(now_ms, half_life_ms))
                    newest.append(counter.last_ts)
    row_c = np.concatenate([author_e, np.array(residue_rows, author_e.dtype)])
    action_c = np.concatenate([action_e, np.array(actions, np.int8)]).astype(np.intp)
    ts_c = np.concatenate([ts_e, np.array(newest, np.int64)])
    age_e = (ts_e - now_ms) / half_life_ms
    weight_c = np.concatenate([np.exp2(age_e), np.array(weights, np.float64)])

    known = row_c != UNKNOWN
    authors, at_c = np.unique(row_c[known], return_inverse=True)
    size = len(authors) * len(Action)
    cell_c = at_c * len(Action) + action_c[known]
    last = np.zeros(size, np.int64)
    np.maximum.at(last, cell_c, ts_c[known])
    last_c5 = last.reshape(len(authors), len(Action))
    return {
        "counter_authors": authors,
        "counters_c5": np.bincount(cell_c, weight_c[known], size).reshape(last_c5.shape),
        "last_positive_c": last_c5[:, POSITIVE].max(axis=1, initial=0),
        "last_see_fewer_c": last_c5[:, Action.SEE_FEWER],
        "totals_5": np.bincount(action_c, weight_c, len(Action)),
    }
