"""One viewer's state as columns of rows: what candidates and features read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.author_counters import POSITIVE, author_counters
from models.catalog import Catalog
from models.columns import UNKNOWN, Rows, hash_id
from models.events import Action, Relation
from models.lane_reading import read_actions
from models.viewer_state import FoldConfig, ViewerState, related_authors, suppressed_media
from models.world import World


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
    ) -> Self:
        """One viewer's; see :meth:`from_states`."""
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
        contexts = []
        for at, ((viewer_id, state), span) in enumerate(zip(viewers, done.spans, strict=True)):
            media, action = media_e[span], done.action_e[span]
            if state.suppressed or done.undid[at]:
                suppressed = catalog.media_rows(suppressed_media(state))
            else:
                suppressed = media[action == Action.SEE_FEWER]
            older = catalog.media_rows(list(state.older.media_ids()))
            contexts.append(
                cls(
                    viewer_id=viewer_id,
                    viewer_hash=hash_id(viewer_id),
                    reflects_ts=state.reflects_ts(),
                    media_e=media,
                    author_e=author_e[span],
                    action_e=action,
                    ts_e=done.ts_e[span],
                    suppressed=_known(suppressed),
                    seen=_known(np.append(media, older)),
                    followed=_authors(catalog, related_authors(state, Relation.FOLLOW)),
                    blocked=_authors(
                        catalog, related_authors(state, Relation.BLOCK, Relation.MUTE)
                    ),
                    own_author=own_v[at],
                    **counters[at]._asdict(),
                )
            )
        return contexts

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
    if not len(rows):
        return rows
    rows = np.sort(rows[rows != UNKNOWN])
    first_n = np.ones(len(rows), np.bool_)
    np.not_equal(rows[1:], rows[:-1], out=first_n[1:])
    return rows[first_n]


def _authors(catalog: Catalog, ids: set[str]) -> Rows:
    return _known(catalog.author_rows(ids))
