"""What the viewer did: the media and accounts that a query starts from.

A media of an author whom the viewer blocked, muted or lately saw fewer of leads nowhere, and
neither does such an account.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.columns import UNKNOWN, Rows
from models.events import Action
from models.igql.execution import Execution
from models.igql.library.registered import operators
from models.igql.registry import Arguments, Cost, SetType, count
from models.igql.sets import ColumnSet, Mask, Positions
from models.viewer_context import ViewerContext

#: A see-fewer among the newest so many keeps its author from being a seed.
_SEE_FEWERS = 40


def _cost(rows: float, arguments: Arguments) -> Cost:
    found = rows * arguments["max_num_to_retrieve"]
    return Cost(found, 20.0 + 0.02 * found)


def _unwanted(viewer: ViewerContext) -> Rows:
    see_fewers = viewer.author_e[viewer.see_fewers(_SEE_FEWERS)]
    return np.concatenate([viewer.blocked, see_fewers])


def _acted_on(
    execution: Execution,
    viewers: ColumnSet,
    most: int,
    events_of: Callable[[ViewerContext], Positions],
) -> ColumnSet:
    media: list[Rows] = []
    authors: list[Rows] = []
    for at in viewers.viewer_n.tolist():
        viewer = execution.viewers[at]
        rows = events_of(viewer)
        media_e, author_e = viewer.media_e[rows], viewer.author_e[rows]
        wanted_e = media_e != UNKNOWN
        unwanted = _unwanted(viewer)
        if len(unwanted):
            wanted_e &= ~np.isin(author_e, unwanted)
        # A media counts once, as what happened to it last.
        wanted_e &= _first_of_each(media_e)
        kept = wanted_e.nonzero()[0][:most]
        media.append(media_e[kept])
        authors.append(author_e[kept])
    at_n = np.repeat(np.arange(len(viewers)), [len(rows) for rows in media])
    if not len(at_n):
        return ColumnSet.empty(SetType.MEDIA)
    return viewers.derive(
        at_n,
        SetType.MEDIA,
        np.concatenate(media),
        seed_n=np.concatenate(authors),
        score_n=np.ones(len(at_n), np.float32),
    )


def _first_of_each(rows: Rows) -> Mask:
    order = rows.argsort(kind="stable")
    first_n = np.ones(len(rows), np.bool_)
    first_n[order[1:]] = rows[order[1:]] != rows[order[:-1]]
    return first_n


@operators.register(
    takes=SetType.VIEWER,
    gives=SetType.MEDIA,
    parameters=(count("max_num_to_retrieve", default=30, most=300),),
    cost=_cost,
    source=True,
)
def liked(execution: Execution, viewers: ColumnSet, arguments: Arguments) -> ColumnSet:
    """Media the viewer liked, newest first; the author is the seed."""
    most = arguments["max_num_to_retrieve"]
    return _acted_on(execution, viewers, most, lambda v: v.events_of((Action.LIKE,), len(v.ts_e)))


@operators.register(
    takes=SetType.VIEWER,
    gives=SetType.MEDIA,
    parameters=(count("max_num_to_retrieve", default=30, most=300),),
    cost=_cost,
    source=True,
)
def saved(execution: Execution, viewers: ColumnSet, arguments: Arguments) -> ColumnSet:
    """Media the viewer saved, newest first; the author is the seed."""
    most = arguments["max_num_to_retrieve"]
    return _acted_on(execution, viewers, most, lambda v: v.events_of((Action.SAVE,), len(v.ts_e)))


@operators.register(
    takes=SetType.VIEWER,
    gives=SetType.MEDIA,
    parameters=(count("max_num_to_retrieve", default=30, most=300),),
    cost=_cost,
    source=True,
)
def engaged(execution: Execution, viewers: ColumnSet, arguments: Arguments) -> ColumnSet:
    """Media the viewer liked or saved, newest first, and then those viewed long."""

    def events_of(viewer: ViewerContext) -> Positions:
        most = len(viewer.ts_e)
        strong = viewer.events_of((Action.LIKE, Action.SAVE), most)
        return np.concatenate([strong, viewer.events_of((Action.LONG_VIEW,), most)])

    return _acted_on(execution, viewers, arguments["max_num_to_retrieve"], events_of)


@operators.register(
    takes=SetType.VIEWER,
    gives=SetType.ACCOUNTS,
    parameters=(count("max_num_to_retrieve", default=100, most=1000),),
    cost=_cost,
    source=True,
)
def followed(execution: Execution, viewers: ColumnSet, arguments: Arguments) -> ColumnSet:
    """Accounts the viewer follows, each its own seed."""
    found: list[Rows] = []
    for at in viewers.viewer_n.tolist():
        viewer = execution.viewers[at]
        rows = viewer.followed
        if len(rows):
            rows = rows[~np.isin(rows, _unwanted(viewer))]
        found.append(rows[: arguments["max_num_to_retrieve"]])
    at_n = np.repeat(np.arange(len(viewers)), [len(rows) for rows in found])
    if not len(at_n):
        return ColumnSet.empty(SetType.ACCOUNTS)
    rows = np.concatenate(found)
    return viewers.derive(
        at_n, SetType.ACCOUNTS, rows, seed_n=rows, score_n=np.ones(len(rows), np.float32)
    )
