"""One viewer's state as columns of rows: what candidates and features read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.actions import NEGATIVE, POSITIVE, Action
from models.arrays.id_table import hash_id
from models.arrays.types import NO_ROWS, UNKNOWN, Positions, Rows
from models.arrays.viewer_pairs import pairs, rows_in, spans_in
from models.events import Relation
from models.inventory.catalog import Catalog
from models.viewers.action_columns import Actions, read_actions
from models.viewers.author_counters import author_counters
from models.viewers.state import FoldConfig, ViewerState, related_authors, suppressed_media
from models.world import World


@dataclass(frozen=True)
class ViewerContext:
    """A viewer at a moment, in rows of one world's catalogue.

    Attributes:
        reflects_ts: event time in ms of the newest thing known, 0 for a new viewer.
        reflects_offsets: of each partition of events, the offset up to which it is known.
        media_e, author_e, action_e, ts_e: the actions not undone, newest first (rows −1 unknown).
        by_action: of each action the positions of its events whose author is known.
        suppressed: media rows the viewer wants fewer of.
        seen: media rows viewed or acted on.
        followed, blocked: author rows; blocked includes muted ones.
        own_author: author row of the viewer, −1 if the viewer posts nothing.
        counter_authors: author rows with counters, ascending.
        counters_cx: decayed count per action for each of `counter_authors`.
        last_positive_c, last_see_fewer_c: their newest event times in ms, 0 for never.
        totals_x: decayed count per action over all authors.
    """

    viewer_id: str
    viewer_hash: int
    reflects_ts: int
    reflects_offsets: dict[str, int]
    media_e: Rows
    author_e: Rows
    action_e: NDArray[np.int8]
    ts_e: NDArray[np.int64]
    by_action: Sequence[Positions]
    suppressed: Rows
    seen: Rows
    followed: Rows
    blocked: Rows
    own_author: int
    counter_authors: Rows
    counters_cx: NDArray[np.float64]
    last_positive_c: NDArray[np.int64]
    last_see_fewer_c: NDArray[np.int64]
    totals_x: NDArray[np.float64]

    @classmethod
    def from_state(
        cls,
        viewer_id: str,
        state: ViewerState,
        world: World,
        now_ms: int,
        fold: FoldConfig | None = None,
    ) -> Self:
        """The context of one viewer; for several see :meth:`from_states`."""
        return cls.from_states([(viewer_id, state)], world, now_ms, fold)[0]

    @classmethod
    def from_states(
        cls,
        viewers: Sequence[tuple[str, ViewerState]],
        world: World,
        now_ms: int,
        fold: FoldConfig | None = None,
    ) -> list[Self]:
        """What the states tell at `now_ms`; an empty one is that of a viewer without history.

        Args:
            viewers: ids and states.
            fold: the settings the states were folded with (its half-life is needed for reading).
        """
        catalog = world.catalog
        states = [state for _, state in viewers]
        done = read_actions(states)
        media_e = catalog.media_rows(done.media_ids)
        author_e = catalog.author_rows(done.author_ids)
        own_v = catalog.author_rows([viewer_id for viewer_id, _ in viewers]).tolist()
        half_life_ms = (fold or FoldConfig()).half_life_ms
        counters = author_counters(states, done, author_e, catalog, now_ms, half_life_ms)
        older = [list(state.older.media_ids()) for state in states]
        older_n = catalog.media_rows([media_id for ids in older for media_id in ids])
        viewer_e = np.repeat(np.arange(len(states)), [s.stop - s.start for s in done.spans])
        viewer_n = np.repeat(np.arange(len(states)), [len(ids) for ids in older])
        seen = _distinct(np.append(viewer_e, viewer_n), np.append(media_e, older_n), len(states))
        unwanted_e = np.isin(done.action_e, NEGATIVE)
        suppressed = _distinct(viewer_e[unwanted_e], media_e[unwanted_e], len(states))
        by_action = _by_action(done, viewer_e, author_e != UNKNOWN)
        contexts = []
        for at, ((viewer_id, state), span) in enumerate(zip(viewers, done.spans, strict=True)):
            if state.suppressed or done.undid[at]:
                suppressed[at] = _known(catalog.media_rows(suppressed_media(state)))
            contexts.append(
                cls(
                    viewer_id=viewer_id,
                    viewer_hash=hash_id(viewer_id),
                    reflects_ts=state.reflects_ts(),
                    reflects_offsets=state.reflects_offsets(),
                    media_e=media_e[span],
                    author_e=author_e[span],
                    action_e=done.action_e[span],
                    ts_e=done.ts_e[span],
                    by_action=by_action[at],
                    suppressed=suppressed[at],
                    seen=seen[at],
                    followed=_authors(catalog, state, Relation.FOLLOW),
                    blocked=_authors(catalog, state, Relation.BLOCK, Relation.MUTE),
                    own_author=own_v[at],
                    **counters[at]._asdict(),
                )
            )
        return contexts

    def events_of(self, actions: tuple[Action, ...], most: int) -> Positions:
        """Positions of the newest `most` events with one of `actions` and a known author."""
        if len(actions) == 1:
            return self.by_action[actions[0]][:most]
        # Several sources and filters ask for the same.
        of = self._of_several.get(actions)
        if of is None:
            of = np.sort(np.concatenate([self.by_action[action] for action in actions]))
            self._of_several[actions] = of
        return of[:most]

    @cached_property
    def _of_several(self) -> dict[tuple[Action, ...], Positions]:
        return {}

    def positives(self, most: int) -> Positions:
        """Positions of the newest positives."""
        return self.events_of(POSITIVE, most)

    def see_fewers(self, most: int) -> Positions:
        """Positions of the newest see-fewers."""
        return self.events_of(NEGATIVE, most)


def _by_action(
    done: Actions, viewer_e: Positions, known_e: NDArray[np.bool_]
) -> list[list[Positions]]:
    """Of each viewer and action the positions of the known ones within the viewer's."""
    known = known_e.nonzero()[0]
    group_k = viewer_e[known] * len(Action) + done.action_e[known]
    grouped = known[group_k.argsort(kind="stable")]
    start_v = np.array([span.start for span in done.spans])
    place_k = grouped - start_v[viewer_e[grouped]]
    ends = np.bincount(group_k, minlength=len(done.spans) * len(Action)).cumsum().tolist()
    groups = [place_k[start:end] for start, end in pairwise([0, *ends])]
    return [groups[at : at + len(Action)] for at in range(0, len(groups), len(Action))]


def _distinct(viewer_n: Positions, row_n: Rows, viewers: int) -> list[Rows]:
    """The known rows of each viewer, each once, ascending."""
    known_n = row_n != UNKNOWN
    pair_n = np.sort(pairs(viewer_n[known_n], row_n[known_n]))
    first_n = np.ones(len(pair_n), np.bool_)
    np.not_equal(pair_n[1:], pair_n[:-1], out=first_n[1:])
    pair_n = pair_n[first_n]
    rows = rows_in(pair_n)
    return [rows[span] for span in spans_in(pair_n, viewers)]


def _authors(catalog: Catalog, state: ViewerState, *relations: Relation) -> Rows:
    if not state.relations:
        return NO_ROWS
    return _known(catalog.author_rows(related_authors(state, *relations)))


def _known(rows: Rows) -> Rows:
    return np.unique(rows[rows != UNKNOWN])
