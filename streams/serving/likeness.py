"""What is like other things: by the account vectors, and by a query for somebody without an id."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from infra.config import Settings
from infra.http.catalogue import Neighbour
from infra.http.similar import (
    Session,
    SimilarAccountList,
    SimilarMedia,
    SimilarMediaList,
)
from models.actions import POSITIVE, Action
from models.arrays.types import UNKNOWN, Rows
from models.events import MediaEvent
from models.explore.treatment import Treatment
from models.viewers.context import ViewerContext
from models.viewers.state import ViewerState, fold_media_event
from models.world import World
from streams.clock import now_ms
from streams.serving.directory import Directory
from streams.serving.live_queries import LiveQueries

#: Most media in one answer.
MOST: Final = 100
#: What viewers with the same tastes like, then what is acted on together, then what accounts near
#: these post: each fills what those before it cannot.
QUERY: Final = f"""
blend(
  0.7: user.engaged(max_num_to_retrieve=200).alike(max_num_to_retrieve={3 * MOST}),
  0.2: user.engaged(max_num_to_retrieve=40).co_engaged(max_num_to_retrieve={3 * MOST}),
  0.1: user
    .engaged(max_num_to_retrieve=40)
    .account_nn(embedding_config=default, max_num_to_retrieve=100)
    .posted_media(max_media_per_account=3)
    .diversify_by(seed, method=round_robin)
)
.filter(non_recommendable_model_threshold=0.2)
.exclude_seen()
.exclude_suppressed()
.take({MOST})
"""
#: Nobody is called this: an id has no control characters that anybody would send.
NOBODY: Final = "\x00session"


class Likenesses:
    """Looks up what is alike in a world.

    Args:
        treatment_of: what a viewer's arm gives her.
    """

    def __init__(
        self,
        settings: Settings,
        world: World,
        directory: Directory,
        queries: LiveQueries,
        treatment_of: Callable[[str], Treatment],
    ) -> None:
        self._fold = settings.fold_config()
        self._world, self._directory = world, directory
        self._query = queries.asked(QUERY)
        self._treatment_of = treatment_of

    def accounts(self, ids: Sequence[str], limit: int) -> SimilarAccountList:
        """Accounts nearest to the mean of these, these left out.

        Raises:
            LookupError: none of them has a vector.
        """
        rows = self._world.catalog.author_rows(list(dict.fromkeys(ids)))
        return self._near(rows[rows != UNKNOWN], limit)

    def media(self, ids: Sequence[str], limit: int) -> SimilarMediaList:
        """Media that who likes all of these may like.

        Raises:
            LookupError: nobody ever told of any of them.
        """
        names = list(dict.fromkeys(ids))
        if (self._world.catalog.media_rows(names) == UNKNOWN).all():
            raise LookupError(
                f"nobody ever told of media {names[0]!r}; send it to catalog.media first"
            )
        now = now_ms()
        liked = [(Action.LIKE, name, None, now - at) for at, name in enumerate(names)]
        return self._found(self._state(liked), limit)

    def accounts_of_session(self, session: Session) -> SimilarAccountList:
        """Accounts nearest to those that somebody engaged with.

        Raises:
            LookupError: none of them has a vector.
        """
        [viewer] = self._contexts(self._state(_steps(session)))
        positive = np.isin(viewer.action_e, POSITIVE) & (viewer.author_e != UNKNOWN)
        return self._near(np.unique(viewer.author_e[positive]), session.limit)

    def media_of_session(self, session: Session) -> SimilarMediaList:
        """Media that who did this may like; none where nothing of it is known."""
        return self._found(self._state(_steps(session)), session.limit)

    def _near(self, rows: Rows, limit: int) -> SimilarAccountList:
        space = self._world.space
        vectors_nd, known_n = self._world.vectors_of(rows)
        if space is None or not known_n.any():
            raise LookupError(
                "none of these accounts has a vector: too little was engaged with them so far, or "
                "ig2vec has not learned yet (GET /v1/status)"
            )
        mean_qd = vectors_nd[known_n].mean(axis=0, keepdims=True)
        near_qk, scores_qk = space.nearest(mean_qd, limit + len(rows))
        other_k = (near_qk[0] != UNKNOWN) & ~np.isin(near_qk[0], rows)
        accounts = self._directory.account_records(near_qk[0][other_k][:limit])
        scores = scores_qk[0][other_k][:limit].tolist()
        return SimilarAccountList([Neighbour(*pair) for pair in zip(accounts, scores, strict=True)])

    def _found(self, state: ViewerState, limit: int) -> SimilarMediaList:
        catalog, rankers = self._world.catalog, self._treatment_of(NOBODY).rankers
        executed = self._query.find(self._contexts(state), self._world, rankers, now_ms())
        found = executed.candidates()
        at = slice(limit)
        columns = zip(
            self._directory.media_records(found.media_n[at]),
            found.score_n[at].tolist(),
            [found.sources[code] for code in found.source_n[at].tolist()],
            [None if r == UNKNOWN else catalog.account_id(r) for r in found.seed_n[at].tolist()],
            strict=True,
        )
        return SimilarMediaList([SimilarMedia(*row) for row in columns])

    def _contexts(self, state: ViewerState) -> list[ViewerContext]:
        return ViewerContext.from_states([(NOBODY, state)], self._world, now_ms(), self._fold)

    def _state(self, steps: Sequence[tuple[Action, str, str | None, int]]) -> ViewerState:
        state = ViewerState()
        for number, (action, media_id, author_id, ts) in enumerate(steps):
            author = self._world.catalog.author_of(media_id) or author_id or ""
            event = MediaEvent(str(number), NOBODY, media_id, ts)
            fold_media_event(state, action, event, author, self._fold)
        return state


def _steps(session: Session) -> list[tuple[Action, str, str | None, int]]:
    """The actions of a session; those that tell no time happened one after the other until now."""
    actions = {action.word: action for action in Action}
    first_ts = now_ms() - len(session.actions)
    return [
        (
            actions[one.action],
            one.media_id,
            one.author_id,
            first_ts + at if one.ts is None else one.ts,
        )
        for at, one in enumerate(session.actions)
    ]
