"""Viewers as people look at them: what serving knows of one, and who was active of late."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from infra.http.viewers import ActiveViewer, Done, HistoryLength, ViewerList, ViewerRecord
from infra.stores import Store
from models.actions import Action
from models.events import Relation
from models.explore.treatment import Treatment
from models.viewers.state import ViewerState, history, related_authors
from streams.ranking import Ranking


class ViewerDirectory:
    """Looks up viewers.

    Args:
        treatment_of: what a viewer's arm gives her.
    """

    def __init__(
        self, store: Store, ranking: Ranking, treatment_of: Callable[[str], Treatment]
    ) -> None:
        self._store, self._ranking, self._treatment_of = store, ranking, treatment_of

    async def viewer(self, viewer_id: str, actions: int) -> ViewerRecord:
        """A viewer, known or not, with the newest actions."""
        [(_, state, *_)] = await self._store.load([viewer_id])
        told = history(state)
        newest = islice(reversed(told.done), actions)
        return ViewerRecord(
            viewer_id=viewer_id,
            arm=self._treatment_of(viewer_id).arm,
            reflects_ts=state.reflects_ts(),
            history=_length(state),
            actions=[
                Done(Action(entry.action).word, entry.media_id, entry.author_id, entry.ts)
                for entry in newest
            ],
            followed=sorted(related_authors(state, Relation.FOLLOW)),
            blocked=sorted(related_authors(state, Relation.BLOCK)),
            muted=sorted(related_authors(state, Relation.MUTE)),
            suppressed=sorted(told.suppressed),
            waits=self._ranking.waits(viewer_id),
        )

    async def active(self, limit: int) -> ViewerList:
        """Viewers whose events reached this process last."""
        names = self._ranking.active(limit)
        states = await self._store.load(names)
        return ViewerList(
            [
                ActiveViewer(
                    name, self._treatment_of(name).arm, state.reflects_ts(), _length(state)
                )
                for name, (_, state, *_) in zip(names, states, strict=True)
            ]
        )


def _length(state: ViewerState) -> HistoryLength:
    return HistoryLength(len(state.strong), len(state.views), len(state.older))
