"""Filters: masks of what may stay. A row is judged for itself, so they move towards the sources."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Final, TypeAlias

import numpy as np

from models.actions import STRONG_POSITIVE, WEAK_POSITIVE
from models.arrays.types import UNKNOWN, Mask, Rows
from models.events import HOUR_MS
from models.igql.execution import Execution
from models.igql.library.registered import operators
from models.igql.predicates import holds
from models.igql.registry import (
    LAST,
    Arguments,
    Cost,
    GivesWay,
    Kind,
    Operator,
    Parameter,
    SetType,
    count,
    number,
)
from models.igql.sets import ColumnSet
from models.viewers.context import ViewerContext

#: The columns of the catalogue that the thresholds of ``filter`` bound, in the order of
#: :class:`models.inventory.availability.IntegrityBounds`.
INTEGRITY: Final = {
    "non_recommendable_model_threshold": "risk_n",
    "nsfw": "nsfw_n",
    "spam": "spam_n",
    "misinformation": "misinformation_n",
}
#: The rows of each viewer of a batch.
OfViewers: TypeAlias = Callable[[], Sequence[Rows]]


def _cost(rows: float, _: Arguments) -> Cost:
    return Cost(rows, 10.0 + 0.01 * rows)


def _threshold(name: str) -> Parameter:
    return number(name, low=0.0, high=1.0)


@operators.register(
    takes=SetType.MEDIA,
    gives=SetType.MEDIA,
    parameters=(
        Parameter("predicates", Kind.PREDICATES),
        _threshold("non_recommendable_model_threshold"),
        _threshold("nsfw"),
        _threshold("spam"),
        _threshold("misinformation"),
        Parameter("language", Kind.TEXT),
        number("max_age_hours", low=0.0),
    ),
    cost=_cost,
    removes_only=True,
)
def filter(execution: Execution, media: ColumnSet, arguments: Arguments) -> Mask:
    """Media within thresholds, of a language, of an age and with predicates that hold.

    ``nsfw``, ``spam`` and ``misinformation`` bound the score of one integrity classifier,
    ``non_recommendable_model_threshold`` the highest of the three.
    """
    catalog, rows = execution.world.catalog, media.row_n
    keep_n = np.ones(len(media), np.bool_)
    for name, column in INTEGRITY.items():
        if arguments[name] is not None:
            keep_n &= getattr(catalog, column).take(rows) <= np.float32(arguments[name])
    if arguments["language"] is not None:
        keep_n &= catalog.language_n[rows] == catalog.language_code(arguments["language"])
    if arguments["max_age_hours"] is not None:
        oldest_ms = execution.now_ms - arguments["max_age_hours"] * HOUR_MS
        keep_n &= catalog.created_ts_n[rows] >= oldest_ms
    if arguments["predicates"] is not None:
        keep_n &= holds(execution, media, arguments["predicates"])
    return keep_n


@operators.register(
    takes=SetType.MEDIA,
    gives=SetType.MEDIA,
    cost=_cost,
    removes_only=True,
    gives_way=GivesWay(LAST),
)
def exclude_seen(execution: Execution, media: ColumnSet, arguments: Arguments) -> Mask:
    """Media the viewer has neither viewed nor acted on."""
    return ~_media(execution, media, "seen", lambda: [v.seen for v in execution.viewers])


@operators.register(takes=SetType.MEDIA, gives=SetType.MEDIA, cost=_cost, removes_only=True)
def exclude_suppressed(execution: Execution, media: ColumnSet, arguments: Arguments) -> Mask:
    """Media the viewer does not want fewer of, of authors neither blocked nor muted."""
    viewers = execution.viewers
    unwanted_n = _media(execution, media, "suppressed", lambda: [v.suppressed for v in viewers])
    unwanted_n |= _by(execution, media, "blocked", lambda: [v.blocked for v in viewers])
    return ~unwanted_n


@operators.register(
    takes=SetType.MEDIA,
    gives=SetType.MEDIA,
    cost=_cost,
    removes_only=True,
    keeps=(SetType.ACCOUNTS,),
    gives_way=GivesWay(2),
)
def exclude_followed(execution: Execution, media: ColumnSet, arguments: Arguments) -> Mask:
    """Accounts that the viewer does not follow, or their media."""
    return ~_by(execution, media, "followed", lambda: [v.followed for v in execution.viewers])


@operators.register(
    takes=SetType.MEDIA,
    gives=SetType.MEDIA,
    parameters=(count("newest", default=40, most=300),),
    cost=_cost,
    removes_only=True,
    keeps=(SetType.ACCOUNTS,),
    # What the viewer posted stays out.
    gives_way=GivesWay(1, {"newest": 0}),
)
def exclude_own_accounts(execution: Execution, media: ColumnSet, arguments: Arguments) -> Mask:
    """Accounts, or their media, other than the viewer and those the viewer lately acted on.

    Whose media the viewer liked, saved or viewed long belongs to the home feed. ``newest`` says how
    many of what was meant (likes, saves, …) count, and how many views.
    """
    viewers, newest = execution.viewers, arguments["newest"]
    return ~_by(execution, media, ("own", newest), lambda: [_own(v, newest) for v in viewers])


def _own(viewer: ViewerContext, newest: int) -> Rows:
    # As many of each kind, so that views do not push likes out.
    strong = viewer.events_of(STRONG_POSITIVE, newest)
    weak = viewer.events_of(WEAK_POSITIVE, newest)
    rows = viewer.author_e[np.concatenate([strong, weak])]
    return rows if viewer.own_author == UNKNOWN else np.append(rows, np.int32(viewer.own_author))


def _available(execution: Execution, media: ColumnSet, arguments: Arguments) -> Mask:
    catalog, rows = execution.world.catalog, media.row_n
    # A media only referred to has no author, and is deleted too.
    hidden_n = catalog.hidden_account_a.take(execution.authors(media))
    return ~(catalog.deleted_n.take(rows) | hidden_n)


def _not_served(execution: Execution, media: ColumnSet, arguments: Arguments) -> Mask:
    return ~_media(execution, media, "served", lambda: execution.served)


def _not_held_back(execution: Execution, media: ColumnSet, arguments: Arguments) -> Mask:
    held = execution.world.held_accounts(execution.now_ms)
    if not len(held):
        return np.ones(len(media), np.bool_)
    author_n = execution.authors(media)
    held_n = np.isin(author_n, held)
    if held_n.any():
        own = "held_back", lambda: [_chosen(viewer) for viewer in execution.viewers]
        held_n &= ~execution.among(media, author_n, *own)
    return ~held_n


def _chosen(viewer: ViewerContext) -> Rows:
    """Authors that a viewer follows, or liked, saved or shared something of."""
    liked = viewer.events_of(STRONG_POSITIVE, len(viewer.author_e))
    return np.concatenate([viewer.followed, viewer.author_e[liked]])


#: Applied to every query of media, though none says so.
UNAVAILABLE: Final = Operator(
    "unavailable", SetType.MEDIA, SetType.MEDIA, (), _cost, _available,
    "Media that are there, of accounts neither private nor disabled.", removes_only=True,
)  # fmt: skip
HELD_BACK: Final = Operator(
    "held_back", SetType.MEDIA, SetType.MEDIA, (), _cost, _not_held_back,
    "Media of accounts that no unusual number of viewers asked for fewer of, or that the viewer "
    "follows or liked.", removes_only=True,
)  # fmt: skip
SERVED: Final = Operator(
    "served", SetType.MEDIA, SetType.MEDIA, (), _cost, _not_served,
    "Media that were not on earlier pages.", removes_only=True,
)  # fmt: skip


def _media(execution: Execution, media: ColumnSet, key: Hashable, of_v: OfViewers) -> Mask:
    """Whether each media is among its viewer's."""
    return execution.among(media, media.row_n, key, of_v)


def _by(execution: Execution, media: ColumnSet, key: Hashable, of_v: OfViewers) -> Mask:
    """Whether each account, or media's author, is among its viewer's."""
    return execution.among(media, execution.authors(media), key, of_v)
