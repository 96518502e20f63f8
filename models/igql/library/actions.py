"""What the viewer did: the media and accounts that a query starts from.

A media of an author whom the viewer blocked, muted or lately saw fewer of leads nowhere, and
neither does such an account.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from models.actions import STRONG_POSITIVE, WEAK_POSITIVE, Action
from models.arrays.types import NO_ROWS, UNKNOWN, Positions, Rows
from models.igql.execution import Execution
from models.igql.library.registered import cost_of_lists, operators
from models.igql.registry import Arguments, SetType, count
from models.igql.sets import ColumnSet, first_of_each, first_of_runs
from models.viewers.context import ViewerContext

#: A see-fewer among the newest so many keeps its author from being a seed.
_SEE_FEWERS = 40


def _unwanted(viewers: Sequence[ViewerContext]) -> list[Rows]:
    return [
        np.append(viewer.blocked, viewer.author_e[viewer.see_fewers(_SEE_FEWERS)])
        for viewer in viewers
    ]


class _Acted(NamedTuple):
    """Media that viewers acted on, each once: one viewer's after the other's, newest first.

    Attributes:
        at_n: whose each is, as a position among those asked for.
        begin_v: where each viewer's begin, and at the end their number.
        media_n, author_n: the media and its author.
    """

    at_n: Positions
    begin_v: Positions
    media_n: Rows
    author_n: Rows


def _acted_on(
    execution: Execution,
    viewers: ColumnSet,
    most: int,
    actions: Sequence[tuple[Action, ...]],
) -> ColumnSet:
    # Branches of a query ask for the same, some for more of it than others.
    key = "acted on", tuple(actions), viewers.viewer_n.tobytes()
    acted: _Acted | None = execution.kept.get(key)
    if acted is None:
        asked = [execution.viewers[at] for at in viewers.viewer_n.tolist()]
        acted = execution.kept[key] = _all_acted_on(asked, actions)
    if not len(acted.at_n):
        return ColumnSet.empty(SetType.MEDIA)
    kept = first_of_runs(acted.begin_v, most)
    return viewers.derive(
        acted.at_n[kept],
        SetType.MEDIA,
        acted.media_n[kept],
        seed_n=acted.author_n[kept],
        score_n=np.ones(len(kept), np.float32),
    )


def _all_acted_on(asked: Sequence[ViewerContext], actions: Sequence[tuple[Action, ...]]) -> _Acted:
    events = [
        np.concatenate([viewer.events_of(some, len(viewer.ts_e)) for some in actions])
        for viewer in asked
    ]
    at_n = np.arange(len(asked)).repeat([len(rows) for rows in events])
    of_viewers = list(zip(asked, events, strict=True))
    media_n = np.concatenate([NO_ROWS, *(viewer.media_e[rows] for viewer, rows in of_viewers)])
    author_n = np.concatenate([NO_ROWS, *(viewer.author_e[rows] for viewer, rows in of_viewers)])
    wanted_n = media_n != UNKNOWN
    for at, unwanted in enumerate(_unwanted(asked)):
        if len(unwanted):
            wanted_n &= (at_n != at) | ~np.isin(author_n, unwanted)
    wanted = wanted_n.nonzero()[0]
    # A media counts once, as what happened to it last.
    kept = wanted[first_of_each(at_n[wanted].astype(np.int32), media_n[wanted])]
    at_n = at_n[kept]
    begin_v = at_n.searchsorted(np.arange(len(asked) + 1))
    return _Acted(at_n, begin_v, media_n[kept], author_n[kept])


@operators.register(
    takes=SetType.VIEWER,
    gives=SetType.MEDIA,
    parameters=(count("max_num_to_retrieve", default=30, most=300),),
    cost=cost_of_lists,
    source=True,
)
def liked(execution: Execution, viewers: ColumnSet, arguments: Arguments) -> ColumnSet:
    """Media the viewer liked, newest first; the author is the seed."""
    return _acted_on(execution, viewers, arguments["max_num_to_retrieve"], [(Action.LIKE,)])


@operators.register(
    takes=SetType.VIEWER,
    gives=SetType.MEDIA,
    parameters=(count("max_num_to_retrieve", default=30, most=300),),
    cost=cost_of_lists,
    source=True,
)
def saved(execution: Execution, viewers: ColumnSet, arguments: Arguments) -> ColumnSet:
    """Media the viewer saved, newest first; the author is the seed."""
    return _acted_on(execution, viewers, arguments["max_num_to_retrieve"], [(Action.SAVE,)])


@operators.register(
    takes=SetType.VIEWER,
    gives=SetType.MEDIA,
    parameters=(count("max_num_to_retrieve", default=30, most=300),),
    cost=cost_of_lists,
    source=True,
)
def engaged(execution: Execution, viewers: ColumnSet, arguments: Arguments) -> ColumnSet:
    """Media the viewer meant to act on (liked, saved, …), newest first, then those viewed long."""
    actions = [STRONG_POSITIVE, WEAK_POSITIVE]
    return _acted_on(execution, viewers, arguments["max_num_to_retrieve"], actions)


@operators.register(
    takes=SetType.VIEWER,
    gives=SetType.ACCOUNTS,
    parameters=(count("max_num_to_retrieve", default=100, most=1000),),
    cost=cost_of_lists,
    source=True,
)
def followed(execution: Execution, viewers: ColumnSet, arguments: Arguments) -> ColumnSet:
    """Accounts the viewer follows, each its own seed."""
    asked = [execution.viewers[at] for at in viewers.viewer_n.tolist()]
    found: list[Rows] = []
    for viewer, unwanted in zip(asked, _unwanted(asked), strict=True):
        rows = viewer.followed
        if len(rows) and len(unwanted):
            rows = rows[~np.isin(rows, unwanted)]
        found.append(rows[: arguments["max_num_to_retrieve"]])
    at_n = np.repeat(np.arange(len(viewers)), [len(rows) for rows in found])
    if not len(at_n):
        return ColumnSet.empty(SetType.ACCOUNTS)
    rows = np.concatenate(found)
    return viewers.derive(
        at_n, SetType.ACCOUNTS, rows, seed_n=rows, score_n=np.ones(len(rows), np.float32)
    )
